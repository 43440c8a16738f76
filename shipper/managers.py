"""Who tells labels of a Swarm's services and of this node: its engine where it is a manager's, or `towline export` on
one."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import orjson
import urllib3

from towline.engine import Engine
from towline.errors import TowlineError, UsageError
from towline.http_body import whole
from towline.identity import clean, node_labels

Labels = dict[str, Mapping[str, str]]
"""By id of the service."""

_HEADERS = {"Accept": "application/json", "User-Agent": "towline", "Connection": "close"}


@dataclass(frozen=True, slots=True)
class Told:
    """`node`: the labels of a node that were asked for, as far as it has them; None where they are not told."""

    services: Labels
    node: Mapping[str, str] | None = None


class Manager(Protocol):
    """Somebody who may tell them."""

    def ask(self, node: str = "", wanted: Sequence[str] = ()) -> Told | None:
        """All labels of services, and of the node with this id those `wanted`, in one question.

        None where this is nobody's to tell; raises TowlineError: why it does not tell them.
        """


PREFIXES = ("towline.", "co.elastic.logs/")
PATH = "/api/service-labels"
PATIENCE = 5.0
MOST_BYTES = 16 << 20
WHO = 300.0
"""Seconds for which the engine is believed to manage a Swarm, or not to: it takes its time for that answer."""


class EngineOfManager:
    """An engine that may be a manager's. `node`: its id in its Swarm, "" where it is in none, None until it answers."""

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._clock = clock
        self._manages = False
        self._asked_at: float | None = None
        self.node: str | None = None

    def ask(self, node: str = "", wanted: Sequence[str] = ()) -> Told | None:
        """None where it manages no Swarm; of nodes it tells its own alone. Raises EngineUnavailable."""
        now = self._clock()
        if self._asked_at is None or now - self._asked_at >= WHO:
            info = self._engine.info()
            self._manages, self.node, self._asked_at = info.swarm_manager, clean(info.swarm_node), now
        if not self._manages:
            return None
        try:
            services: Labels = dict(map(_of_engine, self._engine.swarm("services")))
            return Told(services, self._own_labels(wanted) if wanted else None)
        except TowlineError:
            self._asked_at = None  # it may have been demoted
            raise

    def _own_labels(self, wanted: Sequence[str]) -> Mapping[str, str] | None:
        rows = [row for row in self._engine.swarm("nodes") if row.get("ID") == self.node]
        return node_labels(_labels(rows[0]), wanted) if rows else None


class Url:
    """`towline export` on a manager; raises UsageError for what is no URL of one."""

    def __init__(self, url: str, patience: float = PATIENCE) -> None:
        self.url, self.shown = _parsed(url)
        self._patience = patience
        self._pool = urllib3.PoolManager(
            cert_reqs="CERT_REQUIRED", headers=_HEADERS, retries=False,
            timeout=urllib3.Timeout(connect=patience, read=patience))  # fmt: skip

    def ask(self, node: str = "", wanted: Sequence[str] = ()) -> Told:
        """Raises TowlineError: why it does not tell them. One of an older version tells nothing of nodes."""
        about = [("node", node), *(("node_label", name) for name in wanted)] if node and wanted else []
        try:
            status, body = self._fetched(f"{self.url}?{urlencode(about)}" if about else self.url)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            reason = " ".join(str(error).split()).rpartition(": ")[2]
            raise TowlineError(
                f"{self.shown} does not answer ({reason}); is `towline export` running there?"
            ) from error
        if status != 200:
            raise TowlineError(f"{self.shown} answered {status}{_reason(body)}")
        try:
            told = orjson.loads(body)
            services: Labels = {clean(key): _kept(found["labels"]) for key, found in told["services"].items()}
            found = told.get("nodes", {}).get(node)
            return Told(services, None if found is None else node_labels(found["labels"], wanted))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TowlineError(f"{self.shown} is no `towline export`; name one on a manager") from error

    def _fetched(self, url: str) -> tuple[int, bytes]:
        """Raises urllib3's errors, TimeoutError, or ValueError where there is too much."""
        deadline = time.monotonic() + 2 * self._patience
        response = self._pool.request("GET", url, preload_content=False, redirect=False)
        return response.status, whole(response, MOST_BYTES, deadline, time.monotonic)


def _parsed(url: str) -> tuple[str, str]:
    """The URL to ask, and as it is shown."""
    example = "write for example http://manager:9514"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"--service-labels {url.rpartition('@')[2]!r}: {error}; {example}") from error
    userinfo, _, place = parts.netloc.rpartition("@")
    named = parts.scheme in ("http", "https") and parts.hostname and port != 0
    if not named or userinfo or parts.query or parts.fragment:
        raise UsageError(f"--service-labels {url.rpartition('@')[2]!r} is no address of a `towline export`; {example}")
    path = parts.path.rstrip("/")
    shown = f"{parts.scheme}://{place}{path}"
    return shown if path.endswith(PATH) else shown + PATH, shown


def _of_engine(row: Mapping[str, Any]) -> tuple[str, Mapping[str, str]]:
    return clean(row.get("ID") or ""), _kept(_labels(row))


def _labels(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those in the `Spec` of a service, or of a node."""
    spec = row.get("Spec")
    labels = spec.get("Labels") if isinstance(spec, dict) else None
    return labels if isinstance(labels, dict) else {}


def _kept(labels: Mapping[str, Any]) -> dict[str, str]:
    return {clean(name): clean(text) for name, text in labels.items() if name.startswith(PREFIXES)}


def _reason(body: bytes) -> str:
    try:
        return f": {orjson.loads(body)['error']}"
    except (ValueError, KeyError, TypeError):
        return ""
