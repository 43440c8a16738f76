"""Words and numbers of loggers become one of a few levels."""

import logging
from typing import Any

import pytest

from shipper.rules.levels import LEVELS, exact, level_of, of_open_telemetry, of_python


@pytest.mark.parametrize(
    ("written", "level"),
    [
        ("ERROR", "error"), ("Err", "error"), ("err", "error"), ("SEVERE", "error"), ("E", "error"), ("dpanic",
        "error"),
        ("warning", "warn"), ("WARN", "warn"), ("WRN", "warn"), ("W", "warn"), ("[warn]", "warn"), (" Warning ",
        "warn"),
        ("Information", "info"), ("INF", "info"), ("informational", "info"), ("LOG", "info"), ("CONFIG", "info"),
        ("notice", "notice"), ("NOTICE", "notice"),
        ("debug", "debug"), ("DEBUG5", "debug"), ("FINE", "debug"), ("dbg", "debug"),
        ("trace", "trace"), ("Verbose", "trace"), ("silly", "trace"), ("FINEST", "trace"),
        ("fatal", "fatal"), ("FTL", "fatal"), ("panic", "fatal"), ("F", "fatal"),
        ("CRITICAL", "critical"), ("crit", "critical"), ("alert", "alert"), ("emerg", "emergency"),
        ("INFO+2", "info"), ("DEBUG-4", "debug"), ("ERROR+1", "error"),
        (10, "trace"), (20, "debug"), (30, "info"), (40, "warn"), (50, "error"), (60, "fatal"), (35, "info"),
        (0, "emergency"), (3, "error"), (4, "warn"), (6, "info"), (7, "debug"),
        (100, "debug"), (250, "notice"), (400, "error"), (600, "emergency"),
        (20000, "info"), (40000, "error"), ("30", "info"), ("6", "info"),
    ],
)  # fmt: skip
def test_a_logger_s_own_level_has_a_common_name(written: Any, level: str) -> None:
    assert level_of(written) == level
    assert level in LEVELS


@pytest.mark.parametrize(
    "value",
    ["", "banana", "error: it broke", "x" * (1 << 20), -1, 8, 9, 60_000, 1 << 70, True, None, 1.5, ["error"], "²"],
)
def test_what_is_no_level_has_none(value: Any) -> None:
    assert level_of(value) is None


def test_a_level_between_two_is_not_told_exactly() -> None:
    assert exact("INFO")
    assert exact(30)
    assert exact("30")
    assert exact(" [warn]")
    assert not exact("INFO+2")
    assert not exact(35)
    assert not exact("35")


def test_python_s_numbers_are_what_its_logging_calls_them() -> None:
    names = {10: "debug", 20: "info", 30: "warn", 40: "error", 50: "critical"}
    for number, level in names.items():
        assert of_python(number) == level == level_of(logging.getLevelName(number))
    assert of_python(11) is None
    assert of_python("10") is None


def test_open_telemetry_has_four_numbers_for_each_level() -> None:
    assert [of_open_telemetry(number) for number in (1, 4, 5, 9, 13, 17, 21, 24)] == [
        "trace", "trace", "debug", "info", "warn", "error", "fatal", "fatal"]  # fmt: skip
    assert of_open_telemetry(0) is of_open_telemetry(25) is None
