"""What the Elasticsearch client raises, translated into one line that names the store and the fix."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from elastic_transport import ConnectionError as Unreachable
from elastic_transport import ConnectionTimeout, SerializationError, TlsError, TransportError
from elasticsearch import ApiError, UnsupportedProductError

from towline.errors import StoreUnavailable, TowlineError, UsageError

_FIX = {
    "index_closed_exception": "open it: POST {index}/_open",
    "cluster_block_exception": "the disk is too full or writing is blocked; make room, it goes on by itself",
    "index_not_found_exception": "run `towline setup`",
    "security_exception": "grant this account what it lacks",
    "unavailable_shards_exception": "a shard has no home; look at _cluster/allocation/explain",
    "validation_exception": "the cluster takes no more shards; delete indices or raise cluster.max_shards_per_node",
    "circuit_breaking_exception": "the server is short of memory; give it more heap, or fewer indexers",
    "es_rejected_execution_exception": "the server has more to do than it can; it goes on by itself",
}


@contextmanager
def translated(shown: str) -> Iterator[None]:
    """Let only errors of ours out: StoreUnavailable, or UsageError where a query can't be run."""
    try:
        yield
    except TowlineError:
        raise
    except (ApiError, TransportError, UnsupportedProductError) as error:
        raise told(error, shown) from error


def told(error: Exception, shown: str) -> TowlineError:
    """The error as it is told to a person."""
    if isinstance(error, TowlineError):
        return error
    if isinstance(error, UnsupportedProductError):  # an ApiError, too
        return StoreUnavailable(f"store {shown}: what answers there is no Elasticsearch; check host and port")
    if isinstance(error, ApiError):
        return _answered(error, shown)
    if isinstance(error, TlsError):
        return StoreUnavailable(f"store {shown}: TLS: {_short(error)}; check the host name, or set TOWLINE_STORE_CA")
    if isinstance(error, ConnectionTimeout):
        return StoreUnavailable(f"store {shown}: no answer in time; is it overloaded?")
    if isinstance(error, Unreachable):
        return StoreUnavailable(f"store {shown}: can't be reached: {_short(error)}; is it running?")
    if isinstance(error, SerializationError):
        return StoreUnavailable(f"store {shown}: its answer is not JSON; check host and port")
    return StoreUnavailable(f"store {shown}: {_short(error)}")


def _answered(error: ApiError, shown: str) -> TowlineError:
    status = error.status_code
    kind, reason, index = cause(error.body)
    if status == 401:
        return StoreUnavailable(f"store {shown}: it refuses our credentials (401); check user, password or API key")
    if status == 403 and kind == "security_exception":
        return StoreUnavailable(f"store {shown}: this account may not do that (403): {reason[:300]}")
    if status == 400 and kind in ("search_phase_execution_exception", "query_shard_exception", "parsing_exception"):
        return UsageError(f"store {shown}: the query can't be run: {reason[:300]}")
    return StoreUnavailable(advice(f"store {shown}: HTTP {status} {kind}: {reason[:300]}", kind, index))


def advice(text: str, kind: str, index: str = "") -> str:
    """The text, with what to do about this kind of error where that is known."""
    fix = _FIX.get(kind, "").format(index=index or "INDEX")
    return f"{text}; {fix}" if fix else text


def cause(body: Any) -> tuple[str, str, str]:
    """(type, reason, index) of an error that the server sent, whatever its shape; reasons below it are appended."""
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return "", " ".join(str(error or "no reason given").split())[:300], ""
    kind, reason = str(error.get("type", "")), str(error.get("reason", "no reason given"))
    roots = error.get("root_cause") or [{}]
    below = error.get("caused_by")
    while isinstance(below, dict):
        if below.get("reason") and str(below["reason"]) not in reason:
            reason += f": {below['reason']}"
        below = below.get("caused_by")
    index = str(error.get("index") or roots[0].get("index") or "")
    return kind, " ".join(reason.split()), index


def _short(error: Exception) -> str:
    below = getattr(error, "errors", None) or (error,)
    text = getattr(below[0], "message", None) or str(below[0])
    return " ".join(str(text).split())[:300]
