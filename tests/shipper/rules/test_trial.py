"""Lines taken through labels with a look at each step."""

from collections.abc import Sequence

from shipper.rules import trial
from shipper.rules.chain import Chain
from shipper.rules.joining import joining
from shipper.rules.rows import Rows
from shipper.rules.table import read
from shipper.rules.trial import JOINING, Trial, Tried, entries_of


class Drops:
    name = "drops"

    def __call__(self, rows: Rows) -> None:
        rows.drop("no", [i for i, text in enumerate(rows.texts) if text.startswith("no")])
        rows.drop("never", [i for i, text in enumerate(rows.texts) if text.startswith("never")])


class Shouts:
    name = "shouts"

    def __call__(self, rows: Rows) -> None:
        for index, text in enumerate(rows.texts):
            if text == "fail":
                raise RuntimeError("as asked")
            rows.fields[index] = {"log.level": "info", "own.key": len(text)}
        rows.texts = [text.upper() for text in rows.texts]


def tried(labels: dict[str, str], chunks: Sequence[bytes]) -> tuple[Trial, list[Tried]]:
    made = Trial(read(labels).values, "web", 1 << 20)
    return made, list(made.of(entries_of(chunks)))


def stepped(chunks: Sequence[bytes]) -> list[Tried]:
    made = Trial({}, "web", 1 << 20)
    made._watched = trial._Watched(Chain([Drops(), Shouts()]), "web")
    made._maker.ruled.chain = made._watched  # type: ignore[union-attr]
    return list(made.of(entries_of(chunks)))


def test_without_labels_lines_stay_as_they_are_and_are_numbered() -> None:
    made, events = tried({}, [b"one\ntw", b"o\n", b"thr\xffee"])
    assert [(event.number, event.before, event.dropped) for event in events] == [
        (1, "one", ""), (2, "two", ""), (3, "thr\ufffdee", "")]  # fmt: skip
    assert [event.document["message"] for event in events if event.document] == ["one", "two", "thr\ufffdee"]
    assert made.lines == 3
    assert set(made.seconds) == {JOINING}


def test_lines_that_were_joined_are_told_with_the_first_number() -> None:
    assert joining({}) is None
    _, events = tried({"towline.multiline": "indented"}, [b"a\n  b\n", b"  c\nd\n"])
    assert [(event.number, event.lines, event.before) for event in events] == [(1, 3, "a\n  b\n  c"), (4, 1, "d")]


def test_each_drop_has_its_step_and_reason_and_the_rest_its_fields() -> None:
    first, second, third = stepped([b"no way\nyes\nnever\n"])
    assert (first.step, first.dropped, first.document) == ("drops", "no", None)
    assert (third.step, third.dropped, third.document) == ("drops", "never", None)
    assert second.document is not None
    assert (second.before, second.document["message"]) == ("yes", "YES")
    assert second.document["log"] == {"level": "info"}
    assert second.document["fields"] == {"own.key": 3}


def test_a_step_that_fails_leaves_the_line_marked() -> None:
    (event,) = stepped([b"fail\n"])
    assert event.document is not None
    assert event.document["message"] == "fail"
    assert event.document["log"]["flags"] == ["unprocessed"]


def test_the_time_of_each_step_is_told() -> None:
    made = Trial({}, "web", 1 << 20)
    made._watched = trial._Watched(Chain([Drops(), Shouts()]), "web")
    made._maker.ruled.chain = made._watched  # type: ignore[union-attr]
    assert len(list(made.of(entries_of([b"a\n" * 50])))) == 50
    assert set(made.seconds) == {JOINING, "drops", "shouts"}
    assert all(seconds > 0 for seconds in made.seconds.values())
