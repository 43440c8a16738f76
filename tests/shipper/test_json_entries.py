"""Blocks of a json-file log: every shape that Docker writes or a crash leaves comes out as the engine meant it."""

import json

import pytest

from shipper.entries import Entries, Place
from shipper.json_entries import nine_digits, parse, strip_return

STAMP = "2026-11-23T00:25:00.%09dZ"


def entry(text: str, stream: str = "stdout", stamp: str = STAMP % 1, **attrs: str) -> bytes:
    row: dict[str, object] = {"log": text, "stream": stream}
    if attrs:
        row["attrs"] = attrs
    return json.dumps({**row, "time": stamp}, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def read(block: bytes, **options: bool) -> Entries:
    return parse(block, None, Place(1, 2, len(block)), **options)


def texts(entries: Entries) -> list[str]:
    return [json.loads(b'"' + text + b'"') for text in entries.texts]


def test_whole_lines_of_one_stream_keep_text_and_stamp() -> None:
    block = b"".join(entry(f"line {i}\n", stamp=STAMP % i) for i in range(1, 4))
    entries = read(block)
    assert texts(entries) == ["line 1", "line 2", "line 3"]
    assert list(entries.stamps) == [(STAMP % i).encode() for i in range(1, 4)]
    assert entries.streams == b"stdout"
    assert not entries.parts


def test_each_whole_line_has_its_place_so_that_reading_may_go_on_before_it() -> None:
    rows = [entry(f"line {i}\n", stamp=STAMP % i) for i in range(1, 4)]
    entries = parse(b"".join(rows), None, Place(1, 2, 1000 + sum(map(len, rows))))
    places = [position and position.place for position in map(entries.position, range(1, 4))]
    assert places == [Place(1, 2, 1000 + sum(map(len, rows[:count]))) for count in range(1, 4)]
    assert (len(entries.ends), list(entries.ends[1:])) == (3, [place.offset for place in places[1:] if place])


def test_two_streams_keep_the_order_of_the_log() -> None:
    block = entry("a\n") + entry("b\n", "stderr") + entry("c\n")
    entries = read(block)
    assert [entries.stream(i) for i in range(3)] == [b"stdout", b"stderr", b"stdout"]
    assert texts(entries) == ["a", "b", "c"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        'quote " and backslash \\ and tab \t',
        'looks like \\n","stream":"stdout","time":"2026',
        '"}\n{"log":"'.replace("\n", "␤"),
        "ends in a backslash\\",
        "ends in backslash n\\n",
        "\x00\x1b[31m\x07",
        "\ufffd\ufffd\u2028é😀",
        "\x1e",
    ],
)
@pytest.mark.parametrize("neighbours", [0, 1])
def test_any_text_comes_through_whole(text: str, neighbours: int) -> None:
    around = entry("around\n") * neighbours
    entries = read(around + entry(text + "\n") + around)
    assert texts(entries) == ["around"] * neighbours + [text] + ["around"] * neighbours
    assert not entries.parts
    assert not entries.damaged


@pytest.mark.parametrize("text", ["x" * 16384, "ends in backslash n\\n", "backslash\\", "", 'quote"'])
def test_an_entry_without_line_end_is_a_part(text: str) -> None:
    entries = read(entry("before\n") + entry(text) + entry("after\n"))
    assert texts(entries) == ["before", text, "after"]
    assert entries.parts == {1}
    assert entries.ends[-1] == sum(map(len, [entry("before\n"), entry(text), entry("after\n")]))


def test_trimmed_zeros_of_a_stamp_come_back() -> None:
    stamps = ["2026-11-23T00:25:00Z", "2026-11-23T00:25:00.5Z", "2026-11-23T00:25:00.123456789Z"]
    entries = read(b"".join(entry("x\n", stamp=stamp) for stamp in stamps))
    assert [stamp.decode() for stamp in entries.stamps] == [
        "2026-11-23T00:25:00.000000000Z",
        "2026-11-23T00:25:00.500000000Z",
        "2026-11-23T00:25:00.123456789Z",
    ]


def test_labels_in_the_entry_are_passed_over() -> None:
    entries = read(entry("x\n", tag="a}b", other='q"time":"'))
    assert texts(entries) == ["x"]
    assert not entries.damaged


def test_a_torn_entry_before_a_good_one_keeps_both() -> None:
    entries = read(entry("one\n") + b'{"log":"to' + entry("two\n") + entry("three\n"))
    assert texts(entries) == ["one", '{"log":"to', "two", "three"]
    assert entries.damaged == {1}


@pytest.mark.parametrize("other", ["tab \t\n", 'quote "\n', "backslash \\\n", "none\n"])
@pytest.mark.parametrize("neighbours", [0, 1, 5])
def test_a_quote_that_nothing_escapes_is_damage_whatever_stands_in_other_lines(other: str, neighbours: int) -> None:
    broken = entry("a'b\n").replace(b"'", b'"')
    entries = read(entry(other) * neighbours + broken + entry(other) * neighbours)
    assert entries.damaged == {neighbours}
    assert len(entries) == 2 * neighbours + 1


def test_nul_bytes_of_a_crash_are_left_out() -> None:
    entries = read(entry("one\n") + b"\x00" * 4096 + entry("two\n"))
    assert texts(entries) == ["one", "two"]
    assert not entries.damaged


def test_garbage_is_kept_as_it_was_found() -> None:
    entries = read(entry("one\n") + b'\xff garbage "\n' + entry("two\n"))
    assert texts(entries) == ["one", '\ufffd garbage "', "two"]
    assert entries.damaged == {1}
    assert entries.stamps[1] == entries.stamps[0]


@pytest.mark.parametrize(
    ("text", "stripped"), [("a\r", "a"), ("a\\r", "a\\r"), ("\r", ""), ("a\r\r", "a\r"), ("a\\\r", "a\\")]
)
def test_a_terminal_s_carriage_return_goes(text: str, stripped: str) -> None:
    escaped = json.dumps(text)[1:-1].encode()
    assert json.loads(b'"' + strip_return(escaped) + b'"') == stripped
    assert texts(read(entry(text + "\n"), tty=True)) == [stripped]


def test_what_is_no_stamp_is_not_touched() -> None:
    assert nine_digits(b"yesterday") == b"yesterday"
    assert nine_digits(b"2026-11-23T00:25:00+01:00") == b"2026-11-23T00:25:00+01:00"
