"""What the engine's events say happened to a container, and from when on it is asked to tell them again."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from towline.identity import is_id


class Happened(NamedTuple):
    """An event: nanoseconds since 1970 (0: the engine does not tell), whole container id, the engine's word for it."""

    when: int
    container_id: str = ""
    action: str = ""
    attributes: Mapping[str, Any] = {}

    @property
    def since(self) -> str | None:
        """For Engine.events: from this moment on, itself included; None where it is not known."""
        return f"{self.when // 10**9}.{self.when % 10**9:09d}" if self.when else None


def read(event: Mapping[str, Any]) -> Happened | None:
    """From a row of the engine's event stream; None for one that is not about a container, or that makes no sense."""
    try:
        actor = event["Actor"]
        found = Happened(
            int(event.get("timeNano") or 0), actor["ID"], str(event["Action"]), actor.get("Attributes") or {}
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return found if is_id(found.container_id) and isinstance(found.attributes, dict) else None
