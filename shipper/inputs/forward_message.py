"""Messages of the fluent forward protocol, version 1, as they come out of msgpack: no I/O here.

https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1

    [tag, time, record, option]                 Message
    [tag, [[time, record], …], option]          Forward
    [tag, msgpack of [time, record] …, option]  PackedForward; with option.compressed, CompressedPackedForward
"""

import contextlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack
import zstandard

from shipper.inputs.line import BadInput

_EVENT_TIME = struct.Struct(">II")
_SECOND = 1_000_000_000
MOST_ITEMS = 1 << 18
"""Of an array or a map: no sender of ours claims more, and memory is taken for what is claimed."""
_STEP = 256 << 10


@dataclass(frozen=True, slots=True)
class EventTime:
    """Nanoseconds since 1970."""

    at: int


@dataclass(frozen=True, slots=True)
class Entry:
    """`at`: nanoseconds since 1970, None where the time can't be read. record None: it is none; `raw` is what came."""

    at: int | None
    record: dict[Any, Any] | None
    raw: Any = None
    damaged: bool = False


@dataclass(frozen=True)
class Message:
    """`packed` or `listed` holds the entries. chunk: what the sender wants to have acknowledged, as it was sent; b"" or
    "" where it wants nothing."""

    tag: str
    chunk: str | bytes = b""
    packed: bytes | None = None
    compressed: str = ""
    listed: tuple[Any, ...] = ()

    def entries(self, most: int) -> Iterator[Entry]:
        """The entries, one by one. Raises BadInput where what is compressed can't be unpacked, or is more than `most`
        bytes then."""
        if self.packed is None:
            yield from map(_entry, self.listed)
            return
        data = unpacked(self.packed, self.compressed, most)
        stream, end = Stream(max(len(data), 1)), 0
        stream.feed(data)
        with contextlib.suppress(BadInput):
            for item in stream:
                if not isinstance(item, list):
                    break
                end = stream.end
                yield _entry(item)
        if end < len(data):
            yield Entry(None, None, data[end:], damaged=True)


class Stream:
    """Objects out of msgpack, of which the text that is no UTF-8 comes as half characters (surrogateescape), since old
    senders have one type for text and bytes."""

    def __init__(self, limit: int) -> None:
        """limit: bytes that one text may have, or what was fed and not yet taken."""
        self._unpacker = msgpack.Unpacker(
            raw=False, unicode_errors="surrogateescape", strict_map_key=False, ext_hook=_extension,
            object_hook=self._counted, list_hook=self._counted, max_buffer_size=limit,
            read_size=min(limit, 64 << 10), max_array_len=MOST_ITEMS, max_map_len=MOST_ITEMS)  # fmt: skip
        self._fed = 0
        self._containers = 0
        self.end = 0
        """Where the last whole object ended."""

    @property
    def held(self) -> int:
        """Bytes since then."""
        return self._fed - self.end

    def feed(self, data: bytes) -> None:
        """Raises BadInput where it would be too much."""
        try:
            self._unpacker.feed(data)
        except msgpack.BufferFull as error:
            raise BadInput("a message is larger than may be; raise --memory, or send smaller chunks") from error
        self._fed += len(data)

    def __iter__(self) -> Iterator[Any]:
        """The objects that are whole by now; raises BadInput where what follows is no msgpack."""
        try:
            while True:
                item = self._unpacker.unpack()
                self.end, self._containers = self._unpacker.tell(), 0
                yield item
        except msgpack.OutOfData:
            return
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise BadInput(f"not msgpack: {error or type(error).__name__}") from error

    def _counted(self, container: Any) -> Any:
        self._containers += 1
        if self._containers > MOST_ITEMS:
            raise ValueError(f"more than {MOST_ITEMS} arrays and maps in one message")
        return container


def read(item: Any) -> Message:
    """The message in what msgpack gave; raises BadInput where it is none."""
    if not isinstance(item, list) or not 2 <= len(item) <= 4:
        raise BadInput(f"no message of the forward protocol begins with {_short(item)}")
    tag, body = _text(item[0]), item[1]
    if isinstance(body, list):
        return Message(tag, _chunk(_option(item, 2)), listed=tuple(body))
    if isinstance(body, bytes | str):
        option = _option(item, 2)
        packed = as_bytes(body)
        return Message(tag, _chunk(option), packed=packed, compressed=_text(option.get("compressed", "")))
    if len(item) >= 3:
        return Message(tag, _chunk(_option(item, 3)), listed=([body, item[2]],))
    raise BadInput(f"no message of the forward protocol has {_short(body)} after its tag")


def time_of(value: Any) -> int | None:
    """Nanoseconds since 1970; None where this is no time."""
    if isinstance(value, EventTime):
        return value.at
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value * _SECOND
    if isinstance(value, float) and abs(value) < 1e11:
        return round(value * 1e6) * 1000
    if isinstance(value, msgpack.Timestamp):
        return int(value.to_unix_nano())
    if isinstance(value, list) and value:  # Fluent Bit: [time, metadata]
        return time_of(value[0]) if not isinstance(value[0], list) else None
    return None


def unpacked(data: bytes, how: str, most: int) -> bytes:
    """What is compressed as `how` says; raises BadInput where that fails or would be more than `most` bytes."""
    try:
        if how in ("", "text"):
            return data
        if how == "gzip":
            return _gunzip(data, most)
        if how == "zstd":
            return _unzstd(data, most)
    except (zlib.error, zstandard.ZstdError) as error:
        raise BadInput(f"its {how} can't be unpacked: {error}") from error
    raise BadInput(f"it is compressed as {how[:40]!r}; use gzip or zstd")


def _gunzip(data: bytes, most: int) -> bytes:
    """All members of a gzip file: Fluentd puts them one behind another."""
    parts, size = [], 0
    while data:
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            part = member.decompress(data, _STEP)
            data = member.unconsumed_tail
            size += len(part)
            if size > most:
                raise BadInput(f"it is more than {most} bytes unpacked; raise --memory, or send smaller chunks")
            if not part and not data and not member.eof:
                raise BadInput("its gzip ends too early")
            parts.append(part)
        data = member.unused_data.lstrip(b"\0")
    return b"".join(parts)


def _unzstd(data: bytes, most: int) -> bytes:
    reader = zstandard.ZstdDecompressor(max_window_size=128 << 20).stream_reader(data, read_across_frames=True)
    content = reader.read(most + 1)
    if len(content) > most:
        raise BadInput(f"it is more than {most} bytes unpacked; raise --memory, or send smaller chunks")
    return bytes(content)


def _entry(item: Any) -> Entry:
    if isinstance(item, list) and len(item) == 2 and isinstance(item[1], dict):
        return Entry(time_of(item[0]), item[1])
    return Entry(None, None, item)


def _extension(code: int, data: bytes) -> Any:
    if code == 0 and len(data) == 8:
        seconds, rest = _EVENT_TIME.unpack(data)
        return EventTime(seconds * _SECOND + rest)
    return msgpack.ExtType(code, data)


def _option(item: list[Any], place: int) -> dict[Any, Any]:
    option = item[place] if len(item) > place else None
    if option is None or isinstance(option, dict):
        return option or {}
    raise BadInput(f"its option is {_short(option)}, which is no map")


def _chunk(option: dict[Any, Any]) -> str | bytes:
    chunk = option.get("chunk") or b""
    return chunk if isinstance(chunk, bytes) else _text(chunk)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, str):
        return value
    raise BadInput(f"{_short(value)} stands where text should be")


def as_bytes(value: Any) -> bytes:
    """What was sent as bytes, or as text by a sender that has no bytes; raises BadInput for anything else."""
    if isinstance(value, bytes):
        return value
    return _text(value).encode("utf-8", "surrogateescape")


def _short(value: Any) -> str:
    return repr(value)[:40] if isinstance(value, str | bytes | int | float | None) else type(value).__name__
