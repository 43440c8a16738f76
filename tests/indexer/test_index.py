import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from prometheus_client import Counter

from indexer import index
from indexer.index import Indexer
from indexer.ledger import count
from towline import metrics
from towline.batch import Batch, Origin, Section
from towline.errors import QueueUnavailable, StoreUnavailable
from towline.queues import Queue, open_queue
from towline.stores import Rejected, Store, Verdict, open_store
from towline.times import format_time

SOON = 60.0


def eventually(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < end, "did not come true"
        time.sleep(0.005)


def batch(number: int, service: str = "web", lines: int = 1, stamp: str = "") -> Batch:
    stamp = stamp or format_time(time.time_ns())
    fields = {"container": {"id": service, "name": service}, "host": {"name": "n"}, "service": {"name": service}}
    docs = b""
    for line in range(lines):
        row = {"@timestamp": stamp, "message": f"line {number}.{line}", "stream": "stdout", "event": {"sequence": line}}
        action = {"create": {"_id": f"{stamp}-{service}-{number}-{line}"}}
        docs += orjson.dumps(action) + b"\n" + orjson.dumps(row)[:-1] + b"\x1e}\n"
    return Batch([Section(Origin(fields), docs, lines, stamp, stamp)], node="n")


class FaultyStore:
    """Stores nothing but the service names; each write first asks `fault`, which may raise."""

    def __init__(self) -> None:
        self.fault: Callable[[Sequence[Batch]], None] = lambda batches: None
        self.writes: list[list[str]] = []
        self.attempts = 0
        self.kept_up = 0
        self.rejects = 0

    @property
    def stored(self) -> list[str]:
        return [name for names in self.writes for name in names]

    def write(self, batches: Sequence[Batch]) -> Sequence[Verdict]:
        self.attempts += 1
        self.fault(batches)
        self.writes.append([section.origin.service for each in batches for section in each.sections])
        return [self._verdict(each) for each in batches]

    def _verdict(self, each: Batch) -> Verdict:
        rejected = [Rejected("id", "too odd", "{}")] * self.rejects
        return Verdict([each.count - self.rejects], [0], [rejected])

    def maintain(self) -> None:
        self.kept_up += 1


@contextmanager
def running(queue: Queue, store: object, **options: Any) -> Iterator[Indexer]:
    indexer = Indexer(queue, cast(Store, store), **options)
    thread = threading.Thread(target=indexer.run)
    thread.start()
    try:
        yield indexer
    finally:
        indexer.stop()
        thread.join(SOON)
        assert not thread.is_alive()


def value(counter: Counter, service: str) -> float:
    return cast(float, counter.labels(service)._value.get())


@pytest.fixture
def queue() -> Iterator[Queue]:
    queue = open_queue("memory://", max_bytes=1 << 20)
    yield queue
    queue.close()


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(index, "FIRST_DELAY", 0.002)
    monkeypatch.setattr(index, "LONGEST_DELAY", 0.02)
    monkeypatch.setattr(index, "TAKE", 0.01)
    caplog.set_level(logging.INFO)


def ours(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What indexers have said; other tests' threads may still say something."""
    return [record for record in caplog.records if record.name.startswith("indexer")]


def raising(error: Exception) -> Callable[[Sequence[Batch]], None]:
    def fault(batches: Sequence[Batch]) -> None:
        raise error

    return fault


def test_what_is_offered_is_stored_counted_and_confirmed(queue: Queue, store: FaultyStore) -> None:
    before = value(metrics.LINES_INDEXED, "plain")
    confirmed: list[int] = []
    with running(queue, store):
        for i in range(3):
            queue.offer(batch(i, "plain", lines=4), lambda i=i: confirmed.append(i))  # type: ignore[misc]
        eventually(lambda: len(confirmed) == 3)
    assert confirmed == [0, 1, 2]
    assert store.stored == ["plain"] * 3
    assert value(metrics.LINES_INDEXED, "plain") - before == 12
    assert queue.depth() == 0


def test_small_batches_that_wait_are_written_in_one_step(queue: Queue, store: FaultyStore) -> None:
    for i in range(50):
        queue.offer(batch(i), lambda: None)
    with running(queue, store):
        eventually(lambda: queue.depth() == 0)
    assert [len(names) for names in store.writes] == [50]


def test_a_write_holds_about_max_lines(queue: Queue, store: FaultyStore) -> None:
    for i in range(10):
        queue.offer(batch(i, lines=10), lambda: None)
    with running(queue, store, max_lines=30):
        eventually(lambda: queue.depth() == 0)
    assert [len(names) for names in store.writes] == [3, 3, 3, 1]


def test_batches_that_come_soon_after_a_write_share_the_next(queue: Queue, store: FaultyStore) -> None:
    with running(queue, store, linger=5.0) as indexer:
        queue.offer(batch(0), lambda: None)
        eventually(lambda: store.writes)
        for i in range(20):
            queue.offer(batch(i), lambda: None)
        indexer.stop()
        eventually(lambda: len(store.stored) == 21)
    assert len(store.writes) <= 3
    assert indexer.problem == ""


def test_what_came_during_a_long_write_has_waited_enough(queue: Queue, store: FaultyStore) -> None:
    now = 0.0

    def slow(batches: Sequence[Batch]) -> None:
        nonlocal now
        if not store.writes:
            queue.offer(batch(1, "second"), lambda: None)
        now += 2000.0

    store.fault = slow
    with running(queue, store, linger=1000.0, clock=lambda: now):
        queue.offer(batch(0, "first"), lambda: None)
        eventually(lambda: store.stored == ["first", "second"])


def test_rejected_lines_are_dead_letters_and_the_batch_is_done(queue: Queue, store: FaultyStore) -> None:
    store.rejects = 2
    confirmed: list[int] = []
    with running(queue, store):
        queue.offer(batch(0, "odd", lines=5), lambda: confirmed.append(0))
        eventually(lambda: confirmed)
    assert value(metrics.LINES_DEAD_LETTERED, "odd") == 2
    assert value(metrics.LINES_INDEXED, "odd") == 3


def test_a_store_that_is_away_gets_the_same_batches_when_it_is_back(
    queue: Queue, store: FaultyStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.fault = raising(StoreUnavailable("database is locked by a test"))
    confirmed: list[int] = []
    errors = metrics.STORE_ERRORS._value.get()
    with running(queue, store) as indexer:
        queue.offer(batch(0, "away"), lambda: confirmed.append(0))
        eventually(lambda: store.attempts >= 5)
        assert "database is locked by a test" in indexer.problem
        assert confirmed == []
        assert metrics.STORE_ERRORS._value.get() - errors >= 4
        store.fault = lambda batches: None
        eventually(lambda: confirmed)
        eventually(lambda: not indexer.problem)
    assert store.stored == ["away"]
    assert [record.levelname for record in ours(caplog)] == ["ERROR", "INFO"]
    assert all(record.exc_info is None for record in ours(caplog))


def test_an_unexpected_exception_loses_nothing_and_is_told_once_with_its_place(
    queue: Queue, store: FaultyStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.fault = raising(ZeroDivisionError("a bug"))
    confirmed: list[int] = []
    with running(queue, store) as indexer:
        for i in range(3):
            queue.offer(batch(i, f"bug{i}"), lambda i=i: confirmed.append(i))  # type: ignore[misc]
        eventually(lambda: store.attempts >= 10)
        assert "ZeroDivisionError: a bug" in indexer.problem
        assert confirmed == []
        store.fault = lambda batches: None
        eventually(lambda: len(confirmed) == 3)
        eventually(lambda: not indexer.problem)
    assert sorted(store.stored) == ["bug0", "bug1", "bug2"]
    assert [record.levelname for record in ours(caplog)] == ["ERROR", "INFO"]
    assert ours(caplog)[0].exc_info


def test_one_batch_that_the_store_stumbles_over_does_not_hold_up_the_others(queue: Queue, store: FaultyStore) -> None:
    def stumble(batches: Sequence[Batch]) -> None:
        if any(section.origin.service == "poison" for each in batches for section in each.sections):
            raise KeyError("poison")

    store.fault = stumble
    confirmed: list[str] = []
    names = ["a", "b", "poison", "c", "d"]
    for i, name in enumerate(names):
        queue.offer(batch(i, name), lambda name=name: confirmed.append(name))  # type: ignore[misc]
    with running(queue, store) as indexer:
        eventually(lambda: len(confirmed) == 4)
        queue.offer(batch(9, "late"), lambda: confirmed.append("late"))
        eventually(lambda: "late" in confirmed)
        assert "poison" in indexer.problem
        assert "poison" not in confirmed
        store.fault = lambda batches: None
        eventually(lambda: "poison" in confirmed)
        eventually(lambda: not indexer.problem)
    assert sorted(confirmed) == sorted([*names, "late"])


def test_a_verdict_that_leaves_lines_undecided_is_not_acknowledged(queue: Queue, store: FaultyStore) -> None:
    confirmed: list[int] = []
    write = store.write
    store.write = lambda batches: [Verdict([0], [0], [[]]) for _ in write(batches)]  # type: ignore[method-assign]
    with running(queue, store) as indexer:
        queue.offer(batch(0, "undecided"), lambda: confirmed.append(0))
        eventually(lambda: store.attempts >= 2)
        assert "0 + 0 + 0 of 1 lines decided" in indexer.problem
        assert confirmed == []
    assert value(metrics.LINES_INDEXED, "undecided") == 0


def test_stop_stores_what_the_queue_still_holds(queue: Queue, store: FaultyStore) -> None:
    for i in range(100):
        queue.offer(batch(i, lines=10), lambda: None)
    indexer = Indexer(queue, cast(Store, store), max_lines=50)
    indexer.stop()
    indexer.run()
    assert len(store.stored) == 100
    assert queue.depth() == 0


def test_stop_ends_in_time_while_the_store_is_away_and_gives_everything_back(queue: Queue, store: FaultyStore) -> None:
    store.fault = raising(StoreUnavailable("away"))
    confirmed: list[int] = []
    for i in range(5):
        queue.offer(batch(i), lambda i=i: confirmed.append(i))  # type: ignore[misc]
    indexer = Indexer(queue, cast(Store, store), max_lines=2)
    indexer.stop(grace=0.05)
    indexer.run()
    assert confirmed == []
    assert sum(delivery.batch.count for delivery in queue.take(100, 0)) == 5


def test_stop_interrupts_a_long_wait_for_the_store(
    queue: Queue, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "FIRST_DELAY", 10 * SOON)
    monkeypatch.setattr(index, "LONGEST_DELAY", 10 * SOON)
    store.fault = raising(StoreUnavailable("away"))
    queue.offer(batch(0), lambda: None)
    with running(queue, store) as indexer:
        eventually(lambda: store.attempts)
        monkeypatch.setattr(index, "FIRST_DELAY", 0.01)
        store.fault = lambda batches: None
        indexer.stop()
        eventually(lambda: store.stored)


def test_stop_gives_back_what_the_store_stumbles_over(queue: Queue, store: FaultyStore) -> None:
    store.fault = raising(ValueError("always"))
    with running(queue, store):
        queue.offer(batch(0), lambda: None)
        eventually(lambda: store.attempts >= 3)
    assert len(queue.take(10, 0)) == 1


def test_a_confirm_that_fails_does_not_stop_the_flow(queue: Queue, store: FaultyStore) -> None:
    def fail() -> None:
        raise QueueUnavailable("connection lost")

    with running(queue, store):
        queue.offer(batch(0, "one"), fail)
        eventually(lambda: store.stored == ["one"])
        queue.offer(batch(1, "two"), lambda: None)
        eventually(lambda: store.stored == ["one", "two"])


def test_a_queue_that_is_away_is_a_problem_until_it_is_back(
    queue: Queue, store: FaultyStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    take = queue.take
    away = threading.Event()
    away.set()

    def maybe(max_lines: int, timeout: float) -> Any:
        if away.is_set():
            raise QueueUnavailable("no route to the broker")
        return take(max_lines, timeout)

    monkeypatch.setattr(queue, "take", maybe)
    queue.offer(batch(0), lambda: None)
    with running(queue, store) as indexer:
        eventually(lambda: "no route" in indexer.problem)
        away.clear()
        eventually(lambda: store.stored)
        assert indexer.problem == ""
    assert len(ours(caplog)) == 2


def test_upkeep_goes_on_while_idle_and_while_the_store_takes_nothing(
    queue: Queue, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "MAINTAIN", 0.0)
    monkeypatch.setattr(index, "MAINTAIN_IDLE", 0.0)
    with running(queue, store):
        eventually(lambda: store.kept_up >= 3)
        store.fault = raising(StoreUnavailable("full"))
        queue.offer(batch(0), lambda: None)
        eventually(lambda: store.attempts >= 1)
        seen = store.kept_up
        eventually(lambda: store.kept_up > seen + 2)
        store.fault = lambda batches: None


def test_an_upkeep_that_fails_is_told_once_and_stops_nothing(
    queue: Queue, store: FaultyStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise OSError("no such file")

    monkeypatch.setattr(store, "maintain", fail)
    monkeypatch.setattr(index, "MAINTAIN", 0.0)
    monkeypatch.setattr(index, "MAINTAIN_IDLE", 0.0)
    with running(queue, store):
        eventually(lambda: len(calls) >= 3)
        queue.offer(batch(0), lambda: None)
        eventually(lambda: store.stored)
    assert len(ours(caplog)) == 1


def test_lag_is_that_of_live_lines_only() -> None:
    def observed() -> tuple[float, float]:
        samples = {each.name: each.value for each in next(iter(metrics.LAG.collect())).samples}
        return samples["towline_lag_seconds_count"], samples["towline_lag_seconds_sum"]

    now = 1_800_000_000_000_000_000
    verdict = Verdict([1], [0], [[]])
    lines, seconds = observed()
    for age in [2.0, -50.0, 7200.0]:
        stamp = format_time(now - int(age * 1e9))
        count([batch(0, "lag", stamp=stamp)], [verdict], now)
    count([batch(0, "lag", stamp="yesterday")], [verdict], now)
    assert observed()[0] == lines + 2
    assert observed()[1] == pytest.approx(seconds + 2.0)


def test_a_real_store_finds_every_line_once_also_when_batches_come_twice(queue: Queue, tmp_path: Path) -> None:
    store = open_store(f"sqlite://{tmp_path}/store")
    before = value(metrics.LINES_DUPLICATE, "twice")
    batches = [batch(i, "twice", lines=20) for i in range(10)]
    try:
        with running(queue, store):
            for each in [*batches, *batches[:5]]:
                queue.offer(each, lambda: None)
            eventually(lambda: queue.depth() == 0)
        assert store.totals() == {"twice": 200}
        assert value(metrics.LINES_DUPLICATE, "twice") - before == 100
    finally:
        store.close()
