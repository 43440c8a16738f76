"""What can be asked of a store, whatever the backend: the query, its little language, and a matcher in plain Python.

    timeout "connection reset" conn*      words are ANDed; a phrase; a prefix
    timeout OR refused   (a OR b) c       either; grouping
    timeout -debug       NOT "a b"        exclusion
    service:web-* stream:stderr           filters; also container:, node: and any field, such as event.sequence:17,
    level:error fields.user:ann           http.response.status_code:500 (level: is log.level:)

Words are compared by tokens: maximal runs of letters and digits, case folded. So `10.0.0.1` is the phrase
`10 0 0 1`, and `foo` does not find `foobar`. A terminal's colour code (ESC [ … m) is no word, and no part of one.
Filters compare the whole value, case included; `*` stands for anything.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from towline.errors import UsageError
from towline.times import check_range, parse_time

__all__ = ["And", "Field", "Level", "Node", "Not", "Or", "Phrase", "Query", "matches", "parse", "parse_time", "tokens"]

_TOKEN = re.compile(r"[^\W_]+")
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
CONTAINER = "container"
"""The one field that is no document field: a container's name, or at least 8 hex digits that its id starts with."""
LOG_LEVEL = "log.level"


@dataclass(frozen=True)
class Phrase:
    """Tokens that follow one another in the message; with `prefix` the last one may go on."""

    tokens: tuple[str, ...]
    prefix: bool = False


@dataclass(frozen=True)
class Field:
    """A document field (dotted), or `container`, with this value. `*` is a wildcard unless `literal`."""

    name: str
    value: str
    literal: bool = False


@dataclass(frozen=True)
class And:
    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Or:
    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Not:
    part: "Node"


@dataclass(frozen=True)
class Level:
    """Lines of this level, as towline.levels has it: told by their `log.level`, else by the words in the message."""

    name: str


Node = Phrase | Field | And | Or | Not | Level


@dataclass(frozen=True)
class Query:
    """Documents wanted: each filter that is not empty must hold, by any one of its values (globs with `*`).

    since (inclusive) and until (exclusive) are RFC 3339 with nine digits and Z, as `parse_time` gives them.
    `limit` 0 means all. Raises UsageError where it can't be meant.
    """

    where: Node | None = None
    service: tuple[str, ...] = ()
    container: tuple[str, ...] = ()
    stream: tuple[str, ...] = ()
    node: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    order: str = "desc"
    limit: int = 100

    def __post_init__(self) -> None:
        if self.order not in ("asc", "desc"):
            raise UsageError(f"order {self.order!r}: use asc (oldest first) or desc (newest first)")
        if self.limit < 0:
            raise UsageError(f"limit {self.limit}: use a positive number, or 0 for all")
        check_range(self.since, self.until)

    @property
    def condition(self) -> Node | None:
        """`where` and the four filters as one tree; since and until are not in it."""
        filters = [
            either(tuple(Field(name, value) for value in values))
            for name, values in (("service.name", self.service), (CONTAINER, self.container),
                                 ("stream", self.stream), ("host.name", self.node)) if values]  # fmt: skip
        return both((*filters, self.where) if self.where else tuple(filters))


def both(parts: tuple[Node, ...]) -> Node | None:
    return parts[0] if len(parts) == 1 else And(parts) if parts else None


def either(parts: tuple[Node, ...]) -> Node:
    return parts[0] if len(parts) == 1 else Or(parts)


def parse(text: str) -> Node | None:
    """The tree of a query's text, None where it is blank; UsageError names the position and the fix."""
    from towline.syntax import Parser

    return Parser(text).parse()


def names(node: Node | None) -> set[str]:
    """The document fields that the tree asks about."""
    if isinstance(node, And | Or):
        return set().union(*(names(part) for part in node.parts))
    if isinstance(node, Not):
        return names(node.part)
    if isinstance(node, Level):
        return {LOG_LEVEL}
    return {node.name} if isinstance(node, Field) else set()


def tokens(text: str) -> list[str]:
    """The runs of letters and digits in `text` outside of colour codes, case folded."""
    return _TOKEN.findall((_COLOUR.sub(" ", text) if "\x1b" in text else text).casefold())


def matches(query: Query, document: Mapping[str, Any]) -> bool:
    """Whether the document is one that the query asks for (order and limit aside)."""
    stamp = str(document.get("@timestamp", ""))
    if (query.since and stamp < query.since) or (query.until and stamp >= query.until):
        return False
    condition = query.condition
    return condition is None or holds(condition, document)


def holds(node: Node, document: Mapping[str, Any], words: list[str] | None = None) -> bool:
    """Whether the tree is true of the document. `words`: the message's tokens, where the caller has them."""
    if isinstance(node, Field):
        return _field_holds(node, document)
    if words is None:
        words = tokens(str(document.get("message", "")))
    if isinstance(node, Phrase):
        return _phrase_holds(node, words)
    if isinstance(node, Level):
        from towline.levels import level_in

        return level_in(document, words) == node.name
    if isinstance(node, And):
        return all(holds(part, document, words) for part in node.parts)
    if isinstance(node, Or):
        return any(holds(part, document, words) for part in node.parts)
    return not holds(node.part, document, words)


def _phrase_holds(phrase: Phrase, words: list[str]) -> bool:
    wanted, size = list(phrase.tokens), len(phrase.tokens)
    if not phrase.prefix:
        if size == 1:
            return wanted[0] in words
        return any(words[at : at + size] == wanted for at in range(len(words) - size + 1))
    head, last = wanted[:-1], wanted[-1]
    return any(
        words[at : at + size - 1] == head and words[at + size - 1].startswith(last)
        for at in range(len(words) - size + 1)
    )


def _field_holds(field: Field, document: Mapping[str, Any]) -> bool:
    if field.name == CONTAINER:
        container = document.get("container") or {}
        return container_is(field, str(container.get("id", "")), str(container.get("name", "")))
    return any(value_is(field, value) for value in _values(document, field.name))


def container_is(field: Field, identity: str, name: str) -> bool:
    """Whether the `container` filter means the container of this id and name."""
    return value_is(field, name) or (
        len(field.value) >= 8 and identity.startswith(field.value.lower()) and bool(_HEX.fullmatch(field.value))
    )


_HEX = re.compile(r"[0-9a-fA-F]+")


def value_is(field: Field, value: Any) -> bool:
    """Whether one value of the document is the one that the filter asks for."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if field.literal or "*" not in field.value:
        return text == field.value
    return bool(_glob(field.value).fullmatch(text))


@lru_cache(maxsize=256)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in re.split(r"\*+", pattern)), re.DOTALL)


def _values(document: Any, path: str) -> Iterator[Any]:
    """The values at a dotted path; keys may hold dots themselves, as labels do. Of a list each element counts."""
    if isinstance(document, list):
        for each in document:
            yield from _values(each, path)
    if not isinstance(document, Mapping):
        return
    if path in document:
        yield from _leaves(document[path])
    at = path.find(".")
    while at >= 0:
        if path[:at] in document:
            yield from _values(document[path[:at]], path[at + 1 :])
        at = path.find(".", at + 1)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for each in value:
            yield from _leaves(each)
    elif value is not None and not isinstance(value, Mapping):
        yield value
