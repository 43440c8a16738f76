"""A Prometheus, or what speaks its HTTP API: where it is, who we are to it, and what it answers to a query.

    https://user@prometheus:9090/path

Secrets may rather come from the environment or files: TOWLINE_PROMETHEUS_PASSWORD and _BEARER, each also with _FILE.
https://prometheus.io/docs/prometheus/latest/querying/api/ is what is spoken.
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlencode, urlsplit

import orjson
import urllib3

from towline.config import PROMETHEUS, PROMETHEUS_BEARER, PROMETHEUS_CA, PROMETHEUS_PASSWORD, masked, secret
from towline.errors import StoreUnavailable, UsageError
from towline.http_body import whole
from towline.prometheus_errors import answered, away

CONNECT, PATIENCE = 3.0, 10.0
"""Seconds for a connection, and for a whole answer."""
MOST_BYTES = 32 << 20
"""Of one answer: the page's charts need some 10 KB, a list of a thousand containers about 2 MB."""
MOST_AT_ONCE, QUEUED = 4, 1.0
"""Questions that may wait for Prometheus, and seconds for a place among them: lines need the server's threads, too."""
FRESH, MOST_KEPT = 5.0, 16
"""Seconds for which an answer is told again, and how many are kept: many may look at the same page."""
PAUSE = 2.0
"""Seconds for which a refusal holds."""
_EXAMPLE = "write for example http://prometheus:9090"


@dataclass(frozen=True)
class Address:
    """`url` has neither a user nor a slash at its end; `shown` and the repr have no secret."""

    url: str
    shown: str
    user: str = ""
    password: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)
    ca: Path | None = None


class Row(NamedTuple):
    """One series: its labels, and its values by Unix time in seconds; what is no number is left out."""

    labels: Mapping[str, str]
    points: Mapping[float, float]


def parse(url: str, environ: Mapping[str, str]) -> Address:
    """The address that `url` and the environment mean; UsageError, without a secret in it, where they mean none."""
    shown = masked(PROMETHEUS, url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"--prometheus {shown!r}: {error}; {_EXAMPLE}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise UsageError(f"--prometheus {shown!r} is no address of a Prometheus; {_EXAMPLE}")
    userinfo, _, place = parts.netloc.rpartition("@")
    user, _, password = (unquote(part) for part in userinfo.partition(":"))
    plain = f"{parts.scheme}://{place}{parts.path.rstrip('/')}"
    return _authorised(Address(plain, shown, user, password), environ)


def _authorised(address: Address, environ: Mapping[str, str]) -> Address:
    password, bearer = secret(PROMETHEUS_PASSWORD, environ), secret(PROMETHEUS_BEARER, environ)
    if password and (address.password or not address.user):
        raise UsageError(f"{PROMETHEUS_PASSWORD.variable} needs a --prometheus URL that has a user and no password: "
                         f"{address.shown}")  # fmt: skip
    if address.user and bearer:
        raise UsageError(f"--prometheus {address.shown}: give a user, or {PROMETHEUS_BEARER.variable}; not both")
    return Address(address.url, address.shown, address.user, address.password or password, bearer, _ca(environ))


def _ca(environ: Mapping[str, str]) -> Path | None:
    path = environ.get(PROMETHEUS_CA.variable)
    if not path:
        return None
    try:
        urllib3.util.create_urllib3_context().load_verify_locations(path)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or str(error)
        raise UsageError(f"{PROMETHEUS_CA.variable}={path}: {reason}; name a readable PEM file") from error
    return Path(path)


class Prometheus:
    """Asks with bounds on time, size and number. Safe to use from many threads.

    What it raises is StoreUnavailable: one line that names the address and the fix.
    """

    def __init__(
        self, address: Address, *, patience: float = PATIENCE, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.shown = address.shown
        self._url, self._patience, self._clock = address.url, patience, clock
        self._pool = urllib3.PoolManager(
            maxsize=MOST_AT_ONCE, ca_certs=str(address.ca) if address.ca else None, cert_reqs="CERT_REQUIRED",
            headers=_headers(address), retries=False,
            timeout=urllib3.Timeout(connect=min(CONNECT, patience), read=patience))  # fmt: skip
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, list[Row]]] = OrderedDict()
        self._refusal: tuple[float, StoreUnavailable] | None = None

    def instant(self, query: str, when: float) -> list[Row]:
        """What an instant query gives at a Unix time."""
        return self._asked("query", {"query": query, "time": f"{when:.3f}"})

    def range(self, query: str, since: float, until: float, step: float) -> list[Row]:
        """What a range query gives from `since` to `until` (Unix times) every `step` seconds."""
        span = {"start": f"{since:.3f}", "end": f"{until:.3f}", "step": f"{step:g}"}
        return self._asked("query_range", {"query": query, **span})

    def close(self) -> None:
        self._pool.clear()

    def _asked(self, path: str, given: dict[str, str]) -> list[Row]:
        """Told again for a while, an error too: a host that does not answer takes long to say so."""
        key = f"{path} {urlencode(given)}"
        with self._lock:
            if key in self._kept and self._clock() - self._kept[key][0] < FRESH:
                return self._kept[key][1]
            if self._refusal and self._clock() - self._refusal[0] < PAUSE:
                raise StoreUnavailable(str(self._refusal[1]))
        if not self._places.acquire(timeout=QUEUED):
            raise StoreUnavailable(f"Prometheus {self.shown}: {MOST_AT_ONCE} questions wait for it; is it overloaded?")
        try:
            rows = self._rows(path, given)
        finally:
            self._places.release()
        with self._lock:
            self._kept[key] = self._clock(), rows
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return rows

    def _rows(self, path: str, given: dict[str, str]) -> list[Row]:
        body = urlencode({**given, "timeout": f"{self._patience:g}s"}).encode()
        try:
            status, data, location = self._fetched(f"{self._url}/api/v1/{path}", body)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            told = away(error, self.shown, self._patience)
            with self._lock:
                self._refusal = self._clock(), told
            raise told from error
        if status != 200:
            raise answered(status, data, location, self.shown)
        try:
            return _read(data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StoreUnavailable(f"Prometheus {self.shown}: its answer is not Prometheus'; "
                                   "check host, port and path") from error  # fmt: skip

    def _fetched(self, url: str, body: bytes) -> tuple[int, bytes, str]:
        """Status, body and the header Location; raises urllib3's errors, TimeoutError or ValueError (too long)."""
        deadline = self._clock() + self._patience
        response = self._pool.request("POST", url, body=body, preload_content=False)
        data = whole(response, MOST_BYTES, deadline, self._clock)
        return response.status, data, response.headers.get("Location", "")


def _headers(address: Address) -> dict[str, str]:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json",
               "Accept-Encoding": "gzip", "User-Agent": "towline"}  # fmt: skip
    if address.user:
        headers |= urllib3.util.make_headers(basic_auth=f"{address.user}:{address.password}")
    if address.bearer:
        headers["Authorization"] = f"Bearer {address.bearer}"
    return headers


def _read(data: bytes) -> list[Row]:
    """The series of a vector or a matrix; KeyError, TypeError, ValueError or AttributeError for anything else."""
    told = orjson.loads(data)["data"]
    if told["resultType"] not in ("vector", "matrix"):
        raise ValueError(told["resultType"])
    return [_row(each) for each in told["result"]]


def _row(told: Mapping[str, Any]) -> Row:
    values = told["values"] if "values" in told else [told["value"]]
    points = ((float(moment), float(text)) for moment, text in values)
    labels = {str(name): str(text) for name, text in told["metric"].items()}
    return Row(labels, {moment: value for moment, value in points if math.isfinite(value)})
