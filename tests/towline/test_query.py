"""The query language, the times people write, and the matcher that says what both mean."""

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from towline.errors import UsageError
from towline.query import And, Field, Not, Or, Phrase, Query, matches, parse, parse_time, tokens
from towline.times import format_time, nanoseconds

NOW = 1_790_000_000.5


def word(text: str) -> Phrase:
    return Phrase((text,))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", None),
        ("  \t ", None),
        ("Error", word("error")),
        ("a b", And((word("a"), word("b")))),
        ("a AND b", And((word("a"), word("b")))),
        ("a OR b c", Or((word("a"), And((word("b"), word("c")))))),
        ("(a OR b) c", And((Or((word("a"), word("b"))), word("c")))),
        ('"connection  RESET"', Phrase(("connection", "reset"))),
        ("conn*", Phrase(("conn",), prefix=True)),
        ('"to conn"*', Phrase(("to", "conn"), prefix=True)),
        ("10.0.0.1", Phrase(("10", "0", "0", "1"))),
        ("12:30:45", Phrase(("12", "30", "45"))),
        ("-a", Not(word("a"))),
        ("NOT a", Not(word("a"))),
        ("NOT -a", Not(Not(word("a")))),
        ("-(a b)", Not(And((word("a"), word("b"))))),
        ("a-b", Phrase(("a", "b"))),
        ("or not and", And((word("or"), word("not"), word("and")))),
        ('"OR"', word("or")),
        ("service:web-*", Field("service.name", "web-*")),
        ('service:"a *"', Field("service.name", "a *", literal=True)),
        ("-stream:stderr", Not(Field("stream", "stderr"))),
        ("node:n1 container:abc", And((Field("host.name", "n1"), Field("container", "abc")))),
        ("event.sequence:17", Field("event.sequence", "17")),
        ("container.image.name:nginx", Field("container.image.name", "nginx")),
        ("message:Time*", Phrase(("time",), prefix=True)),
        ("error: timeout", And((word("error"), word("timeout")))),
        ("straße", word("strasse")),
    ],
)
def test_a_query_means(text: str, tree: Any) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "position", "what"),
    [
        ('say "hello', 5, "this quote is never closed"),
        ("a (b", 3, r"this \( is never closed"),
        ("a b)", 4, r"this \) closes nothing"),
        ("OR", 1, "a word is missing here"),
        ("a OR", 5, "a word is missing here"),
        ("a OR OR b", 6, "a word is missing here"),
        ("OR a", 1, "a word is missing here"),
        ("()", 2, "a word is missing here"),
        ("a AND", 6, "AND has nothing after it"),
        ("AND a", 1, "AND has nothing before it"),
        ("a NOT", 3, "nothing follows that could be excluded"),
        ("a --- b", 3, "this term holds no letter or digit"),
        ("a 🤖", 3, "this term holds no letter or digit"),
        ("*", 1, "this term holds no letter or digit"),
        ("a*b", 1, r"\* can only end a word"),
        ("a-*", 1, r"\* must directly follow"),
        ("http://x", 1, "there is no field 'http'"),
        ("a level:", 3, "the filter level: has no value"),
        ("fields:x", 1, "the field fields holds other fields"),
        ("service: web", 1, "the filter service: has no value"),
        ("event:3", 1, "the field event holds other fields"),
        ("(" * 500, 41, "the query is too long or too deep"),
        ("a " * 500, 401, "the query is too long or too deep"),
    ],
)
def test_a_malformed_query_is_told_where_and_how_to_mend_it(text: str, position: int, what: str) -> None:
    with pytest.raises(UsageError, match=rf"position {position}: {what}.*; ") as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"query {text[:20]!r}"[:-1])


DOCUMENT = {
    "@timestamp": "2026-11-23T10:00:00.000000005Z", "message": "GET /api/v1 took 7ms, Straße x_y", "stream": "stdout",
    "event": {"sequence": 17}, "service": {"name": "web"}, "host": {"name": "node-1"},
    "container": {"id": "abcdef0123456789", "name": "web.1",
                  "labels": {"com.docker.service": "w", "com.docker.service.id": "i"}},
    "log": {"flags": ["split", "marked"], "level": "warn"}, "http": {"response": {"status_code": 500}},
    "fields": {"user": "ann", "a.b": 1, "ok": True, "many": [{"k": "one"}, {"k": ["two", None]}]}}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("get", True), ("ge", False), ("ge*", True), ('"api v1"', True), ('"v1 api"', False), ('"api v"*', True),
        ("7ms", True), ("7", False), ("STRASSE", True), ("x y", True), ("-nothing", True), ("-get", False),
        ("get OR nothing", True), ("get nothing", False), ("-(get nothing)", True), ("service:web", True),
        ("service:WEB", False), ("service:w*b", True), ("service:w", False), ('service:"w*"', False),
        ("node:node-?", False),
        ("container:web.1", True), ("container:abcdef01", True), ("container:ABCDEF01", True),
        ("container:abcdef0", False),
        ("container:web*", True), ("event.sequence:17", True), ("event.sequence:1", False), ("log.flags:marked", True),
        ("container.labels.com.docker.service:w", True), ("container.labels.com.docker.service.id:i", True),
        ("container.labels.com.docker:w", False), ("event.missing:1", False), ("-event.missing:1", True),
        ("@timestamp:2026-11-23*", True),
        ("level:warn", True), ("log.level:w*", True), ("level:WARN", False), ("http.response.status_code:500", True),
        ("fields.user:ann", True), ("fields.a.b:1", True), ("fields.ok:true", True), ("fields.many.k:two", True),
        ("fields.many.k:None", False), ("fields.many:one", False), ("-fields.user:ann", False),
    ],
)  # fmt: skip
def test_a_query_matches_a_document(text: str, expected: bool) -> None:
    assert matches(Query(where=parse(text)), DOCUMENT) is expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, True),
        ({"service": ("db", "web")}, True),
        ({"service": ("db",)}, False),
        ({"service": ("web",), "stream": ("stderr",)}, False),
        ({"container": ("abcdef01",), "node": ("node-*",)}, True),
        ({"since": "2026-11-23T10:00:00.000000005Z"}, True),
        ({"since": "2026-11-23T10:00:00.000000006Z"}, False),
        ({"until": "2026-11-23T10:00:00.000000005Z"}, False),
        ({"until": "2026-11-23T10:00:00.000000006Z"}, True),
    ],
)
def test_filters_are_joined_and_their_values_are_choices(asked: dict[str, Any], expected: bool) -> None:
    assert matches(Query(**asked), DOCUMENT) is expected


def test_tokens_are_runs_of_letters_and_digits() -> None:
    assert tokens("Größe=10µs; foo_bar—日本") == ["grösse", "10μs", "foo", "bar", "日本"]


@pytest.mark.parametrize("wrong", [{"order": "up"}, {"limit": -1}])
def test_a_query_that_can_not_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Query(**wrong)


@pytest.mark.parametrize("until", ["2026-11-23T10:00:00.000000000Z", "2026-11-22T10:00:00.000000000Z"])
def test_an_empty_range_names_both_ends(until: str) -> None:
    since = "2026-11-23T10:00:00.000000000Z"
    with pytest.raises(UsageError, match=f"since {since} until {until} is empty: since must be earlier"):
        Query(since=since, until=until)


@pytest.fixture
def far_east() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "XXX-9"
    time.tzset()
    yield
    os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    time.tzset()


@pytest.mark.usefixtures("far_east")
@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("now", "2026-09-21T14:13:20.500000000Z"),
        ("15m", "2026-09-21T13:58:20.500000000Z"),
        ("2h", "2026-09-21T12:13:20.500000000Z"),
        ("7d", "2026-09-14T14:13:20.500000000Z"),
        ("1.5H", "2026-09-21T12:43:20.500000000Z"),
        ("2026-11-23", "2026-11-22T15:00:00.000000000Z"),
        ("2026-11-23T10:15", "2026-11-23T01:15:00.000000000Z"),
        (" 2026-11-23 10:15:01 ", "2026-11-23T01:15:01.000000000Z"),
        ("2026-11-23T10:15:01Z", "2026-11-23T10:15:01.000000000Z"),
        ("2026-11-23T10:15:01.123456789z", "2026-11-23T10:15:01.123456789Z"),
        ("2026-11-23T10:15:01.5+02:00", "2026-11-23T08:15:01.500000000Z"),
    ],
)
def test_a_time_means(text: str, meant: str) -> None:
    assert parse_time(text, NOW) == meant


@pytest.mark.parametrize(
    "text",
    ["", "x", "15", "-5m", "1e9d", "99999999999d", "2026-13-01", "2026-02-30", "20261123", "2026-W01-1",
     "0001-01-01T00:00+10:00",
     "9999-12-31T23:59:59-10:00", "2026-11-23T10:00:00.1234567890Z", "10:15", "2026-11-23T25:00", "١٥m"])  # fmt: skip
def test_a_time_that_can_not_be_read_is_told_how_to_write_it(text: str) -> None:
    with pytest.raises(UsageError, match="can't be understood: write an age"):
        print(parse_time(text, NOW))


def test_stamps_and_nanoseconds_are_inverse() -> None:
    for number in (0, 1, 1_790_000_000_123_456_789, -1, -(10**18)):
        assert nanoseconds(format_time(number)) == number
    for wrong in ("", "2026-11-23T10:00:00Z", "2026-11-23 10:00:00.000000000Z", "2026-11-23T10:00:00.00000000xZ"):
        with pytest.raises(ValueError, match=r"2026|is not"):
            nanoseconds(wrong)
