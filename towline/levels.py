"""How severe a line is: what its `log.level` says, else the words in it. The same for every store.

A line that holds words of several levels has the most severe of them. What has none of these words has no level.
"""

from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any

from towline.errors import UsageError
from towline.query import LOG_LEVEL, And, Field, Level, Node, Not, Or, Phrase, either, tokens

LEVELS: dict[str, tuple[str, ...]] = {
    "error": ("error", "err", "errors", "fatal", "panic", "critical", "crit", "emerg", "exception", "traceback"),
    "warn": ("warn", "warning"),
    "info": ("info", "notice"),
    "debug": ("debug", "trace", "verbose"),
}
"""Words by level, most severe level first."""
TOLD: dict[str, tuple[str, ...]] = {**LEVELS, "error": (*LEVELS["error"], "alert", "emergency")}
"""Values of `log.level` by level: all that parsers give (shipper.rules.levels). With another one the words count."""
_BY_VALUE = {value: level for level, values in TOLD.items() for value in values}
UNKNOWN = "none"


def level_of(tokens: Iterable[str]) -> str:
    """The level of a message with these tokens (`towline.query.tokens`), or UNKNOWN."""
    present = set(tokens)
    return next((level for level, words in LEVELS.items() if not present.isdisjoint(words)), UNKNOWN)


def told(document: Mapping[str, Any]) -> str | None:
    """The level that the line's `log.level` says; None where it has none, or one that is no level."""
    log = document.get("log")
    said = log.get("level") if isinstance(log, Mapping) else None
    return _BY_VALUE.get(said) if isinstance(said, str) else None


def level_in(document: Mapping[str, Any], words: Iterable[str] | None = None) -> str:
    """The level of a line, or UNKNOWN. `words`: the message's tokens, where the caller has them."""
    return told(document) or level_of(tokens(str(document.get("message", ""))) if words is None else words)


def more_severe(level: str) -> tuple[str, ...]:
    """The words of all levels above `level` (all words for UNKNOWN)."""
    return tuple(word for above in takewhile(lambda each: each != level, LEVELS) for word in LEVELS[above])


def condition(levels: Iterable[str]) -> Node:
    """What is true of the lines that have one of these levels; UsageError for a level that is none."""
    return either(tuple(_condition(level) for level in levels))


def _condition(level: str) -> Node:
    if level not in (*LEVELS, UNKNOWN):
        raise UsageError(f"level {level!r}: use {', '.join(LEVELS)} or {UNKNOWN}")
    return Level(level) if level in LEVELS else Not(Or(tuple(map(Level, LEVELS))))


def tree(level: str) -> Node:
    """What Level(level) means, of fields and words alone."""
    above = more_severe(level)
    excluded = (Not(_any(above)),) if above else ()
    worded = And((_any(LEVELS[level]), *excluded, Not(Or(_said(_BY_VALUE)))))
    return Or((*_said(TOLD[level]), worded))


def _said(values: Iterable[str]) -> tuple[Node, ...]:
    return tuple(Field(LOG_LEVEL, value, literal=True) for value in values)


def _any(words: tuple[str, ...]) -> Node:
    return Or(tuple(Phrase((word,)) for word in words))
