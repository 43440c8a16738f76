"""The labels `towline.parse` and `towline.parse.pattern`: what stands in a line becomes fields.

A line that is not of the form keeps its text, is flagged "unparsed" and counted.
"""

import logging
import traceback
from collections.abc import Mapping, Sequence
from functools import partial

from shipper.rules import json_lines, logfmt, pattern
from shipper.rules.chain import Step, Values
from shipper.rules.common_names import with_level
from shipper.rules.label import Label, some_of
from shipper.rules.pattern import Parser
from shipper.rules.ready import READY
from shipper.rules.rows import Fields, Rows

log = logging.getLogger(__name__)

UNPARSED = "unparsed"


def _ready(parser: Parser, text: str) -> Fields | None:
    found = parser(text)
    return None if found is None else with_level(found)


PARSERS: Mapping[str, Parser] = {
    "json": json_lines.parse,
    "logfmt": logfmt.parse,
    **{name: partial(_ready, parser) for name, parser in READY.items()},
}
"""All parsers that a word names."""
_BY_PATTERN = ("regex", "dissect")
"""Words that say nothing but that there is a pattern."""


class Parse:
    """The first parser that knows the line's form is the one whose fields it gets."""

    name = "parse"

    def __init__(self, parsers: Sequence[Parser], lenient: bool = False) -> None:
        """lenient: a line that had fields before need not be of any form."""
        self._parsers = parsers
        self._lenient = lenient
        self._told = False

    def __call__(self, rows: Rows) -> None:
        for index, text in enumerate(rows.texts):
            found = self._parsed(text)
            if found is not None:
                _set(rows, index, found)
            elif not (self._lenient and rows.fields[index]):
                rows.flag(index, UNPARSED)

    def _parsed(self, text: str) -> Fields | None:
        if not text.isascii():
            text = text.encode("utf-8", "backslashreplace").decode()
        for parser in self._parsers:
            try:
                if (found := parser(text)) is not None:
                    return found
            except Exception as error:  # one line's fault is not its neighbours'
                self._tell(error)
        return None

    def _tell(self, error: Exception) -> None:
        """Not the error's text, which may quote the line."""
        if not self._told:
            self._told = True
            frame = traceback.extract_tb(error.__traceback__)[-1]
            log.error(
                "a parser failed over a line, which stays as it is (told once): %s at %s:%s",
                type(error).__name__, frame.filename, frame.lineno)  # fmt: skip


def make_lenient(values: Values) -> Step | None:
    """For lines that may have come as records, with fields of their own (shipper.inputs)."""
    return make(values, lenient=True)


def make(values: Values, lenient: bool = False) -> Step | None:
    words = [word for word in values.get(PARSE.name, ()) if word not in _BY_PATTERN]
    patterns = values.get(PATTERN.name, {})
    if not words and not patterns and PARSE.name not in values:
        return None
    return Parse([*(PARSERS[word] for word in words), *(patterns[suffix] for suffix in sorted(patterns))], lenient)


def incomplete(labels: Mapping[str, str]) -> list[str]:
    """What is wrong with labels that can each be read: one stands for a pattern, and there is none."""
    if any(name == PATTERN.name or name.startswith(f"{PATTERN.name}.") for name in labels):
        return []
    words = {word.strip().lower() for word in labels.get(PARSE.name, "").split(",")}
    said = [word for word in _BY_PATTERN if word in words]
    return [f"label {PARSE.name}: {word} without a pattern; write it as {PATTERN.name}" for word in said]


def _set(rows: Rows, index: int, found: Fields) -> None:
    text = found.get("message")
    if type(text) is str and text:
        del found["message"]
        rows.texts[index] = text
    if found:
        rows.fields[index] = {**(rows.fields[index] or {}), **found}


PARSE = Label(
    "towline.parse",
    "The form of the lines: " + ", ".join(f"`{name}`" for name in PARSERS) + "; `regex` and `dissect` stand for what "
    "`towline.parse.pattern` has. Several with commas are tried in turn. A line of another form stays as it is, with "
    "`unparsed` in `log.flags`.",
    "json", some_of(*PARSERS, *_BY_PATTERN))  # fmt: skip
PATTERN = Label(
    "towline.parse.pattern",
    "The lines' form as a regular expression (RE2) whose named groups are fields (`__` in a name stands for a dot), or "
    "as a dissect pattern. Several, `towline.parse.pattern.NAME`, are tried in the order of their names, after what "
    "`towline.parse` says.",
    r"%{client.ip} %{} [%{time}] %{message}", pattern.read, many=True)  # fmt: skip
LABELS: tuple[Label, ...] = (PARSE, PATTERN)
