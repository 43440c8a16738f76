"""Headers that other programs write, read without harm to the connection.

pika 1.4 raises from within its frame decoder where a timestamp lies beyond the year 9999 (milliseconds written for
seconds) or a float is not finite, which costs the connection, again with each delivery; and it cuts floats to integers,
and can send none.
"""

import math
import struct
from datetime import UTC, datetime
from typing import Any

import pika.data  # type: ignore[import-untyped]

_original = pika.data.decode_value


def decode_value(encoded: bytes, offset: int) -> tuple[Any, int]:
    """As pika.data.decode_value; what that can't hold is its text."""
    kind, start = encoded[offset : offset + 1], offset + 1
    if kind == b"T":
        return _moment(struct.unpack_from(">Q", encoded, start)[0]), start + 8
    if kind in (b"f", b"d"):
        size = 4 if kind == b"f" else 8
        number = struct.unpack_from(">" + kind.decode(), encoded, start)[0]
        return number if math.isfinite(number) else str(number), start + size
    value: tuple[Any, int] = _original(encoded, offset)
    return value


def _moment(seconds: int) -> datetime | str:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def encodable(value: Any) -> Any:
    """Headers as pika can send them, which has no form for a float."""
    if isinstance(value, dict):
        return {name: encodable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [encodable(each) for each in value]
    return str(value) if isinstance(value, float) else value


def tolerate() -> None:
    """Have pika decode so in this process; once is enough."""
    pika.data.decode_value = decode_value
