"""Writing to Elasticsearch: each section to the data stream that its origin asks for."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from elasticsearch import Elasticsearch

from towline.batch import Batch
from towline.data_streams import Route, route_of
from towline.errors import StoreUnavailable
from towline.stores import Verdict
from towline.stores.es_address import Address
from towline.stores.es_bulk import Part, Tally, parts_of
from towline.stores.es_errors import translated
from towline.stores.es_lane import PATIENCE, Lane
from towline.stores.es_letters import bury

log = logging.getLogger(__name__)

MOST = 100
"""Data streams beside that of lines that ask for nothing; what asks for one more goes there, too. A stream costs the
cluster a shard or more for as long as its lines are kept, and whoever may start a container may write a label."""
AGAIN = 300.0
"""Seconds after which a stream that could not be had is asked for again."""


class Writer:
    """One write at a time, from whichever thread.

    `prepare` puts the template of the store's own stream in place, where it is missing; `routed` that of another one,
    and tells whether that stream may be written.
    """

    def __init__(
        self, client: Elasticsearch, address: Address, prepare: Callable[[], None],
        routed: Callable[[Route], bool] = lambda _: True, *, patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._client = client.options(max_retries=0)
        self._address, self._routed, self._patience, self._clock = address, routed, patience, clock
        self._pause = threading.Event()
        self._plain = self._lane(address.layout.stream, prepare)
        self._lanes: dict[str, Lane] = {}
        self._refused: dict[str, float] = {}
        """Streams that can't be had, and when that is to be asked again."""
        self._lock = threading.Lock()
        self.failure: StoreUnavailable | None = None

    def write(self, batches: Sequence[Batch]) -> list[Verdict]:
        tally = Tally(batches)
        try:
            with self._lock, translated(self._address.shown):
                for lane, parts in self._sorted(parts_of(tally)).items():
                    self._send(lane, parts, tally)
                bury(self._client, self._address, tally)
        except StoreUnavailable as error:
            self.failure = error
            raise
        self.failure = None
        return tally.verdicts()

    def settle(self) -> None:
        """Look again for what requests without an answer may have doubled; to be called now and then."""
        if self._lock.acquire(blocking=False):
            try:
                with translated(self._address.shown):
                    for lane in (self._plain, *self._lanes.values()):
                        lane.settle()
            finally:
                self._lock.release()

    def stop_waiting(self) -> None:
        """Let a write that waits for a better time give up."""
        self._pause.set()

    def _lane(self, stream: str, prepare: Callable[[], None]) -> Lane:
        return Lane(self._client, self._address, stream, prepare, self._pause, patience=self._patience,
                    clock=self._clock)  # fmt: skip

    def _send(self, lane: Lane, parts: list[Part], tally: Tally) -> None:
        """What a label asks for never holds up the lines: a stream that can't be begun is done without."""
        try:
            lane.write(parts, tally)
        except StoreUnavailable as error:
            told = any(part.place in tally.rejected for part in parts)
            if lane is self._plain or told or not lane.untouched():
                raise
            log.warning("data stream %s can't be begun, its lines go to %s: %s", lane.stream, self._plain.stream, error)
            del self._lanes[lane.stream]
            self._refused[lane.stream] = self._clock() + AGAIN
            self._plain.write(parts, tally)

    def _sorted(self, parts: Sequence[Part]) -> dict[Lane, list[Part]]:
        """The parts by where they go."""
        found: dict[Lane, list[Part]] = {}
        for part in parts:
            route = route_of(part.section.origin.fields)
            lane = self._plain if route is None else self._lane_of(route)
            found.setdefault(lane, []).append(part)
        return found

    def _lane_of(self, route: Route) -> Lane:
        stream = route.stream(self._address.layout.namespace)
        known = self._lanes.get(stream)
        if known is not None or stream == self._plain.stream or self._clock() < self._refused.get(stream, 0.0):
            return known or self._plain
        if len(self._lanes) < MOST and self._routed(route):
            self._lanes[stream] = self._lane(stream, lambda: self._again(route))
            return self._lanes[stream]
        if len(self._lanes) >= MOST and stream not in self._refused:
            log.warning("more than %d data streams are asked for: what is for %s goes to %s", MOST, stream,
                        self._plain.stream)  # fmt: skip
        if len(self._refused) > 10 * MOST:
            self._refused.clear()
        self._refused[stream] = self._clock() + AGAIN
        return self._plain

    def _again(self, route: Route) -> None:
        """The stream is gone: its template may be, too."""
        self._routed(route)
