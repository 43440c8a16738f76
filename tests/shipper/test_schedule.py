"""When a log is looked at again: often where much comes, seldom where little does."""

from types import SimpleNamespace
from typing import Any

import pytest

from shipper.schedule import QUICKEST, SLOWEST, TICK, Schedule


def tail(kind: str = "file", eager: bool = False) -> Any:
    return SimpleNamespace(source=SimpleNamespace(kind=kind, eager=eager), interval=0.0, due=0.0)


def looks(log: Any, rate: float, seconds: float = 20.0) -> int:
    """How often a log is looked at in which so many bytes of documents come a second."""
    schedule, now, read, count = Schedule(), 0.0, 0.0, 0
    schedule.soon(log)
    while now < seconds:
        for each in schedule.due(now):
            count += 1
            found, read = int((now - read) * rate), now
            schedule.again(each, now, found)
        now += 0.001
    return count


@pytest.mark.parametrize(
    ("lines", "least", "most"), [(0, 1, 1.5), (1, 1, 2), (10, 8, 21), (100, 18, 41), (10_000, 18, 41)]
)
def test_looks_a_second_follow_what_is_found(lines: float, least: float, most: float) -> None:
    assert least <= looks(tail(), lines * 330) / 20 <= most


def test_a_file_that_came_back_full_is_read_at_once() -> None:
    schedule, log = Schedule(), tail(eager=True)
    schedule.again(log, 5.0, 100_000)
    assert schedule.due(5.0) == [log]


def test_a_full_socket_is_read_ever_sooner_but_not_before_it_can_be_full_again() -> None:
    schedule, log = Schedule(), tail("api", eager=True)
    log.interval = SLOWEST
    waits, now = [], 1.0
    for _ in range(8):
        schedule.again(log, now, 90_000)
        waits.append(log.due - now)
        now = log.due
    assert waits == sorted(waits, reverse=True)
    assert waits[0] <= TICK + 1e-9
    assert waits[-1] == pytest.approx(QUICKEST)
