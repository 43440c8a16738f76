"""How severe loggers say that a line is, as one word for `log.level`: whatever they write, it is one of LEVELS.

The numbers are told apart by their size: syslog (RFC 5424) has 0 to 7, pino and bunyan 10 to 60, Monolog 100 to 600 and
Google's logging 0 to 800 in the same order, Logback's and log4j's `level_value` 5000 to 50000.
"""

import re
from collections.abc import Mapping
from typing import Any

LEVELS = ("trace", "debug", "info", "notice", "warn", "error", "critical", "fatal", "alert", "emergency")
"""All values of `log.level`, mildest first."""

_WORDS: Mapping[str, tuple[str, ...]] = {
    "trace": ("trace", "trc", "verbose", "silly", "finest", "finer", "v", "t"),
    "debug": ("debug", "dbg", "fine", "d", "debug1", "debug2", "debug3", "debug4", "debug5"),
    "info": ("info", "inf", "information", "informational", "config", "i", "log", "http"),
    "notice": ("notice", "statement", "detail", "hint"),
    "warn": ("warn", "warning", "wrn", "w"),
    "error": ("error", "err", "severe", "e", "dpanic"),
    "critical": ("critical", "crit", "c"),
    "fatal": ("fatal", "ftl", "panic", "f"),
    "alert": ("alert",),
    "emergency": ("emergency", "emerg"),
}
"""npm, winston, zap (dpanic, panic), zerolog, Serilog (three letters, Verbose), java.util.logging (SEVERE … FINEST),
.NET (Information, Critical), PostgreSQL (LOG, STATEMENT, DEBUG1 … DEBUG5), glog and Android (one letter), syslog."""
_BY_WORD = {word: level for level, words in _WORDS.items() for word in words}
_BY_WORD |= {word.upper(): level for word, level in _BY_WORD.items()}
_BY_WORD |= {word.capitalize(): level for word, level in list(_BY_WORD.items())}

_SYSLOG = ("emergency", "alert", "critical", "error", "warn", "notice", "info", "debug")
_SCALES: tuple[tuple[int, Mapping[int, str]], ...] = (
    (60, {10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal"}),
    (800, {100: "debug", 200: "info", 250: "notice", 300: "warn", 400: "error", 500: "critical", 550: "alert",
           600: "emergency", 700: "alert", 800: "emergency"}),
    (50_000, {5000: "trace", 10_000: "debug", 20_000: "info", 30_000: "warn", 40_000: "error", 50_000: "fatal"}),
)  # fmt: skip
"""Largest number of each scale, and what its numbers mean."""
_OPEN_TELEMETRY = ("trace", "debug", "info", "warn", "error", "fatal")
_PYTHON = {10: "debug", 20: "info", 30: "warn", 40: "error", 50: "critical"}
_OFFSET = re.compile(r"([A-Za-z]{4,5})[+-]\d{1,3}")
"""slog writes a level between two of its own as INFO+2."""


def level_of(value: Any) -> str | None:
    """One of LEVELS; None where the value is no level. Words in any case, numbers as the scales above have them."""
    if type(value) is str:
        return _BY_WORD.get(value) or _of_word(value)
    return _of_number(value) if type(value) is int else None


def exact(value: Any) -> bool:
    """Whether the level says all that the value did: not so for a logger's own level between two others."""
    if type(value) is str:
        return value.strip(" []").lower() in _BY_WORD or (value.isdigit() and exact(int(value)))
    return 0 <= value <= 7 or any(value in scale for _, scale in _SCALES)


def of_python(number: Any) -> str | None:
    """The level of `levelno`, as Python's logging numbers it: 10 is DEBUG there, not trace."""
    return _PYTHON.get(number) if type(number) is int else None


def of_open_telemetry(number: Any) -> str | None:
    """The level of a SeverityNumber, 1 to 24, four for each level (OpenTelemetry logs data model)."""
    return _OPEN_TELEMETRY[(number - 1) // 4] if type(number) is int and 1 <= number <= 24 else None


def _of_word(text: str) -> str | None:
    if len(text) > 20:
        return None
    word = text.strip(" []").lower()
    if word.isascii() and word.isdigit():
        return _of_number(int(word))
    if found := _OFFSET.fullmatch(word):
        word = found[1]
    return _BY_WORD.get(word)


def _of_number(number: int) -> str | None:
    if 0 <= number < len(_SYSLOG):
        return _SYSLOG[number]
    for largest, scale in _SCALES:
        if number <= largest:
            return next((scale[step] for step in sorted(scale, reverse=True) if step <= number), None)
    return None
