"""Names of Elasticsearch data streams, `logs-<dataset>-<namespace>`, and where the lines of an origin go.

The rules are those of ECS 8.17 for `data_stream.*` and of index names: lower case, none of \\ / * ? " < > | , # : blank
or -, at most 100 bytes a part. Only ASCII is taken here, so that bytes are characters and lower case is one thing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TYPE, DATASET, NAMESPACE = "logs", "docker", "default"
DEFAULT = {"type": TYPE, "dataset": DATASET, "namespace": NAMESPACE}
"""What the lines of a container have that asks for nothing. The namespace `default` stands for that of the store."""
LONGEST = 100
OWN = "towline."
"""Datasets that begin so are Towline's: `towline.deadletter`."""
FOR_EVER = "forever"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.]*")
_AGE = re.compile(r"[1-9]\d{0,9}[smhd]")
_UNFIT = re.compile(r"[^a-z0-9_.]+")
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True)
class Route:
    """Where lines go that asked for it. `retention` as `age` gives it, "" for that of the store."""

    dataset: str
    namespace: str = NAMESPACE
    retention: str = ""

    def stream(self, namespace: str) -> str:
        """The data stream, in a store of this namespace."""
        return f"{TYPE}-{self.dataset}-{namespace if self.namespace == NAMESPACE else self.namespace}"

    @property
    def fields(self) -> dict[str, str]:
        """`data_stream` of the documents."""
        asked = {"type": TYPE, "dataset": self.dataset, "namespace": self.namespace}
        return asked | ({"retention": self.retention} if self.retention else {})


def checked(name: str, longest: int = LONGEST) -> str:
    """The name of a dataset or namespace; ValueError says what is wrong with it and what to write."""
    if len(name) > longest:
        raise ValueError(f"write at most {longest} characters")
    if not _NAME.fullmatch(name):
        raise ValueError("write lower case letters, digits, _ and . (no -), beginning with a letter or digit")
    return name


def sanitised(text: str, longest: int = LONGEST) -> str:
    """The text as a part of a name; "" where nothing of it can be one."""
    return _UNFIT.sub("_", text.lower()).strip("_.")[:longest].rstrip("_.")


def age(seconds: float) -> str:
    """A retention as Elasticsearch reads it, in the largest unit that it is a whole number of; 0: `forever`."""
    whole = max(1, round(seconds)) if seconds else 0
    if not whole:
        return FOR_EVER
    unit = next(unit for unit, factor in _UNITS.items() if whole % factor == 0)
    return f"{whole // _UNITS[unit]}{unit}"


def route_of(fields: Mapping[str, Any]) -> Route | None:
    """What an origin's fields ask for; None where that is nothing, or nothing that a stream can be called."""
    asked = fields.get("data_stream")
    if asked is None or asked == DEFAULT:
        return None
    try:
        route = Route(str(asked["dataset"]), str(asked.get("namespace", NAMESPACE)), str(asked.get("retention", "")))
        checked(route.dataset)
        checked(route.namespace)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    kept = not route.retention or route.retention == FOR_EVER or _AGE.fullmatch(route.retention)
    if not kept or asked.get("type", TYPE) != TYPE or route.dataset.startswith(OWN):
        return None
    return None if route == _PLAIN else route


_PLAIN = Route(DATASET)
"""That of lines which ask for nothing but other stores."""
