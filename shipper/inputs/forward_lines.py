"""Entries of forward messages as lines: Docker's fluentd driver joined and given to its container, others by tag."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shipper.entries import STDERR, STDOUT
from shipper.inputs import forward_towline, records
from shipper.inputs.forward_message import Entry
from shipper.inputs.line import Line, Sender, identity, valid_time
from shipper.inputs.senders import text_of
from shipper.rules.rows import Fields
from towline.identity import is_id, name_of, service_of

_DOCKER = frozenset(
    {
        "log",
        "container_id",
        "container_name",
        "source",
        "partial_message",
        "partial_id",
        "partial_ordinal",
        "partial_last",
    }
)
"""What the driver adds (moby, daemon/logger/fluentd/fluentd.go)."""
_MOST_PARTIAL = 1_000
"""Lines that wait for their end on one connection."""


@dataclass
class _Waiting:
    """A line of which parts have come. Its text is that of `line`, once all have."""

    line: Line
    texts: list[str]
    size: int


class ForwardLines:
    """One connection's. host: what its sender calls itself, "" where it doesn't. max_line: bytes at which a line that
    comes in parts is cut."""

    def __init__(self, max_line: int, host: str = "") -> None:
        self.host = host
        self._max_line = max_line
        self._waiting: dict[tuple[str, str, str], _Waiting] = {}

    def line(self, tag: str, entry: Entry, place: tuple[bytes, int], now: int) -> Iterator[Line]:
        """What this entry completes. `place`: its chunk (b"": nobody asks for an ack) and its number in it; parts that
        are acknowledged one by one stay lines of their own, since each has to be safe before the next one comes."""
        chunk, number = place
        if entry.record is None:
            yield self._unread(tag, entry, place, now)
            return
        if "event" in entry.record and (made := forward_towline.line(entry.record, entry.at, now)):
            yield made
            return
        line = self._line(tag, entry, now)
        if chunk:
            line.identity = identity(chunk, b"%d" % number, line.text.encode("utf-8", "replace"))
            line.flags = (*line.flags, "split") if _is_part(entry.record) else line.flags
            yield line
        elif _is_part(entry.record):
            yield from self._part(line, entry.record)
        else:
            yield line

    def rest(self) -> Iterator[Line]:
        """Lines whose end will not come any more."""
        for key in list(self._waiting):
            yield self._whole(key, "split")

    def _line(self, tag: str, entry: Entry, now: int) -> Line:
        assert entry.record is not None
        record = entry.record
        name = name_of(records.plain(text_of(record, "container_name")))
        docker = bool(name) and is_id(record.get("container_id"))
        text, fields, whole = _of_docker(record) if docker else records.read(record)
        sender = self._container(record, name) if docker else Sender("forward", tag, self.host)
        if docker and tag and tag != sender.service and not record["container_id"].startswith(tag):
            fields = {**(fields or {}), "tag": records.plain(tag)}
        stream = STDERR if record.get("source") == "stderr" and docker else STDOUT
        return Line(sender, text, valid_time(entry.at, now), fields, stream, () if whole else ("unparsed",))

    def _container(self, record: dict[Any, Any], name: str) -> Sender:
        labels = {key: value for key, value in record.items() if isinstance(key, str) and isinstance(value, str)}
        return Sender("forward", service_of(name, labels), self.host, record["container_id"], name)

    def _unread(self, tag: str, entry: Entry, place: tuple[bytes, int], now: int) -> Line:
        raw = entry.raw
        text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else records.whole(raw)
        flag = "damaged" if entry.damaged else "unparsed"
        own = identity(place[0], b"%d" % place[1], text.encode("utf-8", "replace")) if place[0] else b""
        return Line(Sender("forward", tag, self.host), text, now, flags=(flag,), identity=own)

    def _part(self, line: Line, record: dict[Any, Any]) -> Iterator[Line]:
        key = line.sender.container_id, text_of(record, "source"), text_of(record, "partial_id")
        size = len(line.text.encode("utf-8", "replace"))
        waiting = self._waiting.get(key)
        if waiting and waiting.size + size > self._max_line:
            yield self._whole(key, "split")
            waiting = None
        if waiting is None:
            waiting = self._waiting[key] = _Waiting(line, [], 0)
        waiting.texts.append(line.text)
        waiting.size += size
        if record.get("partial_last") in ("true", True):
            yield self._whole(key)
        elif len(self._waiting) > _MOST_PARTIAL:
            yield self._whole(next(iter(self._waiting)), "split")

    def _whole(self, key: tuple[str, str, str], *flags: str) -> Line:
        waiting = self._waiting.pop(key)
        line = waiting.line
        line.text = "".join(waiting.texts)
        line.flags = (*line.flags, *flags)
        return line


def _of_docker(record: dict[Any, Any]) -> tuple[str, Fields | None, bool]:
    """The container's line as it is, and what `--log-opt labels` and its like have added."""
    try:
        found = records.fields({key: value for key, value in record.items() if key not in _DOCKER})
    except records.TooMuch:
        return records.whole(record), None, False
    return records.plain(record.get("log", "")), found or None, True


def _is_part(record: dict[Any, Any]) -> bool:
    return record.get("partial_message") in ("true", True)
