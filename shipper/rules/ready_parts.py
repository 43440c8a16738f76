"""What several ready parsers share: a client's address, an HTTP request, levels, key=value pairs, JSON records.

All patterns of the ready parsers hold to one rule, so that none can backtrack: they are anchored, what repeats is
possessive (`++`, `*+`) or bounded, and numbers are bounded below what `int` refuses.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from shipper.rules.rows import Fields
from towline.fields import is_ip

Parser = Callable[[str], Fields | None]
"""The fields of a line of this form (None: it isn't of this form). Names are dotted ECS names of towline.fields or the
program's own; "message" replaces the line's text, "time" is the line's own time as it stood (klog's and
java.util.logging's are put as syslog and CLF have them, since nobody else writes them so)."""

QUOTED = r'"((?:[^"\\]++|\\.)*+)"'
"""Between quotes, with a backslash before a quote that belongs to it."""
CLF_TIME = r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d"
MILLISECOND = 1_000_000
"""In nanoseconds."""
LETTERS = {"D": "debug", "I": "info", "W": "warning", "E": "error", "F": "fatal"}
"""Levels by their first letter: glog, zap and others."""
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MOST_PAIRS = 200
MOST_KEYS = 1000
"""A record of a program has some dozens; one with more than these is none of its records."""

_PAIR = re.compile(r'([\w.@/>-]{1,64}+)=(?:"((?:[^"\\]++|\\.)*+)"|([^\s"]*+))(?:[ \t]++|(?=\n|\Z))', re.A | re.S)
_VERSION = re.compile(r"\d(?:\.\d)?", re.A)
_METHOD = re.compile(r"[A-Z][A-Z_-]{1,30}", re.A)


def put_client(found: Fields, address: str, port: str | None = None) -> None:
    """Who sent the request: `source.address`, and `source.ip` and `client.ip` where that is an IP address."""
    address = address.strip("[]")
    if address in ("", "-"):
        return
    found["source.address"] = address
    if is_ip(address):
        found["source.ip"] = found["client.ip"] = address
    if port and port.isdecimal() and len(port) <= 5:
        found["source.port"] = int(port)


def put_peer(found: Fields, peer: str) -> None:
    """The same of `HOST:PORT`, where HOST may be an IPv6 address."""
    host, _, port = peer.rpartition(":")
    if port.isdecimal() and host and (is_ip(host) or not is_ip(peer)):
        put_client(found, host, port)
    else:
        put_client(found, peer)


def put_request(found: Fields, line: str) -> None:
    """An HTTP request's first line, such as `GET /a?b HTTP/1.1`. Nothing where it is none (a TLS hello, a scan)."""
    method, _, rest = line.partition(" ")
    target, http, version = rest.rpartition(" HTTP/")
    if not http:
        target = rest
    if not target or not _METHOD.fullmatch(method) or (http and not _VERSION.fullmatch(version)):
        return
    found["http.request.method"] = method
    if http:
        found["http.version"] = version
    put_url(found, target)


def put_url(found: Fields, target: str) -> None:
    """What was asked for: a path, a whole URL (of a proxy's request), or `HOST:PORT` (of CONNECT)."""
    found["url.original"] = target
    scheme, absolute, rest = target.partition("://")
    if absolute and scheme.isalpha():
        found["url.scheme"] = scheme
        authority, slash, path = rest.partition("/")
        put_domain(found, authority.rpartition("@")[2])
        target = slash + path
    if target.startswith("/"):
        found["url.path"], question, query = target.partition("?")
        if question:
            found["url.query"] = query


def put_domain(found: Fields, host: str) -> None:
    """A host without its port: `url.domain`."""
    name, colon, port = host.rpartition(":")
    host = name if colon and port.isdecimal() else host
    if host and host != "-":
        found["url.domain"] = host


def put(found: Fields, name: str, value: str | None) -> None:
    """A value that the program knew: neither left out nor written as `-`."""
    if value is not None and value not in ("", "-"):
        found[name] = value


def put_number(found: Fields, name: str, digits: str | None) -> None:
    """The same as a number. digits: at most 18 of them, else it stays what it is."""
    if digits and digits != "-":
        found[name] = int(digits) if digits.isdecimal() and len(digits) <= 18 else digits


def pairs(text: str, start: int = 0) -> tuple[dict[str, str], int]:
    """`key=value key2="value 2"` from here on, and where the first thing stands that is none. MOST_PAIRS at most;
    a key that comes again gets a `_` at its end."""
    found: dict[str, str] = {}
    while len(found) < MOST_PAIRS and (pair := _PAIR.match(text, start)):
        key, quoted, plain = pair.groups()
        while key in found:
            key += "_"
        found[key] = plain if quoted is None else unquoted(quoted)
        start = pair.end()
    return found, start


def unquoted(text: str) -> str:
    """Without the backslashes that Go's %q or JSON wrote; as it stands where they are others."""
    if "\\" not in text:
        return text
    try:
        value = orjson.loads(f'"{text}"')
    except ValueError:
        return text
    return str(value)


def json_object(text: str, needed: Iterable[str]) -> dict[str, Any] | None:
    """A JSON object that has all of these keys; None for anything else."""
    if not text.startswith("{") or not all(f'"{key}"' in text for key in needed):
        return None
    try:
        value = orjson.loads(text)
    except ValueError:
        return None
    known = isinstance(value, dict) and len(value) <= MOST_KEYS and all(key in value for key in needed)
    return value if known else None
