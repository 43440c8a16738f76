"""logfmt lines, as Go's programs write them."""

import random
from typing import Any

import pytest

from shipper.rules.logfmt import parse


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('level=warn msg="it is so" took=3ms', {"log.level": "warn", "message": "it is so", "took": "3ms"}),
        ('time="2026-11-23T10:15:00Z" level=info msg=up', {
            "time": "2026-11-23T10:15:00Z", "log.level": "info", "message": "up"}),
        ("ts=2026-11-23T10:15:00.5Z caller=main.go:42 status=200 method=GET", {
            "ts": "2026-11-23T10:15:00.5Z", "log.origin.file.name": "main.go", "log.origin.file.line": 42,
            "http.response.status_code": 200, "http.request.method": "GET"}),
        (r'msg="say \"hi\"\n\tto \u00e9 \x1b[0m \\ \U0001f916 \a" a=1', {
            "message": 'say "hi"\n\tto é \x1b[0m \\ 🤖 \a', "a": "1"}),
        ('a= b="" c flag', {"a": "", "b": "", "c": True, "flag": True}),
        ("url=/a?b=c&d=e eq==", {"url.original": "/a?b=c&d=e", "eq": "="}),
        ("  a=1\t b=2 \n", {"a": "1", "b": "2"}),
        ("a=1 a=2 a=3", {"a": ["1", "2", "3"]}),
        ("@timestamp=x service.name=forged", {"@timestamp": "x", "service.name": "forged"}),
    ],
)  # fmt: skip
def test_pairs_become_fields(line: str, expected: dict[str, Any]) -> None:
    assert parse(line) == expected


@pytest.mark.parametrize(
    "line",
    ["", " ", "plain text", "GET /a?b=c HTTP/1.1", "word a=1", '{"a":1}', 'a="unended', 'a="x"y', '"a"=1', "=1",
     "a\0b=1",
     "a=1 =2", 'a=1 "quoted"', "k" * 300 + "=1", '"' * 100_000, 'a="' + "\\" * 100_001],
)  # fmt: skip
def test_other_lines_are_none(line: str) -> None:
    assert parse(line) is None


def test_a_line_of_a_mebibyte_takes_no_time() -> None:
    assert parse("a=" + "x" * (1 << 20)) == {"a": "x" * (1 << 20)}
    many = parse(" ".join(f"k{number}=v" for number in range(50_000)))
    assert many is not None
    assert len(many) == 50_000
    assert parse('a="' + 'x\\"' * 300_000) is None


def test_whatever_is_quoted_comes_back() -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chooser = random.Random(seed)
    signs = ["a", " ", '"', "\\", "=", "\n", "\t", "é", "🤖", "\x1b", "x41", "u0041"]
    for _ in range(500):
        value = "".join(chooser.choices(signs, k=chooser.randrange(8)))
        quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\x1b", "\\x1b")
        assert parse(f'k="{quoted}" n=1') == {"k": value, "n": "1"}, (seed, value)
