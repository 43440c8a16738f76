"""One scrape: every collector's families, and how each collector fared. A broken one never empties the scrape."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from exporters.exposition import Family, family, labels
from towline.errors import TowlineError

log = logging.getLogger(__name__)


class Incomplete(TowlineError):
    """Something could not be read; `families` holds what could, and stays in the scrape."""

    def __init__(self, text: str, families: Iterable[Family]) -> None:
        super().__init__(text)
        self.families = list(families)


class Collector(Protocol):
    """Something that is measured. `collect` reads it now; what it raises costs this collector's families only, and of
    those not the ones that an Incomplete holds."""

    name: str

    def collect(self) -> Iterable[Family]: ...


class Scrape:
    """Asks all collectors, one scrape at a time: collectors need no locks of their own.

    namespace: what the names of `<namespace>_scrape_collector_{success,duration_seconds}` begin with. clock: seconds.
    """

    def __init__(
        self, namespace: str, collectors: Sequence[Collector], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._namespace = namespace
        self._collectors = collectors
        self._clock = clock
        self._broken: set[str] = set()
        self._one_at_a_time = threading.Lock()

    def families(self) -> list[Family]:
        """Never raises for what a collector does."""
        families: list[Family] = []
        outcomes: list[tuple[str, bool, float]] = []
        with self._one_at_a_time:
            for collector in self._collectors:
                begin = self._clock()
                success = self._collect(collector, families)
                outcomes.append((labels({"collector": collector.name}), success, self._clock() - begin))
        return families + self._told(outcomes)

    def _collect(self, collector: Collector, families: list[Family]) -> bool:
        try:
            found = list(collector.collect())
        except Exception as error:
            families += error.families if isinstance(error, Incomplete) else ()
            self._failed(collector.name, error)
            return False
        families += found
        if collector.name in self._broken:
            self._broken.discard(collector.name)
            log.info("%s metrics are back", collector.name)
        return True

    def _failed(self, name: str, error: Exception) -> None:
        if name in self._broken:
            return
        self._broken.add(name)
        unforeseen = None if isinstance(error, TowlineError | OSError) else error
        log.warning("%s metrics are missing: %s (told once, until they are back)", name, error, exc_info=unforeseen)

    def _told(self, outcomes: list[tuple[str, bool, float]]) -> list[Family]:
        prefix = f"{self._namespace}_scrape_collector"
        durations = [(block, round(seconds, 9)) for block, _, seconds in outcomes]
        successes = [(block, int(success)) for block, success, _ in outcomes]
        return [
            family(f"{prefix}_duration_seconds", "gauge", "Time that a collector took in this scrape.", durations),
            family(f"{prefix}_success", "gauge", "Whether a collector succeeded in this scrape.", successes),
        ]
