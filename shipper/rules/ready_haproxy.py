"""HAProxy's log: requests (`option httplog`, `httpslog`), connections (`option tcplog`), errors and its own messages.

Bare (`log stdout format raw`), behind a syslog header, behind `haproxy[PID]: `, and as Docker Flow Proxy writes it:
behind a date and `HAPRoxy: ` (its spelling). Fields bear the names that Filebeat's module has for them.
https://docs.haproxy.org/2.6/configuration.html#8.2
"""

import re

from shipper.rules import ready_syslog
from shipper.rules.ready_parts import CLF_TIME, MILLISECOND, put, put_client, put_number, put_request
from shipper.rules.rows import Fields

_FLOW_PROXY = re.compile(r"(?:(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) )?(?i:haproxy): ", re.A)
_TAG = re.compile(r"haproxy\[(\d{1,10})\]: ", re.A)
_OWN = re.compile(r"\[(NOTICE|WARNING|ALERT)\] {1,4}(?:(\d{3}/\d{6}) )?\((\d{1,10})\) : ", re.A)
_CONNECTION = re.compile(rf"(\S{{1,255}}):(\d{{1,5}}) \[({CLF_TIME}\.\d{{3}})\] ", re.A)
_HTTP = re.compile(
    r"(\S{1,255}+)(?: ([^\s/]{1,255}+)/(\S{1,255}+))? "
    r"(-?\d{1,12}(?: *+/[+-]?\d{1,12}){4}) (-1|\d{3}) \+?(\d{1,18}) "
    r"(\S{1,255}+) (\S{1,255}+) ([\w-]{4}) (\d{1,9}(?:/\+?\d{1,9}){4}) (\d{1,9}/\d{1,9}) "
    r'(?:\{([^}]*+)\} )?(?:\{([^}]*+)\} )?"([^"]*+)"?',
    re.A | re.S,
)
_TCP = re.compile(
    r"(\S{1,255}+) ([^\s/]{1,255}+)/(\S{1,255}+) (-?\d{1,12}/-?\d{1,12}/\+?\d{1,12}) \+?(\d{1,18}) "
    r"([\w-]{2}) (\d{1,9}(?:/\+?\d{1,9}){4}) (\d{1,9}/\d{1,9})",
    re.A,
)
_ERROR = re.compile(r"([^\s/]{1,255}+)/(\S{1,64}): ", re.A)
_SERVER = re.compile(
    r"(?:(?:Backup )?Server|Health check for (?:backup )?server) ([^\s/]{1,255}+)/(\S{1,255}+) "
    r"(?:is |was |succeeded|failed|\()",
    re.A,
)
_PROXY = re.compile(r"Proxy (\S{1,255}+) (?:started|stopped|paused|resumed)", re.A)
_BACKEND = re.compile(r"[Bb]ackend '?([^\s']{1,255}+)'? has no server available!", re.A)

_HTTP_TIMES = (
    "haproxy.http.request.time_wait_ms", "haproxy.time_queue", "haproxy.time_backend_connect",
    "haproxy.http.request.time_wait_without_data_ms",
)  # fmt: skip
_TCP_TIMES = ("haproxy.time_queue", "haproxy.time_backend_connect")
_CONNECTIONS = ("active", "frontend", "backend", "server", "retries")


def haproxy(text: str) -> Fields | None:
    """A line of HAProxy, with or without the header of who passed it on."""
    found, start = _head(text)
    connection = _CONNECTION.match(text, start)
    if connection:
        body = _http(text, connection.end()) or _tcp(text, connection.end()) or _error(text, connection.end())
        if body is None:
            return None
        put_client(body, connection[1], connection[2])
        return {**found, "time": connection[3], **body}
    if not found:
        return _own(text) or _event(text[start:], sure=bool(start))
    name = found.pop("log.syslog.appname", None)
    sure = name is not None or not any(field.startswith("log.syslog.") for field in found)
    event = _event(text[start:], sure) if name in (None, "haproxy") else None
    return {**found, **event} if event is not None else None


def _head(text: str) -> tuple[Fields, int]:
    if matched := _FLOW_PROXY.match(text):
        return {"time": matched[1]} if matched[1] else {}, matched.end()
    if matched := _TAG.match(text):
        return {"process.pid": int(matched[1])}, matched.end()
    return ready_syslog.header(text) or ({}, 0)


def _http(text: str, start: int) -> Fields | None:
    matched = _HTTP.match(text, start)
    if matched is None:
        return None
    frontend, backend, server, times, status, size, _, cookie, state, open_, queues, asked, answered, request = (
        matched.groups()
    )
    found: Fields = {}
    _put_names(found, frontend, backend, server)
    _put_times(found, times, _HTTP_TIMES)
    if status != "-1":
        found["http.response.status_code"] = int(status)
    found["http.response.bytes"] = int(size)
    put(found, "haproxy.http.response.captured_cookie", cookie)
    put(found, "haproxy.termination_state", state)
    _put_counts(found, open_, queues)
    put(found, "haproxy.http.request.captured_headers", asked)
    put(found, "haproxy.http.response.captured_headers", answered)
    put_request(found, request)
    return found


def _tcp(text: str, start: int) -> Fields | None:
    matched = _TCP.match(text, start)
    if matched is None:
        return None
    frontend, backend, server, times, size, state, open_, queues = matched.groups()
    found: Fields = {"haproxy.bytes_read": int(size)}
    _put_names(found, frontend, backend, server)
    _put_times(found, times, _TCP_TIMES)
    put(found, "haproxy.termination_state", state)
    _put_counts(found, open_, queues)
    return found


def _error(text: str, start: int) -> Fields | None:
    """A connection that never became one: `FRONTEND/BIND: what went wrong`."""
    matched = _ERROR.match(text, start)
    if matched is None:
        return None
    return {
        "haproxy.frontend_name": matched[1],
        "haproxy.bind_name": matched[2],
        "error.message": text[matched.end() :],
        "log.level": "error",
    }


def _own(text: str) -> Fields | None:
    """What HAProxy says on stderr: `[WARNING]  (8) : Server app/one is DOWN, …`."""
    matched = _OWN.match(text)
    if matched is None:
        return None
    level, _, process = matched.groups()
    return {"log.level": level.lower(), "process.pid": int(process), **(_event(text[matched.end() :]) or {})}


def _event(message: str, sure: bool = True) -> Fields | None:
    """A message of its own; where the head doesn't make us sure that it is HAProxy's, one of those that we know."""
    found: Fields = {"message": message}
    if server := _SERVER.match(message):
        found["haproxy.backend_name"], found["haproxy.server_name"] = server.groups()
    elif proxy := _PROXY.match(message):
        found["haproxy.proxy_name"] = proxy[1]
    elif backend := _BACKEND.match(message):
        found["haproxy.backend_name"] = backend[1]
    elif not sure:
        return None
    return found


def _put_names(found: Fields, frontend: str, backend: str | None, server: str | None) -> None:
    found["haproxy.frontend_name"] = frontend.removesuffix("~")  # ~: over TLS
    if frontend.endswith("~"):
        found["url.scheme"] = "https"
    put(found, "haproxy.backend_name", backend)
    if server != "<NOSRV>":
        put(found, "haproxy.server_name", server)


def _put_times(found: Fields, times: str, names: tuple[str, ...]) -> None:
    """Milliseconds; what was never reached is -1 and left out. The last one is the whole."""
    *parts, whole = (int(each) for each in times.split("/"))
    found["event.duration"] = whole * MILLISECOND
    for name, each in zip(names, parts, strict=True):
        if each >= 0:
            found[name] = each


def _put_counts(found: Fields, connections: str, queues: str) -> None:
    for name, count in zip(_CONNECTIONS, connections.split("/"), strict=True):
        put_number(found, f"haproxy.connections.{name}", count.lstrip("+"))
    server, _, backend = queues.partition("/")
    found["haproxy.server_queue"], found["haproxy.backend_queue"] = int(server), int(backend)
