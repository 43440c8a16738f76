"""Points in time as people write them, and as documents hold them: RFC 3339 with nine digits and Z."""

import re
from datetime import UTC, datetime, timedelta

from towline.errors import UsageError

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)", re.IGNORECASE | re.ASCII)
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_FRACTION = re.compile(r"(?<=:\d\d)[.,](\d{1,9})(?=$|[Zz+-])")
_FIX = "write an age (30s, 15m, 2h, 7d, 1w), `now`, or a date or time such as 2026-11-23 or 2026-11-23T10:15:00Z"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time(text: str, now: float) -> str:
    """The point in time, RFC 3339 with nine digits and Z, that `text` means at `now` (seconds since the epoch).

    An age counts back from `now`. A time without zone is in the local time zone of this machine, and a date alone is
    its midnight. Raises UsageError for anything else.
    """
    clean = text.strip()
    try:
        if clean.lower() == "now":
            return format_time(int(now * 1e6) * 1000)
        if ago := _AGO.fullmatch(clean):
            past = float(ago[1]) * _UNITS[ago[2].lower()]
            return format_time(int((now - past) * 1e6) * 1000)
        return _iso(clean)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"time {text!r} can't be understood: {_FIX}") from error


def _iso(text: str) -> str:
    if len(text) < 10 or text[4] != "-" or "W" in text:
        raise ValueError(text)
    digits = (found[1] if (found := _FRACTION.search(text)) else "").ljust(9, "0")
    moment = datetime.fromisoformat(_FRACTION.sub("", text, count=1).replace("z", "Z"))
    if moment.microsecond:
        raise ValueError(text)
    # Some libraries' astimezone needs a year that the C library can turn into seconds; the caller catches the rest.
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + f".{digits}Z"


def format_time(nanoseconds: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 with nine digits and Z; OverflowError outside of the years 1 to 9999."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + f".{rest:09}Z"


def nanoseconds(stamp: str) -> int:
    """The inverse of `format_time`; ValueError where `stamp` has another form or is no such time."""
    if len(stamp) != 30 or stamp[19] != "." or stamp[29] != "Z" or stamp[10] != "T" or stamp[4] != "-":
        raise ValueError(f"{stamp!r} is not a time like 2026-11-23T10:15:00.000000000Z")
    fraction = stamp[20:29]
    if not (fraction.isascii() and fraction.isdigit()):
        raise ValueError(f"{stamp!r} has no nine digits of a second")
    since = datetime.fromisoformat(stamp[:19]).replace(tzinfo=UTC) - _EPOCH
    return (since.days * 86400 + since.seconds) * 1_000_000_000 + int(fraction)


def check_range(since: str | None, until: str | None) -> None:
    """UsageError where nothing can lie between the two."""
    if since is not None and until is not None and since >= until:
        raise UsageError(f"the range since {since} until {until} is empty: since must be earlier than until")
