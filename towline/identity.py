"""What a container is called, wherever Towline tells of it: the same in a log line's fields and on a metric's labels.

Names and labels are whatever somebody typed into `docker run`: they stay data. Only an id of 64 hex digits is ever
used in a path.
"""

import re
from collections.abc import Iterable, Mapping

SWARM = "com.docker.swarm."
STACK = "com.docker.stack.namespace"
COMPOSE_SERVICE = "com.docker.compose.service"
COMPOSE_PROJECT = "com.docker.compose.project"

MAX_SERVICE = 255
"""Longest service name in characters; it is also the label of a metric."""
MAX_LABEL = 255
"""Longest value of a label on a metric in characters; what is longer is cut."""

_ID = re.compile(r"[0-9a-f]{64}")
_SURROGATE = re.compile("[\ud800-\udfff]")


def is_id(text: object) -> bool:
    """Whether this is a whole container id, fit for a path."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def clean(value: object) -> str:
    """The text without lone surrogates, which no JSON text in UTF-8 can hold."""
    return _SURROGATE.sub("\ufffd", value if isinstance(value, str) else str(value))


def service_of(name: str, labels: Mapping[str, str]) -> str:
    """The Swarm service, else the compose service, else the container's name."""
    service = labels.get(SWARM + "service.name") or labels.get(COMPOSE_SERVICE) or name
    return service[:MAX_SERVICE]


def node_labels(labels: Mapping[str, object], wanted: Iterable[str]) -> dict[str, str]:
    """Of the labels of a Swarm's node those that were asked for (--node-label), as lines and metrics tell them."""
    return {clean(name): clean(labels[name])[:MAX_LABEL] for name in wanted if name in labels}


def name_of(text: object) -> str:
    """The name without the engine's leading slash."""
    return clean(text or "").removeprefix("/")
