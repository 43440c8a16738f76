"""Whether a log is written so quickly that the engine's follower of it can't be trusted.

The engine reads on in the current file when it has come to the end of the one it had open: a follower that lags while
the log is rotated twice skips whole files (moby, daemon/logger/loggerutils/follow.go). What makes it lag may be the
engine's own business, which shows nowhere. But lagging for the time that two files take to fill is another thing with
files that last for hours than with files that last for half a second.
"""

from collections.abc import Callable

LAG = 5.0
"""Seconds that the engine's follower is believed never to lag behind."""
PER_ENTRY = 32
"""Bytes that an entry takes in a json-file beyond what it takes in an answer: JSON instead of a frame's head."""


class Pace:
    """A leaky bucket of what was written: it holds one file, and one file leaks out in LAG seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._level = 0.0
        self._at = clock()

    def took(self, written: int, file_size: int) -> None:
        """So many bytes were found to have been written, of files of this size."""
        self._level = min(file_size, self._now(file_size) + written)
        self._at = self._clock()

    def is_quick(self, file_size: int) -> bool:
        return self._now(file_size) > file_size / 2

    def _now(self, file_size: int) -> float:
        return max(0.0, self._level - (self._clock() - self._at) * file_size / LAG)
