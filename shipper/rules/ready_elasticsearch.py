"""Elasticsearch's log: text (`[time][LEVEL][logger] [node] …`, of slow logs too) and JSON (ECS of 8, that of 7)."""

import re
from typing import Any

from shipper.rules.ready_java import put_trace
from shipper.rules.ready_parts import MILLISECOND, json_object, put
from shipper.rules.rows import Fields

_TEXT = re.compile(
    r"\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{3})\]\[(TRACE|DEBUG|INFO|WARN|ERROR|FATAL|CRITICAL|DEPRECATION) {0,8}\]"
    r"\[([\w.$-]{1,255}+) *+\] ?\[([^\]\n]{1,255}+)\] ?",
    re.A,
)
_TOOK = re.compile(r"took_millis\[(\d{1,15})\]", re.A)
_OLD_NAMES = {"component": "log.logger", "node.name": "elasticsearch.node.name", "node.id": "elasticsearch.node.id",
              "cluster.name": "elasticsearch.cluster.name", "cluster.uuid": "elasticsearch.cluster.uuid",
              "level": "log.level", "timestamp": "time", "stacktrace": "error.stack_trace", "@timestamp": "time",
              "type": "event.dataset"}  # fmt: skip
_SAID_ALREADY = frozenset(("ecs.version",))


def elasticsearch(text: str) -> Fields | None:
    """A line of Elasticsearch, with the stack trace that is joined to it."""
    return _json(text) if text.startswith("{") else _text(text)


def _text(text: str) -> Fields | None:
    matched = _TEXT.match(text)
    if matched is None:
        return None
    time, level, logger, node = matched.groups()
    message = text[matched.end() :]
    found: Fields = {"time": time, "log.level": level.lower(), "log.logger": logger, "elasticsearch.node.name": node}
    found["message"] = message
    if took := _TOOK.search(message[:4096]):
        found["event.duration"] = int(took[1]) * MILLISECOND
    put_trace(found, message)
    return found


def _json(text: str) -> Fields | None:
    record = json_object(text, ())
    if record is None or not _is_ours(record):
        return None
    old = "component" in record
    found: Fields = {}
    for name, value in record.items():
        if name not in _SAID_ALREADY:
            found[_OLD_NAMES.get(name, name) if old or name.startswith("@") else name] = value
    if isinstance(level := found.get("log.level"), str):
        found["log.level"] = level.strip().lower()
    _put_took(found, record)
    if isinstance(trace := found.get("error.stack_trace"), list):
        lines = map(str, trace)
        found["error.stack_trace"] = "\n".join(f"\t{line}" if line.startswith("at ") else line for line in lines)
    if "error.type" not in found:
        put_trace(found, str(found.get("error.stack_trace", "")))
    if "message" in record:  # a slow log of 8 has none
        found["message"] = str(record["message"])
    return found


def _is_ours(record: dict[str, Any]) -> bool:
    return "cluster.name" in record or "elasticsearch.cluster.name" in record or "elasticsearch.node.name" in record


def _put_took(found: Fields, record: dict[str, Any]) -> None:
    took = record.get("elasticsearch.slowlog.took_millis", record.get("took_millis"))
    digits = str(took) if took is not None else ""
    if digits.isdecimal() and len(digits) <= 15:
        put(found, "elasticsearch.slowlog.took_millis", digits)
        found["event.duration"] = int(digits) * MILLISECOND
