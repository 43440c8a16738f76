"""Patterns that a label writes: regular expressions with named groups, and dissect."""

from typing import Any

import pytest

from shipper.rules.pattern import LONGEST, read

ACCESS = '10.0.0.9 - ada [23/Nov/2026:10:15:00 +0000] "GET /a?b HTTP/1.1" 404 153'


@pytest.mark.parametrize(
    ("pattern", "line", "expected"),
    [
        (r"(?P<level>\w+): (?P<message>.*)", "WARN: low on disk", {"log.level": "warn", "message": "low on disk"}),
        (r'(?P<client__ip>\S+) \S+ (?P<user__name>\S+) \[(?P<time>[^\]]+)\] '
         r'"(?P<method>\S+) (?P<url>\S+) [^"]*" (?P<status>\d+)',
         ACCESS, {"client.ip": "10.0.0.9", "user.name": "ada", "time": "23/Nov/2026:10:15:00 +0000",
                  "http.request.method": "GET", "url.original": "/a?b", "http.response.status_code": 404}),
        (r"took (?P<ms>\d+)ms", "request é🤖 took 35ms in all", {"ms": "35"}),
        (r"(?P<a>x)|(?P<b>y)", "y", {"b": "y"}),
        (r"(x)(?P<b>y)()", "xy", {"b": "y"}),
        (r"(?P<service__name>.*)", "forged", {"service.name": "forged"}),
        (r"(?i)^(?P<a>é)$", "É", {"a": "É"}),
    ],
)  # fmt: skip
def test_named_groups_become_fields(pattern: str, line: str, expected: dict[str, Any]) -> None:
    assert read(pattern)(line) == expected


@pytest.mark.parametrize(
    ("pattern", "line", "expected"),
    [
        ("%{client.ip} - %{user.name} [%{time}] \"%{method} %{url} %{?protocol}\" %{status|integer} %{bytes|integer}",
        ACCESS,
         {"client.ip": "10.0.0.9", "user.name": "ada", "time": "23/Nov/2026:10:15:00 +0000",
          "http.request.method": "GET",
          "url.original": "/a?b", "http.response.status_code": 404, "bytes": 153}),
        ("%{level}: %{message}", "WARN: low: on disk", {"log.level": "warn", "message": "low: on disk"}),
        ("[%{level->}] %{message}", "[INFO] x", {"log.level": "info", "message": "x"}),
        ("%{a->} %{b}", "one    two", {"a": "one", "b": "two"}),
        ("%{+t} %{+t} %{rest}", "23 Nov all of it", {"t": "23 Nov", "rest": "all of it"}),
        ("%{+t/2} %{+t/1} %{rest}", "23 Nov x", {"t": "Nov 23", "rest": "x"}),
        ("%{t} %{+t} %{r}", "a b c", {"t": "a b", "r": "c"}),
        ("%{?k}=%{&k} %{rest}", "colour=red and more", {"colour": "red", "rest": "and more"}),
        ("%{*k}=%{&k}", "colour=red", {"colour": "red"}),
        ("%{} %{?skipped} %{c}", "a b c", {"c": "c"}),
        ("%{a} (%{b})", "x (y)", {"a": "x", "b": "y"}),
        ("%{a|float} %{b|boolean} %{c|integer}", "1.5 true x", {"a": 1.5, "b": True, "c": "x"}),
        ("%{a|float} %{b|integer}", "1e999 " + "9" * 30, {"a": "1e999", "b": "9" * 30}),
        ("%{a|double} %{b}", "nan x", {"a": "nan", "b": "x"}),
        ("%{?k}=%{&k}", "\0=x", {"k": "x"}),
        ("%{a}|%{b}", "|", {"a": "", "b": ""}),
        ("é %{a} 🤖 %{b}", "é x 🤖 y", {"a": "x", "b": "y"}),
    ],
)  # fmt: skip
def test_dissect_finds_what_stands_between(pattern: str, line: str, expected: dict[str, Any]) -> None:
    assert read(pattern)(line) == expected


@pytest.mark.parametrize("pattern", [r"(?P<a>\d+) (?P<b>\d+)", "<%{a}> %{b}.", "%{a} -- %{b}"])
@pytest.mark.parametrize("line", ["", "no", "\0", "x" * (1 << 20), "<a> b. and more"])
def test_other_lines_are_none(pattern: str, line: str) -> None:
    assert read(pattern)(line) is None


@pytest.mark.parametrize(
    "pattern",
    ["", "  ", "no groups", r"(\d+)", "(?P<a>", r"(?P<a>x)\1", r"(?P<a>x(?=y))", "(?P<a>(x{1000}){1000})",
     "(?P<a>(((\\pL{100}){9}){9}))",
     "%{a}%{b}", "%{?a} %{}", "%{a|complex} %{b}", "%{a", "%{+a/x}", "%{" + "k" * 300 + "}"],
)  # fmt: skip
def test_a_pattern_that_means_nothing_is_refused_with_what_to_write(pattern: str) -> None:
    with pytest.raises(ValueError, match="write"):
        read(pattern)


def test_a_pattern_that_backtracks_elsewhere_takes_no_time_here() -> None:
    parse = read("^(?P<a>(a+)+)$")
    assert parse("a" * (LONGEST - 1) + "b") is None
    assert parse("a" * LONGEST) == {"a": "a" * LONGEST}
    assert parse("a" * (LONGEST + 1)) is None
    assert read("(?P<a>(a?){900}a{900})")("ab" * (LONGEST // 2)) is None
    assert read("(?P<a>(a?){900}a{900})")("a" * 1000) == {"a": "a" * 1000}
    assert read("%{a} %{b} %{c}")(" " * (LONGEST // 2)) is not None
