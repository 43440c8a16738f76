"""When each container's log is looked at again: the sooner the more it has just said.

At once while a file's reads come back full; else as often as a line or so is found each time, every TICK at most; ever
later up to SLOWEST while there is nothing. Reading each line the moment it comes is what costs; a few hundredths of a
second are not seen. What has had nothing for more than SELDOM rests: it is looked at when the system tells of more
(shipper.wake), and every PATIENCE in case that was lost; for the others a look costs less than being told.

A socket that was full has to fill again first, and holds only some 280 lines: so its interval is halved while it is
found full, down to QUICKEST, and doubled while it is not.
"""

import heapq
from itertools import count
from math import inf

from shipper.tail import Tail
from shipper.wake import BEAT, Wake

TICK = 0.05
QUICKEST = 0.003
"""The engine takes about this long to fill a socket."""
SLOWEST = 0.8
SELDOM = 2.0
PATIENCE = 30.0
DEAF = 2
"""So many looks in a row that found what nobody had told of: this log is looked at from time to time from now on."""
WORTH = 400
"""Bytes of documents that make a look worth its while, about one line."""
_BEAT = TICK / 2


class Schedule:
    """Times are seconds of a clock that never jumps. Used by the shipper's thread alone."""

    def __init__(self, wake: Wake[Tail]) -> None:
        self._wake = wake
        self._resting: dict[Tail, float] = {}
        """Until when, the first one first."""
        self._heap: list[tuple[float, int, Tail]] = []
        self._ticket = count()

    def soon(self, tail: Tail) -> None:
        """Something happened to the container: look at its log in the next round."""
        tail.interval = 0.0
        self._put(tail, 0.0)

    def again(self, tail: Tail, now: float, found: int) -> None:
        """It was looked at, and gave so many bytes of documents."""
        tail.missed += bool(tail.overslept and found)
        tail.overslept = False
        if tail.source.eager:
            tail.interval = min(max(tail.interval / 2, QUICKEST), TICK) if tail.source.kind == "api" else 0.0
            self._put(tail, now + tail.interval)
        elif found and 0 < tail.interval < _BEAT:
            tail.interval *= 2
            self._put(tail, now + tail.interval)
        else:
            wanted = (tail.interval or TICK) * WORTH / found if found else max(tail.interval, _BEAT) * 2
            tail.interval = _step(wanted)
            self._rest(tail, now) if now - tail.spoke > SELDOM else self._in_time(tail, now)
        if found:
            tail.spoke = now

    def later(self, tail: Tail, now: float) -> None:
        """It could not be looked at: no room."""
        self._put(tail, now + TICK)

    def forget(self, tail: Tail) -> None:
        """Its log is closed."""
        self._resting.pop(tail, None)
        self._wake.forget(tail)

    def due(self, now: float) -> list[Tail]:
        """Whose turn it is; each is out of the schedule until it is put back."""
        ready = self._stirred(now)
        while self._heap and self._heap[0][0] <= now:
            due, _, tail = heapq.heappop(self._heap)
            if due == tail.due:
                tail.due = inf  # it may be in the heap twice for the same moment
                ready.append(tail)
        return ready

    def wait(self, now: float) -> float:
        """Seconds until somebody's turn."""
        return min(SLOWEST, max(0.0, self._heap[0][0] - now)) if self._heap else SLOWEST

    def _stirred(self, now: float) -> list[Tail]:
        """Those that rest, and have something, or have rested for long."""
        told = self._wake.stirred(now)
        ready = [tail for tail in ([*self._resting] if told is None else told) if self._resting.pop(tail, None)]
        for tail in ready:
            tail.missed = 0
            tail.source.stirred()
        while self._resting and (tail := next(iter(self._resting))) and self._resting[tail] <= now:
            del self._resting[tail]
            tail.overslept = True
            ready.append(tail)
        return ready

    def _rest(self, tail: Tail, now: float) -> None:
        """Until something is told, or for its interval where nothing would be."""
        if tail.interval >= BEAT and tail.missed < DEAF and not tail.waits and tail.source.rest(self._wake, tail):
            tail.due = inf
            self._resting[tail] = now + PATIENCE
        else:
            self._in_time(tail, now)

    def _in_time(self, tail: Tail, now: float) -> None:
        beat = max(_BEAT, tail.interval)
        self._put(tail, (now + tail.interval) // beat * beat)  # together, so that they wake the process once

    def _put(self, tail: Tail, due: float) -> None:
        self._resting.pop(tail, None)
        tail.due = due
        heapq.heappush(self._heap, (due, next(self._ticket), tail))


def _step(wanted: float) -> float:
    """TICK, or twice, four times … as much, up to SLOWEST."""
    step = TICK
    while 2 * step <= min(wanted, SLOWEST):
        step *= 2
    return step
