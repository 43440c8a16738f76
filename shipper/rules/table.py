"""All labels that Towline understands, and what the labels of one container say."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shipper.rules import joining
from shipper.rules.chain import Make
from shipper.rules.label import Label, one_of

PREFIX = "towline."

ENABLE = Label("towline.enable", "Whether the container's lines are collected; wins over --include and --exclude.",
               "false", one_of("true", "false", "1", "0", "yes", "no", "on", "off"))  # fmt: skip
NO = frozenset({"false", "0", "no", "off"})
NO = frozenset({"false", "0", "no", "off"})
COMPONENT = Label("towline.component", "Marks a part of Towline itself, whose lines are never collected.", "ship", str)

LABELS: tuple[Label, ...] = (ENABLE, COMPONENT, *joining.LABELS)
STEPS: tuple[Make, ...] = ()
"""In the order in which they see the lines."""


@dataclass
class Reading:
    """What the labels say (by the name of the label), and what is wrong with them, one line each."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read(labels: Mapping[str, str], known: Sequence[Label] = LABELS) -> Reading:
    """The `towline.…` labels among these. One that can't be read is left out, and named with what to write instead."""
    reading = Reading()
    for name in sorted(name for name in labels if name.startswith(PREFIX)):
        label, suffix = _declared(name, known)
        if label is None:
            reading.problems.append(f"label {name}: unknown{_nearest(name, known)}")
            continue
        try:
            value = label.read(labels[name])
        except ValueError as error:
            reading.problems.append(f"label {name}={labels[name]!r}: {error}")
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
        rows.append(f"| `{name}` | {label.doc} | `{label.example}` |")
    return "\n".join(rows)


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
