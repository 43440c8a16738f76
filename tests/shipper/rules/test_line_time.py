"""A line's own time becomes its @timestamp."""

from typing import Any

import orjson
import pytest

from shipper.rules import line_time
from shipper.rules.line_time import UNTIMED, read
from shipper.rules.rows import Rows

ENGINE = b"2026-11-23T10:15:30.000000001Z"


def rows_of(*values: Any, name: str = "time", stamp: bytes = ENGINE) -> Rows:
    count = len(values)
    return Rows(
        ids=[b"id%d" % number for number in range(count)], stamps=[stamp] * count, streams=[b"stdout"] * count,
        sequences=list(range(count)), texts=["text"] * count, flags=[()] * count,
        fields=[{name: value, "other": 1} for value in values])  # fmt: skip


def timed(label: str, rows: Rows) -> Rows:
    step = line_time.make({"towline.time": read(label)})
    assert step is not None
    step(rows)
    return rows


def stamp_of(value: Any, label: str = "time", stamp: bytes = ENGINE) -> str | None:
    rows = timed(label, rows_of(value, stamp=stamp))
    found = rows.times[0]
    assert (found is None) == (rows.flags[0] == (UNTIMED,)) == ("time" in (rows.fields[0] or {}))
    return found.decode() if found else None


@pytest.mark.parametrize(
    ("written", "stamp"),
    [
        ("2026-11-23T10:15:00Z", "2026-11-23T10:15:00.000000000Z"),
        ("2026-11-23T10:15:00.123456789Z", "2026-11-23T10:15:00.123456789Z"),
        ("2026-11-23T10:15:00.1234567891Z", "2026-11-23T10:15:00.123456789Z"),
        ("2026-11-23T12:15:00.5+02:00", "2026-11-23T10:15:00.500000000Z"),
        ("2026-11-23T12:15:00+0200", "2026-11-23T10:15:00.000000000Z"),
        ("2026-11-23 12:15:00+02", "2026-11-23T10:15:00.000000000Z"),
        ("2026-11-23T04:45:00-05:30", "2026-11-23T10:15:00.000000000Z"),
        ("2026-11-22 23:15:00.1-1100", "2026-11-23T10:15:00.100000000Z"),
        ("2026-11-23 10:15:00,123", "2026-11-23T10:15:00.123000000Z"),
        ("2026-11-23T10:15:00,123Z", "2026-11-23T10:15:00.123000000Z"),
        ("2026-11-23 10:15:00.123 UTC", "2026-11-23T10:15:00.123000000Z"),
        ("2026-11-23 10:15:00.123456789 +0000 UTC", "2026-11-23T10:15:00.123456789Z"),
        ("2026/11/23 10:15:00", "2026-11-23T10:15:00.000000000Z"),
        ("2026-11-23t10:15:00z", "2026-11-23T10:15:00.000000000Z"),
        ("23/Nov/2026:10:15:00 +0000", "2026-11-23T10:15:00.000000000Z"),
        ("[23/Nov/2026:11:15:00 +0100]", "2026-11-23T10:15:00.000000000Z"),
        ("23/Nov/2026:10:15:00.123", "2026-11-23T10:15:00.123000000Z"),
        ("23 Nov 2026 10:15:00.123", "2026-11-23T10:15:00.123000000Z"),
        ("Mon, 23 Nov 2026 10:15:00 GMT", "2026-11-23T10:15:00.000000000Z"),
        ("Mon Nov 23 10:15:00.123456 2026", "2026-11-23T10:15:00.123456000Z"),
        ("Nov 23 10:15:00", "2026-11-23T10:15:00.000000000Z"),
        ("Nov  3 10:15:00", "2026-11-03T10:15:00.000000000Z"),
        ("Nov 23 2025 10:15:00", "2025-11-23T10:15:00.000000000Z"),
        (1_790_000_000, "2026-09-21T14:13:20.000000000Z"),
        (1_790_000_000.25, "2026-09-21T14:13:20.250000000Z"),
        (1_790_000_000_123, "2026-09-21T14:13:20.123000000Z"),
        (1_790_000_000_123_456, "2026-09-21T14:13:20.123456000Z"),
        (1_790_000_000_123_456_789, "2026-09-21T14:13:20.123456789Z"),
        ("1790000000.123456789", "2026-09-21T14:13:20.123456789Z"),
        ("1790000000123", "2026-09-21T14:13:20.123000000Z"),
        ("1790000000123.5", "2026-09-21T14:13:20.123500000Z"),
        (1.79e18, "2026-09-21T14:13:20.000000000Z"),
    ],
)
def test_the_form_of_a_time_is_told_by_its_looks(written: Any, stamp: str) -> None:
    assert stamp_of(written) == stamp


@pytest.mark.parametrize(
    "nonsense",
    [
        "", "yesterday", "2026-13-01T00:00:00Z", "2026-02-30 00:00:00", "2026-11-23T25:00:00Z", "2026-11-23T10:15:60Z",
        "1969-12-31T23:59:59Z", "2255-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00",
        "0000-00-00 00:00:00", "32/Nov/2026:10:15:00 +0000", "23/Foo/2026:10:15:00", "Feb 30 10:15:00",
        "٢٠٢٦-11-23T10:15:00Z",
        "2026-11-23T10:15:00+99:99", "2026-11-23T10:15:00+01:60", "2026-11-23 10:15:00 CET", "x" * (1 << 20),
        "1" * 4000, 0, -5, 42, 20261123, 1e300,
        1 << 70, 99_999_999_999, "1e9", float("nan"), True, None, [1_790_000_000], {"seconds": 1}, "\0",
        "1790000000\n\n1",
    ],
)  # fmt: skip
def test_nonsense_leaves_the_engine_s_stamp_and_marks_the_line(nonsense: Any) -> None:
    assert stamp_of(nonsense) is None


def test_the_years_at_both_ends_are_taken() -> None:
    assert stamp_of("1970-01-01T00:00:00Z") == "1970-01-01T00:00:00.000000000Z"
    assert stamp_of("2254-12-31T23:59:59.999999999Z") == "2254-12-31T23:59:59.999999999Z"
    assert stamp_of("1969-12-31T23:30:00-01:00") == "1970-01-01T00:30:00.000000000Z"


def test_a_time_without_year_has_the_one_that_brings_it_next_to_the_engine_s() -> None:
    assert stamp_of("Dec 31 23:59:59", stamp=b"2027-01-01T00:00:03.000000000Z") == "2026-12-31T23:59:59.000000000Z"
    assert stamp_of("Jan  1 00:00:01", stamp=b"2026-12-31T23:59:58.000000000Z") == "2027-01-01T00:00:01.000000000Z"
    assert stamp_of("Feb 29 12:00:00", stamp=b"2028-03-01T00:00:00.000000000Z") == "2028-02-29T12:00:00.000000000Z"
    assert stamp_of("29.02. 12:00:00", "time %d.%m. %H:%M:%S", b"2028-03-01T00:00:00.000000000Z") == (
        "2028-02-29T12:00:00.000000000Z")  # fmt: skip


@pytest.mark.parametrize(
    ("label", "written", "stamp"),
    [
        ("time s", 42, "1970-01-01T00:00:42.000000000Z"),
        ("time ms", 42.5, "1970-01-01T00:00:00.042500000Z"),
        ("time us", "42", "1970-01-01T00:00:00.000042000Z"),
        ("time ns", 42, "1970-01-01T00:00:00.000000042Z"),
        ("time %d.%m.%Y %H:%M:%S", "23.11.2026 10:15:00", "2026-11-23T10:15:00.000000000Z"),
        ("time %d.%m.%Y %H:%M:%S.%f", "23.11.2026 10:15:00.123456789", "2026-11-23T10:15:00.123456789Z"),
        ("time %Y%m%d-%H%M%S.%f%z", "20261123-121500.125+0200", "2026-11-23T10:15:00.125000000Z"),
        ("time iso Europe/Vienna", "2026-11-23 11:15:00", "2026-11-23T10:15:00.000000000Z"),
        ("time Europe/Vienna", "2026-07-23 12:15:00,5", "2026-07-23T10:15:00.500000000Z"),
        ("time Europe/Vienna", "2026-07-23T10:15:00Z", "2026-07-23T10:15:00.000000000Z"),
        ("time %d.%m.%Y %H:%M:%S America/New_York", "23.11.2026 05:15:00", "2026-11-23T10:15:00.000000000Z"),
    ],
)
def test_a_label_says_format_and_zone(label: str, written: Any, stamp: str) -> None:
    assert stamp_of(written, label) == stamp


@pytest.mark.parametrize("label", ["", "time fortnights", "time %Q", "time iso Mars/Olympus", "time %d %d"])
def test_a_label_that_means_nothing_is_refused_with_what_to_write(label: str) -> None:
    with pytest.raises(ValueError, match="write"):
        read(label)


def test_off_is_no_step_and_so_is_no_label() -> None:
    assert line_time.make({"towline.time": read("off")}) is None
    assert line_time.make({}) is None


def test_auto_takes_the_first_usual_field_that_is_a_time() -> None:
    rows = timed("auto", rows_of("2026-11-23T10:15:00Z", name="@timestamp"))
    assert rows.times == [b"2026-11-23T10:15:00.000000000Z"]
    rows = rows_of("half past ten", 7, name="t")
    rows.fields[0] = {"time": "lunch", "ts": 1_790_000_000.5}
    timed("auto", rows)
    assert rows.times == [b"2026-09-21T14:13:20.500000000Z", None]
    assert rows.fields[0] == {"time": "lunch"}
    assert rows.flags == [(), (UNTIMED,)]


def test_a_line_without_the_field_is_neither_changed_nor_marked() -> None:
    rows = rows_of("2026-11-23T10:15:00Z", name="when")
    rows.fields.append(None)
    timed("time", rows)
    assert rows.times == [None]
    assert rows.flags == [()]
    assert rows.fields[0] == {"when": "2026-11-23T10:15:00Z", "other": 1}


def test_the_engine_s_stamp_becomes_event_created() -> None:
    rows = timed("time", rows_of("2020-01-02T03:04:05Z", "rubbish"))
    documents = [orjson.loads(line.replace(b"\x1e", b"")) for line in rows.documents().splitlines()[1::2]]
    assert documents[0]["@timestamp"] == "2020-01-02T03:04:05.000000000Z"
    assert documents[0]["event"]["created"] == ENGINE.decode()
    assert documents[1]["@timestamp"] == ENGINE.decode()
    assert "created" not in documents[1]["event"]
    assert documents[1]["log"]["flags"] == [UNTIMED]
    assert documents[1]["fields"]["time"] == "rubbish"
