"""A domain event as a document: what an application published to RabbitMQ, beside its lines.

    _id, event.id        property message_id; else h- and a SHA-256 of exchange, routing key, timestamp and body
    @timestamp           the body's `@timestamp` or `time` (RFC 3339 with a zone), else header timestamp_in_ms, else
                         property timestamp, else when it was first taken
    event.created        when it was first taken
    event.action         property type, else the routing key
    data_stream.dataset  `events.` and the property type, else the routing key's first word; in lower case
    service.name         property app_id, else header `service.name` or `service`, else the user that published it (the
                         broker checks that), else the exchange
    trace.id, span.id    header traceparent (W3C), else trace_id, else property correlation_id
    rabbitmq.*           exchange, routing_key, type, headers, correlation_id
    message              the body as text
    fields, ECS names    the body's members, as of any parsed line; of a body that is no object, fields.body

A body that is no JSON is kept as its text and has `log.flags: unparsed`; what is not UTF-8 in it is replaced.
"""

import hashlib
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from towline.batch import ORIGIN_MARK, Batch, Origin, Section
from towline.data_streams import LONGEST, Route, sanitised
from towline.errors import UsageError
from towline.fields import FIELDS, nested, plain
from towline.queues.amqp_events import Event, EventQueue
from towline.times import format_time, nanoseconds, parse_time

PREFIX, OTHER = "events.", "other"
MOST_TEXT = 64 << 10
"""Characters of a JSON body that are kept as the message as well; its members are kept whole."""
LONGEST_ID = 400
_ROOTS = frozenset(name.partition(".")[0] for name in FIELDS)
_ZONED = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:[Zz]|[+-]\d\d:?\d\d)")
_PLAIN = re.compile(r'[^\x00-\x1f"\\\x7f]+')
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_LATEST = 9 * 10**18
"""Nanoseconds: the year 2255, after which no store takes a line."""


def open_events(url: str, exchange: str, max_bytes: int) -> EventQueue:
    """The queue of the events that applications publish to this exchange of the broker; raises UsageError for a URL
    that is no broker's."""
    return EventQueue(url, exchange, max_bytes, lambda event: batch_of(event, time.time_ns()))


def batch_of(event: Event, now: int) -> Batch:
    """The event as a batch of one line. `now`: nanoseconds since the epoch."""
    text, found, flags = _content(event.body)
    moment = _time(event, found) or now
    stamp = format_time(moment)
    identity = identity_of(event)
    document = _document(event, identity, now, found)
    if flags:
        document.setdefault("log", {})["flags"] = flags
    head = {"@timestamp": stamp, "message": text, "stream": "event", "event": document.pop("event"), **document}
    action = orjson.dumps({"create": {"_id": identity}})
    line = b"%b\n%b%b}\n" % (action, orjson.dumps(head, default=str)[:-1], ORIGIN_MARK)
    return Batch([Section(_origin(event), line, 1, stamp, stamp)])


def identity_of(event: Event) -> str:
    """What makes the event the same however often it is delivered."""
    own = event.id
    if own and len(own.encode()) <= LONGEST_ID and _PLAIN.fullmatch(own):
        return own
    parts = [own, event.exchange, event.key, str(event.timestamp or "")]
    told = hashlib.sha256("\0".join(parts).encode() + b"\0" + event.body)
    return f"h-{told.hexdigest()[:40]}"


def dataset_of(event: Event) -> str:
    for text in (event.type, event.key.partition(".")[0]):
        if name := sanitised(text, LONGEST - len(PREFIX)):
            return PREFIX + name
    return PREFIX + OTHER


def _origin(event: Event) -> Origin:
    return Origin({"data_stream": Route(dataset_of(event)).fields, "service": {"name": _service(event)}})


def _service(event: Event) -> str:
    headers = (event.headers.get("service.name"), event.headers.get("service"))
    told = (event.app, *(one for one in headers if isinstance(one, str)), event.user, event.exchange)
    return next((one for one in told if one), "unknown")[:256]


def _content(body: bytes) -> tuple[str, Any, list[str]]:
    """The body as text, its JSON value (None where it is none), and flags."""
    text = body.decode("utf-8", "replace")
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return text, None, ["unparsed"]
    if len(text) > MOST_TEXT:
        return text[:MOST_TEXT], found, ["cut"]
    return text, found, []


def _document(event: Event, identity: str, now: int, found: Any) -> dict[str, Any]:
    """All but time, message, stream and origin."""
    document = nested(_members(found) | _trace(event))
    own = {"id": identity, "created": format_time(now), "kind": "event", "action": event.type or event.key}
    document["event"] = {**document.get("event", {}), **own}
    told = {"exchange": event.exchange, "routing_key": event.key, "type": event.type,
            "correlation_id": event.correlation, "headers": plain(_headers(event.headers))}  # fmt: skip
    document["rabbitmq"] = {name: value for name, value in told.items() if value}
    return document


def _members(found: Any) -> dict[str, Any]:
    """Dotted names of what ECS may know, and the rest as it is."""
    if not isinstance(found, dict):
        return {} if found is None else {"body": found}
    members: dict[str, Any] = {}
    for name, value in found.items():
        members.update(_dotted(name, value) if name in _ROOTS and isinstance(value, dict) else {name: value})
    return members


def _dotted(name: str, value: Any, levels: int = 6) -> dict[str, Any]:
    if not isinstance(value, dict) or not levels:
        return {name: value}
    found: dict[str, Any] = {}
    for key, each in value.items():
        found.update(_dotted(f"{name}.{key}", each, levels - 1))
    return found


def _trace(event: Event) -> dict[str, str]:
    parent = _TRACE.fullmatch(str(event.headers.get("traceparent", "")))
    if parent:
        return {"trace.id": parent[1], "span.id": parent[2]}
    told = str(event.headers.get("trace_id") or event.correlation)
    return {"trace.id": told} if told else {}


def _headers(value: Any) -> Any:
    """Headers as JSON holds them: AMQP has times, decimals and bytes as well."""
    if isinstance(value, Mapping):
        return {str(name): _headers(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_headers(each) for each in value]
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC).isoformat()
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    whole = isinstance(value, int) and -(1 << 63) <= value < 1 << 64
    return value if whole or value is None or isinstance(value, bool | float) else str(value)


def _time(event: Event, found: Any) -> int:
    """Nanoseconds since the epoch, 0 where nobody tells."""
    for name in ("@timestamp", "time"):
        told = found.get(name) if isinstance(found, dict) else None
        if isinstance(told, str) and _ZONED.fullmatch(told) and (moment := _moment(told)):
            return moment
    milliseconds, seconds = event.headers.get("timestamp_in_ms"), event.timestamp
    for value, factor in ((milliseconds, 10**6), (seconds, 10**9)):
        if isinstance(value, int) and 0 < value * factor < _LATEST:
            return value * factor
    return 0


def _moment(text: str) -> int:
    try:
        moment = nanoseconds(parse_time(text, 0.0))
    except (UsageError, ValueError):
        return 0
    return moment if 0 < moment < _LATEST else 0
