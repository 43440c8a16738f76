"""Something that happened to a container, as the page marks it beside its charts and `/api/metrics` tells it."""

from dataclasses import asdict, dataclass
from typing import Any

SAME_MOMENT = 0.5
"""The engine stamps an event and what `inspect` tells of it this close to one another (seconds)."""


@dataclass(frozen=True, slots=True)
class Happening:
    """`time`: seconds since 1970. `what`: started, stopped, deployed, oom, unhealthy or healthy. `about`: the image, or
    the exit code, "" where there is nothing to say."""

    time: float
    what: str
    id: str
    container: str
    service: str
    about: str = ""

    def told(self) -> dict[str, Any]:
        return asdict(self) | {"time": round(self.time, 3)}
