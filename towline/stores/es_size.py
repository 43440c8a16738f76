"""How large a bulk request may be: less while larger ones don't get through in time, on a slow or a lossy network.

A request that is cut off by the time-out has moved its bytes for nothing, and the same again would do no better: after
some time of slow faults not a line would arrive.
"""

import time
from collections.abc import Callable

MAX_BODY = 8 << 20
"""Bytes; several thousand lines, and far from the 100 MB that a server takes."""
LEAST_BODY = 64 << 10


class RequestSize:
    """`most`: bytes of a request. `timeout`: seconds after which a request is given up."""

    def __init__(self, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = MAX_BODY
        self._timeout = timeout
        self._clock = clock
        self._began = 0.0

    def begins(self) -> None:
        self._began = self._clock()

    def ended(self, size: int) -> None:
        """A request of so many bytes was answered."""
        if 2 * size >= self.most and self._clock() - self._began < self._timeout / 4:
            self.most = min(MAX_BODY, 2 * self.most)

    def failed(self, size: int) -> None:
        """It brought no answer; one that took long was too large."""
        if self._clock() - self._began >= self._timeout / 2:
            self.most = max(LEAST_BODY, min(size, self.most) // 4)
