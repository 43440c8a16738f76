"""The parser `logfmt`: `level=info msg="it is so" took=3ms`, as Go's programs write it.

https://brandur.org/logfmt, and what go-kit, logrus and slog make of it: values are bare or quoted as Go quotes text; a
name without a value is true.
"""

import re

import orjson

from shipper.rules.common_names import placed
from shipper.rules.json_lines import LONGEST_NAME
from shipper.rules.rows import Fields

_PAIR = re.compile(r'([^\s="\x00]++)(?:=(?:"((?:[^"\\]++|\\.)*+)"|((?!")\S*+)))?(?:[ \t]++|$)', re.S)
_ESCAPE = re.compile(r'\\(?:x([0-9a-f]{2})|U([0-9a-f]{8})|([0-7]{3})|([abfnrtv"\'\\])|u([0-9a-f]{4}))')
_SIGNS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "'": "'", "\\": "\\"}


def parse(text: str) -> Fields | None:
    """The fields of a line that is logfmt from its first sign to its last; None for any other."""
    text = text.strip()
    first = _PAIR.match(text)
    if not first or (first[2] is None and first[3] is None):
        return None
    found: Fields = {}
    several: set[str] = set()
    end = 0
    while end < len(text):
        pair = _PAIR.match(text, end)
        if pair is None or len(pair[1]) > LONGEST_NAME:
            return None
        _put(found, several, pair)
        end = pair.end()
    return placed(found)


def _put(found: Fields, several: set[str], pair: re.Match[str]) -> None:
    name, quoted, bare = pair.groups()
    value = bare if bare is not None else True if quoted is None else _plain(quoted)
    if name not in found:
        found[name] = value
    elif name in several:
        found[name].append(value)
    else:
        several.add(name)
        found[name] = [found[name], value]


def _plain(quoted: str) -> str:
    """Without the escapes of Go's strconv.Quote; an unknown one stays."""
    if "\\" not in quoted:
        return quoted
    try:
        plain: str = orjson.loads(f'"{quoted}"')
    except orjson.JSONDecodeError:
        return _ESCAPE.sub(_sign, quoted)
    return plain


def _sign(found: re.Match[str]) -> str:
    byte, large, octal, sign, small = found.groups()
    if sign:
        return _SIGNS[sign]
    code = int(octal, 8) if octal else int(byte or large or small, 16)
    return found[0] if code > 0x10FFFF or 0xD800 <= code < 0xE000 else chr(code)
