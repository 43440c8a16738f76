"""Lines left out by what they say, by chance and by their number: the same ones however often the log is read."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from shipper.rules import thin
from shipper.rules.among import among
from shipper.rules.chain import Chain, Make, chain_of
from shipper.rules.joining import pattern
from shipper.rules.rows import Rows
from shipper.rules.table import read
from towline.metrics import REGISTRY

MAKES: tuple[Make, ...] = (thin.make_drop, thin.make_keep, thin.make_sample, thin.make_rate)


def stamp(milliseconds: int) -> bytes:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    return b"2026-11-23T%02d:%02d:%02d.%03d000000Z" % (minutes // 60 % 24, minutes % 60, seconds, rest)


def rows(lines: Sequence[tuple[int, str]], container: bytes = b"q8Zk3xVw") -> Rows:
    stamps = [stamp(at) for at, _ in lines]
    count = len(lines)
    return Rows([each + b"-" + container + b"o" for each in stamps], stamps, [b"stdout"] * count, list(range(count)),
                [text for _, text in lines], [()] * count)  # fmt: skip


def chain(service: str = "web", **labels: str) -> Chain:
    reading = read({f"towline.{name.replace('_', '.')}": text for name, text in labels.items()}, thin.LABELS)
    assert reading.problems == []
    made = chain_of(reading.values, MAKES, service)
    assert made
    return made


def left(asked: Chain, found: Rows) -> list[str]:
    asked.apply(found)
    return found.texts


def at_once(texts: Sequence[str]) -> list[tuple[int, str]]:
    return list(enumerate(texts))


def dropped(service: str, reason: str) -> float:
    sample = REGISTRY.get_sample_value("towline_lines_dropped_total", {"service": service, "reason": reason})
    return sample or 0.0


LINES = ["GET /healthz 200", "GET /shop 200", "ERROR shop", "GET /healthz 500 ERROR", "POST /shop 201", ""]


def test_drop_leaves_out_what_one_of_its_patterns_finds() -> None:
    assert left(chain(drop="healthz"), rows(at_once(LINES))) == ["GET /shop 200", "ERROR shop", "POST /shop 201", ""]
    assert left(chain(drop_a="^GET", drop_b="^$"), rows(at_once(LINES))) == ["ERROR shop", "POST /shop 201"]


def test_keep_leaves_out_what_none_of_its_patterns_finds() -> None:
    assert left(chain(keep_a="ERROR", keep_b="^POST"), rows(at_once(LINES))) == [LINES[2], LINES[3], LINES[4]]


def test_each_line_left_out_is_counted_by_its_reason() -> None:
    asked = chain("counted", drop="healthz", keep="shop", sample="1/1", rate="2/s")
    assert left(asked, rows(at_once(LINES))) == ["GET /shop 200", "ERROR shop"]
    assert [dropped("counted", reason) for reason in ("drop", "keep", "sample", "rate")] == [2, 1, 0, 1]


def test_patterns_see_any_text() -> None:
    texts = ["\ud800 lone", "a\nb", "\x00", "ü" * 100]
    assert left(chain(drop="^b"), rows(at_once(texts))) == texts
    assert left(chain(drop="lone|ü{100}"), rows(at_once(texts))) == texts[1:3]


@pytest.mark.parametrize(("text", "share"), [("1/10", 0.1), ("0.25", 0.25), ("50%", 0.5), ("1/3", 1 / 3)])
def test_a_sample_is_the_share_that_was_asked_for(text: str, share: float) -> None:
    lines = [(number * 10, f"line {number}") for number in range(20_000)]
    assert len(left(chain(sample=text), rows(lines))) == pytest.approx(20_000 * share, rel=0.08)


def test_a_sample_is_the_same_however_the_lines_are_read() -> None:
    lines = [(number, f"line {number}") for number in range(3000)]
    whole = left(chain(sample="1/7"), rows(lines))
    draw = random.Random(3)
    for _ in range(5):
        asked, found, start = chain(sample="1/7"), [], 0
        while start < len(lines):
            step = draw.randint(1, 900)
            found += left(asked, rows(lines[start : start + step]))
            start += step - draw.randint(0, min(step - 1, 50))  # killed, and read again from an earlier place
        assert sorted(set(found), key=found.index) == whole


def test_containers_are_sampled_apart_and_a_larger_share_holds_the_smaller_one() -> None:
    lines = [(number, f"line {number}") for number in range(2000)]
    one = left(chain(sample="1/4"), rows(lines))
    other = left(chain(sample="1/4"), rows(lines, container=b"AAAAAAAA"))
    assert set(one) != set(other)
    assert set(one) <= set(left(chain(sample="1/2"), rows(lines)))


def test_pieces_of_a_line_meet_the_same_fate() -> None:
    for number in range(50):
        found = rows([(number, "first"), (number, "second"), (number, "third")])
        found.ids = [found.ids[0], found.ids[1] + b"1", found.ids[2] + b"s1790000000000000"]
        found.flags = [("split",)] * 3
        assert len(left(chain(sample="1/2"), found)) in (0, 3)


def test_a_rate_lets_the_first_lines_of_each_stretch_pass() -> None:
    lines = [(number * 100, f"{number}") for number in range(40)]  # ten a second, for four seconds
    assert left(chain(rate="3/s"), rows(lines)) == [f"{10 * second + n}" for second in range(4) for n in range(3)]
    assert left(chain(rate="15/m"), rows(lines)) == [f"{number}" for number in range(15)]
    assert len(left(chain(rate="100/s"), rows(lines))) == 40


def test_a_rate_is_the_same_in_one_read_or_many() -> None:
    draw = random.Random(4)
    lines = sorted((draw.randint(0, 9000), f"{number}") for number in range(1500))
    whole = left(chain(rate="20/s"), rows(lines))
    asked, found, start = chain(rate="20/s"), [], 0
    while start < len(lines):
        step = draw.randint(1, 300)
        found += left(asked, rows(lines[start : start + step]))
        start += step
    assert found == whole


def test_after_a_restart_no_line_that_passed_is_left_out_and_few_more_pass() -> None:
    draw = random.Random(5)
    lines = sorted((draw.randint(0, 9000), f"{number}") for number in range(1500))
    first = set(left(chain(rate="20/s"), rows(lines)))
    for start in draw.sample(range(1500), 20):
        again = set(left(chain(rate="20/s"), rows(lines[start:])))
        assert {text for _, text in lines[start:]} & first <= again
        assert len(again - first) <= 20


def test_streams_that_are_a_little_out_of_order_share_one_count() -> None:
    lines = [(990, "a"), (1010, "b"), (995, "c"), (1020, "d"), (996, "e"), (1030, "f")]
    assert left(chain(rate="2/s"), rows(lines)) == ["a", "b", "c", "d"]


def test_pieces_of_a_line_count_once_for_the_rate() -> None:
    found = rows([(0, "one"), (1, "two a"), (1, "two b"), (1, "two c"), (2, "three"), (3, "four a"), (3, "four b")])
    found.flags = [(), ("split",), ("split",), ("split",), (), ("split",), ("split",)]
    found.ids = [
        identity + (b"" if index in (0, 1, 4, 5) else b"%d" % index) for index, identity in enumerate(found.ids)
    ]
    assert left(chain(rate="3/s"), found) == ["one", "two a", "two b", "two c", "three"]


def test_always_exempts_from_sample_and_rate_by_text_or_level() -> None:
    lines = [(number, f"{'ERROR' if number % 10 == 0 else 'info'} {number}") for number in range(100)]
    found = left(chain(sample="1/1000000", always="ERROR"), rows(lines))
    assert [text for text in found if text.startswith("ERROR")] == [
        text for _, text in lines if text.startswith("ERROR")
    ]
    limited = rows([(number, "same") for number in range(10)])
    limited.fields = [{"log.level": "error"} if number > 7 else None for number in range(10)]
    assert left(chain(rate="2/s", always="^error$"), limited) == ["same"] * 4


@pytest.mark.parametrize(
    ("name", "text", "fix"),
    [
        ("sample", "0", "1/10"), ("sample", "1/0", "1/10"), ("sample", "2", "1/10"), ("sample", "often", "1/10"),
        ("sample", "-0.1", "1/10"), ("sample", "1/2%", "1/10"),
        ("rate", "100", "100/s"), ("rate", "0/s", "100/s"), ("rate", "5/week", "100/s"), ("rate", "1.5/s", "100/s"),
        ("drop", "(", "regular expression"), ("keep", r"(a)\1", "regular expression"),
    ],
)  # fmt: skip
def test_what_can_t_be_read_is_named_with_what_to_write(name: str, text: str, fix: str) -> None:
    reading = read({f"towline.{name}": text}, thin.LABELS)
    assert reading.values == {}
    assert fix in reading.problems[0]


def test_nothing_asked_is_no_step() -> None:
    nothing: dict[str, Any] = {}
    assert [make(nothing) for make in MAKES] == [None] * 4


TRICKY = [
    "a", "^a", "a$", "^$", "", r"\bb\b", r"a\s+b", r"a[^x]*b", r"\Ab", r"b\z", "(?i)B", "(?s)a.b", "(?-s)a.b", "a|^b$",
    "(?i:A)$", r"\Ba", r"a(\nb)?", r"\Qa^\E", "(a)(b)?", "^ab?$", r"(?m)^b", r"\s", r"b\s*$", "ü", r"\W", "x*$",
    r"\C\C\C",
]  # fmt: skip


@pytest.mark.parametrize("source", TRICKY)
def test_a_column_is_looked_through_as_each_text_alone(source: str) -> None:
    regex = pattern(source)
    draw = random.Random(source)
    for number in range(150):
        signs = "ab \n^xü" if number % 3 == 0 else "ab ^xü"
        texts = ["".join(draw.choices(signs, k=draw.randint(0, 4))) for _ in range(draw.randint(0, 9))]
        assert among([regex], texts) == {i for i, text in enumerate(texts) if regex.search(text) is not None}, texts
