"""The indexer's part of the ledger: what became of the lines, per service, and how late they were."""

from collections import Counter
from collections.abc import Iterator, Sequence

from towline import metrics
from towline.batch import Batch
from towline.stores import Verdict
from towline.times import nanoseconds

HISTORY = 3600.0
"""Seconds: what is older was not late, its container's log is being read for the first time."""


def count(batches: Sequence[Batch], verdicts: Sequence[Verdict], now: int) -> None:
    """Count what the store said. `now` in nanoseconds since the epoch.

    Raises ValueError, and counts nothing, where the verdicts do not decide on every line of the batches.
    """
    indexed: Counter[str] = Counter()
    duplicate: Counter[str] = Counter()
    dead: Counter[str] = Counter()
    for service, stored, repeated, rejected in _decided(batches, verdicts):
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
    for service, stored, repeated, rejected in _decided(batches, verdicts):
        metrics.of(metrics.EVENTS_STORED, service).inc(stored + repeated)
        metrics.of(metrics.EVENTS_DUPLICATE, service).inc(repeated)
        metrics.of(metrics.EVENTS_DEAD_LETTERED, service).inc(rejected)


def _decided(batches: Sequence[Batch], verdicts: Sequence[Verdict]) -> Iterator[tuple[str, int, int, int]]:
    """Of each section its service, and how many were stored, were there already, and were refused; ValueError where
    that does not come to all of it."""
    for batch, verdict in zip(batches, verdicts, strict=True):
        rows = zip(batch.sections, verdict.stored, verdict.duplicate, verdict.rejected, strict=True)
        for section, stored, repeated, rejected in rows:
            if stored + repeated + len(rejected) != section.count:
                raise ValueError(f"{stored} + {repeated} + {len(rejected)} of {section.count} lines decided")
            yield section.origin.service, stored, repeated, len(rejected)


def _observe_lag(stamp: str, now: int) -> None:
    try:
        lag = (now - nanoseconds(stamp)) / 1e9
    except (ValueError, TypeError):
        return
    if lag <= HISTORY:
        metrics.LAG.observe(max(lag, 0.0))
