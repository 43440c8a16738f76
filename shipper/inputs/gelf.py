"""GELF, the Graylog extended log format, over UDP (chunked, compressed) and TCP (each message ends in NUL)."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from shipper.entries import STDERR, STDOUT
from shipper.inputs import records
from shipper.inputs.complaints import Complaints
from shipper.inputs.delimited import Delimited
from shipper.inputs.framed import take_lines
from shipper.inputs.gelf_chunks import Chunks, unpacked
from shipper.inputs.intake import Intake
from shipper.inputs.line import BadInput, Line, Sender, valid_time
from shipper.inputs.senders import text_of
from shipper.inputs.streams import Budget, Connection, peer_of
from towline.identity import is_id, name_of, service_of

MOST = 2 << 20
"""Bytes of a message over TCP before it is cut."""
_SERVICE = ("_service.name", "_service_name", "_service", "_app", "_application", "_application_name", "facility")
_IDENTITY = frozenset({"version", "host", "short_message", "full_message", "timestamp"})
_DOCKER = frozenset({"_container_id", "_container_name"})
_DESCRIBED = frozenset({"_image_id", "_image_name", "_command", "_created", "_tag"})
"""What the origin of a container of this node tells better (moby, daemon/logger/gelf/gelf.go)."""
_ERROR = 3
"""The level that Docker's driver gives to lines of stderr."""


Known = Callable[[str], bool]
"""Whether a container of this id is one of this node, as far as is known."""


class Gelf:
    """Belongs to the loop; serves connections and datagrams."""

    name = "gelf"

    def __init__(self, intake: Intake, known: Known, complaints: Complaints, budget: Budget) -> None:
        self._budget = budget
        self._intake = intake
        self._known = known
        self._complaints = complaints
        self._chunks = Chunks()

    def datagram(self, data: bytes, address: object) -> None:
        peer, source_ip = peer_of(address)
        host, now = peer.rpartition(":")[0], time.monotonic()
        try:
            message = self._chunks.add(data, host, now)
            if message is not None:
                self._intake.add([self.line(unpacked(message), source_ip)])
        except BadInput as error:
            self._intake.drop(self.name, "malformed")
            self._complaints.say("malformed", peer, str(error))
        if late := self._chunks.expired(now):
            self._intake.drop(self.name, "incomplete", late)
            self._complaints.say("incomplete", peer, "chunks of a message did not all come in time")

    async def serve(self, connection: Connection) -> None:
        await take_lines(connection, Delimited(b"\0", MOST), self._intake, self._budget, self.line)

    def line(self, data: bytes, source_ip: str, cut: bool = False) -> Line:
        """The line in one message; one that is no GELF is kept as it came, flagged "unparsed"."""
        now = self._intake.now()
        try:
            message = orjson.loads(data)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            flags = ("unparsed", "split") if cut else ("unparsed",)
            found = {"source.ip": source_ip} if source_ip else None
            return Line(Sender("gelf", "gelf"), data.decode("utf-8", "backslashreplace"), now, found, flags=flags)
        return self._line(message, source_ip, now)

    def _line(self, message: dict[str, Any], source_ip: str, now: int) -> Line:
        sender = _sender(message)
        left_out = _IDENTITY | _DOCKER if sender.container_id else _IDENTITY
        if sender.container_id and self._known(sender.container_id):
            left_out |= _DESCRIBED
        rest = {key.removeprefix("_"): value for key, value in message.items() if key not in left_out}
        try:
            fields = records.fields(rest)
        except records.TooMuch:
            return Line(sender, records.whole(message), _time(message, now), flags=("unparsed",))
        if source_ip and not sender.container_id:
            fields["source.ip"] = source_ip
        stream = STDERR if sender.container_id and message.get("level") == _ERROR else STDOUT
        return Line(sender, _text(message), _time(message, now), fields or None, stream)


def _sender(message: Mapping[str, Any]) -> Sender:
    host, container = text_of(message, "host"), message.get("_container_id")
    if not is_id(container):
        return Sender("gelf", text_of(message, *_SERVICE) or "gelf", host)
    labels = {key.removeprefix("_"): value for key, value in message.items() if isinstance(value, str)}
    name = name_of(text_of(message, "_container_name"))
    return Sender("gelf", service_of(name, labels), host, str(container), name)


def _text(message: Mapping[str, Any]) -> str:
    """The full message begins with the short one, usually; where it doesn't, both are told."""
    short, full = text_of(message, "short_message"), text_of(message, "full_message")
    if not short and not full:
        return records.whole(message)
    return records.plain(full if full.startswith(short) else f"{short}\n{full}" if full else short)


def _time(message: Mapping[str, Any], now: int) -> int:
    """Seconds since 1970 with a fraction, as a number; some send it as text."""
    given = message.get("timestamp")
    try:
        return valid_time(round(float(given) * 1e6) * 1000, now) if isinstance(given, int | float | str) else now
    except (ValueError, OverflowError):
        return now
