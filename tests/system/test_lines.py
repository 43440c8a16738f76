"""What a line may be: long, empty, binary, without an end; from a pipe or a terminal; through rotation."""

import json
from collections.abc import Callable

import pytest
from harness import Document, Generators, Up, finished, wait_until
from oracle import line

pytestmark = pytest.mark.engine
Make = Callable[..., Up]
LENGTHS = (0, 1, 16382, 16383, 16384, 16385, 32767, 32768, 32769, 49152, 200_000, 1 << 20)


def in_order(rows: list[Document]) -> list[Document]:
    return sorted(rows, key=lambda row: row["event"]["sequence"])


def messages(rows: list[Document]) -> list[str]:
    return [row["message"] for row in in_order(rows)]


def test_lines_around_the_16_kib_parts_are_whole(source: str, up: Make, generators: Generators) -> None:
    towline = up("--source", source).start()
    fill = "; ".join(f"head -c {n} /dev/zero | tr '\\0' x; echo" for n in LENGTHS)
    generators.shell("long", f"{fill}; echo after")
    rows = towline.collect(len(LENGTHS) + 1)
    assert [len(text) for text in messages(rows)] == [*LENGTHS, 5]
    assert {*"".join(messages(rows)[:-1])} == {"x"}


def test_a_10_mb_line_is_split_marked_and_counted(source: str, up: Make, generators: Generators) -> None:
    towline = up("--source", source).start()
    generators.shell("huge", "echo before; head -c 10000000 /dev/zero | tr '\\0' y; echo; echo after")
    rows = wait_until(lambda: (found := towline.search()) and messages(found)[-1] == "after" and found, 60, "the end")
    texts = messages(rows)
    assert texts[0] == "before"
    assert sum(map(len, texts[1:-1])) == 10_000_000
    assert {*"".join(texts[1:-1])} == {"y"}
    assert max(map(len, texts)) <= 1 << 20
    assert towline.metric("towline_lines_split_total") > 0


def test_empty_binary_nul_and_escape(source: str, up: Make, generators: Generators) -> None:
    towline = up("--source", source).start()
    script = r"""printf '\n\n  \n'; printf 'a\000b\n'; printf '\033[31mred\033[0m\n'; printf '\377\376 binary\n'
    printf 'quote " back \\ slash \\n end\\\n'; printf '{"service":{"name":"forged"},"log":"x\\n"}\n'
    printf '\342\202\254 euro \360\237\220\263\n'; printf '\036mark\036}\n'; printf 'tab\there\r\n'; printf 'no end'"""
    container = generators.shell("odd", script)
    finished(container)
    rows = towline.collect(12)
    assert messages(rows)[:6] == ["", "", "  ", "a\0b", "\x1b[31mred\x1b[0m", "\ufffd\ufffd binary"]
    assert messages(rows)[6:8] == ['quote " back \\ slash \\n end\\', '{"service":{"name":"forged"},"log":"x\\n"}']
    assert messages(rows)[8:] == ["€ euro 🐳", "\x1emark\x1e}", "tab\there\r", "no end"]
    assert {row["service"]["name"] for row in rows} == {f"{generators.prefix}-odd"}


def test_a_terminal_has_one_stream(source: str, up: Make, generators: Generators) -> None:
    towline = up("--source", source).start()
    generators.shell("tty", "echo out; echo err >&2; i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo $i; done", tty=True)
    rows = towline.collect(102)
    assert [text.rstrip("\r") for text in messages(rows)] == ["out", "err", *map(str, range(1, 101))]
    assert {row["stream"] for row in rows} == {"stdout"}


@pytest.mark.parametrize("options", [
    {"max-size": "64k", "max-file": "100"},
    {"max-size": "64k", "max-file": "100", "compress": "true"},
], ids=["plain", "compressed"])  # fmt: skip
def test_rotation_is_followed(options: dict[str, str], source: str, up: Make, generators: Generators) -> None:
    """About 60 rotations that keep everything; the reader starts in the middle."""
    container = generators.start("rotating", 8000, burst=50, pause=0.05, log=options, streams=("stdout", "stderr"))
    towline = up("--source", source).start()
    finished(container)
    report = generators.judge(towline.collect(generators.total))
    assert report.faults == {}
    assert report.gaps == []


def test_rotation_under_a_flood_loses_nothing_without_saying_so(source: str, up: Make, generators: Generators) -> None:
    """Here the engine itself throws lines away faster than anybody may read them: each hole has its record. (What goes
    before the log was ever opened leaves no trace, so the flood waits until its first line has been found.)"""
    towline = up("--source", source).start()
    container = generators.start("flood", 100_000, hold=8, log={"max-size": "100k", "max-file": "2"})
    finished(container)
    last = line(generators.run, str(container.name), "stdout", 100_000)
    wait_until(lambda: last in {row["message"] for row in towline.search("--since", "15m")}, 60, "the last line")
    towline.quiet()
    rows = towline.search()
    report = generators.judge(rows)
    assert report.faults == {}
    gaps = [row for row in rows if row["event"].get("action") == "gap"]
    assert towline.metric("towline_gaps_total") == len(gaps), json.dumps(gaps)[:500]


def test_both_sources_give_the_same_documents(up: Make, generators: Generators) -> None:
    first = generators.start("mixed", 3000, burst=100, pause=0.05, streams=("stdout", "stderr"))
    long = "; ".join(f"head -c {n} /dev/zero | tr '\\0' x; echo" for n in LENGTHS)
    second = generators.shell("long", rf"{long}; printf 'a\000\377b\n\nno end'")
    third = generators.start("rotated", 4000, burst=100, pause=0.05, log={"max-size": "64k", "max-file": "50"})
    by_file = up("--source", "file", name="by-file").start()
    by_api = up("--source", "api", name="by-api").start()
    late = generators.start("late", 500, burst=20, pause=0.02, streams=("stdout", "stderr"))
    for container in (first, second, third, late):
        finished(container)
    count = generators.total + len(LENGTHS) + 3
    results = [{json.dumps(row, sort_keys=True) for row in each.collect(count)} for each in (by_file, by_api)]
    assert len(results[0]) == count
    assert sorted(results[0] ^ results[1])[:4] == []


def test_a_switch_of_source_stores_nothing_twice(up: Make, generators: Generators) -> None:
    towline = up()
    containers = [
        generators.start("plain", 3000, burst=10, pause=0.05, streams=("stdout", "stderr")),
        generators.start("rotated", 3000, burst=10, pause=0.05, log={"max-size": "64k", "max-file": "50"}),
    ]
    for source in ("file", "api", "file", "api"):
        towline.start("--source", source)
        before = len(towline.search())
        enough = min(before + 200, generators.total)
        wait_until(lambda count=enough: len(towline.search()) >= count, 30, f"lines by {source}")  # type: ignore[misc]
        assert towline.stop() == 0
    towline.start("--source", "file")
    for container in containers:
        finished(container)
    assert generators.judge(towline.collect(generators.total)).faults == {}
    towline.quiet()
    assert towline.metric("towline_lines_duplicate_total") == 0
