"""How much of a backlog goes to the queue: little while others' lines wait there, much while none do."""

import pytest

from shipper.hold import DEEP, EVERY, LEAST, MOST, SHALLOW, Hold, stamp_of


class Queue:
    """One that is emptied at a steady rate, and filled by those who hold back."""

    def __init__(self, per_look: int) -> None:
        self.messages = 0.0
        self._per_look = per_look

    def waiting(self) -> int:
        return int(self.messages)

    def look(self, holds: list[Hold], now: float) -> int:
        """What all put into it until the next look."""
        put = 0
        for hold in holds:
            while hold.may_go(now):
                hold.gone(LEAST)
                put += 1
        self.messages = max(0.0, self.messages + put - self._per_look)
        return put


@pytest.mark.parametrize(("shippers", "per_look"), [(1, 5), (1, 10), (8, 10), (30, 40)])
def test_the_queue_stays_busy_and_shallow_however_many_have_a_backlog(shippers: int, per_look: int) -> None:
    queue = Queue(per_look)
    holds = [Hold(queue.waiting) for _ in range(shippers)]
    now, put, deepest = 0.0, 0, 0.0
    for look in range(400):
        count = queue.look(holds, now)
        now += EVERY
        if look >= 40:
            put += count
            deepest = max(deepest, queue.messages)
    assert put >= 0.75 * 360 * per_look
    assert deepest <= DEEP + max(MOST // LEAST, 3 * shippers)


def test_nothing_is_held_where_nothing_can_wait() -> None:
    hold = Hold(lambda: None)
    for _ in range(1000):
        assert hold.may_go(1.0)
        hold.gone(LEAST)


def test_a_queue_that_empties_is_used_more_and_more() -> None:
    hold = Hold(lambda: SHALLOW)
    taken = []
    for look in range(20):
        taken.append(0)
        while hold.may_go(look * EVERY):
            hold.gone(LEAST)
            taken[-1] += 1
    assert taken == sorted(taken)
    assert taken[-1] == MOST // LEAST


def test_small_batches_count_as_little_as_they_are() -> None:
    hold = Hold(lambda: 0)
    taken = 0
    while hold.may_go(EVERY):
        hold.gone(1000)
        taken += 1
    assert taken > 2000


def test_stamps_compare_as_the_engine_writes_them() -> None:
    assert "2026-11-23T00:24:59.999999999Z" < stamp_of(1795393500) < "2026-11-23T00:25:00.000000001Z"
