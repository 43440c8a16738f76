"""The labels of a container's series: cAdvisor's names, Towline's values, and never more of them than were asked for.

A label that a container lacks is left out: to Prometheus that is the same as an empty one.
"""

import re
from collections.abc import Iterable, Mapping

from exporters.exposition import labels
from towline.identity import COMPOSE_PROJECT, COMPOSE_SERVICE, MAX_LABEL, STACK, SWARM, clean, service_of

ALLOWED = (
    STACK,
    SWARM + "service.name",
    SWARM + "task.name",
    SWARM + "task.id",
    SWARM + "node.id",
    COMPOSE_PROJECT,
    COMPOSE_SERVICE,
)
"""Engine labels that become `container_label_<name>`: those that public dashboards for Docker and Swarm select by."""

ROOT = b'{id="/"'
"""The open label block of the whole machine."""

_NOT_IN_NAMES = re.compile("[^a-zA-Z0-9_]")


def shown_as(prefix: str, names: Iterable[str]) -> dict[str, str]:
    """The names of labels of Prometheus that stand for labels of an engine."""
    return {name: prefix + _NOT_IN_NAMES.sub("_", name) for name in names}


class Naming:
    """Makes label blocks. `more`: names of engine labels to show beside ALLOWED."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        self._allowed = shown_as("container_label_", (*ALLOWED, *more))

    def block(self, container_id: str, name: str, image: str, found: Mapping[str, str]) -> bytes:
        """The label block without its closing brace, so that a device or an interface can be added.

        id is `/docker/<id>` under every cgroup driver; `service` and `stack` are what log lines carry as `service.name`
        and `orchestrator.namespace`.
        """
        pairs = {"id": f"/docker/{container_id}", "name": name, "image": image}
        pairs |= {"service": service_of(name, found), "stack": found.get(STACK) or found.get(COMPOSE_PROJECT, "")}
        for label, shown in self._allowed.items():
            if label in found:
                pairs.setdefault(shown, found[label])
        kept = {label: clean(value)[:MAX_LABEL] for label, value in pairs.items() if value}
        return labels(kept)[:-1].encode()
