"""Checks what others wrote in Prometheus' text format, and takes it apart into families.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format. prometheus_client has a parser,
which renames counters that don't end in `_total`; here a sample keeps its name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_PAIR = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\["\\n])*)"\s*(,|(?=\}))')
_KINDS = {"counter", "gauge", "histogram", "summary", "untyped"}
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count")}
_HELP_ESCAPE = re.compile(r"\\(n|\\)")


class Malformed(ValueError):
    """A text that Prometheus would refuse: which line, and why."""


@dataclass(slots=True)
class Told:
    """A family as it was told. samples: its lines without the newline, by name and sorted labels."""

    kind: str = "untyped"
    help: str | None = None
    samples: dict[str, str] = field(default_factory=dict)


def parse(text: str) -> dict[str, Told]:
    """Families by name.

    Raises Malformed, also for timestamps, for a sample told twice and for a last line without its newline: whoever
    wrote the file did not finish.
    """
    found: dict[str, Told] = {}
    if text and not text.endswith("\n"):
        raise Malformed("the last line has no newline: the file is not finished")
    for number, line in enumerate(text.split("\n"), 1):
        try:
            _line(line.strip(" \t\r"), found)
        except Malformed as error:
            raise Malformed(f"line {number}: {error}") from None
    return {name: told for name, told in found.items() if told.samples}


def _line(line: str, found: dict[str, Told]) -> None:
    if line.startswith("#"):
        _comment(line, found)
    elif line:
        name, pairs, value = _sample(line)
        told = found.setdefault(_family_of(name, found), Told())
        key = f"{name}{{{','.join(sorted(pairs))}}}"
        if key in told.samples:
            raise Malformed(f"{key} comes twice")
        told.samples[key] = f"{name}{{{','.join(pairs)}}} {value}" if pairs else f"{name} {value}"


def _comment(line: str, found: dict[str, Told]) -> None:
    _, word, name, rest = [*line.split(None, 3), "", "", ""][:4]
    if word not in ("HELP", "TYPE"):
        return
    if not _NAME.fullmatch(name):
        raise Malformed(f"{name!r} is no metric name")
    told = found.setdefault(name, Told())
    if word == "HELP":
        told.help = _HELP_ESCAPE.sub(lambda match: "\n" if match[1] == "n" else "\\", rest)
    elif told.samples or rest.strip() not in _KINDS:
        raise Malformed(f"TYPE of {name} is {rest!r}, or comes after its samples")
    else:
        told.kind = rest.strip()


def _sample(line: str) -> tuple[str, list[str], str]:
    """(name, label pairs as they were written, value)."""
    match = _NAME.match(line)
    if not match:
        raise Malformed(f"{line[:80]!r} begins with no metric name")
    name, rest = match[0], line[match.end() :].lstrip()
    pairs: list[str] = []
    if rest.startswith("{"):
        pairs, rest = _labels(rest)
    value, *timestamp = rest.split()[:2] or [""]
    if timestamp:
        raise Malformed(f"{name} has a timestamp; samples of a file count as of now")
    _check_value(name, value)
    return name, pairs, value


def _labels(text: str) -> tuple[list[str], str]:
    at, names, pairs = 1, set(), []
    while match := _PAIR.match(text, at):
        if match[1] in names:
            raise Malformed(f"label {match[1]} comes twice")
        names.add(match[1])
        pairs.append(f'{match[1]}="{match[2]}"')
        at = match.end()
    end = re.compile(r"\s*\}").match(text, at)
    if not end:
        raise Malformed(f"labels that can't be read: {text[:80]!r}")
    return pairs, text[end.end() :].strip()


def _check_value(name: str, value: str) -> None:
    try:
        float(value)
    except ValueError:
        raise Malformed(f"{name} has the value {value!r}, which is no number") from None
    if "_" in value or not value.isascii():  # numbers in Python only
        raise Malformed(f"{name} has the value {value!r}, which is no number")


def _family_of(name: str, found: dict[str, Told]) -> str:
    """The family that a sample belongs to: x_sum, x_count and x_bucket are of x if that is a histogram or summary."""
    for base, suffix in _splits(name):
        told = found.get(base)
        if told is not None and suffix in _SUFFIXES.get(told.kind, ()):
            return base
    return name


def _splits(name: str) -> Iterator[tuple[str, str]]:
    base, underscore, suffix = name.rpartition("_")
    yield base, underscore + suffix
