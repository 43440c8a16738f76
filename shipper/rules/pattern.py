r"""Parsers that a label writes itself: a regular expression with named groups, or a dissect pattern.

`(?P<client__ip>\S+) (?P<status>\d{3})`: a group's name is the field's, with `__` for a dot.
`%{client.ip} [%{?skipped}] "%{method} %{url->}" %{}`: what stands between two keys is found one after another.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from shipper.rules.common_names import placed
from shipper.rules.json_lines import LONGEST_NAME
from shipper.rules.regex import pattern
from shipper.rules.rows import Fields

Parser = Callable[[str], Fields | None]
"""Dotted names → values of a line; "message" replaces its text, "time" is its own time. None: not of this form."""

LONGEST = 64 << 10
"""Bytes of a line that a pattern is tried on: so its time is bounded, and longer lines are no access log."""
WORK = 16 << 20
"""RE2's time grows with bytes times the size of the compiled pattern, at most some 5 ns each: a pattern of a hundred
instructions (an access log's) sees lines up to LONGEST, one of 2,000 up to 8 KiB."""

_KEY = re.compile(r"%\{([^{}]*)\}")
_MODIFIED = re.compile(r"([+?&*]?)([^/|>#]*?)(->)?(?:/(\d{1,3}))?(?:\|(\w+))?(->)?", re.S)
_TYPES = ("integer", "long", "float", "double", "boolean", "string", "ip")


def read(text: str) -> Parser:
    """The label's text as a parser: dissect where it has a %{key}. Raises ValueError with what is wrong."""
    if not text.strip():
        raise ValueError(r"write a pattern such as (?P<level>\w+) (?P<message>.*), or %{level} %{message}")
    return dissect(text) if "%{" in text else regex(text)


def regex(text: str) -> Parser:
    """A regular expression (RE2: linear time, no back references, no look-around), found anywhere in the line."""
    compiled = pattern(text.encode())
    names = [(index, name.decode().replace("__", ".")) for name, index in compiled.groupindex.items()]
    if not names:
        raise ValueError(r"no group has a name; write (?P<status>\d{3}) for each field")
    return _Regex(compiled.search, names, min(LONGEST, WORK // compiled.programsize))


@dataclass(frozen=True)
class _Regex:
    """Works on bytes: of text, the binding counts the characters of every group (a third of the time)."""

    search: Callable[[bytes], Any]
    names: list[tuple[int, str]]
    longest: int

    def __call__(self, text: str) -> Fields | None:
        encoded = text.encode()
        if len(encoded) > self.longest or (match := self.search(encoded)) is None:
            return None
        found = {}
        for index, name in self.names:
            start, end = match.span(index)
            if start >= 0:
                found[name] = encoded[start:end].decode()
        return placed(found)


@dataclass(frozen=True)
class _Key:
    """`kind`: "" or one of + ? & *. `order` of what is appended. `padded`: the delimiter may repeat. `after`: the
    delimiter behind it, "" for the last one."""

    kind: str
    name: str
    order: int
    padded: bool
    cast: str
    after: str


def dissect(text: str) -> Parser:
    """Filebeat's, Logstash's and Elasticsearch's dissect.

    `%{name}` a field; `%{}` and `%{?name}` are skipped; `%{+name}` is appended, `%{+name/2}` in this order; `%{?name}`
    or `%{*name}` gives the name of what `%{&name}` holds; `->` lets the delimiter repeat; `|integer` and the like turn
    a value into a number.
    """
    keys = [_key(match, text[match.end() : end]) for match, end in _matches(text)]
    if not keys:
        raise ValueError("no %{key} can be read; write one such as %{level} %{message}")
    if any(not key.after for key in keys[:-1]):
        raise ValueError("two keys without anything between them; write what stands between them in the line")
    if not any(key.kind in ("", "+", "&") and key.name for key in keys):
        raise ValueError("every key is skipped; write %{name} for what to keep")
    return _Dissect(text[: text.index("%{")], tuple(keys))


def _matches(text: str) -> Iterator[tuple[re.Match[str], int]]:
    """Each key, and where the text between it and the next one ends."""
    found = list(_KEY.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    yield from zip(found, ends, strict=False)


def _key(match: re.Match[str], after: str) -> _Key:
    parts = _MODIFIED.fullmatch(match[1])
    if parts is None or "%{" in after:
        raise ValueError(f"{match[0]} can't be read; write %{{name}}, %{{+name}}, %{{?name}}, %{{&name}} or %{{}}")
    kind, name, padded, order, cast, padded_after = parts.groups()
    if cast and cast not in _TYPES:
        raise ValueError(f"{match[0]} has an unknown type; write one of {', '.join(_TYPES)}")
    if len(name) > LONGEST_NAME or "\0" in name:
        raise ValueError(f"a name of {len(name)} characters; write a shorter one")
    return _Key(kind if name else "?", name, int(order or 0), bool(padded or padded_after), cast or "", after)


@dataclass(frozen=True)
class _Dissect:
    before: str
    keys: tuple[_Key, ...]

    def __call__(self, text: str) -> Fields | None:
        if len(text) > LONGEST or not text.startswith(self.before):
            return None
        values = self._values(text, len(self.before))
        return None if values is None else placed(self._fields(values))

    def _values(self, text: str, start: int) -> list[str] | None:
        values = []
        for key in self.keys:
            end = text.find(key.after, start) if key.after else len(text)
            if end < 0:
                return None
            values.append(text[start:end])
            start = end + len(key.after)
            while key.padded and key.after and text.startswith(key.after, start):
                start += len(key.after)
        return values if start == len(text) else None

    def _fields(self, values: list[str]) -> Fields:
        found: Fields = {}
        names: dict[str, str] = {}
        parts: dict[str, list[tuple[int, str]]] = {}
        for key, value in zip(self.keys, values, strict=True):
            if key.kind in ("?", "*"):
                names[key.name] = value
            elif key.kind == "+":
                parts.setdefault(key.name, []).append((key.order, value))
            elif key.kind == "":
                found[key.name] = _cast(key.cast, value)
        for name, appended in parts.items():
            first = [found[name]] if name in found else []
            ordered = [value for _, value in sorted(appended, key=lambda one: one[0])]
            found[name] = " ".join([*map(str, first), *ordered])
        return found | self._named(names, values, found)

    def _named(self, names: dict[str, str], values: list[str], found: Fields) -> Fields:
        """`%{&name}`: its value under the name that another key held. A name that no store takes is left as it is."""
        taken: Fields = {}
        for key, value in zip(self.keys, values, strict=True):
            if key.kind == "&":
                name = names.get(key.name) or str(found.get(key.name) or key.name)
                taken[name if len(name) <= LONGEST_NAME and "\0" not in name else key.name] = _cast(key.cast, value)
        return taken


def _cast(kind: str, value: str) -> Any:
    """The value as this type, or as it is where it is no such thing."""
    try:
        if kind in ("integer", "long", "float", "double") and (len(value) > 18 or "_" in value):
            return value
        if kind in ("integer", "long"):
            return int(value)
        if kind in ("float", "double"):
            return number if math.isfinite(number := float(value)) else value
    except ValueError:
        return value
    return {"true": True, "false": False}.get(value, value) if kind == "boolean" else value
