"""All labels that Towline understands, and what the labels of one container say."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from shipper.rules import joining, line_time, measure, parse, redact, routing, thin
from shipper.rules.chain import Make
from shipper.rules.label import Label, one_of

PREFIX = "towline."

ENABLE = Label("towline.enable", "Whether the container's lines are collected; wins over --include and --exclude.",
               "false", one_of("true", "false", "1", "0", "yes", "no", "on", "off"))  # fmt: skip
NO = frozenset({"false", "0", "no", "off"})
COMPONENT = Label("towline.component", "Marks a part of Towline itself, whose lines are never collected.", "ship", str)

LABELS: tuple[Label, ...] = (
    ENABLE, COMPONENT, *parse.LABELS, *line_time.LABELS, *joining.LABELS, *redact.LABELS, *thin.LABELS, *measure.LABELS,
    *routing.LABELS)  # fmt: skip
STEPS: tuple[Make, ...] = (
    thin.make_drop, thin.make_keep, thin.make_sample, redact.make_text, parse.make, redact.make_fields, line_time.make,
    thin.make_rate, measure.make)  # fmt: skip
"""In the order in which they see the lines. What drops looks at the whole line; nothing keeps a text, and nothing
tells one, before it was looked through for secrets; what is counted is what is kept."""


@dataclass
class Reading:
    """What the labels say (by the name of the label), and what is wrong with them, one line each."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read(labels: Mapping[str, str], known: Sequence[Label] = LABELS) -> Reading:
    """The `towline.…` labels among these. One that can't be read is left out, and named with what to write instead.

    Equal labels give the same object, patterns and all, so that nobody takes them for changed.
    """
    return _read(tuple(sorted(pair for pair in labels.items() if pair[0].startswith(PREFIX))), tuple(known))


@lru_cache(maxsize=1000)
def _read(labels: tuple[tuple[str, str], ...], known: tuple[Label, ...]) -> Reading:
    reading = Reading()
    for name, text in labels:
        label, suffix = _declared(name, known)
        if label is None:
            reading.problems.append(f"label {name}: unknown{_nearest(name, known)}")
            continue
        try:
            value = label.read(text)
        except ValueError as error:
            reading.problems.append(f"label {name}={text!r}: {error}")
            value = label.instead
        if value is None:
            continue
        if label.many:
            reading.values.setdefault(label.name, {})[suffix] = value
        else:
            reading.values[label.name] = value
    return reading


def as_markdown() -> str:
    """The labels as the README's table."""
    rows = ["| label | what it does | example |", "|---|---|---|"]
    for label in LABELS:
        name = f"{label.name}[.NAME]" if label.many else label.name
        rows.append(f"| `{name}` | {_cell(label.doc)} | `{_cell(label.example)}` |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _declared(name: str, known: Sequence[Label]) -> tuple[Label | None, str]:
    for label in known:
        if name == label.name:
            return label, ""
        if label.many and name.startswith(label.name + "."):
            return label, name[len(label.name) + 1 :]
    return None, ""


def _nearest(name: str, known: Sequence[Label]) -> str:
    near = difflib.get_close_matches(name, [label.name for label in known], 1)
    return f"; did you mean {near[0]}?" if near else "; `towline labels` lists those that there are"
