"""Columns of texts, and JSON values, without the secrets in them.

What is written with escapes (`bob\\u0040example.com`, `https:\\/\\/user:word@host`) is found as well, several times
nested too: each text with a backslash is looked through a second time as somebody reads it who undoes them.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from math import inf
from typing import Any

import orjson

from shipper.rules.among import among
from shipper.rules.ready_secrets import SEPARATOR, Kind, replaced, unescaped
from towline.fields import FIELDS

LONGEST_CPU = 0.5
"""CPU seconds that a pattern of the user's may take for one line; one match is linear, many of them need not be."""
_LARGE = 1e12
"""The smallest number with 13 digits, which the shortest card numbers have."""
_SEPARATOR = SEPARATOR.decode()
_SCALAR = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]*')
"""A string or a number of a valid JSON document; in one that is not, an end that is missing could take long."""


class TooSlowError(Exception):
    """A pattern took longer for a line than any may."""


class Secrets:
    """Finds and replaces. clock: CPU seconds of this thread."""

    def __init__(
        self, ready: Sequence[Kind], patterns: Sequence[Kind], clock: Callable[[], float] = time.thread_time
    ) -> None:
        self._ready = ready
        self._patterns = patterns
        self._clock = clock

    def texts(self, column: Sequence[str]) -> tuple[list[str], Counter[str]]:
        """The texts without secrets, and how many there were by kind. What was JSON still is, if that is possible."""
        found, counts = self._scan(column)
        for index, (old, new) in enumerate(zip(column, found, strict=True)) if counts else ():
            if new != old and _like_json(old):
                found[index], more = self._still_json(old, new)
                counts += more
        return found, counts + self._scan_read(found)

    def hidden(self, column: Sequence[str]) -> tuple[list[str], Counter[str]]:
        """As `texts`, of texts that are part of something else."""
        found, counts = self._scan(column)
        return found, counts + self._scan_read(found)

    def all_fields(self, column: Sequence[Mapping[str, Any]]) -> tuple[list[Any], Counter[str]]:
        """Fields without secrets in strings, names and numbers, and how many there were by kind."""
        names = set[str]().union(*column) - FIELDS.keys()
        texts = list(names)
        for found in column:
            for value in found.values():
                if type(value) is str:
                    texts.append(value)
                else:
                    self._leaves(value, texts)
        hidden, counts = self.hidden(texts)
        if not counts:
            return list(column), counts
        changes = {old: new for old, new in zip(texts, hidden, strict=True) if old != new}
        return [_changed(found, changes) for found in column], counts

    def _leaves(self, value: Any, into: list[str]) -> None:
        """All texts in a JSON value: strings, names, and the numbers that may be secrets."""
        if type(value) is str:
            into.append(value)
        elif type(value) is dict:
            into += value.keys()
            for inside in value.values():
                self._leaves(inside, into)
        elif type(value) is list:
            for inside in value:
                self._leaves(inside, into)
        elif self._patterns or (type(value) in (int, float) and abs(value) >= _LARGE):
            into.append(_shown(value))

    def _scan_read(self, column: list[str]) -> Counter[str]:
        """Hide in the column what only shows without its escapes; how many there were."""
        escaped = [index for index, text in enumerate(column) if "\\" in text]
        if not escaped:
            return Counter()
        read = [_reading(column[index]) for index in escaped]
        found, counts = self._scan(read)
        for index, old, new in zip(escaped, read, found, strict=True) if counts else ():
            if new != old:
                column[index] = self._within_json(column[index], new)
        return counts

    def _scan(self, column: Sequence[str]) -> tuple[list[str], Counter[str]]:
        found, counts = self._scan_ready(column)
        for kind in self._patterns:
            for index in sorted(among([search.regex for search in kind.searches], found)):
                data, count = replaced(_encoded(found[index]), kind, _Budget(self._clock).spend)
                if count:
                    found[index] = data.decode()
                    counts[kind.name] += count
        return found, counts

    def _scan_ready(self, column: Sequence[str]) -> tuple[list[str], Counter[str]]:
        counts: Counter[str] = Counter()
        data = _encoded(_SEPARATOR.join(column))
        for kind in self._ready:
            data, count = replaced(data, kind)
            if count:
                counts[kind.name] += count
        if not counts:
            return list(column), counts
        found = data.decode().split(_SEPARATOR)
        if len(found) != len(column):  # it also stands in a text
            found = [self._alone(text) for text in column]
        return found, counts

    def _alone(self, text: str) -> str:
        data = _encoded(text)
        for kind in self._ready:
            data, _ = replaced(data, kind)
        return data.decode()

    def _still_json(self, old: str, new: str) -> tuple[str, Counter[str]]:
        """`new`, or where it is no JSON any more (a number became a word), the same secrets hidden in its values; and
        those that were hidden beyond what `new` hides."""
        if _is_json(new) or not _is_json(old):
            return new, Counter()
        (text,), _ = self._scan([self._in_values(old)])
        if not _is_json(text):
            return new, Counter()
        return text, self._scan_read([new])

    def _within_json(self, old: str, read: str) -> str:
        """`read`, which has lost its escapes, or where `old` is JSON, the same secrets hidden in its values."""
        if not _like_json(old) or not _is_json(old):
            return read
        text = self._in_values(old)
        return read if self._scan([_reading(text)])[1] else text

    def _in_values(self, text: str) -> str:
        """JSON without secrets in its strings and numbers; everything else as it was written."""
        places = list(_SCALAR.finditer(text))
        values = [_shown(orjson.loads(place[0])) for place in places]
        parts, done = [], 0
        for place, old, new in zip(places, values, self.hidden(values)[0], strict=True):
            if new != old:
                parts += [text[done : place.start()], orjson.dumps(new).decode()]
                done = place.end()
        return "".join([*parts, text[done:]])


class _Budget:
    """CPU seconds, looked at every 64 matches: most lines have fewer, and to ask costs as much as to match."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._matches = clock, 0
        self._ends = inf

    def spend(self) -> None:
        self._matches += 1
        if not self._matches & 63:
            now = self._clock()
            self._ends = min(self._ends, now + LONGEST_CPU)
            if now > self._ends:
                raise TooSlowError


def _like_json(text: str) -> bool:
    return text[:64].lstrip()[:1] in ("{", "[")


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _reading(text: str) -> str:
    return unescaped(_encoded(text)).decode("utf-8", "replace")


def _shown(value: Any) -> str:
    """A string as it is, a number in digits, "" for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    large = isinstance(value, float) and value.is_integer() and _LARGE <= abs(value) < 1e20
    return f"{value:.0f}" if large else str(value)


def _changed(value: Any, changes: Mapping[str, str]) -> Any:
    """A JSON value with these texts for others, in strings, names and numbers."""
    if isinstance(value, dict):
        found: dict[str, Any] = {}
        for name, inside in value.items():
            found[_free(changes.get(name, name), found)] = _changed(inside, changes)
        return found
    if isinstance(value, list):
        return [_changed(each, changes) for each in value]
    return changes.get(_shown(value), value)


def _free(name: str, taken: Collection[str]) -> str:
    """The name, or one made of it where another was hidden behind the same word."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}#{number}"
    return found
