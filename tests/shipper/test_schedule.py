"""When a log is looked at again: often where much comes, seldom where little does."""

from math import inf
from typing import Any

import pytest

from shipper.schedule import DEAF, PATIENCE, QUICKEST, SLOWEST, TICK, Schedule


class Log:
    """What the schedule knows of a tail; its source rests where `told`."""

    def __init__(self, kind: str = "file", eager: bool = False, told: bool = False) -> None:
        self.source = self
        self.kind, self.eager, self.told = kind, eager, told
        self.interval = self.due = 0.0
        self.spoke, self.overslept, self.missed, self.rests = -inf, False, 0, 0
        self.waits = False

    def rest(self, wake: Any, key: Any) -> bool:
        self.rests += self.told
        return self.told

    def stirred(self) -> None:
        pass


class Told:
    """A wake that tells what a test wants."""

    def __init__(self) -> None:
        self.of: list[Any] | None = []
        self.forgotten: list[Any] = []

    def stirred(self, now: float) -> list[Any] | None:
        told, self.of = self.of, []
        return told

    def forget(self, key: Any) -> None:
        self.forgotten.append(key)


def tail(kind: str = "file", eager: bool = False, told: bool = False) -> Any:
    return Log(kind, eager, told)


def schedule_with(told: Any = None) -> Schedule:
    return Schedule(told or Told())


def looks(log: Any, rate: float, seconds: float = 20.0) -> int:
    """How often a log is looked at in which so many bytes of documents come a second."""
    told = Told()
    schedule, now, read, count = schedule_with(told), 0.0, 0.0, 0
    schedule.soon(log)
    while now < seconds:
        for each in schedule.due(now):
            count += 1
            found, read = int((now - read) * rate), now
            schedule.again(each, now, found)
        told.of = [log] if (now - read) * rate > 330 else []
        now += 0.001
    return count


@pytest.mark.parametrize(
    ("lines", "least", "most"), [(0, 1, 1.5), (1, 1, 2), (10, 8, 21), (100, 18, 41), (10_000, 18, 41)]
)
def test_looks_a_second_follow_what_is_found(lines: float, least: float, most: float) -> None:
    assert least <= looks(tail(), lines * 330) / 20 <= most


def test_a_file_that_came_back_full_is_read_at_once() -> None:
    schedule, log = schedule_with(), tail(eager=True)
    schedule.again(log, 5.0, 100_000)
    assert schedule.due(5.0) == [log]


def test_a_full_socket_is_read_ever_sooner_but_not_before_it_can_be_full_again() -> None:
    schedule, log = schedule_with(), tail("api", eager=True)
    log.interval = SLOWEST
    waits, now = [], 1.0
    for _ in range(8):
        schedule.again(log, now, 90_000)
        waits.append(log.due - now)
        now = log.due
    assert waits == sorted(waits, reverse=True)
    assert waits[0] <= TICK + 1e-9
    assert waits[-1] == pytest.approx(QUICKEST)


def quiet(schedule: Schedule, log: Any, start: float, seconds: float) -> list[float]:
    """When a log that has nothing is looked at."""
    looks, now = [], start
    while now < start + seconds:
        for each in schedule.due(now):
            looks.append(now - start)
            schedule.again(each, now, 0)
        now += 0.01
    return looks


def test_a_quiet_log_rests_until_something_is_told() -> None:
    told = Told()
    schedule, log = schedule_with(told), tail(told=True)
    schedule.soon(log)
    looks = quiet(schedule, log, 100.0, 20.0)
    assert looks[0] == 0
    assert looks[-1] < 1.0
    told.of = [log]
    assert schedule.due(121.0) == [log]
    schedule.again(log, 121.0, 330)
    assert quiet(schedule, log, 121.0, 20.0) == [], "a line now and then is one look"


def test_a_log_that_says_a_line_a_second_is_not_told_of() -> None:
    log = tail(told=True)
    assert 1 <= looks(log, 330) / 20 <= 2
    assert log.rests <= 1


def test_logs_that_speak_now_and_then_wake_the_process_together() -> None:
    schedule, logs, now = schedule_with(), [tail() for _ in range(20)], 100.0
    moments: set[float] = set()
    for number, log in enumerate(logs):
        log.spoke, log.interval = now, SLOWEST
        log.due = now + number / 20
        schedule.again(log, log.due, 400)
    while now < 110.0:
        for each in schedule.due(now):
            moments.add(now)
            schedule.again(each, now, 400)
        now += 0.01
    assert len(moments) <= 10 / SLOWEST + 2


def test_what_rests_is_looked_at_now_and_then_in_case_nobody_tells() -> None:
    schedule, log = schedule_with(), tail(told=True)
    schedule.soon(log)
    late = [look for look in quiet(schedule, log, 100.0, 3.5 * PATIENCE) if look > 1]
    assert len(late) == 3


def test_after_lost_events_all_are_looked_at() -> None:
    told = Told()
    schedule, logs = schedule_with(told), [tail(told=True) for _ in range(3)]
    for log in logs:
        schedule.soon(log)
    for log in logs:
        quiet(schedule, log, 100.0, 2.0)
    told.of = None
    assert schedule.due(103.0) == logs


def test_a_log_whose_changes_nobody_tells_is_looked_at_from_time_to_time() -> None:
    """A file system that lets itself be watched and tells nothing."""
    schedule, log, now = schedule_with(), tail(told=True), 100.0
    schedule.soon(log)
    for _ in range(DEAF):
        quiet(schedule, log, now, 5.0)
        now += PATIENCE + 5
        assert schedule.due(now) == [log]
        schedule.again(log, now, 330)
    assert len(quiet(schedule, log, now, 10.0)) >= 10


def test_a_closed_log_is_forgotten() -> None:
    told = Told()
    schedule, log = schedule_with(told), tail(told=True)
    schedule.soon(log)
    quiet(schedule, log, 100.0, 2.0)
    schedule.forget(log)
    told.of = [log]
    assert schedule.due(200.0) == []
    assert told.forgotten == [log]
