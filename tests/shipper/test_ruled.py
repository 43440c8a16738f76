"""Lines whose labels ask for something: joined, dropped, numbered; the same events however the log was read."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from shipper.entries import Entries
from shipper.lines import LineMaker, Lines, State
from shipper.resume import Runs
from shipper.ruled import Ruled, ruled_of
from shipper.rules.chain import Chain
from shipper.rules.rows import Rows
from shipper.rules.table import read
from shipper.sources.json_file import JsonFileSource
from shipper.tail import Tail
from towline.batch import Origin

ID = "c" * 64
OUT, ERR = b"stdout", b"stderr"
Row = tuple[int, bytes, str]
JAVA = """10:00 INFO started
10:01 ERROR it failed
java.lang.IllegalStateException: no
\tat a.B.c(B.java:1)
\tat a.B.d(B.java:2)
Caused by: java.io.IOException: disk
\t... 2 more
10:02 INFO goes on""".splitlines()


def stamp(tenths: int) -> bytes:
    return b"2026-11-23T00:%02d:%02d.%d00000000Z" % (tenths // 600, tenths // 10 % 60, tenths % 10)


def entries(rows: Sequence[Row]) -> Entries:
    streams: Any = [stream for _, stream, _ in rows]
    return Entries(
        [stamp(at) for at, _, _ in rows],
        [json.dumps(text)[1:-1].encode() for _, _, text in rows],
        streams[0] if len(set(streams)) == 1 else streams,
    )


def asked(most: int = 10_000, **labels: str) -> Ruled | None:
    reading = read({f"towline.{name.replace('_', '.')}": text for name, text in labels.items()})
    assert reading.problems == []
    return ruled_of(reading.values, "web", most)


def documents(lines: Lines | None) -> list[dict[str, Any]]:
    if lines is None:
        return []
    rows = lines.docs.replace(b"\x1e", b"").splitlines()
    pairs = zip(map(json.loads, rows[::2]), map(json.loads, rows[1::2]), strict=True)
    made = [document | action["create"] for action, document in pairs]
    assert len(made) == lines.count
    return made


def messages(rows: Sequence[Row], ruled: Ruled | None) -> list[str]:
    maker = LineMaker(ID, 10_000, ruled=ruled)
    found = documents(maker.feed(entries(rows))) + documents(maker.flush())
    return [each["message"] for each in found]


def out(texts: Sequence[str]) -> list[Row]:
    return [(i, OUT, text) for i, text in enumerate(texts)]


@pytest.mark.parametrize("labels", [{"multiline": "java"}, {"multiline_start": r"^\d\d:\d\d "}])
def test_a_java_stack_trace_is_one_event(labels: dict[str, str]) -> None:
    assert messages(out(JAVA), asked(**labels)) == [JAVA[0], "\n".join(JAVA[1:7]), JAVA[7]]


def test_a_traceback_with_its_cause_is_one_event() -> None:
    trace = """before
Traceback (most recent call last):
  File "a.py", line 1, in f
    1 / 0
ZeroDivisionError: division by zero

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in g
ValueError: no
after""".splitlines()
    assert messages(out(trace), asked(multiline="python")) == ["before", "\n".join(trace[1:-1]), "after"]


def test_a_go_panic_is_one_event() -> None:
    panic = """listening
panic: runtime error: index out of range [3] with length 3

goroutine 1 [running]:
main.get(...)
\t/app/main.go:9
main.main()
\t/app/main.go:5 +0x1d
exit status 2
2026/11/23 10:00:00 started again""".splitlines()
    assert messages(out(panic), asked(multiline="go")) == [panic[0], "\n".join(panic[1:-1]), panic[-1]]


def test_both_streams_are_joined_each_for_itself() -> None:
    rows = [(0, OUT, "a"), (1, ERR, "x"), (2, OUT, " b"), (3, ERR, " y"), (4, OUT, "c")]
    assert sorted(messages(rows, asked(multiline="indented"))) == ["a\n b", "c", "x\n y"]


def test_what_comes_too_late_is_another_event() -> None:
    rows = [(0, OUT, "a"), (9, OUT, " b"), (20, OUT, " c")]
    assert messages(rows, asked(multiline="indented")) == ["a\n b", " c"]
    assert messages(rows, asked(multiline="indented", multiline_wait="2s")) == ["a\n b\n c"]


def test_an_event_is_bounded() -> None:
    made = messages(out(["a", *[" " + "b" * 99] * 50]), asked(most=1000, multiline="indented"))
    assert len(made) > 4
    assert max(map(len, made)) < 1100
    assert "\n".join(made) == "\n".join(["a", *[" " + "b" * 99] * 50])


def test_a_line_is_called_the_same_whatever_is_joined() -> None:
    plain = documents(LineMaker(ID, 10_000).feed(entries(out(JAVA))))
    maker = LineMaker(ID, 10_000, ruled=asked(multiline="java"))
    joined = documents(maker.feed(entries(out(JAVA)))) + documents(maker.flush())
    named = {each["_id"]: each["event"] for each in plain}
    assert all(named[each["_id"]] == each["event"] for each in joined)
    assert [each["_id"] for each in joined] == [plain[at]["_id"] for at in (0, 1, 7)]


def test_read_in_pieces_and_again_from_any_checkpoint_gives_the_same_events_once() -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    at, rows = 0, []
    for number in range(400):
        at += chance.choice([0, 1, 1, 3, 12])
        text = chance.choice(["", " ", " "]) + f"{number} " + "x" * chance.choice([1, 30])
        rows.append((at, chance.choice([OUT, OUT, ERR]), text))
    places = [None, *(entries(rows[: end + 1]).position(end + 1) for end in range(len(rows)))]
    whole = LineMaker(ID, 10_000, ruled=asked(most=300, multiline="indented"))
    wanted = {each["_id"]: each for each in documents(whole.feed(entries(rows))) + documents(whole.flush())}
    for _ in range(30):
        stored: Counter[str] = Counter()
        maker, start, runs = LineMaker(ID, 10_000, ruled=asked(most=300, multiline="indented")), 0, Runs()
        while start < len(rows):
            end = min(len(rows), start + chance.randrange(1, 60))
            made = documents(maker.feed(runs.follow(entries(rows[start:end]))))
            start = end
            for each in made:
                assert wanted[each["_id"]] == each
                stored[each["_id"]] += 1
            if chance.random() < 0.3:  # killed: what was made is stored, and the checkpoint is where it is safe
                position, state = maker.safe
                start, runs = places.index(position), Runs(position)
                maker = LineMaker(ID, 10_000, State.from_json(state.to_json()), asked(most=300, multiline="indented"))
        stored.update(each["_id"] for each in documents(maker.flush()))
        assert stored.keys() == wanted.keys()


class Drop:
    name = "drop"

    def __call__(self, rows: Rows) -> None:
        rows.drop("test", [index for index, text in enumerate(rows.texts) if "INFO" in text])


class Broken:
    name = "broken"

    def __call__(self, rows: Rows) -> None:
        raise RuntimeError("no")


def test_what_is_dropped_is_counted_and_changes_no_other_name() -> None:
    maker = LineMaker(ID, 10_000, ruled=Ruled(Chain([Drop()]), None, 10_000))
    lines = maker.feed(entries(out(JAVA)))
    plain = LineMaker(ID, 10_000).feed(entries(out(JAVA)))
    assert lines
    assert lines.dropped == 2
    assert documents(lines) == documents(plain)[1:7]
    assert maker.safe[0] == entries(out(JAVA)).position(8)
    nothing = maker.feed(entries([(90, OUT, "INFO")]))
    assert nothing
    assert (nothing.count, nothing.docs, nothing.dropped) == (0, b"", 1)


def test_a_rule_that_fails_leaves_the_lines_as_they_were_and_marks_them() -> None:
    maker = LineMaker(ID, 10_000, ruled=Ruled(Chain([Broken()]), None, 10_000))
    made = documents(maker.feed(entries(out(["\ud800 half", 'quote " and \\', "\x1b[0m"]))))
    assert [each["message"] for each in made] == ["\ufffd half", 'quote " and \\', "\x1b[0m"]
    assert all(each["log"] == {"flags": ["unprocessed"]} for each in made)


def test_labels_that_change_while_a_line_is_half_there_lose_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def write(text: str, second: int) -> None:
        with log.open("a") as file:
            file.write(f'{{"log":{json.dumps(text)},"stream":"stdout","time":"{stamp(10 * second).decode()}"}}\n')

    write("event\n", 1)
    write("  half a", 2)
    tail = Tail(ID, JsonFileSource(log, None, running=True), None, 10_000)
    tail.origin = Origin({"container": {"id": ID}, "service": {"name": "web"}})
    tail.rule({"towline.multiline": "indented"}, asked(multiline="indented", multiline_wait="5s"))
    found: list[str] = []

    def read_all() -> None:
        for _ in range(4):
            read = tail.read(1 << 20)
            if read and read[0]:
                found.extend(json.loads(row)["message"] for row in read[0].expand().splitlines()[1::2])

    read_all()
    tail.rule({}, None)
    read_all()
    write(" line\n", 2)
    write("next\n", 3)
    read_all()
    tail.source.stopped()
    read_all()
    assert "\n".join(found) == "event\n  half a line\nnext"
