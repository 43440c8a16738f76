"""Many containers' samples as families: columns in, rows in, joined bytes out. Nothing here runs once per sample.

A row is an open label block and the column's values as text; the kernel's digits go through as they were read.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat

from exporters.exposition import Family

Value = bytes | None
"""Digits as they are shown; None leaves the sample out."""

_NUMBER = re.compile(rb"[0-9]+(\.[0-9]+)?")

Row = tuple[bytes, Sequence[Value]]


@dataclass(frozen=True, slots=True)
class Column:
    """One family, or those of its samples that share the labels `more`, as `,cpu="total"`."""

    name: str
    kind: str
    help: str
    more: str = ""


def families(columns: Sequence[Column], rows: Sequence[Row]) -> Iterator[Family]:
    """One family for each column, joined when it is sent. All rows are as long as `columns`."""
    if not rows:
        return
    blocks = [block for block, _ in rows]
    for column, values in zip(columns, zip(*(values for _, values in rows), strict=True), strict=True):
        yield Family(column.name, column.kind, column.help, partial(_body, column, blocks, values))


def _body(column: Column, blocks: Sequence[bytes], values: Sequence[Value]) -> bytes:
    if None in values or not _are_numbers(values):
        kept = [pair for pair in zip(blocks, values, strict=True) if pair[1] and _NUMBER.fullmatch(pair[1])]
        blocks, values = zip(*kept, strict=True) if kept else ((), ())
    name, close = column.name.encode(), column.more.encode() + b"} "
    pieces = zip(repeat(name), blocks, repeat(close), values, repeat(b"\n"))  # repeat never ends
    return b"".join(chain.from_iterable(pieces))


def _are_numbers(values: Sequence[Value]) -> bool:
    """A glance at all of them together: one that is none would cost Prometheus the whole scrape."""
    return not b"".join(values).translate(None, b"0123456789.") and b"" not in values  # type: ignore[arg-type]


def scaled(digits: bytes, places: int) -> bytes:
    """Whole `digits` of a 10^-places unit as a decimal number: exact, and quicker than a float."""
    if len(digits) <= places:
        digits = digits.rjust(places + 1, b"0")
    return digits[:-places] + b"." + digits[-places:]
