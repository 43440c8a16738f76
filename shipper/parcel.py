"""A batch with what has to happen once it is safe: the marks of its lines' logs."""

from dataclasses import dataclass, field
from typing import Protocol

from shipper.tail import Row
from towline.batch import Batch, Section


class Giver(Protocol):
    """Where a section comes from: a container's log (shipper.tail.Tail), or an input (shipper.inputs.inbox.Handed)."""

    id: str
    urgent: bool
    behind: bool

    def settle(self) -> Row | None:
        """Something of it is safe; its checkpoint, where it has one that has moved."""


class Markable(Protocol):
    """`done` is set once what it stands for is confirmed or spooled."""

    done: bool


@dataclass(eq=False)
class Parcel:
    batch: Batch
    marks: list[tuple[Giver, Markable]]
    urgent: bool
    since: float
    old: bool
    """Its lines were written long before they were read (shipper/hold.py)."""


@dataclass
class Filling:
    """A batch that is being filled."""

    sections: list[Section] = field(default_factory=list)
    marks: list[tuple[Giver, Markable]] = field(default_factory=list)
    urgent: bool = False
    size: int = 0
    began: float = 0.0

    def add(self, tail: Giver, section: Section, mark: Markable, now: float) -> None:
        self.began = self.began if self.sections else now
        self.sections.append(section)
        self.marks.append((tail, mark))
        self.urgent = self.urgent or tail.urgent
        self.size += len(section.docs)
