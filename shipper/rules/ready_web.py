"""Access and error logs of nginx and Apache.

Access: NCSA's common and combined forms (nginx `combined` and what its images append; Apache `common`, `combined` and
`vhost_combined`). Errors: nginx's own; Apache 2.4's and 2.2's `ErrorLogFormat` by default.
"""

import re

from shipper.rules.ready_parts import (
    CLF_TIME,
    QUOTED,
    put,
    put_client,
    put_domain,
    put_number,
    put_peer,
    put_request,
)
from shipper.rules.rows import Fields

_CLF = re.compile(
    r"(?:([\w.-]{1,255}+):(\d{1,5}) )?"  # %v:%p of vhost_combined
    rf"(\S{{1,255}}+) ([^\[]{{1,512}}+)\[({CLF_TIME} [+-]\d{{4}})\] "
    rf"{QUOTED} (\d{{3}}|-) (\d{{1,18}}|-)(?: {QUOTED} {QUOTED})?(?= |\n|\Z)",
    re.A | re.S,
)
_TRAEFIK_REST = re.compile(r' \d{1,18} "[^"]*+" "[^"]*+" \d{1,18}ms', re.A)
_FORWARDED = re.compile(r' "([^"]*+)"')
_SECONDS = re.compile(r'[ ="](\d{1,9}\.\d{3})(?=[ "]|\Z)', re.A)

_NGINX_ERROR = re.compile(
    r"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[([a-z]{4,6})\] (\d{1,10})#(\d{1,10}): (?:\*(\d{1,18}) )?", re.A
)
_NGINX_START = re.compile(r"nginx: \[([a-z]{4,6})\] ", re.A)
_NGINX_DETAIL = re.compile(r', (client|server|request|subrequest|upstream|host|referrer): (?:"([^"]*+)"|([^,]*+))')
_ERRNO = re.compile(r"\((\d{1,5}): ")

_APACHE_ERROR = re.compile(
    r"\[([A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{6})? \d{4})\] "
    r"\[(?:(\w{1,64}+)?:)?([a-z]\w{2,8})\] "
    r"(?:\[pid (\d{1,10})(?::tid (\d{1,20}))?\] )?",
    re.A,
)
_APACHE_START = re.compile(r"(AH\d{5}): ", re.A)
_APACHE_DETAIL = re.compile(
    r"(?:[\w./-]{1,128}+\(\d{1,6}\): )?"  # the source file, at level debug
    r"(?:\((-?\d{1,9})\)([^\[\n]{1,256}?): )?"
    r"(?:\[(?:client|remote) (\S{1,255}?)\] )?"
    r"((AH\d{5}): )?",
    re.A,
)


def nginx(text: str) -> Fields | None:
    """A line of nginx: access (`combined`, what follows it is searched for a duration) or error."""
    return _nginx_access(text) or _nginx_error(text)


def apache(text: str) -> Fields | None:
    """A line of Apache: access (`common`, `combined`, `vhost_combined`) or error."""
    found = clf(text)
    if found is not None and _TRAEFIK_REST.match(text, found[1]):
        return None
    return found[0] if found else _apache_error(text)


def clf(text: str) -> tuple[Fields, int] | None:
    """A request in the common or combined form, and where that ends; None for anything else."""
    matched = _CLF.match(text)
    if matched is None:
        return None
    host, port, address, who, time, request, status, size, referrer, agent = matched.groups()
    found: Fields = {"time": time}
    if host:
        found["url.domain"] = host
        found["destination.port"] = int(port)
    put_client(found, address)
    put(found, "user.name", who.partition(" ")[2].strip())
    put_request(found, request)
    put_number(found, "http.response.status_code", status)
    put_number(found, "http.response.body.bytes", size)
    put(found, "http.request.referrer", referrer)
    put(found, "user_agent.original", agent)
    return found, matched.end()


def _nginx_access(text: str) -> Fields | None:
    read = clf(text)
    if read is None or _TRAEFIK_REST.match(text, read[1]):
        return None
    found, end = read
    if forwarded := _FORWARDED.match(text, end):
        put(found, "nginx.access.forwarded_for", forwarded[1])
        end = forwarded.end()
    if seconds := _SECONDS.search(text, end):  # $request_time has milliseconds, always
        found["event.duration"] = int(seconds[1].replace(".", "")) * 1_000_000
    return found


def _nginx_error(text: str) -> Fields | None:
    matched = _NGINX_ERROR.match(text)
    if matched is None:
        start = _NGINX_START.match(text)
        return {"log.level": start[1], "message": text[start.end() :]} if start else None
    time, level, process, thread, connection = matched.groups()
    message = text[matched.end() :]
    found: Fields = {"time": time, "log.level": level, "process.pid": int(process), "message": message}
    put_number(found, "process.thread.id", thread)
    put_number(found, "nginx.error.connection_id", connection)
    if errno := _ERRNO.search(message[:4096]):
        found["error.code"] = errno[1]
    _put_nginx_details(found, message)
    return found


def _put_nginx_details(found: Fields, message: str) -> None:
    position = message.find(", client: ")
    while position >= 0 and (detail := _NGINX_DETAIL.match(message, position)):
        name, value = detail[1], detail[2] if detail[2] is not None else detail[3]
        if name == "client":
            put_client(found, value)
        elif name == "request":
            put_request(found, value)
        elif name == "host":
            put_domain(found, value)
        else:
            put(found, "http.request.referrer" if name == "referrer" else f"nginx.error.{name}", value)
        position = detail.end()


def _apache_error(text: str) -> Fields | None:
    matched = _APACHE_ERROR.match(text)
    if matched is None:
        start = _APACHE_START.match(text)
        return {"event.code": start[1]} if start else None
    time, module, level, process, thread = matched.groups()
    found: Fields = {"time": time, "log.level": level}
    put(found, "apache.error.module", module)
    put_number(found, "process.pid", process)
    put_number(found, "process.thread.id", thread)
    detail = _APACHE_DETAIL.match(text, matched.end())
    if detail is None:
        found["message"] = text[matched.end() :]
        return found
    errno, said, client, _, code = detail.groups()
    put(found, "error.code", errno)
    put(found, "event.code", code)
    put_peer(found, client or "")
    begins = detail.start(4) if code else detail.end()
    found["message"] = (f"{said}: " if said else "") + text[begins:]
    return found
