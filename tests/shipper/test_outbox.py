"""Batches between reading and confirm: nothing is called safe before it is, nothing grows without bound."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper import outbox
from shipper.entries import Place, Position
from shipper.hold import DEEP, EVERY, OLD
from shipper.lines import State
from shipper.outbox import SPOOL_AFTER, Outbox
from shipper.sources.json_file import JsonFileSource
from shipper.spool import Spool
from shipper.tail import Mark, Tail
from towline import metrics
from towline.batch import Origin, Section
from towline.queues.memory import MemoryQueue

STAMP = "2026-11-23T00:25:00.%09dZ"


WRITTEN = 1795393500.0
"""When the lines were written, as STAMP says."""


class Crowded(MemoryQueue):
    """One where new lines may stand behind others, as at a broker."""

    messages: int | None = None
    asked = 0

    def waiting(self) -> int | None:
        self.asked += 1
        return self.messages


class Setting:
    """An outbox over a real queue and a real spool, and one container to fill it from."""

    def __init__(self, folder: Path, service: str, queue_bytes: int = 1000, spool_bytes: int = 1 << 20) -> None:
        self.folder = folder
        self.queue_bytes = queue_bytes
        self.queue = Crowded(queue_bytes)
        self.spool = Spool(folder / "spool", spool_bytes)
        self.service = service
        self.wall = WRITTEN
        self.woken = 0
        self.outbox = Outbox(self.queue, self.spool, 4000, "node", self.wake, lambda: self.wall)
        self.tail = Tail("c" * 64, JsonFileSource(folder / "none", None, running=True), None, 1 << 20)
        self.number = 0
        self.now = 100.0

    def wake(self) -> None:
        self.woken += 1

    def again(self) -> "Setting":
        """As after a restart."""
        return Setting(self.folder, self.service, self.queue_bytes)

    def put(self, lines: int = 1, size: int = 500) -> Mark:
        self.number += 1
        fields = {"container": {"id": "c" * 64, "name": "c"}, "service": {"name": self.service}, "host": {"name": "n"}}
        stamp = STAMP % self.number
        section = Section(Origin(fields), b"\n" * 2 * lines + b"x" * (size - 2 * lines), lines, stamp, stamp)
        position = Position(b"stdout", stamp.encode(), 1, stamp.encode(), Place(1, 1, self.number))
        mark = Mark(position, State(self.number), size)
        self.tail._marks.append(mark)
        self.tail.in_flight += size
        self.outbox.add(self.tail, section, mark, self.now)
        self.outbox.flush(self.now)
        return mark

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.outbox.pump(self.now)

    def confirm(self, most: int = 100) -> int:
        deliveries = self.queue.take(most, 0)
        for delivery in deliveries:
            delivery.done()
        return len(deliveries)

    def checkpoint(self) -> int:
        """Number of the last line that the checkpoint covers; -1 where it did not move."""
        self.outbox.settle(self.now)
        row = self.tail.settle()
        return row["position"]["place"][2] if row else -1

    def ledger(self, name: str) -> float:
        return metrics.REGISTRY.get_sample_value(f"towline_lines_{name}", {"service": self.service}) or 0.0

    def close(self) -> None:
        self.spool.close()
        self.queue.close()


@pytest.fixture
def setting(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Setting]:
    setting = Setting(tmp_path, request.node.name)
    yield setting
    setting.close()


def test_a_position_moves_only_after_the_confirm(setting: Setting) -> None:
    setting.put()
    setting.later(0)
    assert setting.checkpoint() == -1
    setting.confirm()
    assert setting.checkpoint() == 1
    assert setting.outbox.idle


def test_the_confirm_of_little_ends_no_wait_that_of_much_does(setting: Setting) -> None:
    setting.put(size=900)
    setting.later(0)
    setting.confirm()
    assert setting.woken == 0
    assert setting.checkpoint() == 1, "it is heard all the same"
    setting.put(size=900)
    setting.put(size=200)
    setting.later(0)
    setting.confirm(1)
    assert setting.woken == 1
    assert setting.outbox.safe == 900
    setting.checkpoint()
    assert setting.outbox.safe == 1800


def test_a_confirm_that_others_wait_for_ends_the_wait(setting: Setting) -> None:
    setting.put(size=500)
    setting.later(0)
    setting.put(size=400)  # not offered yet
    setting.confirm()
    assert setting.woken == 1


def test_the_queue_is_asked_how_deep_it_is_only_where_something_old_may_go(setting: Setting) -> None:
    for _ in range(20):
        setting.put(size=100)
        setting.later(EVERY)
        setting.confirm()
        setting.checkpoint()
    assert setting.queue.asked == 0
    setting.wall = WRITTEN + 60
    setting.put()
    setting.later(EVERY)
    assert setting.queue.asked == 1


def test_a_confirm_out_of_order_waits_for_the_older_ones(setting: Setting) -> None:
    setting.put()
    setting.put()
    setting.later(0)
    first, second = setting.queue.take(1, 0)[0], setting.queue.take(1, 0)[0]
    second.done()
    assert setting.checkpoint() == -1
    first.done()
    assert setting.checkpoint() == 2


def test_lines_that_may_vanish_are_spooled_when_the_queue_is_full(setting: Setting) -> None:
    for _ in range(4):
        setting.put()
    setting.later(0)
    assert setting.spool.lines() == {}
    setting.later(SPOOL_AFTER)
    assert setting.spool.lines() == {setting.service: 2}
    assert setting.checkpoint() == -1  # the two in the queue come first
    setting.confirm()
    assert setting.checkpoint() == 4
    assert setting.ledger("in_flight") == 2


def test_lines_that_stay_where_they_are_wait_without_the_spool(setting: Setting) -> None:
    setting.tail.urgent = False
    for _ in range(4):
        setting.put()
    setting.later(0)
    setting.later(10 * SPOOL_AFTER)
    assert setting.spool.lines() == {}
    assert setting.outbox.problem
    for _ in range(2):
        setting.confirm()
        setting.checkpoint()
        setting.later(0)
    assert setting.outbox.idle
    assert not setting.outbox.problem


def test_the_spool_is_drained_and_the_ledger_closes(setting: Setting) -> None:
    for _ in range(6):
        setting.put(lines=3)
    setting.later(0)
    setting.later(SPOOL_AFTER)
    for _ in range(10):
        setting.confirm()
        setting.checkpoint()
        setting.later(0.05)
    assert setting.spool.lines() == {}
    assert setting.ledger("read_total") == setting.ledger("confirmed_total") == 18
    assert setting.ledger("in_flight") == 0


def test_the_spool_leaves_in_its_order_and_no_faster_than_its_rate(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "DRAIN_RATE", 1000)  # two of the batches below each second
    for _ in range(8):
        setting.put()
    setting.outbox.save_all()
    setting.close()
    after = setting.again()
    taken = []
    for moment in range(40):
        after.put(size=20)  # live lines pass all the time
        after.later(0.1)
        deliveries = after.queue.take(100, 0)
        taken += [(moment, each.batch.size, each.batch.sections[0].first) for each in deliveries]
        for each in deliveries:
            each.done()
        after.outbox.settle(after.now)
    spooled = [(moment, first) for moment, size, first in taken if size == 500]
    assert [first for _, first in spooled] == [STAMP % number for number in range(1, 9)]
    assert [moment for moment, _ in spooled] == sorted(moment for moment, _ in spooled)
    for second in range(1, 4):
        assert sum(moment <= 10 * second for moment, _ in spooled) <= 2 + 2 * second, spooled
    assert sum(size == 20 for _, size, _ in taken) == 40
    after.close()


def test_reading_waits_when_memory_is_full_and_the_spool_too(tmp_path: Path) -> None:
    setting = Setting(tmp_path, "full", spool_bytes=0)
    while setting.outbox.room:
        setting.put()
    setting.later(0)
    setting.later(2 * SPOOL_AFTER)
    assert not setting.outbox.room
    setting.confirm()
    setting.checkpoint()
    assert setting.outbox.room
    setting.close()


def test_a_queue_that_takes_but_never_confirms_is_stalled(setting: Setting) -> None:
    setting.put()
    setting.later(0)
    assert not setting.outbox.stalled(setting.now)
    setting.later(2 * SPOOL_AFTER)
    assert setting.outbox.stalled(setting.now)
    setting.confirm()
    setting.checkpoint()
    assert not setting.outbox.stalled(setting.now)


def test_the_end_spools_also_what_the_queue_had_taken(setting: Setting) -> None:
    for _ in range(4):
        setting.put()
    setting.later(0)
    setting.outbox.save_all()
    assert setting.checkpoint() == 4
    assert setting.outbox.idle
    assert setting.spool.lines() == {setting.service: 4}


def test_a_spool_left_by_an_earlier_process_counts_as_read_and_is_delivered(tmp_path: Path) -> None:
    before = Setting(tmp_path, "left")
    before.put(lines=2)
    before.outbox.save_all()
    before.close()
    read = before.ledger("read_total")
    after = Setting(tmp_path, "left")
    assert after.ledger("read_total") == read + 2
    after.later(0)
    assert after.confirm() == 1
    after.outbox.settle(after.now)
    assert after.spool.lines() == {}
    after.close()


def crowded(folder: Path, messages: int, **options: int) -> Setting:
    setting = Setting(folder, folder.name, queue_bytes=100_000, **options)
    setting.queue.messages = messages
    setting.tail.urgent = False
    return setting


def sizes(setting: Setting) -> list[int]:
    return [delivery.batch.size for delivery in setting.queue.take(1000, 0)]


def test_old_lines_wait_while_the_queue_is_deep_and_new_ones_pass(tmp_path: Path) -> None:
    setting = crowded(tmp_path, DEEP + 1)
    setting.put(size=500)
    setting.wall = WRITTEN + OLD + 2
    setting.put(size=400)
    assert setting.tail.behind
    setting.wall = WRITTEN
    setting.put(size=300)
    assert not setting.tail.behind
    setting.later(EVERY)
    assert sizes(setting) == [500, 300]
    for _ in range(100):
        setting.later(EVERY)
    assert sizes(setting) == []
    assert setting.outbox.holding
    assert setting.outbox.problem == ""
    setting.queue.messages = 0
    setting.later(EVERY)
    assert sizes(setting) == [400]
    assert not setting.outbox.holding
    setting.close()


def test_old_lines_leave_room_for_new_ones(tmp_path: Path) -> None:
    setting = crowded(tmp_path, DEEP + 1)
    setting.wall = WRITTEN + 60
    while not setting.outbox.behind:
        setting.put()
    assert setting.outbox.room
    setting.queue.messages = 0
    setting.later(EVERY)
    assert not setting.outbox.behind
    setting.close()


def test_old_lines_that_may_vanish_do_not_wait_for_the_queue_in_memory(tmp_path: Path) -> None:
    setting = crowded(tmp_path, DEEP + 1)
    setting.wall = WRITTEN + 60
    first = setting.put()
    setting.tail.urgent = True
    setting.put()
    setting.later(0)
    setting.later(SPOOL_AFTER)
    assert setting.spool.lines() == {setting.service: 1}
    assert not first.done
    setting.later(EVERY)
    assert sizes(setting) == []  # what is spooled is old as well
    setting.queue.messages = 0
    setting.later(EVERY)
    assert sizes(setting) == [500, 500]
    setting.close()


def test_a_spool_that_fills_up_is_emptied_into_the_deepest_queue(tmp_path: Path) -> None:
    setting = crowded(tmp_path, 1000, spool_bytes=2000)
    setting.wall = WRITTEN + 60
    setting.tail.urgent = True
    while not setting.spool.crowded:
        setting.put()
        setting.later(SPOOL_AFTER)
    setting.later(EVERY)
    assert sizes(setting) != []
    setting.close()


def test_the_end_spools_what_was_held_back(tmp_path: Path) -> None:
    setting = crowded(tmp_path, DEEP + 1)
    setting.wall = WRITTEN + 60
    setting.put()
    setting.later(0)
    setting.outbox.save_all()
    assert setting.checkpoint() == 1
    assert setting.spool.lines() == {setting.service: 1}
    setting.close()
