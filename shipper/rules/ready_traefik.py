"""Traefik's access log (CLF and JSON, of versions 1 to 3) and its own log (logrus of 1 and 2, zerolog of 3, JSON).

https://doc.traefik.io/traefik/observability/access-logs/
"""

import re
from typing import Any

from shipper.rules.ready_parts import (
    MILLISECOND,
    json_object,
    pairs,
    put,
    put_client,
    put_domain,
    put_number,
    put_url,
)
from shipper.rules.ready_web import clf
from shipper.rules.rows import Fields

_REST = re.compile(r' (\d{1,18}) "([^"]*+)" "([^"]*+)" (\d{1,12})ms\Z', re.A)
_LOGRUS = re.compile(r'time="\d{4}-\d\d-\d\dT[^"]{1,40}" level=\w{1,8} msg=', re.A)
_ZEROLOG = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)) "
    r"(TRC|DBG|INF|WRN|ERR|FTL|PNC) (?:([\w./@-]{1,255}+):(\d{1,9}) > )?",
    re.A,
)
_LEVELS = {"TRC": "trace", "DBG": "debug", "INF": "info", "WRN": "warn", "ERR": "error", "FTL": "fatal", "PNC": "panic"}
_FIRST_PAIR = re.compile(r"(?<= )(?=[\w.@/>-]{1,64}+=)", re.A)

_AS_THEY_ARE = {
    "RequestMethod": "http.request.method",
    "RequestScheme": "url.scheme",
    "ClientUsername": "user.name",
    "request_User-Agent": "user_agent.original",
    "request_Referer": "http.request.referrer",
    "DownstreamStatus": "http.response.status_code",
    "DownstreamContentSize": "http.response.body.bytes",
    "RequestContentSize": "http.request.bytes",
    "Duration": "event.duration",
    "StartUTC": "time",
    "level": "log.level",
    "RouterName": "traefik.access.router_name",
    "FrontendName": "traefik.access.router_name",
    "ServiceURL": "traefik.access.backend_url",
    "RequestCount": "traefik.access.request_count",
    "TraceId": "trace.id",
    "SpanId": "span.id",
}
_READ_OTHERWISE = {"RequestPath", "RequestHost", "RequestProtocol", "ClientHost", "ClientPort", "ClientAddr"}
_SAID_ALREADY = {"StartLocal", "time", "msg", "RequestAddr", "RequestPort"}


def traefik(text: str) -> Fields | None:
    """A line of Traefik: a request, or a message of its own."""
    if text.startswith("{"):
        return _json_access(text) or _json_message(text)
    return _clf_access(text) or _zerolog(text) or _logrus(text)


def _clf_access(text: str) -> Fields | None:
    read = clf(text)
    rest = _REST.match(text, read[1]) if read else None
    if read is None or rest is None:
        return None
    found = read[0]
    count, router, backend, milliseconds = rest.groups()
    put_number(found, "traefik.access.request_count", count)
    put(found, "traefik.access.router_name", router)
    put(found, "traefik.access.backend_url", backend)
    found["event.duration"] = int(milliseconds) * MILLISECOND
    return found


def _json_access(text: str) -> Fields | None:
    record = json_object(text, ("ClientHost", "RequestMethod"))
    if record is None:
        return None
    found: Fields = {}
    for name, value in record.items():
        if value in ("", "-", None) or name in _SAID_ALREADY or name in _READ_OTHERWISE:
            continue
        found[_AS_THEY_ARE.get(name, f"traefik.access.{name}")] = value
    _put_addresses(found, record)
    return found


def _put_addresses(found: Fields, record: dict[str, Any]) -> None:
    path, host, protocol, client = (
        str(record.get(name, "")) for name in ("RequestPath", "RequestHost", "RequestProtocol", "ClientHost")
    )
    put_client(found, client, str(record.get("ClientPort", "")))
    put_domain(found, host)
    if path:
        put_url(found, path)
    if protocol.startswith("HTTP/"):
        found["http.version"] = protocol[5:]


def _json_message(text: str) -> Fields | None:
    record = json_object(text, ("level", "time"))
    message = record and (record.pop("message", None) or record.pop("msg", None))
    if not record or not isinstance(message, str) or "pid" in record:  # RabbitMQ's has one
        return None
    return _message(str(record.pop("time")), str(record.pop("level")).lower(), message, record)


def _logrus(text: str) -> Fields | None:
    if not _LOGRUS.match(text):
        return None
    said, _ = pairs(text)
    if "msg" not in said:
        return None
    return _message(said.pop("time"), said.pop("level"), said.pop("msg"), said)


def _zerolog(text: str) -> Fields | None:
    matched = _ZEROLOG.match(text)
    if matched is None:
        return None
    time, level, file, line = matched.groups()
    first = _FIRST_PAIR.search(text, matched.end())
    found = _message(time, _LEVELS[level], text[matched.end() :], pairs(text, first.end())[0] if first else {})
    put(found, "log.origin.file.name", file)
    put_number(found, "log.origin.file.line", line)
    return found


def _message(time: str, level: str, message: str, said: dict[str, Any]) -> Fields:
    found: Fields = {"time": time, "log.level": level, "message": message}
    for name, value in said.items():
        found["error.message" if name == "error" else f"traefik.{name}"] = value
    return found
