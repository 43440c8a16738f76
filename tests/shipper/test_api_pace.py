"""When a log is rotated so quickly that the engine's follower of it may skip whole files."""

import pytest

from shipper.sources.api_pace import LAG, Pace

SIZE = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("files_in_lag", "quick"), [(0.5, False), (0.9, False), (1.5, True), (100.0, True)])
def test_a_log_is_quick_that_fills_more_than_a_file_while_a_follower_may_lag(files_in_lag: float, quick: bool) -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(200):
        clock.now += 0.1
        pace.took(int(files_in_lag * SIZE * 0.1 / LAG), SIZE)
    assert pace.is_quick(SIZE) is quick


def test_half_a_file_at_once_is_quick_and_is_over_soon() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.took(SIZE // 2 + 1, SIZE)
    assert pace.is_quick(SIZE)
    clock.now += 0.1
    assert not pace.is_quick(SIZE)


def test_a_long_backlog_counts_for_no_longer_than_a_file() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.took(1000 * SIZE, SIZE)
    clock.now += LAG / 2 - 0.1
    assert pace.is_quick(SIZE)
    clock.now += 0.2
    assert not pace.is_quick(SIZE)
