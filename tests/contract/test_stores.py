"""The store contract. Each backend is one row in BACKENDS: what turns an empty folder into a store URL."""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests

from towline.batch import ORIGIN_MARK, Batch, Origin, Section, decode
from towline.errors import UsageError
from towline.query import Query, matches, parse
from towline.stores import Store, open_store
from towline.times import format_time


def elasticsearch(folder: Path) -> str:
    """Streams of this process's own, emptied: a data stream can't be removed from every server, its old indices can."""
    server = os.environ.get("TOWLINE_TEST_ELASTICSEARCH", "http://127.0.0.1:9200")
    namespace = f"contract.{os.getpid()}"
    for stream in (f"logs-docker-{namespace}", f"logs-towline.deadletter-{namespace}"):
        try:
            requests.post(f"{server}/{stream}/_rollover", timeout=60)
            rows = requests.get(f"{server}/{stream}/_settings?allow_no_indices=true", timeout=60).json()
        except requests.ConnectionError as error:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"no Elasticsearch on {server}: {error}")
        for name in sorted(name for name in rows if name.startswith(".ds-"))[:-1]:
            requests.delete(f"{server}/{name}", timeout=60).raise_for_status()
    return f"{server}/?namespace={namespace}&refresh=now"


BACKENDS: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite://{folder}/store",
    "elasticsearch": elasticsearch,
}
START = 1_790_000_000_000_000_000
SECOND = 10**9
WORDS = [
    "alpha",
    "beta",
    "Gamma",
    "delta-1",
    "GET",
    "/api/v1",
    "10.0.0.1",
    "error:",
    "timeout",
    "Straße",
    "ÉCOLE",
    "naïve",
    "日本語",
    "ключ",
    "done✓",
    "🤖ok",
    "x_y",
]
HOSTILE = [
    "", " ", "\0", "a\0b nul", 'quo"te \\" \\', "back\\slash\\n", "\x1b[31mred\x1b[0m", "\ufffd\ufffd", "tab\tnew\r",
    '","stream":"stdout","event":{"sequence":9}}', '"}}\n{"@timestamp":"', '{"create":{"_id":"x"}}', "\\u0000 literal",
    "\u2028\u2029\x7f\x85", "日本語", "🤖" * 50, "ß" * 10, "İstanbul", "e\u0301", "\x1e mark", "x" * (1 << 20),
    "* OR ( \" NOT"]  # fmt: skip


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return BACKENDS[request.param](tmp_path)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


def origin(name: str = "web", **labels: str) -> Origin:
    number = format(sum(name.encode()) * 7919 + len(name), "x")
    return Origin({"container": {"id": number.rjust(64, "a"), "name": name, "labels": labels},
                   "host": {"name": "node-1"}, "service": {"name": name.split(".")[0]}})  # fmt: skip


class Line:
    """One line as a test wants it: time in nanoseconds after START, message, sequence."""

    def __init__(self, at: int, message: str, sequence: int = 0, stream: str = "stdout", identity: str = "") -> None:
        self.stamp = format_time(START + at)
        self.identity = identity or f"{self.stamp}-{sequence}"
        self.message, self.sequence, self.stream = message, sequence, stream

    def named(self, of: Origin) -> str:
        """The `_id`, which differs between containers as real ones do."""
        return f"{self.identity}-{of.container_id[-6:]}"

    def pair(self, of: Origin | None = None) -> bytes:
        body = orjson.dumps({"@timestamp": self.stamp, "message": self.message, "stream": self.stream,
                             "event": {"sequence": self.sequence}})  # fmt: skip
        return orjson.dumps({"create": {"_id": self.named(of or origin())}}) + b"\n" + body[:-1] + ORIGIN_MARK + b"}\n"


def section(lines: Sequence[Line], of: Origin | None = None) -> Section:
    stamps = [line.stamp for line in lines]
    return Section(of or origin(), b"".join(line.pair(of) for line in lines), len(lines), min(stamps), max(stamps))


def batch(*sections: Section) -> Batch:
    return Batch(sections)


def found(store: Store, query: Query) -> list[str]:
    return [document["message"] for document in store.search(query)]


def counting(number: int, first: int = 0) -> list[Line]:
    return [Line(index * SECOND, f"line {index}", index) for index in range(first, first + number)]


def test_a_written_line_is_a_whole_document(store: Store) -> None:
    verdicts = store.write([batch(section([Line(5, "hello world", 17)], origin("web", team="a.b")))])
    assert [(list(v.stored), list(v.duplicate), [list(r) for r in v.rejected]) for v in verdicts] == [([1], [0], [[]])]
    (document,) = store.search(Query(where=parse("hello")))
    assert document == {
        "@timestamp": format_time(START + 5), "message": "hello world", "stream": "stdout", "event": {"sequence": 17},
        **origin("web", team="a.b").fields}  # fmt: skip


def test_a_batch_that_travelled_is_stored_as_well(store: Store) -> None:
    sent = decode(batch(section(counting(3)), section(counting(2), origin("db"))).encode())
    (verdict,) = store.write([sent])
    assert (list(verdict.stored), store.totals()) == ([3, 2], {"web": 3, "db": 2})


def test_writing_nothing_is_fine(store: Store) -> None:
    assert list(store.write([])) == []
    assert [list(verdict.stored) for verdict in store.write([Batch([])])] == [[]]


def test_a_repeated_batch_is_all_duplicates(store: Store) -> None:
    one = batch(section(counting(3000)))
    store.write([one])
    (again,) = store.write([one])
    assert (list(again.stored), list(again.duplicate)) == ([0], [3000])
    assert store.totals() == {"web": 3000}


def test_a_batch_twice_in_one_call_is_stored_once(store: Store) -> None:
    one = batch(section(counting(10)))
    first, second = store.write([one, one])
    assert (list(first.stored), list(second.duplicate)) == ([10], [10])
    assert found(store, Query(order="asc")) == [f"line {index}" for index in range(10)]


def test_a_line_twice_in_one_section_is_stored_once(store: Store) -> None:
    line = Line(1, "twice", 1)
    (verdict,) = store.write([batch(section([line, Line(2, "other", 2), line]))])
    assert (list(verdict.stored), list(verdict.duplicate)) == ([2], [1])
    assert found(store, Query()) == ["other", "twice"]


def test_repeats_are_known_after_a_restart_and_under_new_labels(url: str) -> None:
    first = open_store(url)
    first.write([batch(section(counting(5)))])
    first.close()
    second = open_store(url)
    (verdict,) = second.write([batch(section(counting(8), origin("web", version="2")))])
    second.close()
    assert (list(verdict.stored), list(verdict.duplicate)) == ([3], [5])


@pytest.mark.parametrize("seed", range(8))
def test_random_overlaps_are_stored_once(store: Store, seed: int) -> None:
    chooser = random.Random(seed)
    lines = [Line(chooser.randrange(50) * SECOND, f"n {index}", index, identity=f"id-{index}") for index in range(400)]
    seen: set[str] = set()
    for _ in range(25):
        calls = []
        for _ in range(chooser.randrange(1, 4)):
            start = chooser.randrange(400)
            calls.append(lines[start : start + chooser.randrange(1, 60)])
        verdicts = store.write([batch(section(call)) for call in calls])
        for call, verdict in zip(calls, verdicts, strict=True):
            fresh = {line.identity for line in call} - seen
            assert (list(verdict.stored), list(verdict.duplicate)) == ([len(fresh)], [len(call) - len(fresh)])
            seen |= fresh
    stored = [document["event"]["sequence"] for document in store.search(Query(limit=0))]
    assert sorted(stored) == sorted(int(identity[3:]) for identity in seen)


BAD_DOCUMENTS = {
    "no json": b'{"@timestamp":"%b","message":"x","stream":"stdout","event":{"sequence":}\x1e}',
    "two documents": b'{"@timestamp":"%b","message":"x","stream":"stdout"},{"a":1}',
    "no such day": b'{"@timestamp":"2026-13-45T99:99:99.000000000Z","message":"x","stream":"stdout"\x1e}',
    "no time": b'{"@timestamp":"yesterday","message":"x","stream":"stdout"\x1e}',
    "half a character": b'{"@timestamp":"%b","message":"\\ud800","stream":"stdout"\x1e}',
    "no utf-8": b'{"@timestamp":"%b","message":"\xff\xfe","stream":"stdout"\x1e}',
    "no message": b'{"@timestamp":"%b","stream":"stdout"\x1e}',
    "text of numbers": b'{"@timestamp":"%b","message":17,"stream":"stdout"\x1e}',
}


@pytest.mark.parametrize("name", BAD_DOCUMENTS)
def test_a_bad_line_is_a_dead_letter_and_its_neighbours_are_stored(store: Store, name: str) -> None:
    good = [Line(1, "before", 1), Line(3, "after", 3)]
    bad = BAD_DOCUMENTS[name].replace(b"%b", format_time(START + 2).encode())
    docs = good[0].pair() + b'{"create":{"_id":"bad-1"}}\n' + bad + b"\n" + good[1].pair()
    (verdict,) = store.write([batch(Section(origin(), docs, 3, good[0].stamp, good[1].stamp))])
    assert (list(verdict.stored), list(verdict.duplicate), len(verdict.rejected[0])) == ([2], [0], 1)
    assert verdict.rejected[0][0].identity == "bad-1"
    assert found(store, Query(order="asc")) == ["before", "after"]
    (letter,) = store.dead_letters()
    assert (letter["identity"], letter["reason"]) == ("bad-1", verdict.rejected[0][0].reason)
    assert letter["reason"]
    assert letter["original"] == bad.decode("utf-8", "replace")
    assert letter["@timestamp"].endswith("Z")


def test_dead_letters_come_newest_first_and_limited(store: Store) -> None:
    for number in range(5):
        docs = b'{"create":{"_id":"bad-%d"}}\n{"@timestamp":%d}\n' % (number, number)
        store.write([batch(Section(origin(), docs, 1, "", ""))])
    assert [letter["identity"] for letter in store.dead_letters(2)] == ["bad-4", "bad-3"]


@pytest.mark.parametrize("year", ["0001", "1969", "2263", "9999"])
def test_far_years_are_decided_without_a_crash(store: Store, year: str) -> None:
    stamp = f"{year}-01-01T00:00:00.000000000Z"
    docs = b'{"create":{"_id":"far"}}\n{"@timestamp":"%b","message":"far","stream":"stdout"\x1e}\n' % stamp.encode()
    (verdict,) = store.write([batch(Section(origin(), docs, 1, stamp, stamp))])
    assert verdict.stored[0] + len(verdict.rejected[0]) == 1
    assert len(found(store, Query(where=parse("far")))) == verdict.stored[0]


def test_hostile_content_comes_back_as_it_was_and_is_found(store: Store) -> None:
    lines = [Line(index, message, index) for index, message in enumerate(HOSTILE)]
    (verdict,) = store.write([batch(section(lines))])
    assert list(verdict.stored) == [len(lines)]
    assert found(store, Query(order="asc")) == HOSTILE
    assert found(store, Query(where=parse("nul"))) == ["a\0b nul"]
    assert found(store, Query(where=parse("literal"))) == ["\\u0000 literal"]


def test_hostile_names_come_back_as_they_were(store: Store) -> None:
    name = "a\"b\\c'd;--\x1b%"
    store.write([batch(section(counting(1), origin(name)))])
    (document,) = store.search(Query(service=(name,)))
    assert document["service"]["name"] == name


def test_words_beside_colour_codes_are_found_and_the_codes_are_no_words(store: Store) -> None:
    texts = ["\x1b[31merror\x1b[0m of disk", "\x1b[1;38;5;46mok\x1b[m é done", "plain error of disk", "5mfault",
             "literal \\u001b[31mfault", "half\x1b[1mway", "back\\\x1b[2mslash"]  # fmt: skip
    store.write([batch(section([Line(at * SECOND, text, at) for at, text in enumerate(texts)]))])
    for text, wanted in {
        "error": [0, 2], '"error of disk"': [0, 2], "err*": [0, 2], "-error": [1, 3, 4, 5, 6],
        '-"error of"': [1, 3, 4, 5, 6],
        "ok": [1], '"ok é"': [1], "31m": [], "46": [], "-46": [0, 1, 2, 3, 4, 5, 6], "-0m": [0, 1, 2, 3, 4, 5, 6],
        "fault": [], "31mfault": [4], "5mfault": [3], "half way": [5], "halfway": [], "slash": [6],
    }.items():  # fmt: skip
        assert found(store, Query(where=parse(text), order="asc")) == [texts[at] for at in wanted], text
    levels = store.histogram(Query(), 86_400_000).counts.values()
    assert sum(row.get("error", 0) for row in levels) == 2


def test_equal_timestamps_are_ordered_by_sequence(store: Store) -> None:
    lines = [Line(7, f"n{index}", index) for index in range(2500)]
    store.write([batch(section(lines[1200:]))])
    store.write([batch(section(lines[:1200]))])
    assert found(store, Query(order="asc", limit=0)) == [f"n{index}" for index in range(2500)]
    assert found(store, Query(limit=3)) == ["n2499", "n2498", "n2497"]


def test_clocks_that_jump_back_do_not_spoil_the_order(store: Store) -> None:
    ahead = [Line((1000 + index) * SECOND, f"ahead {index}", index) for index in range(50)]
    back = [Line(index * SECOND, f"back {index}", 50 + index) for index in range(50)]
    store.write([batch(section([*ahead, *back]))])
    store.write([batch(section([Line(500 * SECOND, "between", 1)], origin("db")))])
    in_order = [line.message for line in back] + ["between"] + [line.message for line in ahead]
    assert found(store, Query(order="asc", limit=0)) == in_order
    assert found(store, Query(limit=0)) == in_order[::-1]
    assert found(store, Query(limit=51))[-1] == "between"


def test_since_is_inclusive_and_until_exclusive(store: Store) -> None:
    store.write([batch(section(counting(10)))])
    query = Query(since=format_time(START + 3 * SECOND), until=format_time(START + 6 * SECOND), order="asc")
    assert found(store, query) == ["line 3", "line 4", "line 5"]


def _random_documents(chooser: random.Random, number: int) -> list[tuple[Origin, Line]]:
    origins = [origin(name) for name in ("web", "web.2", "db", "cache-1")]
    return [(chooser.choice(origins),
             Line(chooser.choice((chooser.randrange(200), 100)) * SECOND // 7,
                  " ".join(chooser.choices(WORDS, k=chooser.randrange(6))), index,
                  chooser.choice(("stdout", "stderr"))))
            for index in range(number)]  # fmt: skip


def _written(store: Store, chooser: random.Random, rows: list[tuple[Origin, Line]]) -> list[dict[str, Any]]:
    at = 0
    while at < len(rows):
        part = rows[at : at + chooser.choice((1, 5, 40, 300))]
        at += len(part)
        by_origin: dict[bytes, tuple[Origin, list[Line]]] = {}
        for of, line in part:
            by_origin.setdefault(of.json, (of, []))[1].append(line)
        store.write([batch(*(section(lines, of) for of, lines in by_origin.values()))])
    return [orjson.loads(section([line], of).expand().split(b"\n")[1]) for of, line in rows]


QUERIES = ["", "alpha", "ALPHA beta", '"alpha beta"', "gam*", "-alpha", "alpha -beta", "alpha OR beta -gamma",
           "(alpha OR timeout) (beta OR get)", '"10.0.0.1"', "delta-1", "api/v1", "strasse", "straße", "école", "naïve",
           "日本語", "КЛЮЧ", "done", "ok", "x", "y", "x_y", "service:web", "service:web* alpha", "-service:web",
           "stream:stderr alpha", "-stream:stderr", "alpha OR service:db", "event.sequence:17", "NOT (alpha OR beta)",
           "container:web.2 OR container:db", "service:nobody", "nobody", "-(alpha beta)", "alpha -service:db",
           "error: -service:we*", "-stream:stdout -alpha", "container.name:cache-*"]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_searches_find_what_a_plain_scan_finds(store: Store, seed: int) -> None:
    chooser = random.Random(seed)
    documents = _written(store, chooser, _random_documents(chooser, 1500))
    documents.sort(key=lambda d: (d["@timestamp"], d["container"]["id"], d["event"]["sequence"]))
    for text in QUERIES:
        since, until = sorted(chooser.sample(range(-10, 230), 2))
        query = Query(
            where=parse(text), order=chooser.choice(("asc", "desc")), limit=chooser.choice((0, 1, 7, 100)),
            since=chooser.choice((None, format_time(START + since * SECOND // 7))),
            until=chooser.choice((None, format_time(START + until * SECOND // 7))),
            stream=chooser.choice(((), ("stderr",))), service=chooser.choice(((), ("web", "d*"))))  # fmt: skip
        wanted = [document for document in documents if matches(query, document)]
        wanted = wanted[::-1] if query.order == "desc" else wanted
        got = list(store.search(query))
        assert [d["@timestamp"] for d in got] == [d["@timestamp"] for d in wanted[: query.limit or None]], query
        if query.limit == 0:
            assert sorted(d["event"]["sequence"] for d in got) == sorted(d["event"]["sequence"] for d in wanted), query
        assert all(matches(query, document) for document in got), query


def test_a_container_is_found_by_name_and_by_the_beginning_of_its_id(store: Store) -> None:
    store.write([batch(section(counting(2), origin("web.1")), section(counting(3), origin("db")))])
    identity = origin("db").container_id
    assert len(found(store, Query(container=("web.1",)))) == 2
    assert len(found(store, Query(container=(identity[:62],)))) == 3
    assert len(found(store, Query(container=(identity[:7],)))) == 0
    assert len(found(store, Query(container=("web.*", identity)))) == 5
    assert len(found(store, Query(node=("node-*",), service=("db",)))) == 3


def test_context_is_the_containers_lines_around_a_hit(store: Store) -> None:
    lines = counting(3000)
    store.write([batch(section(lines[:10])), batch(section(lines[10:2500]))])
    store.write([batch(section(lines[2500:])), batch(section(counting(5), origin("other")))])
    for middle in (0, 1, 9, 10, 1500, 2499, 2999):
        (hit,) = store.search(Query(where=parse(f'"line {middle}"'), service=("web",)))
        before, after = store.context(hit, 3, 2)
        assert [d["message"] for d in before] == [f"line {n}" for n in range(max(0, middle - 3), middle)]
        assert [d["message"] for d in after] == [f"line {n}" for n in range(middle + 1, min(3000, middle + 3))]
    assert store.context(hit, 0, 0) == ([], [])


def test_follow_gives_each_arrival_once(store: Store) -> None:
    store.write([batch(section(counting(5)))])
    nothing, cursor = store.follow(None, Query())
    assert nothing == []
    got: list[str] = []
    for start in range(5, 2405, 300):
        store.write([batch(section(counting(300, start)))])
        for _ in range(start % 3):
            documents, cursor = store.follow(cursor, Query(), limit=170)
            assert len(documents) <= 170
            got += [document["message"] for document in documents]
    while documents:
        documents, cursor = store.follow(cursor, Query(), limit=1000)
        got += [document["message"] for document in documents]
    assert got == [f"line {index}" for index in range(5, 2405)]


def test_follow_gives_late_lines_and_only_what_matches(store: Store) -> None:
    store.write([batch(section(counting(5, 100)))])
    _, cursor = store.follow(None, Query())
    store.write([batch(section(counting(5)), section(counting(2), origin("db")))])
    documents, cursor = store.follow(cursor, Query(where=parse("3 OR 4 OR 1"), service=("web",)))
    assert [document["message"] for document in documents] == ["line 1", "line 3", "line 4"]
    assert store.follow(cursor, Query())[0] == []


def test_follow_on_an_empty_store_begins_with_the_first_line(store: Store) -> None:
    _, cursor = store.follow(None, Query())
    store.write([batch(section(counting(2)))])
    assert len(store.follow(cursor, Query())[0]) == 2


def test_a_cursor_of_somebody_elses_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="cursor 'nonsense'"):
        store.follow("nonsense", Query())


def test_identities_are_those_of_the_range(store: Store) -> None:
    lines = counting(3000)
    store.write([batch(section(lines)), batch(section(counting(3), origin("db")))])
    identity = origin().container_id
    every = sorted((line.named(origin()), line.stamp) for line in lines)
    assert sorted(store.identities(identity, None, None)) == every
    some = store.identities(identity, lines[10].stamp, lines[13].stamp)
    assert sorted(some) == every[10:13]
    assert list(store.identities("f" * 64, None, None)) == []


def test_readers_see_what_is_written_while_the_writer_is_open(url: str, store: Store) -> None:
    store.write([batch(section(counting(3)))])
    reader = open_store(url, read_only=True)
    try:
        assert len(found(reader, Query())) == 3
        store.write([batch(section(counting(3, 3)))])
        assert len(found(reader, Query())) == 6
        assert reader.totals() == {"web": 6}
    finally:
        reader.close()


def test_a_search_goes_on_while_lines_arrive(store: Store) -> None:
    store.write([batch(section(counting(3000)))])
    hits = store.search(Query(limit=0))
    first = next(hits)
    store.write([batch(section(counting(3000, 3000)))])
    got = [first["message"], *(document["message"] for document in hits)]
    assert got == [f"line {index}" for index in range(2999, -1, -1)]


def test_check_and_maintain_are_quiet_where_all_is_well(store: Store) -> None:
    store.check()
    store.write([batch(section(counting(3)))])
    store.maintain()
    store.check()
    assert len(found(store, Query())) == 3


@pytest.mark.parametrize("wrong", ["ftp://x/y", "sqlite://host/dir", "sqlite:///", "nothing", ""])
def test_a_url_that_nobody_serves_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="store URL"):
        open_store(wrong)


def test_a_histogram_counts_each_line_once_by_time_and_level(store: Store) -> None:
    words = ["all is well", "ERROR: no route", "warning, error ahead", "a WARN", "info: x", "terror", "debug=1"]
    lines = [Line(index * SECOND // 2, words[index % len(words)], index) for index in range(70)]
    store.write([batch(section(lines))])
    base = START // 1_000_000
    got = store.histogram(Query(since=format_time(START), until=format_time(START + 35 * SECOND)), 7000)
    assert got.complete
    expected: dict[int, dict[str, int]] = {}
    for index in range(70):
        level = ("none", "error", "error", "warn", "info", "none", "debug")[index % 7]
        moment = base + index * 500
        row = expected.setdefault(moment - moment % 7000, {})
        row[level] = row.get(level, 0) + 1
    assert got.counts == expected


@pytest.mark.parametrize(
    ("text", "total"),
    [("", 12), ("service:web", 9), ("n3", 2), ("service:web odd", 4), ("-odd", 6), ("service:nobody", 0), ("wor*", 0)],
)
def test_a_histogram_counts_what_a_search_finds(store: Store, text: str, total: int) -> None:
    web = [Line(index * SECOND, f"n{index} {'odd' if index % 2 else ''}", index) for index in range(9)]
    other = [Line(index * SECOND, f"n{index} {'odd' if index % 2 else ''}", index) for index in range(1, 4)]
    store.write([batch(section(web), section(other, origin("db")))])
    query = Query(where=parse(text), limit=0)
    counts = store.histogram(query, 1000).counts
    assert sum(sum(row.values()) for row in counts.values()) == total == len(found(store, query))


def test_a_histogram_keeps_to_its_range_to_the_nanosecond_of_a_millisecond(store: Store) -> None:
    store.write([batch(section(counting(10)))])
    query = Query(since=format_time(START + 2 * SECOND), until=format_time(START + 5 * SECOND))
    rows = store.histogram(query, 60_000).counts.values()
    assert sum(sum(row.values()) for row in rows) == 3


def test_containers_are_told_with_the_newest_first(store: Store) -> None:
    early, late = origin("web.1"), origin("db.1", **{"com.docker.stack.namespace": "shop"})
    store.write([batch(section(counting(3), early)), batch(section(counting(2, first=5), late))])
    rows, total = store.containers(10)
    assert total == 2
    assert [(row.name, row.service, row.stack, row.node, row.lines) for row in rows] == [
        ("db.1", "db", "shop", "node-1", 2), ("web.1", "web", "", "node-1", 3)]  # fmt: skip
    assert rows[1].id == early.container_id
    assert (rows[1].first[:23], rows[1].last[:23]) == (format_time(START)[:23], format_time(START + 2 * SECOND)[:23])
    assert [row.name for row in store.containers(1)[0]] == ["db.1"]
    assert store.containers(1)[1] == 2


def test_containers_are_found_by_a_part_of_their_names(store: Store) -> None:
    one, other = origin("Web*1.x"), origin("db.1", **{"com.docker.stack.namespace": "shop"})
    store.write([batch(section(counting(3), one)), batch(section(counting(2, first=5), other))])
    for name, wanted in {"web": ["Web*1.x"], "b.1": ["db.1"], "b*1": ["Web*1.x"], "shop": ["db.1"], "sho": ["db.1"],
                         "NODE-": ["db.1", "Web*1.x"], "none": [], 'x"': [], "labels": []}.items():  # fmt: skip
        rows, total = store.containers(10, name)
        assert ([row.name for row in rows], total) == (wanted, len(wanted)), name
    assert store.containers(1, "node-1")[1] == 2


def test_an_empty_store_has_no_containers_and_an_empty_histogram(store: Store) -> None:
    assert store.containers(0) == ([], 0)
    assert store.histogram(Query(), 1000).counts == {}
