"""The step that parses: by word, by pattern, in turn; what it can't read stays and is marked."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from shipper.rules import line_time, parse
from shipper.rules.chain import Chain, chain_of
from shipper.rules.parse import LABELS, PARSERS, UNPARSED, Parse
from shipper.rules.ready import READY
from shipper.rules.rows import Fields, Rows
from shipper.rules.table import read
from towline import metrics


def rows_of(*texts: str) -> Rows:
    count = len(texts)
    return Rows(
        ids=[b"id%d" % number for number in range(count)], stamps=[b"2026-11-23T10:15:30.000000001Z"] * count,
        streams=[b"stdout"] * count, sequences=list(range(count)), texts=list(texts), flags=[()] * count)  # fmt: skip


def parsed(labels: dict[str, str], *texts: str) -> Rows:
    reading = read(labels, LABELS)
    assert reading.problems == []
    step = parse.make(reading.values)
    assert step is not None
    assert step.name == "parse"
    rows = rows_of(*texts)
    step(rows)
    return rows


def test_no_label_is_no_step() -> None:
    assert parse.make({}) is None


def test_a_line_s_text_and_fields_are_what_the_parser_found() -> None:
    rows = parsed({"towline.parse": "json"}, '{"msg":"up","level":"INFO","n":1}', '{"n":2}', '{"msg":"bare"}')
    assert rows.texts == ["up", '{"n":2}', "bare"]
    assert rows.fields == [{"log.level": "info", "n": 1}, {"n": 2}, None]
    assert rows.flags == [(), (), ()]


def test_a_line_of_another_form_stays_and_is_marked() -> None:
    hostile = ["starting …", "", "{" * 5000, '{"a":' * 1000 + "1" + "}" * 1000, '{"a\\u0000":1}', "\ud800"]
    rows = parsed({"towline.parse": "json"}, '{"msg":"up"}', *hostile)
    assert rows.texts == ["up", *hostile]
    assert rows.flags == [()] + [(UNPARSED,)] * len(hostile)
    assert rows.fields == [None] * len(rows)


def test_several_parsers_are_tried_in_turn() -> None:
    labels = {"towline.parse": "json,logfmt", "towline.parse.pattern.b": "%{a}: %{message}",
              "towline.parse.pattern.a": r"^(?P<number>\d+)$"}  # fmt: skip
    rows = parsed(labels, '{"msg":"json"}', "msg=logfmt x=1", "word: dissect", "35", "none of them")
    assert rows.texts == ["json", "logfmt", "dissect", "35", "none of them"]
    assert rows.fields == [None, {"x": "1"}, {"a": "word"}, {"number": "35"}, None]
    assert rows.flags == [(), (), (), (), (UNPARSED,)]


@pytest.mark.parametrize("word", ["regex", "dissect"])
def test_a_word_for_patterns_alone_marks_all_lines(word: str) -> None:
    assert parsed({"towline.parse": word}, "x").flags == [(UNPARSED,)]
    assert parsed({"towline.parse": word, "towline.parse.pattern": "<%{a}>"}, "<x>").fields == [{"a": "x"}]


@pytest.mark.parametrize(
    ("label", "told"),
    [({"towline.parse": "jsn"}, "json"), ({"towline.parse.pattern": "(?P<a>"}, "regular expression"),
     ({"towline.parse.pattern.x": "%{a}%{b}"}, "between them")],
)  # fmt: skip
def test_a_label_that_can_not_be_read_says_what_to_write(label: dict[str, str], told: str) -> None:
    (problem,) = read(label, LABELS).problems
    assert "write" in problem
    assert told in problem


def test_fields_that_were_there_stay() -> None:
    rows = rows_of('{"a":1}')
    rows.fields = [{"event.module": "x", "a": 0}]
    Parse([PARSERS["json"]])(rows)
    assert rows.fields == [{"event.module": "x", "a": 1}]


def test_every_ready_parser_is_named_and_its_level_is_a_common_one() -> None:
    assert set(READY) <= set(PARSERS)
    rows = parsed({"towline.parse": "syslog"}, "<12>Nov 23 10:15:00 host app[1]: careful")
    assert rows.texts == ["careful"]
    assert rows.fields[0] is not None
    assert rows.fields[0]["log.level"] == "warn"


def test_a_parser_that_fails_over_a_line_costs_that_line_only(caplog: pytest.LogCaptureFixture) -> None:
    def broken(text: str) -> Fields | None:
        if "secret" in text:
            raise IndexError(text)
        return {"a": text}

    rows = rows_of("one", "secret", "three")
    Parse([broken])(rows)
    assert rows.flags == [(), (UNPARSED,), ()]
    assert rows.fields == [{"a": "one"}, None, {"a": "three"}]
    assert "IndexError" in caplog.text
    assert "secret" not in caplog.text


def test_half_characters_reach_no_store() -> None:
    rows = parsed({"towline.parse": "logfmt"}, "a=\ud800 b=1")
    assert rows.fields == [{"a": "\\ud800", "b": "1"}]
    assert orjson.loads(rows.documents().splitlines()[1].replace(b"\x1e", b""))["fields"] == {"a": "\\ud800", "b": "1"}


def test_what_json_has_no_form_for_costs_no_line() -> None:
    rows = rows_of("one", "two")
    rows.fields = [{"a": "\ud800", "b": 1 << 70, "c": {1}, "d": float("nan"), "e": -(1 << 60)}, {"a": 1}]
    first, second = (orjson.loads(line.replace(b"\x1e", b"")) for line in rows.documents().splitlines()[1::2])
    assert first["fields"] == {"a": "\ufffd", "b": str(1 << 70), "c": "{1}", "d": "NaN", "e": str(-(1 << 60))}
    assert second["fields"] == {"a": 1}


def test_lines_that_were_not_read_are_counted() -> None:
    def count(flag: str) -> Any:
        return metrics.REGISTRY.get_sample_value(
            "towline_lines_unparsed_total", {"service": "parse-test", "reason": flag}
        )

    chain = Chain([Parse([PARSERS["json"]])], "parse-test")
    chain.apply(rows_of("x", '{"a":1}', "y"))
    assert count("unparsed") == 2
    chain.apply(rows_of('{"a":1}'))
    assert count("unparsed") == 2
    assert count("untimed") is None


def test_what_real_loggers_wrote_has_level_text_and_time() -> None:
    """Lines of pino 10, winston 3, bunyan 2, python-json-logger 4, structlog 26 and Go 1.26's slog."""
    texts = (Path(__file__).parent / "samples" / "loggers.jsonl").read_text(encoding="utf-8").splitlines()
    reading = read({"towline.parse": "json,logfmt", "towline.time": "auto"})
    chain = chain_of(reading.values, [parse.make, line_time.make])
    assert chain is not None
    rows = rows_of(*texts)
    chain.apply(rows)
    assert rows.flags == [()] * len(texts)
    assert all(rows.times)
    levels = [(found or {}).get("log.level") for found in rows.fields]
    assert levels == ["error", "warn", "error", "warn", "info", "trace", "warn", "critical", "error", "info", "warn",
                      "info", "info"]  # fmt: skip
    assert rows.texts == ["request errored", "careful", "bad", "hm", "served", "t", "retry 3", "died", "user_in",
                          "logfmt it is", "slow", "odd", "text é"]  # fmt: skip
