"""PostgreSQL's log on stderr, whatever `log_line_prefix` says, as long as a time stands first in it or it is empty.

Read in the prefix: the process, `USER@DATABASE`, `key=value` (user, db, app, client as pgBadger and others write them),
and Amazon's `HOST(PORT):USER@DATABASE:[PROCESS]`.
https://www.postgresql.org/docs/current/runtime-config-logging.html
"""

import re

from shipper.rules.ready_parts import put, put_client, put_number
from shipper.rules.rows import Fields

_TIME = re.compile(r"<?(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{3})?(?: (?:[A-Z]{2,5}|[+-]\d\d(?::?\d\d)?))?)", re.A)
_SEVERITY = re.compile(
    r"(LOG|ERROR|FATAL|PANIC|WARNING|NOTICE|INFO|DEBUG[1-5]?"
    r"|DETAIL|HINT|STATEMENT|CONTEXT|QUERY|LOCATION|BACKTRACE):  (?! )"
)
_MOST_PREFIX = 400
"""Characters of a prefix: names of 63 each, an address, an application."""
_LEVELS = {"LOG": "info", "PANIC": "panic"}
"""LOG is what a server says in its usual course: `info` in syslog, by PostgreSQL's table of severities."""
_BESIDE = frozenset(("DETAIL", "HINT", "STATEMENT", "CONTEXT", "QUERY", "LOCATION", "BACKTRACE"))
"""Lines that belong to the message before them."""

_PROCESS = re.compile(r"\[(\d{1,10})(?:-\d{1,10})?\]", re.A)
_PAIR = re.compile(r"\b(user|usr|db|database|app|client|host|pid|session|line|xid)=(\[\w{5,7}\]|[^,\s>\]]*+)", re.A)
_WHO = re.compile(r"([\w.\[\]-]{1,64}+)@([\w.\[\]-]{1,64}+)", re.A)
_PEER = re.compile(r"([\da-fA-F.:]{2,45}|\[local\])(?:\((\d{1,5})\))?:", re.A)
_NAMES = {
    "user": "user",
    "usr": "user",
    "db": "db",
    "database": "db",
    "app": "app",
    "client": "client",
    "host": "client",
}
_SQLSTATE = re.compile(r"([0-9A-Z]{5}): ", re.A)
_DURATION = re.compile(r"duration: (\d{1,12})\.(\d{3}) ms(?:  (?:statement|execute [^:\n]{1,128}): )?", re.A)
_CONNECTION = re.compile(r"connection received: host=(\S{1,255}+)(?: port=(\d{1,5}))?", re.A)
_UNKNOWN = ("", "[unknown]", "[local]", "-")


def postgresql(text: str) -> Fields | None:
    """A line of PostgreSQL; lines that were joined to it belong to its message."""
    time = _TIME.match(text)
    severity = _SEVERITY.search(text, time.end() if time else 0, _MOST_PREFIX) if time else _SEVERITY.match(text)
    if severity is None:
        return None
    found: Fields = {}
    if time:
        found["time"] = time[1]
        _put_prefix(found, text[time.end() : severity.start()])
    _put_severity(found, severity[1])
    _put_message(found, text[severity.end() :])
    return found


def _put_severity(found: Fields, word: str) -> None:
    if word in _BESIDE:
        found["postgresql.log.part"] = word.lower()
    else:
        found["log.level"] = _LEVELS.get(word, word.lower().rstrip("12345"))


def _put_prefix(found: Fields, prefix: str) -> None:
    if process := _PROCESS.search(prefix):
        put_number(found, "process.pid", process[1])
    said = {_NAMES.get(name, name): value for name, value in _PAIR.findall(prefix)}
    if "user" not in said and (who := _WHO.search(prefix)):
        said["user"], said["db"] = who.groups()
        peer = _PEER.match(prefix.lstrip(": "))
        if peer:
            said["client"], said["port"] = peer[1], peer[2] or ""
    known = {name: value for name, value in said.items() if value not in _UNKNOWN}
    put(found, "user.name", known.get("user"))
    put(found, "db.user", known.get("user"))
    put(found, "db.name", known.get("db"))
    put(found, "postgresql.log.application_name", known.get("app"))
    put(found, "postgresql.log.session_id", known.get("session"))
    if "pid" in known:
        put_number(found, "process.pid", known["pid"])
    host, _, port = known.get("client", "").partition("(")
    put_client(found, host, known.get("port") or port.rstrip(")"))


def _put_message(found: Fields, message: str) -> None:
    found["message"] = message
    if state := _SQLSTATE.match(message):  # log_error_verbosity = verbose
        found["error.code"] = state[1]
        found["message"] = message[state.end() :]
    elif duration := _DURATION.match(message):
        found["event.duration"] = int(duration[1] + duration[2]) * 1000
    elif (connection := _CONNECTION.match(message)) and connection[1] not in _UNKNOWN:
        put_client(found, connection[1], connection[2])
