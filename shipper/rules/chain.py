"""The steps that a container's labels ask for, in their order."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shipper.rules.rows import Rows
from towline import metrics

log = logging.getLogger(__name__)

Values = Mapping[str, Any]
"""What the labels say, by name (shipper.rules.table)."""
SERVICE = "service"
"""Beside them, for a Make: the service whose lines a step will see."""


_UNREAD = ("unparsed", "untimed")
"""Flags of lines that a step could not read (shipper.rules.parse, shipper.rules.line_time)."""


class Step(Protocol):
    """Changes rows, all at once. One that raises changes nothing before: it finds everything, then sets columns."""

    name: str

    def __call__(self, rows: Rows) -> None: ...


Make = Callable[[Values], Step | None]
"""Makes a step of what the labels say; None where they don't ask for it."""


@dataclass(frozen=True)
class Timed:
    """What a step took, for `towline try`."""

    name: str
    seconds: float


class Chain:
    """One container's. Not thread-safe."""

    def __init__(self, steps: Sequence[Step], service: str = "") -> None:
        self.steps = steps
        self._service = service
        self._told: set[str] = set()

    def apply(self, rows: Rows) -> list[Timed]:
        """Every step in turn. One that fails leaves the lines as they were, marked "unprocessed" and counted: the flow
        never stops."""
        taken = []
        for step in self.steps:
            began = time.perf_counter()
            try:
                step(rows)
            except Exception as error:
                self._failed(step, rows, error)
            taken.append(Timed(step.name, time.perf_counter() - began))
        for reason, count in rows.dropped.items():
            metrics.LINES_DROPPED.labels(self._service, reason).inc(count)
        for reason in _UNREAD:
            if count := sum(reason in flags for flags in rows.flags):
                metrics.LINES_UNPARSED.labels(self._service, reason).inc(count)
        return taken

    def _failed(self, step: Step, rows: Rows, error: Exception) -> None:
        for index in range(len(rows)):
            rows.flag(index, "unprocessed")
        metrics.UNPROCESSED.labels(self._service, step.name).inc(len(rows))
        if step.name not in self._told:
            self._told.add(step.name)
            log.error(  # not with the error's text, which may quote a line
                "a rule failed, lines stay as they are: service=%s step=%s error=%s",
                self._service, step.name, type(error).__name__)  # fmt: skip


def chain_of(values: Values, makes: Sequence[Make], service: str = "") -> Chain | None:
    """The chain that these values ask for; None where they ask for no step."""
    known = {**values, SERVICE: service}
    steps = [step for make in makes if (step := make(known)) is not None]
    return Chain(steps, service) if steps else None
