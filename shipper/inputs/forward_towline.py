"""Lines that another Towline sends (`--queue forward://…`): whole documents, which say themselves whose they are.

Their `event.id` is what they were called there, so a line has the same identity however often, and in whatever chunk,
it is sent.
"""

from typing import Any

from shipper.entries import STDERR, STDOUT
from shipper.inputs import records
from shipper.inputs.line import Line, Sender, identity, valid_time
from shipper.inputs.senders import text_of
from towline.identity import is_id

_OWN = frozenset({"@timestamp", "message", "stream", "container", "host", "service", "data_stream", "event"})
_EVENT = frozenset({"id", "sequence"})


def line(record: dict[Any, Any], at: int | None, now: int) -> Line | None:
    """The line in this record; None where it is none of Towline's."""
    event, container = _part(record, "event"), _part(record, "container")
    name, own = text_of(event, "id"), text_of(container, "id")
    if not (name and is_id(own) and isinstance(record.get("message"), str)):
        return None
    sender = Sender(
        "forward", text_of(_part(record, "service"), "name"), text_of(_part(record, "host"), "name"), own,
        text_of(container, "name"), told=True)  # fmt: skip
    rest = {key: value for key, value in record.items() if key not in _OWN}
    rest |= {"event": {key: value for key, value in event.items() if key not in _EVENT} or None}
    rest |= {"container": {key: value for key, value in container.items() if key not in ("id", "name")} or None}
    try:
        found = records.fields(rest)
    except records.TooMuch:
        return None
    flags = found.pop("log.flags", None)
    known = tuple(map(str, flags)) if isinstance(flags, list) else ()
    stream = STDERR if record.get("stream") == "stderr" else STDOUT
    found = {key: value for key, value in found.items() if value is not None}
    return Line(sender, records.plain(record["message"]), valid_time(at, now), found or None, stream, known,
                identity(name.encode("utf-8", "replace")))  # fmt: skip


def _part(record: dict[Any, Any], name: str) -> dict[Any, Any]:
    part = record.get(name)
    return part if isinstance(part, dict) else {}
