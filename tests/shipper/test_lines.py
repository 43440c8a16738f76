"""Entries to lines: joined, cut, numbered, and identified the same however the log was chopped into reads."""

import json
import random
from itertools import pairwise
from typing import Any

import pytest

from shipper.entries import Entries, Place, Position
from shipper.lines import LineMaker, Lines, State

ID = "c" * 64
OUT, ERR = b"stdout", b"stderr"


def stamp(n: int) -> bytes:
    return b"2026-11-23T00:25:00.%09dZ" % n


def make(rows: list[tuple[int, bytes, str, bool]], before: Position | None = None) -> Entries:
    """Rows of (nanosecond, stream, text, is a part)."""
    streams: Any = [row[1] for row in rows]
    return Entries(
        [stamp(row[0]) for row in rows],
        [json.dumps(row[2])[1:-1].encode() for row in rows],
        streams[0] if len(set(streams)) == 1 else streams,
        frozenset(i for i, row in enumerate(rows) if row[3]),
        before=before,
    )


def documents(*lines: Lines | None) -> list[dict[str, Any]]:
    docs = []
    for made in lines:
        if made is None:
            continue
        rows = made.docs.replace(b"\x1e", b"").splitlines()
        assert len(rows) == 2 * made.count
        for action, doc in zip(rows[::2], rows[1::2], strict=True):
            docs.append({"_id": json.loads(action)["create"]["_id"], **json.loads(doc)})
    return docs


def messages(*lines: Lines | None) -> list[str]:
    return [doc["message"] for doc in documents(*lines)]


def test_a_plain_block_keeps_texts_order_and_stamps() -> None:
    made = LineMaker(ID, 1000).feed(make([(i, OUT, f"line {i}", False) for i in range(1, 100)]))
    docs = documents(made)
    assert [doc["message"] for doc in docs] == [f"line {i}" for i in range(1, 100)]
    assert [doc["event"]["sequence"] for doc in docs] == list(
        range(docs[0]["event"]["sequence"], docs[0]["event"]["sequence"] + 99)
    )
    assert len({doc["_id"] for doc in docs}) == 99
    assert made is not None
    assert (made.first, made.last) == (stamp(1).decode(), stamp(99).decode())


@pytest.mark.parametrize("begin", [7, 998, 1_000, 1_763_856_300_000_998])
@pytest.mark.parametrize("count", [1, 3, 2_500])
def test_numbers_go_on_across_every_thousand(begin: int, count: int) -> None:
    maker = LineMaker(ID, 1000, State(begin))
    made = maker.feed(make([(i, OUT, "x", False) for i in range(1, count + 1)]))
    assert [doc["event"]["sequence"] for doc in documents(made)] == list(range(begin + 1, begin + count + 1))
    assert maker.state.sequence == begin + count


def test_fast_and_slow_path_make_the_same_documents() -> None:
    rows = [(i, OUT, f"line {i}", False) for i in range(1, 50)]
    at_once = documents(LineMaker(ID, 1000).feed(make(rows)))
    maker = LineMaker(ID, 1000)
    one_by_one = [maker._each(make([row])) or maker._take(0) for row in rows]  # the path of unusual blocks
    assert documents(*one_by_one) == at_once


def test_equal_stamps_get_ordinals_per_stream() -> None:
    docs = documents(LineMaker(ID, 1000).feed(make([(5, OUT, "a", False), (5, ERR, "b", False), (5, OUT, "c", False)])))
    assert len({doc["_id"] for doc in docs}) == 3


def test_parts_of_one_stamp_join_and_streams_do_not_mix() -> None:
    rows = [(1, OUT, "aaa", True), (2, ERR, "err", False), (1, OUT, "bbb", True), (1, OUT, "ccc", False)]
    assert messages(LineMaker(ID, 1000).feed(make(rows))) == ["err", "aaabbbccc"]


def test_an_unterminated_line_ends_where_another_stamp_begins() -> None:
    maker = LineMaker(ID, 1000)
    assert messages(maker.feed(make([(1, OUT, "last words", True)]))) == []
    assert messages(maker.feed(make([(2, OUT, "after restart", False)]))) == ["last words", "after restart"]


def test_flush_gives_the_last_line_without_newline() -> None:
    maker = LineMaker(ID, 1000)
    maker.feed(make([(1, OUT, "no newline", True)]))
    assert messages(maker.flush()) == ["no newline"]
    assert maker.flush() is None
    assert maker.safe[0] is not None


@pytest.mark.parametrize("limit", [7, 10, 16, 25, 1000])
def test_a_line_beyond_the_limit_is_split_and_nothing_of_it_lost(limit: int) -> None:
    parts = ["0123456789", "äöüß", "<>&\x00\t", "x" * 30, "end"]
    rows = [(1, OUT, text, i < len(parts) - 1) for i, text in enumerate(parts)]
    made = LineMaker(ID, limit).feed(make([*rows, (2, OUT, "next", False)]))
    docs = documents(made)
    *pieces, following = docs
    assert "".join(doc["message"] for doc in pieces) == "".join(parts)
    assert all(len(doc["message"].encode()) <= limit for doc in docs)
    assert all(("log" in doc) == (len(pieces) > 1) for doc in pieces)
    assert "log" not in following
    assert len({doc["_id"] for doc in docs}) == len(docs)
    assert made is not None
    assert made.split == (len(pieces) if len(pieces) > 1 else 0)


def test_a_clock_that_goes_back_never_repeats_an_identity() -> None:
    rows = [(10, OUT, "a", False), (11, OUT, "b", False), (10, OUT, "c", False), (11, OUT, "d", False)]
    docs = documents(LineMaker(ID, 1000).feed(make([*rows, (11, OUT, "e", False), (12, OUT, "f", False)])))
    assert len({doc["_id"] for doc in docs}) == 6
    assert [doc["message"] for doc in sorted(docs, key=lambda doc: doc["event"]["sequence"])] == list("abcdef")


def test_a_gap_leaves_a_record_in_its_place() -> None:
    maker = LineMaker(ID, 1000)
    maker.feed(make([(1, OUT, "before", False)]))
    entries = make([(9, OUT, "after", False)], before=Position(OUT, stamp(1), 1, stamp(1)))
    docs = documents(maker.feed(Entries(entries.stamps, entries.texts, OUT, gap="rotated", before=entries.before)))
    assert [doc["event"].get("action") for doc in docs] == ["gap", None]
    assert docs[0]["towline"]["gap"] == {"after": stamp(1).decode(), "before": stamp(9).decode()}
    assert docs[0]["event"]["sequence"] < docs[1]["event"]["sequence"]


@pytest.mark.parametrize("seed", range(40))
def test_resuming_at_any_safe_point_repeats_identities_exactly(seed: int) -> None:
    chance = random.Random(seed)
    rows = random_log(chance)
    whole = documents(*run(rows, [len(rows)]))
    cuts = sorted(chance.sample(range(1, len(rows)), 6))
    chopped = documents(*run(rows, cuts))
    assert chopped == whole
    assert documents(*resumed(rows, chance)) == whole


def random_log(chance: random.Random) -> list[tuple[int, bytes, str, bool]]:
    rows: list[tuple[int, bytes, str, bool]] = []
    now = 100
    for number in range(60):
        now += chance.choice([0, 0, 1, 5, -7])
        stream = chance.choice([OUT, OUT, ERR])
        for part in range(chance.choice([0, 0, 0, 1, 3])):
            rows.append((now, stream, f"{number}part{part}", True))
        rows.append((now, stream, f"{number}<end>", False))
    return rows


def run(rows: list[tuple[int, bytes, str, bool]], cuts: list[int]) -> list[Lines | None]:
    maker = LineMaker(ID, 20)
    bounds = [0, *cuts, len(rows)]
    made = [maker.feed(make(rows[a:b])) for a, b in pairwise(bounds) if a < b]
    return [*made, maker.flush()]


def resumed(rows: list[tuple[int, bytes, str, bool]], chance: random.Random) -> list[Lines | None]:
    """Killed again and again: each life starts at the last safe point, and what it repeats must be the same."""
    seen: dict[str, dict[str, Any]] = {}
    at, most, state, over = 0, 12, State(), False
    while not over:
        maker = LineMaker(ID, 20, State.from_json(state.to_json()))
        end = min(len(rows), at + chance.randint(1, most))
        over = end == len(rows)
        for doc in documents(maker.feed(with_ends(rows, at, end)), maker.flush() if over else None):
            assert seen.setdefault(doc["_id"], doc) == doc
        position, state = maker.safe
        most = 2 * most if position is None or position.place is None or position.place.offset == at else 12
        at = position.place.offset if position and position.place else at
    ordered = sorted(seen.values(), key=lambda doc: doc["event"]["sequence"])
    return [as_lines(ordered)]


def with_ends(rows: list[tuple[int, bytes, str, bool]], start: int, end: int) -> Entries:
    """Entries whose places count rows."""
    entries = make(rows[start:end])
    before = Position(OUT, b"", 0, b"", Place(1, 1, start))
    return Entries(
        entries.stamps, entries.texts, entries.streams, entries.parts, before=before, place=Place(1, 1, end),
        ends=range(start + 1, end + 1))  # fmt: skip


def as_lines(docs: list[dict[str, Any]]) -> Lines:
    rows = []
    for doc in docs:
        rest = {key: value for key, value in doc.items() if key != "_id"}
        rows.append(json.dumps({"create": {"_id": doc["_id"]}}) + "\n" + json.dumps(rest) + "\n")
    return Lines("".join(rows).encode(), len(docs), "", "")
