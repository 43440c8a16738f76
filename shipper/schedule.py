"""When each container's log is looked at again: the sooner the more it has just said.

At once while a file's reads come back full; else as often as a line or so is found each time, every TICK at most; ever
later up to SLOWEST while there is nothing. Reading each line the moment it comes is what costs; a few hundredths of a
second are not seen. A socket that was full has to fill again first, and holds only some 280 lines: so its interval is
halved while it is found full, down to QUICKEST, and doubled while it is not.
"""

import heapq
from itertools import count
from math import inf

from shipper.tail import Tail

TICK = 0.05
QUICKEST = 0.003
"""The engine takes about this long to fill a socket."""
SLOWEST = 0.8
WORTH = 400
"""Bytes of documents that make a look worth its while, about one line."""
_BEAT = TICK / 2


class Schedule:
    """Times are seconds of a clock that never jumps. Used by the shipper's thread alone."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Tail]] = []
        self._ticket = count()

    def soon(self, tail: Tail) -> None:
        """Something happened to the container: look at its log in the next round."""
        tail.interval = 0.0
        self._put(tail, 0.0)

    def again(self, tail: Tail, now: float, found: int) -> None:
        """It was looked at, and gave so many bytes of documents."""
        if tail.source.eager:
            tail.interval = min(max(tail.interval / 2, QUICKEST), TICK) if tail.source.kind == "api" else 0.0
            self._put(tail, now + tail.interval)
        elif found and 0 < tail.interval < _BEAT:
            tail.interval *= 2
            self._put(tail, now + tail.interval)
        else:
            wanted = (tail.interval or TICK) * WORTH / found if found else max(tail.interval, _BEAT) * 2
            tail.interval = _step(wanted)
            beat = max(_BEAT, tail.interval / 4)
            self._put(tail, (now + tail.interval) // beat * beat)  # together, so that they wake the process once

    def later(self, tail: Tail, now: float) -> None:
        """It could not be looked at: no room."""
        self._put(tail, now + TICK)

    def due(self, now: float) -> list[Tail]:
        """Whose turn it is; each is out of the schedule until it is put back."""
        ready = []
        while self._heap and self._heap[0][0] <= now:
            due, _, tail = heapq.heappop(self._heap)
            if due == tail.due:
                tail.due = inf  # it may be in the heap twice for the same moment
                ready.append(tail)
        return ready

    def wait(self, now: float) -> float:
        """Seconds until somebody's turn."""
        return min(SLOWEST, max(0.0, self._heap[0][0] - now)) if self._heap else SLOWEST

    def _put(self, tail: Tail, due: float) -> None:
        tail.due = due
        heapq.heappush(self._heap, (due, next(self._ticket), tail))


def _step(wanted: float) -> float:
    """TICK, or twice, four times … as much, up to SLOWEST."""
    step = TICK
    while 2 * step <= min(wanted, SLOWEST):
        step *= 2
    return step
