"""Finding a position again in a log, by what stands there and not by its time."""

import random

from shipper.entries import STDERR, STDOUT, Entries, Position
from shipper.resume import Overlap, Runs

Row = tuple[bytes, int]


def stamp(second: int) -> bytes:
    return b"2026-11-23T00:%02d:%02d.000000000Z" % divmod(second, 60)


def log(rows: list[Row], start: int = 0) -> Entries:
    """Entries of (stream, second); the text is the index in the log."""
    return Entries(
        [stamp(second) for _, second in rows],
        [b"%d" % (start + i) for i in range(len(rows))],
        [stream for stream, _ in rows],
    )


def out(*times: int) -> list[Row]:
    return [(STDOUT, second) for second in times]


def after(rows: list[Row], position: Position, piece: int = 1000) -> tuple[list[int], Overlap]:
    overlap, texts = Overlap(position), []
    for start in range(0, len(rows), piece):
        new = overlap.feed(log(rows[start : start + piece], start))
        texts += [int(text) for text in new.texts] if new else []
    return texts, overlap


def read(rows: list[Row], pieces: list[int]) -> Position | None:
    """The position after reading rows in pieces of these sizes."""
    runs, start = Runs(), 0
    for size in pieces:
        if rows[start : start + size]:
            runs.follow(log(rows[start : start + size], start))
        start += size
    return runs.position


def test_goes_on_at_every_cut_however_the_log_is_fed() -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(200):
        rows, second = [], 1000
        for _ in range(chance.randrange(2, 30)):
            second += chance.choice([0, 0, 0, 1, 3])
            rows.append((chance.choice([STDOUT, STDERR]), second))
        count = chance.randrange(1, len(rows) + 1)
        sizes: list[int] = []
        while sum(sizes) < count:
            sizes.append(min(chance.randrange(1, 6), count - sum(sizes)))
        position = read(rows, sizes)
        assert position is not None
        texts, overlap = after(rows, position, chance.randrange(1, 8))
        assert overlap.found
        assert not overlap.gone
        assert texts == list(range(count, len(rows)))


def test_goes_on_where_the_clock_has_jumped_back() -> None:
    rows = out(100, 101, 102, 20, 21, 103, 104)
    for count in range(1, len(rows) + 1):
        position = read(rows, [count])
        assert position is not None
        assert after(rows, position)[0] == list(range(count, len(rows)))


def test_goes_on_where_the_entries_begin_in_the_middle() -> None:
    position = read(out(1, 2, 3, 4), [3])
    assert position is not None
    overlap = Overlap(position)
    new = overlap.feed(log(out(3, 4, 5), 2))
    assert new is not None
    assert list(new.texts) == [b"3", b"4"]
    assert new.before == position
    assert new.gap == ""


def test_a_later_stamp_proves_that_the_position_is_gone() -> None:
    position = Position(STDOUT, stamp(10), 1, stamp(50))
    overlap = Overlap(position)
    assert overlap.feed(log(out(11, 50))) is None
    new = overlap.feed(log(out(12, 51, 13), 2))
    assert new is not None
    assert (overlap.found, overlap.gone, overlap.skipped, new.gap) == (False, True, 3, "rotated")
    assert list(new.texts) == [b"3", b"4"]
    following = overlap.feed(log(out(14), 5))
    assert following is not None
    assert following.gap == ""


def test_a_run_of_equal_stamps_that_lost_its_beginning_is_not_mistaken() -> None:
    texts, overlap = after(out(5, 5, 6), Position(STDOUT, stamp(5), 3, stamp(5)))
    assert texts == [2]
    assert overlap.gone


def test_the_other_stream_does_not_interrupt_a_run() -> None:
    rows = [(STDOUT, 5), (STDERR, 5), (STDOUT, 5), (STDERR, 6), (STDOUT, 5), (STDOUT, 7)]
    position = read(rows, [1, 1, 1, 1, 1])
    assert position == Position(STDOUT, stamp(5), 3, stamp(6))
    assert after(rows, position)[0] == [5]


def test_nothing_certain_is_told_with_the_place_to_go_on_from() -> None:
    texts, overlap = after(out(5, 6, 6), Position(STDOUT, stamp(9), 1, stamp(9)))
    assert texts == []
    assert not overlap.finish()
    assert overlap.last == Position(STDOUT, stamp(6), 2, stamp(9))
    assert not after([], Position(STDOUT, stamp(9), 1, stamp(9)))[1].finish()


def test_parts_and_ends_move_with_the_cut() -> None:
    entries = Entries([stamp(1), stamp(1), stamp(2)], [b"a", b"b", b"c"], STDOUT, frozenset({0, 2}), ends=[10, 20, 30])
    new = Overlap(Position(STDOUT, stamp(1), 2, stamp(1))).feed(entries)
    assert new is not None
    assert (new.parts, new.ends, new.streams) == ({0}, [30], STDOUT)


def test_a_run_that_may_have_begun_before_the_entries_is_uncertain() -> None:
    overlap = Overlap(Position(STDOUT, stamp(5), 2, stamp(5)), whole=False)
    assert overlap.feed(log(out(5, 5, 5))) is None
    assert overlap.uncertain
    assert not overlap.finish()


def test_a_run_that_begins_among_the_entries_is_certain() -> None:
    for first in [(STDOUT, 6), (STDERR, 4)]:
        overlap = Overlap(Position(STDOUT, stamp(5), 2, stamp(7)), whole=False)
        new = overlap.feed(log([first, *out(5, 5, 5)]))
        assert new is not None
        assert list(new.texts) == [b"3"]


def test_where_stamps_stop_growing() -> None:
    runs = Runs()
    rows = [(STDOUT, 1), (STDOUT, 2), (STDERR, 1), (STDOUT, 3)]
    assert runs.grows(log(rows)) == 4
    runs.follow(log(rows))
    assert runs.grows(log(out(4, 5))) == 2
    assert runs.grows(log(out(3, 4))) == 0
    assert runs.grows(log([(STDERR, 2), (STDOUT, 4), (STDOUT, 2), (STDOUT, 9)])) == 2
    parts = Entries([stamp(4)] * 3, [b"a", b"b", b"c"], STDOUT, frozenset({0, 1, 2}))
    assert runs.grows(parts) == 3
    runs.follow(parts)
    assert runs.grows(log(out(4, 5))) == 2
