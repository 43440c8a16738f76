"""Lines for stores that nobody serves: counted, and said once in a while for each store and service."""

import logging
import time
from collections.abc import Callable, Mapping

from towline import metrics
from towline.batch import Batch
from towline.store_names import MAIN

log = logging.getLogger(__name__)

AGAIN = 600.0
"""Seconds after which it is said again."""
MOST = 1000
"""Services of which it is known that it was said."""


class Unserved:
    """`fate`: what becomes of the lines, and what mends it. Used by one thread at a time."""

    def __init__(self, fate: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._fate = fate
        self._clock = clock
        self._due: dict[tuple[str, str], float] = {}

    def note(self, store: str, lines: Mapping[str, int]) -> None:
        """So many lines of these services were for `store`."""
        for service, count in lines.items():
            metrics.STORE_UNSERVED.labels(service, store).inc(count)
            if self._clock() >= self._due.get((service, store), 0.0):
                if len(self._due) >= MOST:
                    self._due.clear()
                self._due[service, store] = self._clock() + AGAIN
                log.warning("label towline.store of service %s: nobody serves store %r; %s", service, store, self._fate)

    def all_but_main(self, batch: Batch) -> None:
        """The batch goes where there is one store, whatever its lines are for."""
        for section in batch.sections:
            for store in section.origin.stores:
                if store != MAIN:
                    self.note(store, {section.origin.service: section.count})
