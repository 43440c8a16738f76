"""How severe a line is, told by the words in it: the same for every store, since it is a query of words.

A line that holds words of several levels has the most severe of them. What has none of these words has no level.
"""

from collections.abc import Iterable
from itertools import takewhile

from towline.errors import UsageError
from towline.query import And, Node, Not, Or, Phrase, either

LEVELS: dict[str, tuple[str, ...]] = {
    "error": ("error", "err", "errors", "fatal", "panic", "critical", "crit", "emerg", "exception", "traceback"),
    "warn": ("warn", "warning"),
    "info": ("info", "notice"),
    "debug": ("debug", "trace", "verbose"),
}
"""Words by level, most severe level first."""
UNKNOWN = "none"


def level_of(tokens: Iterable[str]) -> str:
    """The level of a message with these tokens (`towline.query.tokens`), or UNKNOWN."""
    present = set(tokens)
    return next((level for level, words in LEVELS.items() if not present.isdisjoint(words)), UNKNOWN)


def more_severe(level: str) -> tuple[str, ...]:
    """The words of all levels above `level` (all words for UNKNOWN)."""
    return tuple(word for above in takewhile(lambda each: each != level, LEVELS) for word in LEVELS[above])


def condition(levels: Iterable[str]) -> Node:
    """What is true of the lines that have one of these levels; UsageError for a level that is none."""
    return either(tuple(_condition(level) for level in levels))


def _condition(level: str) -> Node:
    if level not in (*LEVELS, UNKNOWN):
        raise UsageError(f"level {level!r}: use {', '.join(LEVELS)} or {UNKNOWN}")
    above = more_severe(level)
    excluded = (Not(_any(above)),) if above else ()
    own = (_any(LEVELS[level]),) if level in LEVELS else ()
    parts: tuple[Node, ...] = (*own, *excluded)
    return parts[0] if len(parts) == 1 else And(parts)


def _any(words: tuple[str, ...]) -> Node:
    return Or(tuple(Phrase((word,)) for word in words))
