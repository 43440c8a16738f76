"""A byte stream cut into frames. A frame that is longer than may be comes in pieces, all but its last marked as cut."""

import re
from collections.abc import Iterator

_COUNT = re.compile(rb"([1-9]\d{0,8}) ")
_MOST_DIGITS = 10


class Delimited:
    """Frames that end in `delimiter`, one byte."""

    def __init__(self, delimiter: bytes, most: int) -> None:
        self._delimiter = delimiter
        self._most = most
        self._buffer = bytearray()
        self._looked = 0

    @property
    def held(self) -> int:
        """Bytes that wait for the end of their frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """The frames that this completes, and whether each is only a piece of one."""
        self._buffer += data
        start = 0
        while (end := self._buffer.find(self._delimiter, max(start, self._looked))) >= 0:
            yield from self._cut(bytes(self._buffer[start:end]))
            start = self._looked = end + 1
        del self._buffer[:start]
        self._looked = len(self._buffer)
        while len(self._buffer) > self._most:
            yield bytes(self._buffer[: self._most]), True
            del self._buffer[: self._most]
            self._looked = len(self._buffer)

    def rest(self) -> bytes:
        """What has come of a frame whose end has not."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._looked = 0
        return rest

    def _cut(self, frame: bytes) -> Iterator[tuple[bytes, bool]]:
        while len(frame) > self._most:
            yield frame[: self._most], True
            frame = frame[self._most :]
        yield frame, False


class Syslog:
    """Frames of syslog over TCP (RFC 6587): `123 <34>1 …` with the count of its bytes, else up to a newline. Which of
    the two is told by each frame's first byte."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._buffer = b""
        self._within = False
        """A line was cut, and its rest is still to come."""
        self._missing = 0
        """Bytes of a counted frame that are still to come, where it is longer than may be."""

    @property
    def held(self) -> int:
        """Bytes that wait for the end of their frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """The frames that this completes, and whether each is only a piece of one."""
        self._buffer += data
        while self._buffer:
            counted = self._missing or (self._buffer[:1].isdigit() and not self._within)
            found = self._counted() if counted else self._line()
            if found is None:
                return
            yield found

    def rest(self) -> bytes:
        rest, self._buffer = self._buffer, b""
        return rest

    def _counted(self) -> tuple[bytes, bool] | None:
        if not self._missing:
            count = _COUNT.match(self._buffer)
            if count is None:
                return None if self._buffer.isdigit() and len(self._buffer) < _MOST_DIGITS else self._line()
            size, start = int(count[1]), count.end()
            if size <= self._most and len(self._buffer) < start + size:
                return None
            self._buffer, self._missing = self._buffer[start:], size
        piece = min(self._missing, self._most)
        if len(self._buffer) < piece:
            return None
        frame, self._buffer = self._buffer[:piece], self._buffer[piece:]
        self._missing -= piece
        return frame.removesuffix(b"\n"), self._missing > 0

    def _line(self) -> tuple[bytes, bool] | None:
        end = self._buffer.find(b"\n")
        if end < 0 and len(self._buffer) <= self._most:
            return None
        self._within = cut = end < 0 or end > self._most
        size = self._most if cut else end
        frame, self._buffer = self._buffer[:size], self._buffer[size if cut else size + 1 :]
        return frame, cut
