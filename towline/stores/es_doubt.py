"""Requests whose answer never came: they may have been carried out, or may still be, whenever and into whatever index.

What was sent is sent again, and the index that took it first refuses the repeat, unless the data stream has rolled over
in between: then both copies are stored. So the identities are kept for a while after the server has answered again, and
where there was a rollover all copies but the oldest are removed, more than once, since a request that sat in some
buffer may be carried out late.
"""

import logging
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from towline.stores.es_bulk import Part
from towline.stores.es_indices import Generation, from_on, identities_of

log = logging.getLogger(__name__)

LATE = 60.0
"""Seconds after the server has answered again in which a lost request may still be carried out."""
MOST = 64
"""Requests in doubt that are kept; about 150 kB each."""


@dataclass
class _Doubt:
    since: str
    """The index that took writes when the request was sent, "" where there was none."""
    identities: bytes
    settled: str = ""
    """The index that took writes when it was looked at last."""
    until: float = float("inf")


class Doubts:
    """Not for several threads. `clock`: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[tuple[bytes, bytes, int], _Doubt] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, parts: Sequence[Part], indices: Generation) -> None:
        """What was sent while `indices` were there has not been answered."""
        identities = identities_of(parts)
        if not identities:
            return
        known = self._waiting.pop((identities[0], identities[-1], len(identities)), None)
        since = known.since if known else indices[-1].name if indices else ""
        if len(self._waiting) >= MOST:
            self._waiting.pop(next(iter(self._waiting)))
            log.warning("more than %d requests without an answer: the oldest is no longer checked for doubles", MOST)
        packed = known.identities if known else zlib.compress(b"\n".join(identities), 1)
        self._waiting[identities[0], identities[-1], len(identities)] = _Doubt(since, packed)

    def answered(self) -> None:
        """The server answers: what it was sent before will be carried out within LATE, or never."""
        now = self._clock()
        for doubt in self._waiting.values():
            doubt.until = min(doubt.until, now + LATE)

    def settle(self, indices: Generation, keep_oldest: Callable[[list[str], list[bytes]], object]) -> None:
        """Have copies removed where it is time; `keep_oldest` gets the names of the indices and the identities."""
        newest = indices[-1].name if indices else ""
        for key, doubt in list(self._waiting.items()):
            over = self._clock() >= doubt.until
            if newest != doubt.since and (over or newest != doubt.settled):
                keep_oldest(from_on(indices, doubt.since), zlib.decompress(doubt.identities).split(b"\n"))
                doubt.settled = newest
            if over:
                del self._waiting[key]
