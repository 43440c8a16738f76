"""What a store tells about many lines at once: how many there are over time, and from which containers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from towline.identity import COMPOSE_PROJECT, STACK


@dataclass
class Histogram:
    """Lines by time and level. `counts`: beginning of a bucket in milliseconds since 1970 → level → lines; empty
    buckets and levels are left out. `complete` False: time ran out, and older lines are not counted."""

    counts: dict[int, dict[str, int]] = field(default_factory=dict)
    complete: bool = True

    def add(self, bucket: int, level: str, lines: int) -> None:
        row = self.counts.setdefault(bucket, {})
        row[level] = row.get(level, 0) + lines


@dataclass(frozen=True)
class Known:
    """A container that the store has lines of. first, last: `@timestamp` of its oldest and newest line."""

    id: str
    name: str
    service: str
    stack: str
    node: str
    lines: int
    first: str
    last: str

    def called(self, name: str) -> bool:
        """Whether `name` is part of what people call it, whatever the case."""
        wanted = name.lower()
        return any(wanted in each.lower() for each in (self.name, self.service, self.stack, self.node))


def known(origin: Mapping[str, Any], lines: int, first: str, last: str) -> Known:
    """From a document, or from what all documents of one container share."""
    container = origin.get("container") or {}
    labels = container.get("labels") or {}
    return Known(
        id=str(container.get("id", "")),
        name=str(container.get("name", "")),
        service=str((origin.get("service") or {}).get("name", "")),
        stack=str(labels.get(STACK) or labels.get(COMPOSE_PROJECT) or ""),
        node=str((origin.get("host") or {}).get("name", "")),
        lines=lines,
        first=first,
        last=last,
    )
