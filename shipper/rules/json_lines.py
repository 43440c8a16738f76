"""The parser `json`: a line that is one JSON object, as dotted names.

Nothing is lost, whatever the application writes. Objects become dotted names, arrays stay as they are, equal names get
all of their values, a number that no JSON reader holds is kept as the text it was, and so is what lies too deep. What
no store takes (a NUL in a name, a name that is too long) is no such line: it stays as it was.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from shipper.rules.common_names import placed
from shipper.rules.rows import Fields

DEEPEST = 15
"""Objects in objects, or in an array; what lies deeper is kept as JSON text (towline.fields.DEEPEST)."""
LONGEST_NAME = 256
"""Characters (towline.fields.LONGEST_KEY); an object whose names would be longer is kept as JSON text."""
_GROWTH = 4, 1 << 16
"""How many times its own size, and bytes beyond that, all names of a line may have: a long name repeats in each name
below it. Beyond, objects are kept as JSON text."""

_LONG = re.compile(r"[:,\[\s]-?[0-9.]{19}")
_TINY = re.compile(r"[0-9][eE]-[0-9]{3}")
"""Numbers that may say more than a double holds: more than 17 digits, or next to nothing."""


class NotSoError(Exception):
    """The document has something that no store takes."""


@dataclass
class _Flat:
    found: Fields = field(default_factory=dict)
    keys: int = 0
    """Of all objects."""
    floats: bool = False
    several: set[str] = field(default_factory=set)
    """Names that came more than once."""


def parse(text: str) -> Fields | None:
    """The fields of a JSON object; None where the line is none, or has what no store takes."""
    if text[:1] != "{" and text[:64].lstrip()[:1] != "{":
        return None
    try:
        return placed(_flat(text).found)
    except (ValueError, TypeError, RecursionError, NotSoError):  # TypeError: orjson has a limit to how deep it writes
        return None


def _flat(text: str) -> _Flat:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _flattened(_exactly(text), text)
    flat = _flattened(document, text)
    if _is_unique(flat.keys, text) and not (flat.floats and _is_inexact(text)):
        return flat
    return _flattened(_exactly(text), text)


def _is_unique(keys: int, text: str) -> bool:
    """Whether no object has a key twice: then as many names came out as stand in the text. Doubt is no."""
    if keys != text.count('":') - text.count('\\":'):
        return False
    return not (" :" in text or '\\\\":' in text or "\t:" in text or "\n:" in text or "\r:" in text)


def _is_inexact(text: str) -> bool:
    return bool(_LONG.search(text) or (("e-" in text or "E-" in text) and _TINY.search(text)))


def _exactly(text: str) -> Any:
    """As written, at five times the price: with all values of a key, numbers of any size, NaN, half characters."""
    document = json.loads(text, strict=False, object_pairs_hook=_object, parse_int=_int, parse_float=_float,
                          parse_constant=str)  # fmt: skip
    return _whole(document) if "\\u" in text else document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    values: dict[str, list[Any]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return {key: several if len(several) > 1 else several[0] for key, several in values.items()}


def _int(digits: str) -> int | str:
    return int(digits) if len(digits) <= 20 and -(1 << 63) <= int(digits) < 1 << 64 else digits


def _float(digits: str) -> float | str:
    value = float(digits)
    try:
        return value if Decimal(digits) == Decimal(repr(value)) else digits
    except ArithmeticError:  # an exponent beyond what decimal takes
        return digits


def _whole(value: Any) -> Any:
    """With half characters, which no UTF-8 holds, as the escapes that they were."""
    if type(value) is str:
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if type(value) is dict:
        return {_whole(key): _whole(below) for key, below in value.items()}
    return [_whole(below) for below in value] if type(value) is list else value


def _flattened(document: Any, text: str) -> _Flat:
    if type(document) is not dict:
        raise NotSoError("no object")
    flat = _Flat()
    found = flat.found
    times, beyond = _GROWTH
    left = times * len(text) + beyond
    places: list[tuple[str, int, Mapping[str, Any]]] = [("", 1, document)]
    for prefix, depth, place in places:  # grows as it goes
        flat.keys += len(place)
        for key, value in place.items():
            name = prefix + key
            kind = type(value)
            if kind is dict and value:
                left -= (len(name) + 1) * len(value)
                if depth < DEEPEST and left > 0 and len(name) + max(map(len, value)) < LONGEST_NAME:
                    places.append((name + ".", depth + 1, value))
                    continue
                value = _as_text(flat, [value], value)
            elif kind is list and value:
                value = _array(flat, value)
            elif kind is float:
                flat.floats = True
            if name in found:
                _put(flat, name, value)
            else:
                found[name] = value
    _check(flat, text)
    return flat


def _put(flat: _Flat, name: str, value: Any) -> None:
    """Where "a.b" and "b" in "a" are both there: both values."""
    if name in flat.several:
        flat.found[name].append(value)
    else:
        flat.several.add(name)
        flat.found[name] = [flat.found[name], value]


def _array(flat: _Flat, array: list[Any]) -> Any:
    """The array as it is, or as JSON text where it is too deep or has names that are too long."""
    kinds = set(map(type, array))
    flat.floats = flat.floats or float in kinds
    if kinds.isdisjoint((dict, list)):
        return array
    level: list[Any] = [array]
    for _ in range(DEEPEST):
        level = _below(flat, level)
        if not level:
            return array
        if any(len(key) > LONGEST_NAME for one in level if type(one) is dict for key in one):
            break
    return _as_text(flat, level, array)


def _as_text(flat: _Flat, level: list[Any], value: Any) -> str:
    """`level`: what of the value has not been counted yet."""
    while level:
        level = _below(flat, level)
    return orjson.dumps(value).decode()


def _below(flat: _Flat, level: Iterable[Any]) -> list[Any]:
    """The objects and arrays within these; counts their keys, and notes whether there is a float."""
    found = []
    for one in level:
        values = one
        if type(one) is dict:
            flat.keys += len(one)
            values = one.values()
            if any("\0" in key for key in one):
                raise NotSoError("a NUL in a name")
        for value in values:
            kind = type(value)
            if kind is dict or kind is list:
                found.append(value)
            elif kind is float:
                flat.floats = True
    return found


def _check(flat: _Flat, text: str) -> None:
    if ("\\u0000" in text or "\0" in text) and any("\0" in name for name in flat.found):
        raise NotSoError("a NUL in a name")
    if max(map(len, flat.found), default=0) > LONGEST_NAME:
        raise NotSoError("a name that is too long")
