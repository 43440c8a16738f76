"""The Docker engine's API, as far as discovery needs it: who it is, which containers there are, what happens to them.

docker-py finds the way (unix socket, TCP) and the API version; every error of its libraries ends here.
"""

import contextlib
import http.client
import json
import re
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import docker
import requests
import urllib3
from docker.errors import DockerException

from towline.errors import EngineUnavailable, UsageError

Row = dict[str, Any]

OLDEST = (20, 10)
"""The oldest version of the engine that Towline is tested with."""
TIMEOUT = 30.0
INSPECT_TIMEOUT = 10.0
WATCHED = ("start", "die", "rename", "destroy")
"""Events that the log reader asks for: health checks alone would send three others every few seconds."""

_FRACTION = re.compile(r"\.([0-9]+)")
_CUT_OFF = http.client.RemoteDisconnected | http.client.IncompleteRead
_LIBRARY_ERRORS = (requests.RequestException, DockerException, urllib3.exceptions.HTTPError, OSError, ValueError)


@dataclass(frozen=True)
class EngineInfo:
    """What the engine says of itself. `cluster` is known to Swarm managers only; `swarm` is "active" or "inactive";
    `swarm_error`: why it has no part in its Swarm right now, such as that no manager can be reached.

    `clock` is the engine's, in nanoseconds since 1970, 0 where it does not tell."""

    name: str
    data_root: Path
    version: str
    driver: str
    live_restore: bool
    clock: int = 0
    swarm: str = "inactive"
    swarm_node: str = ""
    swarm_manager: bool = False
    cluster: str = ""
    swarm_error: str = ""


class Events:
    """Container events as the engine sends them, decoded. Iterate in one thread; `close` from any thread ends it."""

    def __init__(self, engine: "Engine", response: requests.Response) -> None:
        self._engine = engine
        self._response = response
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Row]:
        """Raises EngineUnavailable where the stream breaks; ends quietly where it was closed, by either side."""
        try:
            yield from _rows(self._response.iter_content(None))
        except _LIBRARY_ERRORS as error:
            if not self._closed.is_set():
                raise self._engine.unavailable(error) from error
        finally:
            self._response.close()
            self._engine.close()  # Another engine may answer next time: it has its own API version.

    def close(self) -> None:
        """End the iteration, also one that waits for the next event."""
        self._closed.set()
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            self._response.raw.shutdown()


class Engine:
    """One Docker engine. Safe to call from any thread; connects at the first call, and again after it was away.

    `timeout` is in seconds, for each answer. Raises UsageError at once for a URL that can't be one; every method
    raises EngineUnavailable with the fix in one line.
    """

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        _check_url(url)
        self.url = url
        self._timeout = timeout
        self._lock = threading.Lock()
        self._client: docker.APIClient | None = None

    def info(self) -> EngineInfo:
        """Raises EngineUnavailable also where the engine is older than OLDEST."""
        row = self._object("/info")
        version = str(row.get("ServerVersion") or "")
        if too_old(version):
            raise EngineUnavailable(f"Docker engine {version} at {self.url} is too old: upgrade it to 20.10 or newer")
        swarm = _mapping(row.get("Swarm"))
        return EngineInfo(
            name=str(row.get("Name") or ""),
            data_root=Path(str(row.get("DockerRootDir") or "/var/lib/docker")),
            version=version,
            driver=str(row.get("LoggingDriver") or "json-file"),
            live_restore=bool(row.get("LiveRestoreEnabled")),
            clock=_nanoseconds(str(row.get("SystemTime") or "")),
            swarm=str(swarm.get("LocalNodeState") or "inactive"),
            swarm_node=str(swarm.get("NodeID") or ""),
            swarm_manager=bool(swarm.get("ControlAvailable")),
            cluster=str(_mapping(swarm.get("Cluster")).get("ID") or ""),
            swarm_error=" ".join(str(swarm.get("Error") or "").split())[:200],
        )

    def containers(self) -> list[Row]:
        """All containers, running or not: rows with Id, Names, Image, Labels, State."""
        return self._rows("/containers/json", {"all": "1"})

    def swarm(self, kind: Literal["services", "tasks", "nodes"]) -> list[Row]:
        """All of one kind in the Swarm; only a manager answers this."""
        return self._rows(f"/{kind}", {})

    def inspect(self, container_id: str) -> Row | None:
        """All about one container, or None where it is gone or going."""
        row = self._get(f"/containers/{container_id}/json", {}, min(self._timeout, INSPECT_TIMEOUT), gone=(404, 409))
        return row if isinstance(row, dict) else None

    def events(
        self, since: str | None = None, watched: Sequence[str] = WATCHED, kinds: Sequence[str] = ("container",)
    ) -> Events:
        """What happens to containers (or others: `kinds`) from now on, or from `since` on (seconds.nanoseconds,
        inclusive; the engine remembers its last 256 events, and none from before its own start)."""
        wanted = {"type": list(kinds), "event": list(watched)}
        params = {"filters": json.dumps(wanted)} | ({"since": since} if since else {})
        response = self._request("/events", params, self._timeout, stream=True)
        try:
            self._expect(response)
            _wait_for_ever(response)
        except BaseException:
            response.close()
            raise
        return Events(self, response)

    def close(self) -> None:
        """Close what is idle; the next call connects again."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def unavailable(self, error: BaseException) -> EngineUnavailable:
        """What `error` means to the person who runs this, and what to do."""
        return EngineUnavailable(_explain(self.url, error))

    def _rows(self, path: str, params: Mapping[str, str]) -> list[Row]:
        rows = self._get(path, params, self._timeout)
        if not isinstance(rows, list):
            raise EngineUnavailable(f"{self.url} answers, but not like a Docker engine: check the URL")
        return [row for row in rows if isinstance(row, dict)]

    def _object(self, path: str) -> Row:
        row = self._get(path, {}, self._timeout)
        if not isinstance(row, dict):
            raise EngineUnavailable(f"{self.url} answers, but not like a Docker engine: check the URL")
        return row

    def _get(self, path: str, params: Mapping[str, str], timeout: float, gone: tuple[int, ...] = ()) -> Any:
        response = self._request(path, params, timeout)
        if response.status_code in gone:
            return None
        self._expect(response)
        try:
            return json.loads(response.content)
        except ValueError as error:
            raise EngineUnavailable(f"{self.url} answers, but not like a Docker engine: check the URL") from error

    def _request(self, path: str, params: Mapping[str, str], timeout: float, stream: bool = False) -> requests.Response:
        client = self._connected()
        url = f"{client.base_url}/v{client.api_version}{path}"
        try:
            response: requests.Response = client.get(url, params=params, timeout=(timeout, timeout), stream=stream)
        except _LIBRARY_ERRORS as error:
            self.close()
            raise self.unavailable(error) from error
        return response

    def _connected(self) -> docker.APIClient:
        with self._lock:
            if self._client is None:
                try:
                    _knock(self.url, self._timeout)
                    self._client = docker.APIClient(self.url, version="auto", timeout=cast(int, self._timeout))
                except _LIBRARY_ERRORS as error:
                    raise self.unavailable(error) from error
                # No proxy, no .netrc: looking for them at every request costs more than the request.
                self._client.trust_env = False
            return self._client

    def _expect(self, response: requests.Response) -> None:
        if response.status_code == 200:
            return
        if response.status_code == 400:
            self.close()  # It may be another version of the engine since its restart: agree on an API version again.
        path = urlsplit(str(response.url)).path
        raise EngineUnavailable(
            f"engine at {self.url} answered {response.status_code} to GET {path}: {_hint(response)}"
        )


def too_old(version: str) -> bool:
    """Whether "19.03.15-ce" and the like is before OLDEST; a text that is no version is not."""
    numbers = tuple(int(part) for part in version.split("-")[0].split(".")[:2] if part.isdecimal())
    return bool(numbers) and numbers < OLDEST


def _rows(chunks: Iterable[bytes]) -> Iterator[Row]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                row = json.loads(line)
                if isinstance(row, dict):
                    yield row


def _knock(url: str, timeout: float) -> None:
    """Raise OSError where nobody opens; docker-py would leave its socket open then."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
            knocking.settimeout(timeout)
            knocking.connect(parts.path)


def _wait_for_ever(response: requests.Response) -> None:
    """Hours may pass between two events: the time-out was for the engine's first answer only."""
    connection = response.raw.connection
    if connection is not None and connection.sock is not None:
        connection.sock.settimeout(None)


def _nanoseconds(stamp: str) -> int:
    """RFC 3339 as nanoseconds since 1970; 0 where it is none."""
    try:
        seconds = datetime.fromisoformat(_FRACTION.sub("", stamp)).timestamp()
    except ValueError:
        return 0
    fraction = _FRACTION.search(stamp)
    return int(seconds) * 10**9 + int(fraction[1][:9].ljust(9, "0") if fraction else 0)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _hint(response: requests.Response) -> str:
    if response.status_code in (401, 403):
        return "allow this path in the socket proxy"
    try:
        return str(json.loads(response.content)["message"])[:200]
    except (*_LIBRARY_ERRORS, KeyError, TypeError):
        return "is this a Docker engine? check the URL"


def _check_url(url: str) -> None:
    example = "use unix:///var/run/docker.sock or tcp://HOST:PORT"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"engine URL {url!r}: {error}; {example}") from error
    if parts.scheme == "unix":
        if parts.netloc or not parts.path.strip("/") or len(parts.path.encode()) > 107 or "\0" in url:
            raise UsageError(f"engine URL {url!r}: no absolute path of a socket (107 bytes at most); {example}")
    elif parts.scheme in ("tcp", "http", "https"):
        if not parts.hostname or port == 0 or parts.path.strip("/"):
            raise UsageError(f"engine URL {url!r}: no HOST:PORT; {example}")
    else:
        raise UsageError(f"engine URL {url!r}: unknown scheme {parts.scheme!r}; {example}")


def _explain(url: str, error: BaseException) -> str:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, PermissionError):
            return f"no permission to use the engine at {url}: add this user to the group docker, or run as root"
        if isinstance(cause, FileNotFoundError | NotADirectoryError):
            return f"no socket at {url}: is the engine running? In a container, mount the socket's directory"
        if isinstance(cause, ConnectionRefusedError):
            return f"nothing answers at {url}: is the engine running? In a container, mount the socket's directory"
        if isinstance(cause, socket.gaierror):
            return f"the host of {url} has no address: check the name"
        if isinstance(cause, requests.Timeout | TimeoutError):
            return f"the engine at {url} does not answer in time: is it hanging or overloaded?"
    if any(isinstance(cause, requests.exceptions.ChunkedEncodingError | _CUT_OFF) for cause in causes):
        return f"the engine at {url} broke off its answer: was it stopped or restarted?"
    reason = " ".join(str(causes[-1]).split())[:200]
    return f"the engine at {url} can't be used: {reason or type(causes[-1]).__name__}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it; libraries also hide causes among the arguments."""
    current: BaseException | None = error
    while current is not None:
        yield current
        yield from (arg for arg in current.args if isinstance(arg, OSError))
        current = current.__cause__ or current.__context__
