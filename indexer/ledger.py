"""The indexer's part of the ledger: what became of the lines, per service, and how late they were."""

from collections import Counter
from collections.abc import Iterator, Sequence

from towline import metrics
from towline.batch import Batch, Section
from towline.store_names import MAIN
from towline.stores import Verdict
from towline.times import nanoseconds

HISTORY = 3600.0
"""Seconds: what is older was not late, its container's log is being read for the first time."""


def count(batches: Sequence[Batch], verdicts: Sequence[Verdict], now: int, store: str = MAIN) -> None:
    """Count what the store of this name said. `now` in nanoseconds since the epoch.

    The ledger has each line once: of lines that go to several stores, the first one's indexers count them there. What
    each store has of lines whose service names stores is counted beside it.
    Raises ValueError, and counts nothing, where the verdicts do not decide on every line of the batches.
    """
    indexed: Counter[str] = Counter()
    duplicate: Counter[str] = Counter()
    dead: Counter[str] = Counter()
    for section, stored, repeated, rejected in list(_decided(batches, verdicts)):
        service = section.origin.service
        if stores := section.origin.stores:
            _count_in(store, service, stored + repeated, repeated, rejected)
            if store not in (MAIN, stores[0]):
                continue
        indexed[service] += stored + repeated
        duplicate[service] += repeated
        dead[service] += rejected
    for service, lines in indexed.items():
        metrics.of(metrics.LINES_INDEXED, service).inc(lines)
        metrics.of(metrics.LINES_DUPLICATE, service).inc(duplicate[service])
        metrics.of(metrics.LINES_DEAD_LETTERED, service).inc(dead[service])
    metrics.WRITE_LINES.observe(sum(batch.count for batch in batches))
    for batch in batches:
        for section in batch.sections:
            _observe_lag(section.first, now)


def count_events(batches: Sequence[Batch], verdicts: Sequence[Verdict], now: int) -> None:
    """The same for domain events, which are in no ledger of lines: nobody has read them from a log."""
    for section, stored, repeated, rejected in _decided(batches, verdicts):
        service = section.origin.service
        metrics.of(metrics.EVENTS_STORED, service).inc(stored + repeated)
        metrics.of(metrics.EVENTS_DUPLICATE, service).inc(repeated)
        metrics.of(metrics.EVENTS_DEAD_LETTERED, service).inc(rejected)


def _count_in(store: str, service: str, indexed: int, repeated: int, rejected: int) -> None:
    metrics.STORE_INDEXED.labels(service, store).inc(indexed)
    metrics.STORE_DUPLICATE.labels(service, store).inc(repeated)
    metrics.STORE_DEAD_LETTERED.labels(service, store).inc(rejected)


def _decided(batches: Sequence[Batch], verdicts: Sequence[Verdict]) -> Iterator[tuple[Section, int, int, int]]:
    """Each section, and how many of it were stored, were there already, and were refused; ValueError where that does
    not come to all of it."""
    for batch, verdict in zip(batches, verdicts, strict=True):
        rows = zip(batch.sections, verdict.stored, verdict.duplicate, verdict.rejected, strict=True)
        for section, stored, repeated, rejected in rows:
            if stored + repeated + len(rejected) != section.count:
                raise ValueError(f"{stored} + {repeated} + {len(rejected)} of {section.count} lines decided")
            yield section, stored, repeated, len(rejected)


def _observe_lag(stamp: str, now: int) -> None:
    try:
        lag = (now - nanoseconds(stamp)) / 1e9
    except (ValueError, TypeError):
        return
    if lag <= HISTORY:
        metrics.LAG.observe(max(lag, 0.0))
