"""Fewer lines: by what they say, by chance, by how many there are. Each line left out is counted by its reason.

`towline.drop` and `towline.keep` look at the message as it was read. They decide for each line alone.

`towline.sample` is exact: a line's identity decides, so a line that is read again meets the same fate, as do all pieces
of a line that is longer than --max-line.

`towline.rate` counts the lines of each second, minute, hour or day of the engine's stamps, from its beginning (UTC),
and lets the first ones pass: reading a backlog gives the same verdict as reading live. The count is one container's,
and not part of a checkpoint. So after a restart (or other labels) within such a stretch, lines that were left out
before may pass, at most as many again as the rate says; but none that passed is left out, as long as the container's
clock went forward. The counts of the four newest stretches are kept for clocks that step back.

`towline.always` exempts lines from sample and rate, by what they say or by their `log.level`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from shipper.rules.among import among
from shipper.rules.chain import Step, Values
from shipper.rules.label import Label
from shipper.rules.regex import pattern
from shipper.rules.rows import Rows

_PLACES = {"s": 19, "m": 16, "h": 13, "d": 10}
"""Bytes of a stamp that name its second, minute, hour or day."""
_UNITS = {"s": "s", "sec": "s", "second": "s", "m": "m", "min": "m", "minute": "m", "h": "h", "hour": "h", "d": "d",
          "day": "d"}  # fmt: skip
_RATE = re.compile(r"(\d{1,12})\s*/\s*([a-z]+)")
_SAMPLE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(?:/\s*(\d{1,9})|(%))?")
_LINE = 40
"""Bytes of an identity that all pieces of a line share: stamp, container, stream (shipper.lines)."""
_STRETCHES = 4


@dataclass(frozen=True)
class Rate:
    """So many lines in each stretch of time, which this many bytes of a stamp name."""

    lines: int
    places: int


def fraction(text: str) -> float:
    """`1/10`, `0.1` or `10%`."""
    match = _SAMPLE.fullmatch(text.strip())
    found = float(match[1]) / float(match[2] or (100 if match[3] else 1) or 1) if match and match[2] != "0" else 0.0
    if not 0 < found <= 1:
        raise ValueError("write a share between 0 and 1, for example 1/10, 0.1 or 10%")
    return found


def rate(text: str) -> Rate:
    """`100/s`, `1000/m`."""
    match = _RATE.fullmatch(text.strip().lower())
    unit = _UNITS.get(match[2]) if match else None
    if not match or not unit or int(match[1]) < 1:
        raise ValueError("write lines per s, m, h or d, for example 100/s or 1000/m")
    return Rate(int(match[1]), _PLACES[unit])


DROP = Label("towline.drop", "Leave out lines that this regular expression (RE2) finds.", "GET /healthz", pattern,
             many=True)  # fmt: skip
KEEP = Label("towline.keep", "Leave out lines that it does not find (of several: none of them).", "ERROR|WARN", pattern,
             many=True)  # fmt: skip
SAMPLE = Label("towline.sample", "Keep this share of the lines, chosen by their identity: read again, the same ones.",
               "1/10", fraction)  # fmt: skip
RATE = Label("towline.rate", "Keep at most the first so many lines of each s, m, h or d of a container's log.", "100/s",
             rate)  # fmt: skip
ALWAYS = Label("towline.always", "Lines that this finds, in the message or in log.level, pass sample and rate.",
               "(?i)error|fatal|panic", pattern, many=True)  # fmt: skip
LABELS = (DROP, KEEP, SAMPLE, RATE, ALWAYS)


class Sift:
    """Drops the lines that one of the patterns finds (or, `missed`, that none of them does), for its own reason."""

    def __init__(self, reason: str, patterns: Iterable[Any], missed: bool) -> None:
        self.name = reason
        self._patterns = tuple(patterns)
        self._missed = missed

    def __call__(self, rows: Rows) -> None:
        found = among(self._patterns, rows.texts)
        rows.drop(self.name, found ^ set(range(len(rows))) if self._missed else found)


class Sample:
    """Keeps a share of the lines, by identity."""

    name = "sample"

    def __init__(self, share: float, always: Iterable[Any]) -> None:
        self._below = int(share * 2**64)
        self._always = tuple(always)

    def __call__(self, rows: Rows) -> None:
        below = self._below
        lines = enumerate(zip(rows.ids, rows.flags, strict=True))
        out = {index for index, (identity, flags) in lines if _drawn(identity, flags) >= below}
        rows.drop(self.name, out - among(self._always, rows.texts))


class Limit:
    """Keeps the first lines of each stretch of time."""

    name = "rate"

    def __init__(self, rate: Rate, always: Iterable[Any]) -> None:
        self._rate = rate
        self._always = tuple(always)
        self._counts: dict[bytes, int] = {}
        self._piece: dict[bytes, tuple[bytes, bool]] = {}
        """Of each stream, the line whose pieces came last, and whether they pass."""

    def __call__(self, rows: Rows) -> None:
        exempt = self._exempt(rows)
        rows.drop(
            self.name, [index for index in range(len(rows)) if index not in exempt and not self._pass(rows, index)]
        )

    def _pass(self, rows: Rows, index: int) -> bool:
        if "split" not in rows.flags[index]:
            return self._next(rows.stamps[index])
        line = rows.ids[index][:_LINE]
        known, passes = self._piece.get(rows.streams[index], (b"", True))
        if line != known:
            passes = self._next(rows.stamps[index])
            self._piece[rows.streams[index]] = line, passes
        return passes

    def _next(self, stamp: bytes) -> bool:
        stretch = stamp[: self._rate.places]
        count = self._counts.get(stretch, 0) + 1
        self._counts[stretch] = count
        if len(self._counts) > _STRETCHES:
            del self._counts[min(self._counts)]
        return count <= self._rate.lines

    def _exempt(self, rows: Rows) -> set[int]:
        if not self._always:
            return set()
        levels = [str(found.get("log.level", "")) if found else "" for found in rows.fields]
        return among(self._always, rows.texts) | among(self._always, levels)


def make_drop(values: Values) -> Step | None:
    patterns = values.get(DROP.name)
    return Sift("drop", patterns.values(), missed=False) if patterns else None


def make_keep(values: Values) -> Step | None:
    patterns = values.get(KEEP.name)
    return Sift("keep", patterns.values(), missed=True) if patterns else None


def make_sample(values: Values) -> Step | None:
    share = values.get(SAMPLE.name)
    return Sample(share, values.get(ALWAYS.name, {}).values()) if share else None


def make_rate(values: Values) -> Step | None:
    """The step that limits; after those that find `log.level`."""
    asked = values.get(RATE.name)
    return Limit(asked, values.get(ALWAYS.name, {}).values()) if asked else None


def _drawn(identity: bytes, flags: tuple[str, ...]) -> int:
    """A number below 2**64, evenly spread over lines; the same for all pieces of one."""
    line = identity[:_LINE] if "split" in flags else identity
    return int.from_bytes(blake2b(line, digest_size=8).digest())
