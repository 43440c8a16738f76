"""What a rules file says for all services: labels by their names, at the top for all, in tables for some.

    "towline.redact" = ["card", "bearer"]

    [service."shop_*"]
    "towline.parse" = "json"

TOML (https://toml.io/en/v1.0.0), read again when the file changes. Later tables win over earlier ones, all tables over
the top, and labels over the file.
"""

import logging
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shipper.filters import glob
from shipper.rules.table import COMPONENT, PREFIX, read
from towline.errors import UsageError

log = logging.getLogger(__name__)

MOST_BYTES = 1 << 20
_TABLES = "service"
_AT = re.compile(r"(?P<what>.*) \(at (?P<place>line \d+, column \d+|end of document)\)", re.DOTALL)


@dataclass(frozen=True)
class Table:
    """What the services whose name matches are told; `place` is the table as the file writes it."""

    place: str
    services: re.Pattern[str]
    labels: Mapping[str, str]


class Defaults:
    """The rules file at `path`. Raises UsageError, naming file, place and fix, where it can't be used at the start;
    later the last good one holds, and that is said. Used by one thread, but `of` by any."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""
        """What is wrong with the file as it is now, "" where it is in use."""
        self._seen = _stamp(path)
        self._tables = load(path)

    def look(self) -> bool:
        """Read the file again where it has changed; whether it says something else now."""
        seen = _stamp(self.path)
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            tables = load(self.path)
        except UsageError as error:
            self.problem = str(error)
            log.error("%s. What it said before still holds", error)
            return False
        self.problem = ""
        changed, self._tables = tables != self._tables, tables
        if changed:
            log.info("rules file %s has changed: it holds from now on", self.path)
        return changed

    def of(self, service: str) -> list[Mapping[str, str]]:
        """The labels of each table for this service, the weakest first."""
        return [table.labels for table in self._tables if table.services.match(service)]


def load(path: Path) -> tuple[Table, ...]:
    """The tables of a file, that for all first; raises UsageError."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"rules file {path}: {reason}; name a readable TOML file with --rules") from error
    if len(content) > MOST_BYTES:
        raise UsageError(f"rules file {path}: more than {MOST_BYTES >> 20} MiB; is it the right file?")
    try:
        return parse(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"rules file {path}, {_syntax(error)}") from error
    except UsageError as error:
        raise UsageError(f"rules file {path}: {error}") from error


def parse(text: str) -> tuple[Table, ...]:
    """The tables of a text; raises tomllib.TOMLDecodeError, and UsageError naming table, key and fix."""
    tree = tomllib.loads(text)
    by_service = tree.pop(_TABLES, {})
    if not isinstance(by_service, dict):
        raise UsageError(f'{_TABLES} is no table; write [{_TABLES}."shop_*"]')
    tables = [Table("at the top", re.compile(""), _labels("", tree))]
    for name, inside in by_service.items():
        place = f'[{_TABLES}."{name}"]'
        if not isinstance(inside, dict):
            raise UsageError(
                f'{_TABLES}.{name} is no table; write [{_TABLES}."{name}"] above the labels of that service'
            )
        tables.append(Table(place, glob(name, place), _labels(f"{place} ", inside)))
    return tuple(tables)


def _labels(place: str, tree: Mapping[str, Any]) -> dict[str, str]:
    labels = {}
    for name, value in _flat(tree):
        if not name.startswith(PREFIX):
            raise UsageError(f'{place}{name}: no label is called so; write it as "{PREFIX}{name}", in quotes')
        if name == COMPONENT.name:
            raise UsageError(f"{place}{name}: it marks Towline's own containers; set it there as a label")
        labels[name] = _text(place + name, value)
    problems = read({name: text for name, text in labels.items() if text}).problems
    if problems:
        raise UsageError(place + problems[0].removeprefix("label "))
    return labels


def _flat(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value


def _text(name: str, value: Any) -> str:
    """A value as a label has it: lists with commas."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list) and all(isinstance(each, str | int) for each in value):
        return ",".join(map(str, value))
    raise UsageError(f"{name}: a label is a text, a number, true or false, or a list of texts; write it in quotes")


def _syntax(error: UnicodeDecodeError | tomllib.TOMLDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start}: not UTF-8; save it as such"
    found = _AT.fullmatch(str(error))
    what, place = (found["what"], found["place"]) if found else (str(error), "somewhere")
    fix = 'write names and texts in quotes, as "towline.parse" = "json", and patterns in single ones, as \'^\\d\''
    return f"{place}: {what[:1].lower()}{what[1:]}; {fix}"


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes with the file; None where there is none now."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
