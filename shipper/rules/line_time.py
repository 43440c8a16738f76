"""The label `towline.time`: the time that a line says itself becomes its `@timestamp`, the engine's `event.created`."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache, partial
from typing import Any
from zoneinfo import ZoneInfo

from shipper.rules.chain import Step, Values
from shipper.rules.label import Label
from shipper.rules.rows import Fields, Rows
from towline.times import format_time

Clock = Callable[[Any, bytes], bytes]
"""The stamp (30 bytes) that a value means, in a line that the engine stamped so; ValueError where it means none."""

FIRST_YEAR, LAST_YEAR = 1970, 2254
"""A store takes no others (towline.stores.sqlite_blocks)."""
UNTIMED = "untimed"
"""The flag of a line whose own time is nonsense: it keeps the engine's."""
NAMES = ("@timestamp", "timestamp", "time", "ts", "@t", "Timestamp", "Time", "datetime", "date", "asctime", "eventTime",
         "event_time", "time_local", "time_iso8601", "timeMillis", "StartUTC", "t")  # fmt: skip
"""Fields that hold a line's time, for `auto`; the first that is there."""

_MONTHS = {
    name: number
    for number, name in enumerate(
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], 1
    )
}
_OFFSET = r"(?:\s*(Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)(?:\s+UTC)?)?"
_FRACTION = r"(?:[.,](\d{1,30}))?"
_ISO = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)" + _FRACTION + _OFFSET, re.I | re.A)
_CLF = re.compile(
    r"\[?(?:[A-Z][a-z]{2}, )?(\d\d?)[/ -]([A-Z][a-z]{2})[/ -](\d{4})[: ](\d\d):(\d\d):(\d\d)"
    + _FRACTION
    + _OFFSET
    + r"\]?",
    re.A,
)
_SYSLOG = re.compile(
    r"\[?(?:[A-Z][a-z]{2} )?([A-Z][a-z]{2}) +(\d\d?) (?:(\d{4}) )?(\d\d):(\d\d):(\d\d)"
    + _FRACTION
    + r"(?: (\d{4}))?\]?",
    re.A,
)
"""With a weekday and a year also ctime's, as Apache has it."""
_NUMBER = re.compile(r"(\d{1,19})(?:\.(\d{1,30}))?", re.A)
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_HALF_YEAR = timedelta(days=183)


@dataclass(frozen=True)
class Asked:
    """What the label says. `names`: the fields to look at; `clock`: how to read them."""

    names: tuple[str, ...]
    clock: Clock


class LineTime:
    """Takes the time out of the field, and makes it the row's. A line without the field keeps the engine's stamp."""

    name = "time"

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def __call__(self, rows: Rows) -> None:
        for index, found in enumerate(rows.fields):
            names = [name for name in self._asked.names if name in found] if found else None
            if found and names:
                self._take(rows, index, found, names)

    def _take(self, rows: Rows, index: int, found: Fields, names: Sequence[str]) -> None:
        for name in names:
            try:
                rows.times[index] = self._asked.clock(found[name], rows.stamps[index])
            except (ValueError, OverflowError):
                continue
            rows.fields[index] = {other: value for other, value in found.items() if other != name} or None
            return
        rows.flag(index, UNTIMED)


def make(values: Values) -> Step | None:
    asked = values.get(TIME.name)
    return LineTime(asked) if asked else None


def read(text: str) -> Asked | None:
    """`FIELD [FORMAT [ZONE]]`, `auto`, or `off`; ValueError with what to write."""
    words = text.split()
    if not words:
        raise ValueError(_FIX)
    names = NAMES if words[0] == "auto" else (words[0],)
    if words[0] == "off":
        return None
    zone: tzinfo = UTC
    if len(words) > 1 and _is_zone(words[-1]):
        zone = ZoneInfo(words.pop())
    return Asked(names, _clock(" ".join(words[1:]), zone))


_FIX = ("write the field that has the time, then its format if need be: auto, iso, clf, syslog, s, ms, us, ns or one "
        "with % as strftime has it, then the time zone of times without one (Europe/Vienna)")  # fmt: skip


def _is_zone(word: str) -> bool:
    try:
        return (("/" in word and "%" not in word) or word == "UTC") and bool(ZoneInfo(word))
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"no time zone {word} is known here; write one such as Europe/Vienna") from error


def _clock(form: str, zone: tzinfo) -> Clock:
    if "%" in form:
        try:
            whole = form if _has_year(form) else f"%Y {form}"
            datetime.strptime(datetime(2026, 1, 1, tzinfo=UTC).strftime(whole), whole)
        except (ValueError, re.error) as error:
            raise ValueError(f"{error}; {_FIX}") from error
        return partial(_by_pattern, form, zone)
    if form in _DIGITS:
        return partial(_since_epoch, _DIGITS[form])
    if form not in ("", "auto", "iso", "rfc3339", "clf", "syslog"):
        raise ValueError(_FIX)
    return partial(_any, zone)


def _any(zone: tzinfo, value: Any, engine: bytes) -> bytes:
    """By its form: RFC 3339 (also with a comma, a blank, slashes, without zone), CLF, syslog, or a number."""
    if type(value) is not str:
        return _since_epoch(None, value, engine)
    text = value.strip()
    if found := _ISO.fullmatch(text):
        year, month, day, hour, minute, second, fraction, offset = found.groups()
        return _stamp(f"{year}-{month}-{day}T{hour}:{minute}:{second}", fraction, offset, zone)
    if found := _CLF.fullmatch(text):
        day, name, year, hour, minute, second, fraction, offset = found.groups()
        return _stamp(f"{year}-{_month(name)}-{day:0>2}T{hour}:{minute}:{second}", fraction, offset, zone)
    if found := _SYSLOG.fullmatch(text):
        return _without_year(found, zone, engine)
    return _since_epoch(None, text, engine)


def _month(name: str) -> str:
    if name not in _MONTHS:
        raise ValueError(f"no month is called {name}")
    return f"{_MONTHS[name]:02}"


def _stamp(second: str, fraction: str | None, offset: str | None, zone: tzinfo) -> bytes:
    return f"{_utc(second, offset, zone)}.{(fraction or '')[:9]:0<9}Z".encode()


@lru_cache(maxsize=4096)
def _utc(second: str, offset: str | None, zone: tzinfo) -> str:
    """The second in UTC; lines come many a second. ValueError where there is no such time or no store takes it."""
    if offset and offset[0] in "+-":
        zone = _zone(offset)
    elif offset:
        zone = UTC
    return _checked(datetime.fromisoformat(second).replace(tzinfo=zone).astimezone(UTC))


def _zone(offset: str) -> tzinfo:
    """Of +02:00, +0200 or +02."""
    hours, minutes = int(offset[1:3]), int(offset[3:].lstrip(":") or 0)
    if minutes > 59:
        raise ValueError(f"no zone is {offset} from UTC")
    ahead = timedelta(hours=hours, minutes=minutes)
    return timezone(-ahead if offset[0] == "-" else ahead)


def _checked(moment: datetime) -> str:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"{moment} is not in the years {FIRST_YEAR} to {LAST_YEAR}")
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def _without_year(found: re.Match[str], zone: tzinfo, engine: bytes) -> bytes:
    """The year is the one that brings it next to the engine's stamp: on New Year's Eve that may be another."""
    name, day, early, hour, minute, second, fraction, late = found.groups()
    text = f"-{_month(name)}-{day:0>2}T{hour}:{minute}:{second}"
    year = early or late or _nearest(lambda year: datetime.fromisoformat(f"{year:04}{text}"), engine)
    return _stamp(f"{year}{text}", fraction, None, zone)


def _nearest(moment: Callable[[int], datetime], engine: bytes) -> str:
    """The year; ValueError where the moment is in none of the three."""
    now = datetime.fromisoformat(engine[:19].decode())
    for year in (now.year, now.year - 1, now.year + 1):
        try:
            if abs(moment(year).replace(tzinfo=None) - now) <= _HALF_YEAR:
                return f"{year:04}"
        except ValueError:  # 29 February
            continue
    raise ValueError("no such day in these years")


def _since_epoch(digits: int | None, value: Any, engine: bytes) -> bytes:
    """`digits`: of a second that the number's unit stands for; None: by its size, which tells them apart until 5138."""
    if type(value) is float and value.is_integer():
        value = int(value)
    found = _NUMBER.fullmatch(str(value)) if type(value) in (int, float, str) else None
    if not found or (digits is None and not len(found[1].lstrip("0")) >= 9):
        raise ValueError("no time")
    whole, fraction = found[1].lstrip("0") or "0", found[2] or ""
    if digits is None:
        digits = 0 if len(whole) <= 11 else 3 if len(whole) <= 14 else 6 if len(whole) <= 17 else 9
    count = int(whole + fraction[: 9 - digits].ljust(9 - digits, "0"))
    stamp = format_time(count)
    if int(stamp[:4]) > LAST_YEAR:
        raise ValueError(f"{stamp} is after the year {LAST_YEAR}")
    return stamp.encode()


def _has_year(form: str) -> bool:
    return any(sign in form for sign in ("%Y", "%y", "%c", "%x"))


def _by_pattern(form: str, zone: tzinfo, value: Any, engine: bytes) -> bytes:
    """By strptime; %f takes up to nine digits here. A pattern without year has the engine's."""
    if type(value) is not str or len(value) > 100:
        raise ValueError("no time")
    fraction = ""
    if form[3:].endswith("%f"):
        value, _, fraction = value.rpartition(form[-3])
        form = form[:-3]
        if not fraction.isascii() or not fraction.isdigit():
            raise ValueError("no digits of a second")
    if not _has_year(form):
        year = _nearest(lambda year: datetime.strptime(f"{year:04} {value}", f"%Y {form}"), engine)
        value, form = f"{year} {value}", f"%Y {form}"
    moment = datetime.strptime(value, form)
    moment = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    return f"{_checked(moment)}.{fraction or f'{moment.microsecond:06}':0<9.9}Z".encode()


TIME = Label(
    "towline.time",
    "The field that has the line's own time, which becomes `@timestamp` (the engine's is kept as `event.created`). A "
    "format may follow (`iso`, `clf`, `syslog`, `s`, `ms`, `us`, `ns`, or one such as `%d.%m.%Y %H:%M:%S`; told by the "
    "value otherwise), then the time zone of times without one (UTC otherwise). `auto` looks for the usual fields.",
    "time ms", read)  # fmt: skip
LABELS: tuple[Label, ...] = (TIME,)
