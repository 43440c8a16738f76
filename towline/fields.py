"""Fields that a line may have beyond its identity: ECS names (8.17) with the type that Elasticsearch gives them.

What a rule finds under another name, or what does not fit its type here, goes to `fields`, a `flattened` field that
takes any key: nothing is lost, and no key that an application invents grows the mapping.
"""

import ipaddress
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

KEYWORD, LONG, DOUBLE, IP, DATE, TEXT = "keyword", "long", "double", "ip", "date_nanos", "text"
REST = "fields"
"""The `flattened` field of everything else."""
LONGEST = 8191
"""Characters of a value that is indexed as one word: four bytes each stay below Lucene's 32,766."""

DEEPEST, LONGEST_KEY = 15, 256
"""Levels of objects below `fields`, and characters of a key there: Elasticsearch refuses a document with more than 20
levels in a `flattened` field, or with a path and value of more than 32,766 bytes."""

FIELDS: Mapping[str, str] = {
    "log.level": KEYWORD, "log.logger": KEYWORD, "log.origin.file.name": KEYWORD, "log.origin.file.line": LONG,
    "log.origin.function": KEYWORD, "log.syslog.priority": LONG, "log.syslog.severity.name": KEYWORD,
    "log.syslog.facility.name": KEYWORD, "log.syslog.appname": KEYWORD, "log.syslog.msgid": KEYWORD,
    "process.pid": LONG, "process.name": KEYWORD, "process.thread.name": KEYWORD, "process.thread.id": LONG,
    "error.type": KEYWORD, "error.message": KEYWORD, "error.code": KEYWORD, "error.stack_trace": TEXT,
    "http.version": KEYWORD, "http.request.method": KEYWORD, "http.request.referrer": KEYWORD,
    "http.request.id": KEYWORD, "http.request.bytes": LONG, "http.response.status_code": LONG,
    "http.response.bytes": LONG, "http.response.body.bytes": LONG,
    "url.original": KEYWORD, "url.path": KEYWORD, "url.query": KEYWORD, "url.domain": KEYWORD, "url.scheme": KEYWORD,
    "user_agent.original": KEYWORD, "user.name": KEYWORD, "client.ip": IP, "source.ip": IP, "source.port": LONG,
    "source.address": KEYWORD, "destination.ip": IP, "destination.port": LONG, "destination.address": KEYWORD,
    "event.created": DATE, "event.duration": LONG, "event.code": KEYWORD, "event.outcome": KEYWORD,
    "event.module": KEYWORD, "trace.id": KEYWORD, "span.id": KEYWORD, "transaction.id": KEYWORD,
    "db.name": KEYWORD, "db.user": KEYWORD, "network.protocol": KEYWORD,
}  # fmt: skip
"""Dotted name → type. `event.duration` is in nanoseconds, sizes are in bytes."""


def fits(name: str, value: Any) -> bool:
    """Whether the store's mapping takes this value under this name."""
    kind = FIELDS.get(name)
    if kind in (KEYWORD, TEXT, DATE):
        return isinstance(value, str) and (kind == TEXT or len(value) <= LONGEST)
    if kind == LONG:
        return type(value) is int and -(1 << 63) <= value < 1 << 63
    if kind == DOUBLE:
        return type(value) in (int, float)
    return kind == IP and isinstance(value, str) and is_ip(value)


def nested(found: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as a document's objects; what the mapping has no place for below `fields`, under its dotted name.

    Raises TypeError or ValueError where a value is nothing that JSON holds.
    """
    document: dict[str, Any] = {}
    for name, value in found.items():
        if fits(name, value):
            *parents, last = name.split(".")
            place = document
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = value
        else:
            document.setdefault(REST, {})[_key(name)] = plain(value)
    return document


def plain(value: Any, levels: int = DEEPEST) -> Any:
    """The value as a `flattened` field takes it: what lies too deep as its JSON text, keys cut and without a NUL."""
    if isinstance(value, dict):
        if not levels:
            return _text(value)
        return {_key(str(key)): plain(each, levels - 1) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each, levels - 1) for each in value] if levels else _text(value)
    return value


def _key(name: str) -> str:
    return name[:LONGEST_KEY].replace("\0", "\ufffd")


def _text(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "nested too deep to be told"


def is_ip(text: str) -> bool:
    """Whether this is an address of IPv4 or IPv6, without a port or a zone."""
    return len(text) <= 45 and _parses(text)


@lru_cache(4096)
def _parses(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text
