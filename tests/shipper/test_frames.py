"""The engine's log stream, cut into entries: whatever way its bytes arrive."""

import random
import struct

import orjson
import pytest

from shipper.entries import STDERR, STDOUT, Entries
from shipper.frames import Demultiplexer, EngineError, FrameError, normal_stamp

STAMP = b"2026-11-23T00:25:00.123456789Z"
LATER = b"2026-11-23T00:25:01.000000000Z"


def frame(text: bytes, stream: int = 1, stamp: bytes = STAMP) -> bytes:
    payload = stamp + b" " + text
    return struct.pack(">BxxxI", stream, len(payload)) + payload


def rows(entries: Entries | None) -> list[tuple[bytes, bytes, str, bool]]:
    """(stream, stamp, message, whether it is a part) of each entry."""
    if entries is None:
        return []
    return [
        (entries.stream(i), entries.stamps[i], orjson.loads(b'"' + entries.texts[i] + b'"'), i in entries.parts)
        for i in range(len(entries))
    ]


def cut(data: bytes, sizes: list[int], tty: bool | None = None) -> list[tuple[bytes, bytes, str, bool]]:
    demultiplexer, found, start = Demultiplexer(tty), [], 0
    for size in [*sizes, len(data)]:
        found += rows(demultiplexer.feed(data[start : start + size]))
        start += size
    return found + rows(demultiplexer.finish())


def test_streams_and_empty_lines() -> None:
    entries = Demultiplexer().feed(frame(b"a\n") + frame(b"\n", 2) + frame(b"b\n"))
    assert rows(entries) == [
        (STDOUT, STAMP, "a", False),
        (STDERR, STAMP, "", False),
        (STDOUT, STAMP, "b", False),
    ]


def test_one_stream_is_told_once_for_all() -> None:
    entries = Demultiplexer().feed(frame(b"a\n", 2) * 3)
    assert entries is not None
    assert entries.streams == STDERR
    assert entries.size == 3 * len(frame(b"a\n"))


@pytest.mark.parametrize(
    "text",
    [b'say "x" \\n \\', b"\x00\x1b[31m\x1e\x7f", "Grüße 🎉\u2028".encode(), b"tab\there\r", b"STAMP " + STAMP + b" x"],
)
def test_texts_survive_the_escaping(text: bytes) -> None:
    assert rows(Demultiplexer().feed(frame(text + b"\n")))[0][2] == text.decode()


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert rows(Demultiplexer().feed(frame(b"a\xff\xfeb\xe2\x82\n")))[0][2] == "a\ufffd\ufffdb\ufffd"


def test_no_newline_makes_a_part_and_an_empty_text_may_be_one() -> None:
    entries = Demultiplexer().feed(frame(b"x" * 16384) + frame(b"end\n") + frame(b""))
    assert [(len(text), part) for _, _, text, part in rows(entries)] == [(16384, True), (3, False), (0, True)]


def test_lengths_that_look_like_line_ends() -> None:
    texts = [b"x" * size + b"\n" for size in (10 + 256 - 32, 2560 - 32, 2570 - 32, 2815 - 32)]
    assert [row[2] for row in rows(Demultiplexer().feed(b"".join(map(frame, texts))))] == [
        text[:-1].decode() for text in texts
    ]


@pytest.mark.parametrize("tty", [None, True, False])
def test_any_cut_of_the_bytes_gives_the_same(tty: bool | None) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    texts = [bytes(chance.choices(b'ab "\\\xc3\xa9 \x01\x02', k=chance.randrange(60))) for _ in range(50)]
    raw = b"".join(STAMP + b" " + text + b"\r\n" for text in texts)
    framed = b"".join(frame(text + b"\n" * chance.randrange(2), chance.choice([1, 2])) for text in texts)
    data = raw if tty else framed
    whole = cut(data, [], tty)
    assert len(whole) == 50
    for _ in range(50):
        assert cut(data, chance.choices(range(1, 90), k=60), tty) == whole


def test_a_tty_is_told_by_the_first_byte_and_loses_one_carriage_return() -> None:
    assert rows(Demultiplexer().feed(STAMP + b" a\r\n" + STAMP + b" b\r\r\n" + STAMP + b" \r\n")) == [
        (STDOUT, STAMP, "a", False),
        (STDOUT, STAMP, "b\r", False),
        (STDOUT, STAMP, "", False),
    ]


def test_parts_of_a_long_tty_line_are_cut_apart() -> None:
    data = STAMP + b" " + b"x" * 16384 + STAMP + b" " + b"y" * 16384 + STAMP + b" z\r\n" + LATER + b" next\r\n"
    assert [(text[:4], len(text), part) for _, _, text, part in cut(data, [17, 20000])] == [
        ("xxxx", 16384, True),
        ("yyyy", 16384, True),
        ("z", 1, False),
        ("next", 4, False),
    ]


def test_a_tty_line_left_unfinished_by_a_stop_is_cut_from_the_next_run() -> None:
    assert rows(Demultiplexer().feed(STAMP + b" prompt$ " + LATER + b" hello\r\n")) == [
        (STDOUT, STAMP, "prompt$ ", True),
        (STDOUT, LATER, "hello", False),
    ]


def test_a_program_on_a_tty_may_print_the_time() -> None:
    data = LATER + b" " + STAMP + b" my own time\r\n"
    assert [row[2] for row in rows(Demultiplexer().feed(data))] == [STAMP.decode() + " my own time"]


def test_the_unfinished_end_of_a_tty_log_is_an_entry_only_at_its_end() -> None:
    demultiplexer = Demultiplexer()
    assert demultiplexer.feed(STAMP + b" prompt$ ") is None
    assert rows(demultiplexer.finish()) == [(STDOUT, STAMP, "prompt$ ", True)]
    assert demultiplexer.finish() is None


def test_half_a_frame_is_no_entry() -> None:
    demultiplexer = Demultiplexer()
    assert len(rows(demultiplexer.feed(frame(b"a\n") + frame(b"bcd\n")[:-2]))) == 1
    assert demultiplexer.finish() is None
    assert len(demultiplexer.rest) == len(frame(b"bcd\n")) - 2


@pytest.mark.parametrize("junk", [b"\x01\x00\x01\x00\x00\x00\x00\x22", b"\x07xxxxxxxxx", b"\x01\x00\x00\x00\x7f\0\0\0"])
def test_an_impossible_header_is_told_after_what_came_before(junk: bytes) -> None:
    demultiplexer = Demultiplexer()
    assert len(rows(demultiplexer.feed(frame(b"good\n") + junk))) == 1
    with pytest.raises(FrameError, match="impossible frame header"):
        demultiplexer.feed(b"")


def test_the_engine_says_that_it_can_not_read_on() -> None:
    text = b"Error grabbing logs: unexpected EOF\n"
    with pytest.raises(EngineError, match="unexpected EOF"):
        Demultiplexer().feed(struct.pack(">BxxxI", 3, len(text)) + text)
    demultiplexer = Demultiplexer(tty=True)
    assert len(rows(demultiplexer.feed(STAMP + b" a\r\n" + text))) == 1
    with pytest.raises(EngineError, match="unexpected EOF"):
        demultiplexer.feed(b"")


@pytest.mark.parametrize(
    ("stamp", "normal"),
    [
        (b"2026-11-23T02:25:00.5+02:00", b"2026-11-23T00:25:00.500000000Z"),
        (b"2026-11-23T00:25:00Z", b"2026-11-23T00:25:00.000000000Z"),
        (b"0001-01-01T00:00:00.000000000Z", b"0001-01-01T00:00:00.000000000Z"),
        (b"12026-11-23T00:25:00.000000000Z", b"1970-01-01T00:00:00.000000000Z"),
    ],
)
def test_other_stamps_become_thirty_bytes(stamp: bytes, normal: bytes) -> None:
    assert normal_stamp(stamp) == normal
    assert rows(Demultiplexer().feed(frame(b"x\n", stamp=stamp))) == [(STDOUT, normal, "x", False)]
    assert rows(Demultiplexer().feed(stamp + b" x\r\n")) == [(STDOUT, normal, "x", False)]


@pytest.mark.parametrize("width", [1, 2560 - 32, 2570 - 32, 16 << 10])
def test_whole_lines_arrive_cut_anywhere(width: int) -> None:
    """2570 is 0x0A0A: a frame's head that looks like line ends."""
    data = b"".join(frame(b"%0*d\n" % (width, number)) for number in range(4))
    expected = rows(Demultiplexer().feed(data))
    assert len(expected) == 4
    near = (0, len(data) // 4, len(data))
    for at in {at for middle in near for at in range(middle - 60, middle + 60) if 0 <= at <= len(data)}:
        assert cut(data, [at]) == expected
