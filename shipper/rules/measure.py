"""Metrics made of lines, by label: counters and histograms of the fields that were found in them.

    towline.metric.requests = counter by http.request.method,http.response.status_code
    towline.metric.sent_bytes = counter of http.response.bytes
    towline.metric.took_seconds = histogram of event.duration by path=url.path buckets 0.01,0.1,1 scale 1e-9

They are shown on /metrics of `ship` and `up` as `towline_log_NAME_total` or `towline_log_NAME`, with the service. A
label is called as its field, with `_` for what no label name may have, or as is said before `=`; `stream` may be asked
for too. A field may be called as the application does (`status`) or as it is stored (`http.response.status_code`).
`event.duration` is in nanoseconds, so its scale is 1e-9 where none is said.

Bounds (towline.measured): 100 series of each metric and service, the rest under "other"; label values are cut at 64
characters. A line that lacks a label's field counts under ""; one that lacks the measured field, or has no number of at
least 0 there, does not count.

Counted is what is kept: what labels drop, sample or limit was left out before. Counters begin at 0 when the process
starts, as Prometheus expects. A line that is read again after a crash is counted again, unlike in the store.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

from prometheus_client import Histogram

from shipper.rules.chain import SERVICE, Step, Values
from shipper.rules.common_names import common_name
from shipper.rules.label import Label
from shipper.rules.rows import Rows
from towline import metrics
from towline.measured import COUNTER, HISTOGRAM, Measured, Pairs

LONGEST_VALUE = 64
MOST_LABELS, MOST_BUCKETS = 5, 30
STREAM = "stream"
DURATION = "event.duration"
_CLAUSES = ("of", "by", "buckets", "scale")
_NO_NAME = re.compile(r"[^A-Za-z0-9_]")
_EXAMPLE = "for example `counter by log.level` or `histogram of event.duration buckets 0.01,0.1,1`"


@dataclass(frozen=True)
class Wanted:
    """`field`: what is added up or observed ("": lines are counted). by: label names and their fields."""

    kind: str
    field: str
    by: tuple[tuple[str, str], ...]
    buckets: tuple[float, ...]
    scale: float


def wanted(text: str) -> Wanted:
    """A metric as its label describes it; raises ValueError with what is wrong."""
    kind, *words = text.split() or [""]
    if kind not in (COUNTER, HISTOGRAM):
        raise ValueError(f"write counter or histogram first, {_EXAMPLE}")
    said = _clauses(words)
    field = "".join(said.get("of", ()))
    if kind == HISTOGRAM and not field:
        raise ValueError(f"a histogram needs a field, {_EXAMPLE}")
    if kind == COUNTER and "buckets" in said:
        raise ValueError("a counter has no buckets; leave them out, or write histogram")
    scale = _numbers(said["scale"])[0] if "scale" in said else 1e-9 if field == DURATION else 1.0
    return Wanted(kind, field, _labels(said.get("by", ())), _buckets(said) if kind == HISTOGRAM else (), scale)


METRIC = Label("towline.metric", "A metric made of lines, towline_log_NAME: `counter [of FIELD] [by FIELD,…]` or "
               "`histogram of FIELD [by FIELD,…] [buckets N,…] [scale N]`.", "counter by http.response.status_code",
               wanted, many=True)  # fmt: skip
LABELS = (METRIC,)


class Measure:
    """Counts and observes; changes nothing of the lines."""

    name = "measure"

    def __init__(self, asked: Mapping[str, Wanted], service: str, measured: Measured) -> None:
        self._service = service
        self._measured = measured
        self._metrics = [
            (measured.declare(_name(name, each), each.kind, service, each.buckets, plain=not each.by), each)
            for name, each in asked.items()
        ]

    def __call__(self, rows: Rows) -> None:
        for key, each in self._metrics:
            if each.kind == HISTOGRAM:
                self._measured.observe(key, self._service, _observed(rows, each))
            else:
                self._measured.add(key, self._service, _added(rows, each))


def make(values: Values, measured: Measured = metrics.MEASURED) -> Step | None:
    """The step that measures; the last one, of what is kept and as it is kept."""
    asked = values.get(METRIC.name)
    return Measure(asked, values.get(SERVICE, ""), measured) if asked else None


def _added(rows: Rows, asked: Wanted) -> dict[Pairs, float]:
    if asked.field:
        return {pairs: sum(seen) for pairs, seen in _observed(rows, asked).items()}
    return {_pairs(asked, words): count for words, count in Counter(_words(rows, asked)).items()}


def _observed(rows: Rows, asked: Wanted) -> dict[Pairs, list[float]]:
    seen: defaultdict[tuple[str, ...], list[float]] = defaultdict(list)
    for words, value in zip(_words(rows, asked), _column(rows, asked.field), strict=True):
        number = _number(value)
        if number is not None:
            seen[words].append(number * asked.scale)
    return {_pairs(asked, words): numbers for words, numbers in seen.items()}


def _words(rows: Rows, asked: Wanted) -> list[tuple[str, ...]]:
    """The label values of each line."""
    if not asked.by:
        return [()] * len(rows)
    return list(zip(*(map(_word, _column(rows, field)) for _, field in asked.by), strict=True))


def _column(rows: Rows, field: str) -> Sequence[Any]:
    if field == STREAM:
        return [stream.decode() for stream in rows.streams]
    common = common_name(field)
    return [found.get(field, found.get(common)) if found else None for found in rows.fields]


def _pairs(asked: Wanted, words: Sequence[str]) -> Pairs:
    return tuple((label, word) for (label, _), word in zip(asked.by, words, strict=True))


def _word(value: Any) -> str:
    if isinstance(value, str):
        return value[:LONGEST_VALUE].encode("utf-8", "replace").decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value}"[:LONGEST_VALUE] if isinstance(value, int | float) else ""


def _number(value: Any) -> float | None:
    """A number of at least 0, also one that is written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and len(value) > LONGEST_VALUE:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if number >= 0 and isfinite(number) else None


def _name(suffix: str, asked: Wanted) -> str:
    """As it follows `towline_log_`; "lines" for a label without NAME."""
    name = _NO_NAME.sub("_", suffix)[:64]
    return (name.removesuffix("_total") if asked.kind == COUNTER else name) or "lines"


def _clauses(words: Sequence[str]) -> dict[str, list[str]]:
    """What follows each of the words that begin a clause, split at commas."""
    said: dict[str, list[str]] = {}
    clause = ""
    for word in words:
        if word in _CLAUSES and word not in said:
            clause = word
            said[clause] = []
        elif not clause:
            raise ValueError(f"{word!r} is not understood; write {', '.join(_CLAUSES)}, {_EXAMPLE}")
        else:
            said[clause] += filter(None, word.split(","))
    for name, found in said.items():
        if not found or (name in ("of", "scale") and len(found) > 1):
            raise ValueError(f"{name} is followed by {'nothing' if not found else 'too much'}; {_EXAMPLE}")
    return said


def _labels(fields: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found = {}
    for each in fields:
        label, _, field = each.rpartition("=")
        label = _NO_NAME.sub("_", label or field)
        reserved = label in ("service", "le") or not label[:1].isalpha()
        found[f"field_{label}" if reserved else label] = field
    if len(found) < len(fields) or len(found) > MOST_LABELS:
        raise ValueError(f"write at most {MOST_LABELS} different fields after by")
    return tuple(found.items())


def _buckets(said: Mapping[str, Sequence[str]]) -> tuple[float, ...]:
    if "buckets" not in said:
        return tuple(bound for bound in Histogram.DEFAULT_BUCKETS if bound < inf)
    bounds = tuple(sorted(set(_numbers(said["buckets"]))))
    if len(bounds) > MOST_BUCKETS:
        raise ValueError(f"write at most {MOST_BUCKETS} buckets")
    return bounds


def _numbers(words: Sequence[str]) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = [inf]
    if not all(isfinite(number) and number > 0 for number in numbers):
        raise ValueError(f"write numbers above 0, {_EXAMPLE}")
    return numbers
