"""A query's tree as Elasticsearch's query: what it finds holds all that matches, and is judged again by `matches`.

Below a NOT the translation errs to the other side, so that the whole still holds everything.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

from towline.fields import IP, KEYWORD, LONG, REST, fits
from towline.levels import tree
from towline.query import CONTAINER, And, Field, Level, Node, Not, Or, Phrase, Query
from towline.stores.es_fields import HEADERS, LATER, MAX_KEYWORD, NODE_LABELS, column

Clause = dict[str, Any]
ALL: Clause = {"match_all": {}}
NONE: Clause = {"match_none": {}}
FIRST, LAST = "1970-01-01T00:00:00.000000000Z", "2262-01-01T00:00:00.000000000Z"
"""The range of `date_nanos`; a range query beyond it is an error."""

_KEYWORDS = frozenset({
    "stream", "container.id", "container.name", "container.image.name", "host.name", "service.name", "event.kind",
    "event.action", "event.reason", "orchestrator.type", "orchestrator.namespace", "orchestrator.cluster.id",
    "orchestrator.cluster.name", "orchestrator.resource.type", "orchestrator.resource.name",
    "orchestrator.resource.id", "orchestrator.task.id", "orchestrator.task.name", "orchestrator.node.id",
    "data_stream.type", "data_stream.dataset", "data_stream.namespace",
    *(name for name, kind in LATER.items() if kind == KEYWORD)})  # fmt: skip
_LONGS = frozenset({"event.sequence", "orchestrator.task.slot", *(name for name in LATER if LATER[name] == LONG)})
_FLAT = ("container.labels", REST, HEADERS, NODE_LABELS)
_POWER = re.compile(r"[-+.\d]+e[-+\d]+", re.IGNORECASE)
"""A number whose text may be another one in the document."""
_TWICE = {"ss": ("ss", "ß", "ẞ"), "σ": ("σ", "ς")}
"""What Python folds into one and the server's lowercase keeps apart."""


@dataclass
class Translation:
    """`words`: whether the message is cut into words as `towline.query.tokens` does it (the server's own way splits
    less, and words inside of its longer ones are found by going through all that it has)."""

    words: bool
    lacking: frozenset[str] = frozenset()
    """Of the fields in es_fields.LATER that the query names, those that some index has no mapping of."""
    runtime: dict[str, Clause] = field(default_factory=dict)
    """Fields that are not mapped: the server reads them from the documents."""

    @property
    def extra(self) -> dict[str, Any]:
        """What else a search request needs, after `query`."""
        return {"runtime_mappings": self.runtime} if self.runtime else {}

    def query(self, query: Query) -> Clause:
        filters = _range(query)
        if query.condition is not None:
            filters.append(self.node(query.condition, wide=True))
        return {"bool": {"filter": filters}} if filters else ALL

    def node(self, node: Node, wide: bool) -> Clause:
        """wide: at least all that matches; else at most that."""
        if isinstance(node, And):
            return {"bool": {"filter": [self.node(part, wide) for part in node.parts]}}
        if isinstance(node, Or):
            return _any([self.node(part, wide) for part in node.parts])
        if isinstance(node, Not):
            return {"bool": {"must_not": [self.node(node.part, not wide)]}}
        if isinstance(node, Level):
            return self.node(tree(node.name), wide)
        return self._phrase(node, wide) if isinstance(node, Phrase) else self._field(node, wide)

    def _phrase(self, phrase: Phrase, wide: bool) -> Clause:
        exact = self.words and all(token.isascii() for token in phrase.tokens)
        *head, last = phrase.tokens
        if not wide:
            if phrase.prefix or not (exact or (not head and last.isascii())):
                return NONE
            return _uncoloured(phrase.tokens)
        plain = exact and not phrase.prefix and not any(_folded(token) for token in phrase.tokens)
        parts = [self._token(token) for token in head] + [self._prefix(last) if phrase.prefix else self._token(last)]
        if len(parts) == 1:
            return parts[0]
        apart: Clause = {"bool": {"filter": [*parts, COLOURED] if plain else parts}}
        return _any([_whole(phrase.tokens), apart]) if plain else apart

    def _token(self, token: str) -> Clause:
        spellings = list(_spellings(token))
        clauses: list[Clause] = [{"terms": {"message": spellings}}]
        if self.words:
            clauses += [_regexp(f"{CODE}{_quoted(spelling)}") for spelling in spellings]
        else:
            clauses += [{"match_phrase": {"message": token}}] if not token.isascii() else []
            clauses += [_inside(spelling, f"([^a-z0-9]{_ANY})?") for spelling in spellings]
        return _any(clauses)

    def _prefix(self, token: str) -> Clause:
        spellings = list(_spellings(token))
        clauses: list[Clause] = [{"prefix": {"message": spelling}} for spelling in spellings]
        if self.words:
            clauses += [_regexp(f"{CODE}{_quoted(spelling)}{_ANY}") for spelling in spellings]
        else:
            if not token.isascii():
                return ALL
            clauses += [_inside(spelling, _ANY) for spelling in spellings]
        return _any(clauses)

    def _field(self, wanted: Field, wide: bool) -> Clause:
        if wanted.name == CONTAINER:
            return self._container(wanted, wide)
        value, pattern = wanted.value, "*" in wanted.value and not wanted.literal
        if len(value) > MAX_KEYWORD // 4:  # ignore_above counts characters, but let nobody rely on it
            return ALL if wide else NONE
        if column(wanted.name) in self.lacking:
            return self._unmapped(wanted, pattern, wide)
        if wanted.name in _LONGS and not pattern:
            return {"term": {wanted.name: int(value)}} if _is_long(value) else NONE
        if wanted.name in _KEYWORDS:
            if pattern and wide:  # a value too long for the index may match
                return _any([_wildcard(wanted.name, value), _too_long(wanted.name)])
            return _wildcard(wanted.name, value) if pattern else {"term": {wanted.name: value}}
        flat = next((flat for flat in _FLAT if wanted.name.startswith(f"{flat}.")), "")
        if flat:
            return self._flat(flat, wanted, pattern, wide)
        if wanted.name in LATER:
            return self._odd(wanted, pattern, wide)
        return self._unmapped(wanted, pattern, wide)

    def _container(self, wanted: Field, wide: bool) -> Clause:
        clauses = [self._field(Field("container.name", wanted.value, wanted.literal), wide)]
        if len(wanted.value) >= 8 and all(sign in "0123456789abcdefABCDEF" for sign in wanted.value):
            clauses.append({"prefix": {"container.id": wanted.value.lower()}})
        return _any(clauses)

    def _flat(self, flat: str, wanted: Field, pattern: bool, wide: bool) -> Clause:
        """Of what is below a `flattened` field each value is one word, whatever it was; patterns it can't look for."""
        if not pattern and not _POWER.fullmatch(wanted.value):
            return {"term": {wanted.name: wanted.value}}
        return {"exists": {"field": flat}} if wide else NONE

    def _odd(self, wanted: Field, pattern: bool, wide: bool) -> Clause:
        """Fields whose text the server has in another form than the document: addresses, times, long texts."""
        if LATER[wanted.name] == IP and not pattern:
            return {"term": {wanted.name: wanted.value}} if wide and fits(wanted.name, wanted.value) else NONE
        return _any([{"exists": {"field": wanted.name}}, _too_long(wanted.name)]) if wide else NONE

    def _unmapped(self, wanted: Field, pattern: bool, wide: bool) -> Clause:
        if not wide:
            return NONE
        if pattern or wanted.name in ("@timestamp", "message") or wanted.name in _LONGS:
            return ALL
        if not wanted.name.isascii() or not all(part.strip() for part in wanted.name.split(".")) or "*" in wanted.name:
            return ALL
        self.runtime[wanted.name] = {"type": "keyword"}
        return {"term": {wanted.name: wanted.value}}


_ANY = ".*"
CODE = "[0-9]{0,3}m"
"""The end of a colour code: to the server it is a part of the word behind it (`31merror`), or a word."""


def _regexp(pattern: str) -> Clause:
    return {"regexp": {"message": {"value": pattern, "flags": "NONE"}}}


COLOURED = _regexp(f"[0-9]{{1,3}}m{_ANY}|m")
"""What holds for each line with a colour code, and for some others."""
_OF_CODE = re.compile(r"\d{1,3}|\d{0,3}m.*", re.DOTALL)


def _inside(token: str, after: str) -> Clause:
    """A term of the server's that holds the token, between other signs than letters and digits, or behind a code."""
    return _regexp(f"({_ANY}[^a-z0-9])?({CODE})?{_quoted(token)}{after}")


def _uncoloured(tokens: tuple[str, ...]) -> Clause:
    """At most the lines with these tokens: where the server's words may be those of a colour code, none with any."""
    found = _whole(tokens)
    if not any(_OF_CODE.fullmatch(token) for token in tokens):
        return found
    return {"bool": {"filter": [found], "must_not": [COLOURED]}}


def _quoted(text: str) -> str:
    return "".join(sign if sign.isalnum() else "\\" + sign for sign in text)


def _whole(tokens: tuple[str, ...]) -> Clause:
    if len(tokens) == 1:
        return {"term": {"message": tokens[0]}}
    return {"match_phrase": {"message": " ".join(tokens)}}


def _folded(token: str) -> bool:
    return any(each in token for each in _TWICE)


def _spellings(token: str) -> Iterator[str]:
    """The ways in which the server may have written the token, at most 32."""
    pieces: list[tuple[str, ...]] = []
    at = 0
    while at < len(token):
        each = next((each for each in _TWICE if token.startswith(each, at)), None)
        pieces.append(_TWICE[each] if each else (token[at],))
        at += len(each) if each else 1
    return islice(("".join(spelling) for spelling in product(*pieces)), 32)


def _any(clauses: list[Clause]) -> Clause:
    return clauses[0] if len(clauses) == 1 else {"bool": {"should": clauses, "minimum_should_match": 1}}


def _wildcard(name: str, value: str) -> Clause:
    escaped = value.replace("\\", "\\\\").replace("?", "\\?")
    return {"wildcard": {name: {"value": escaped}}}


def _too_long(name: str) -> Clause:
    """Of a field that is not in the index: too long for it, or of another kind."""
    return {"term": {"_ignored": name}}


def _is_long(value: str) -> bool:
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20):
        return False
    return str(int(digits)) == digits and -(1 << 63) <= int(value) < 1 << 63


def _range(query: Query) -> list[Clause]:
    if query.since is None and query.until is None:
        return []
    if (query.since or "") >= LAST or (query.until or LAST) <= FIRST:
        return [NONE]
    limits = {}
    if query.since and query.since > FIRST:
        limits["gte"] = query.since
    if query.until and query.until < LAST:
        limits["lt"] = query.until
    return [{"range": {"@timestamp": limits}}] if limits else []
