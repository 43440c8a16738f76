"""A query's tree, made into what one partition can look up: an FTS5 expression and the origins worth reading.

Both err on the side of too much; what is found is judged once more by `towline.query.holds`.
"""

import sqlite3
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from towline.levels import LEVELS, more_severe
from towline.query import CONTAINER, And, Field, Level, Node, Not, Or, Phrase, holds
from towline.stores.sqlite_blocks import LETTERS

MAX_SOURCES_IN_EXPRESSION = 64
"""Beyond so many origins it is cheaper to drop lines after the word index has answered."""


@dataclass(frozen=True)
class Plan:
    """`words` None: every line may match, but for those of `unwanted`. `sources` None: every origin may.

    `judge` False: what is found matches.
    """

    words: str | None = None
    unwanted: str | None = None
    sources: frozenset[int] | None = None
    judge: bool = False

    @property
    def empty(self) -> bool:
        return self.sources is not None and not self.sources


def plan(connection: sqlite3.Connection, condition: Node | None) -> Plan:
    """The plan for the partition behind the connection."""
    if condition is None:
        return Plan()
    origins = _origins(connection) if _has_field(condition) else {}
    sources = frozenset(key for key, origin in origins.items() if _possible(condition, origin) is not False)
    words = _upper(condition, lambda field: _sources_of(field, origins))
    unwanted = None if words else _unwanted(condition, lambda field: _sources_of(field, origins))
    if origins and len(sources) < len(origins):
        narrow = _either_source(sources)
        words = f"({words}) AND {narrow}" if words and narrow else words
        return Plan(words, unwanted, sources, True)
    return Plan(words, unwanted, None, True)


def decided(connection: sqlite3.Connection, condition: Node | None) -> frozenset[int] | None:
    """The origins all of whose lines match, where no other line does; None where that depends on the lines."""
    origins = _origins(connection)
    if condition is None:
        return frozenset(origins)
    answers = {key: _possible(condition, origin) for key, origin in origins.items()}
    return None if None in answers.values() else frozenset(key for key, answer in answers.items() if answer)


def _origins(connection: sqlite3.Connection) -> dict[int, Mapping[str, Any]]:
    return {row[0]: orjson.loads(row[1]) for row in connection.execute("SELECT id, json FROM sources")}


def _has_field(node: Node) -> bool:
    if isinstance(node, And | Or):
        return any(_has_field(part) for part in node.parts)
    return _has_field(node.part) if isinstance(node, Not) else isinstance(node, Field) and _of_origin(node)


def _of_origin(field: Field) -> bool:
    """Whether the origin alone decides the field: what the shipper puts there wins over the line's own."""
    return field.name in (CONTAINER, "service.name", "host.name")


def _possible(node: Node, origin: Mapping[str, Any]) -> bool | None:
    """Whether a line of this origin can match: True, False, or None where that depends on the line."""
    if isinstance(node, Phrase | Level):
        return None
    if isinstance(node, Field):
        return holds(node, origin, []) if _of_origin(node) else None
    if isinstance(node, Not):
        inner = _possible(node.part, origin)
        return None if inner is None else not inner
    parts = [_possible(part, origin) for part in node.parts]
    deciding = isinstance(node, Or)
    if deciding in parts:
        return deciding
    return None if None in parts else not deciding


def _sources_of(field: Field, origins: Mapping[int, Mapping[str, Any]]) -> frozenset[int] | None:
    if not _of_origin(field):
        return None
    return frozenset(key for key, origin in origins.items() if holds(field, origin, []))


Sources = Callable[[Field], frozenset[int] | None]
_NOTHING = 'source : "none"'


def _either_source(sources: Collection[int]) -> str | None:
    if len(sources) > MAX_SOURCES_IN_EXPRESSION:
        return None
    return "(" + (" OR ".join(f'source : "s{key}"' for key in sorted(sources)) or _NOTHING) + ")"


def of_level(level: str) -> str:
    """An expression for the lines of this level: those whose own field says it, and those that only words tell of."""
    words = " OR ".join(f'message : "{word}"' for word in LEVELS[level])
    letters = [f'source : "{letter}"' for letter in LETTERS.values()]
    others = " OR ".join([*letters, *(f'message : "{word}"' for word in more_severe(level))])
    return f'(source : "{LETTERS[level]}" OR (({words}) NOT ({others})))'


def _phrase(phrase: Phrase) -> str:
    return f'message : "{" ".join(phrase.tokens)}"{" *" if phrase.prefix else ""}'


def _upper(node: Node, sources: Sources) -> str | None:
    """An expression for at least the lines that match; None: all lines."""
    if isinstance(node, Phrase):
        return _phrase(node)
    if isinstance(node, Level):
        return of_level(node.name)
    if isinstance(node, Field):
        return _exact_field(node, sources)
    if isinstance(node, Not):
        return None
    if isinstance(node, Or):
        either = [_upper(part, sources) for part in node.parts]
        return None if None in either else "(" + " OR ".join(part for part in either if part) + ")"
    wanted = [found for part in node.parts if (found := _upper(part, sources)) is not None]
    unwanted = [found for part in node.parts if isinstance(part, Not) and (found := _lower(part.part, sources))]
    if not wanted:
        return None
    expression = "(" + " AND ".join(wanted) + ")"
    return f"({expression} NOT ({' OR '.join(unwanted)}))" if unwanted else expression


def _unwanted(node: Node, sources: Sources) -> str | None:
    """An expression for lines that can't match, where the tree says so: what it only excludes."""
    parts = node.parts if isinstance(node, And) else (node,)
    found = [text for part in parts if isinstance(part, Not) and (text := _lower(part.part, sources))]
    return " OR ".join(found) or None


def _lower(node: Node, sources: Sources) -> str | None:
    """An expression for at most the lines that match; None: no line for certain."""
    if isinstance(node, Phrase):
        # A word of letters that the index folds in another way might stand for more than it should.
        return _phrase(node) if all(token.isascii() for token in node.tokens) else None
    if isinstance(node, Level):
        return of_level(node.name)
    if isinstance(node, Field):
        return _exact_field(node, sources)
    if isinstance(node, Not):
        return None
    parts = [_lower(part, sources) for part in node.parts]
    found = [part for part in parts if part]
    if isinstance(node, And):
        return "(" + " AND ".join(found) + ")" if len(found) == len(parts) else None
    return "(" + " OR ".join(found) + ")" if found else None


def _exact_field(field: Field, sources: Sources) -> str | None:
    keys = sources(field)
    return None if keys is None else _either_source(keys)
