"""GELF datagrams: chunks put together, what is compressed unpacked; bounded in time and bytes. No I/O here.

https://go2docs.graylog.org/current/getting_in_log_data/gelf.html: 0x1e 0x0f, 8 bytes message id, number, count, data.
"""

import zlib
from dataclasses import dataclass, field

from shipper.inputs.line import BadInput

MAGIC = b"\x1e\x0f"
MOST_CHUNKS = 128
TIMEOUT = 5.0
"""Seconds within which all chunks of a message have to be here."""
MOST_BYTES = 8 << 20
"""Of unfinished messages together, and of one that is unpacked."""
_HEAD = 12
_OVERHEAD = 200
"""Bytes that a chunk costs beside its data, so that empty ones can't be kept without end."""


@dataclass
class _Unfinished:
    count: int
    since: float
    parts: dict[int, bytes] = field(default_factory=dict)
    size: int = 0


class Chunks:
    """Not thread-safe. Times are seconds of a clock that never jumps."""

    def __init__(self) -> None:
        self._messages: dict[tuple[str, bytes], _Unfinished] = {}
        self._size = 0

    def add(self, data: bytes, host: str, now: float) -> bytes | None:
        """The message that this datagram completes, None where it completes none; raises BadInput where it is no
        chunk of any."""
        if not data.startswith(MAGIC):
            return data
        if len(data) < _HEAD or not 0 < data[11] <= MOST_CHUNKS or data[10] >= data[11]:
            raise BadInput(f"malformed chunk of {len(data)} bytes")
        key, number, count = (host, data[2:10]), data[10], data[11]
        message = self._messages.setdefault(key, _Unfinished(count, now))
        if message.count != count:
            raise BadInput("chunks of one message disagree on how many there are")
        if number not in message.parts:
            message.parts[number] = data[_HEAD:]
            message.size += len(data) + _OVERHEAD
            self._size += len(data) + _OVERHEAD
        if len(message.parts) < count:
            return None
        self._forget(key)
        return b"".join(message.parts[index] for index in range(count))

    def expired(self, now: float) -> int:
        """Forget messages that are late, or too many; how many."""
        gone = 0
        while self._messages:
            key, oldest = next(iter(self._messages.items()))
            if now - oldest.since < TIMEOUT and self._size <= MOST_BYTES:
                break
            self._forget(key)
            gone += 1
        return gone

    def _forget(self, key: tuple[str, bytes]) -> None:
        self._size -= self._messages.pop(key).size


def unpacked(data: bytes, most: int = MOST_BYTES) -> bytes:
    """What was compressed by zlib or gzip, or wasn't; raises BadInput where that fails, or is more than `most`."""
    if not (data[:1] == b"\x78" or data[:2] == b"\x1f\x8b"):
        return data
    reader = zlib.decompressobj(wbits=47)  # tells the two apart by itself
    try:
        content = reader.decompress(data, most)
    except zlib.error as error:
        raise BadInput(f"can't be unpacked: {error}") from error
    if reader.unconsumed_tail:
        raise BadInput(f"more than {most} bytes unpacked")
    if not reader.eof:
        raise BadInput("compressed data ends too early")
    return content
