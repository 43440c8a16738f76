"""A batch with what has to happen once it is safe: the marks of its lines' logs."""

from dataclasses import dataclass, field

from shipper.tail import Mark, Tail
from towline.batch import Batch, Section


@dataclass(eq=False)
class Parcel:
    batch: Batch
    marks: list[tuple[Tail, Mark]]
    urgent: bool
    since: float
    old: bool
    """Its lines were written long before they were read (shipper/hold.py)."""


@dataclass
class Filling:
    """A batch that is being filled."""

    sections: list[Section] = field(default_factory=list)
    marks: list[tuple[Tail, Mark]] = field(default_factory=list)
    urgent: bool = False
    size: int = 0
    began: float = 0.0

    def add(self, tail: Tail, section: Section, mark: Mark, now: float) -> None:
        self.began = self.began if self.sections else now
        self.sections.append(section)
        self.marks.append((tail, mark))
        self.urgent = self.urgent or tail.urgent
        self.size += len(section.docs)
