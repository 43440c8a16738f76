"""A record (JSON object, msgpack map) that somebody sends, as a line's text and fields.

Whatever it holds is kept: where it can't be fields (too deep, too many keys, too large), the whole record is the text.
Names that loggers have for the same thing become one, as with the label `towline.parse=json`.
"""

import base64
import math
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from shipper.rules.common_names import MESSAGES, placed
from shipper.rules.rows import Fields
from towline.fields import DEEPEST
from towline.identity import clean

MOST_KEYS = 1_000
MOST_BYTES = 256 << 10
"""Of a record's fields together."""
_LONG = range(-(1 << 63), 1 << 63)


class TooMuch(Exception):
    """The record can't be fields."""


def read(record: Mapping[Any, Any]) -> tuple[str, Fields | None, bool]:
    """The text, the fields, and whether the record became fields as it should. The text of a record in which no key has
    one is the record as JSON."""
    try:
        found = fields(record)
    except TooMuch:
        return whole(record), None, False
    text = found.pop("message", None)
    if isinstance(text, str) and text:
        return text.removesuffix("\n"), found or None, True
    return whole(record), found or None, True


def fields(record: Mapping[Any, Any]) -> Fields:
    """The record flat, under dotted common names, as JSON can hold it; raises TooMuch where there is too much of it."""
    found: Fields = {}
    size = 0
    for name, value in _leaves(record, "", DEEPEST):
        found[name] = value
        size += len(name) + (len(value) if isinstance(value, str) and name not in MESSAGES else 8)
        if len(found) > MOST_KEYS or size > MOST_BYTES:
            raise TooMuch
    return placed(found)


def plain(value: Any) -> str:
    """Text without what UTF-8 or JSON has no form for."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    text = str(value)
    return text if text.isascii() else clean(text)


def whole(record: Any) -> str:
    """Anything as JSON, as far as JSON goes."""
    try:
        return orjson.dumps(record, default=_other, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError, RecursionError):
        return "".join(_written(record))


def _leaves(value: Mapping[Any, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    if not depth:
        raise TooMuch
    for key, inner in value.items():
        name = prefix + (plain(key).replace("\0", "\ufffd") or "_")
        if isinstance(inner, dict) and inner:
            yield from _leaves(inner, name + ".", depth - 1)
        else:
            yield name, _value(inner, depth)


def _value(value: Any, depth: int) -> Any:
    """A leaf. What JSON or the store has no number for becomes text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | bytes):
        return plain(value)
    if isinstance(value, int):
        return value if value in _LONG else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return _values(value, depth)
    return plain(_other(value))


def _values(items: Any, depth: int) -> Any:
    """A list of plain values as it is; one with objects in it as JSON text, since no field has a type for those."""
    if not depth or len(items) > MOST_KEYS:
        raise TooMuch
    if any(isinstance(item, dict | list | tuple) for item in items):
        return whole(items)
    return [_value(item, depth - 1) for item in items]


def _other(value: Any) -> str:
    """What JSON has no form for: bytes as text where they are text, else in base64; anything else by its name."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    return str(value)


def _written(record: Any) -> Iterator[str]:
    """JSON without recursion: orjson takes 254 levels, and no half characters."""
    todo: list[tuple[bool, Any]] = [(False, record)]
    while todo:
        ready, item = todo.pop()
        if ready:
            yield item
        elif isinstance(item, dict):
            inner = [((True, _text(key) + ":"), (False, value)) for key, value in item.items()]
            todo += _enclosed("{", inner, "}")
        elif isinstance(item, list | tuple):
            todo += _enclosed("[", [((False, value),) for value in item], "]")
        else:
            yield _text(item)


def _enclosed(start: str, items: list[Any], end: str) -> list[tuple[bool, Any]]:
    """In the order in which they are popped."""
    parts: list[tuple[bool, Any]] = [(True, start)]
    for number, item in enumerate(items):
        parts += [(True, ","), *item] if number else item
    return [*parts, (True, end)][::-1]


def _text(leaf: Any) -> str:
    if leaf is None or isinstance(leaf, bool | float) or (isinstance(leaf, int) and leaf in _LONG):
        return orjson.dumps(leaf).decode()
    return orjson.dumps(plain(leaf if isinstance(leaf, str | int) else _other(leaf))).decode()
