"""What all that is said about a container comes to: its own labels, over those of its service, over the rules file."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from shipper.container import Container
from shipper.rules.defaults import Defaults
from shipper.rules.hints import translate
from shipper.rules.parse import incomplete
from shipper.rules.table import COMPONENT, ENABLE, PREFIX, Reading, read
from towline.identity import SWARM

SERVICE_ID = SWARM + "service.id"

_REPLACED = {
    "towline.parse": ("towline.parse.pattern", "towline.parse.pattern."),
    "towline.multiline": ("towline.multiline.start", "towline.multiline.continue"),
    "towline.multiline.start": ("towline.multiline", "towline.multiline.continue"),
    "towline.multiline.continue": ("towline.multiline", "towline.multiline.start"),
}
"""What a label takes back of what was said below it: of two ways to do one thing the nearer one counts, whole. With a
dot at the end: whatever begins so."""


class Services(Protocol):
    """Knows the labels of a Swarm's services (shipper.service_labels)."""

    def of(self, service_id: str) -> Mapping[str, str] | None:
        """Those of the service with this id; None where they are being asked for."""


class Rules:
    """What labels ask for. Safe to call from any thread.

    An empty label takes back what was said below it: `towline.parse=` on a container, where its service says json.
    """

    def __init__(self, defaults: Defaults | None = None, services: Services | None = None) -> None:
        self._defaults = defaults
        self._services = services

    def __call__(self, container: Container) -> Reading | None:
        """What is said of this container; None where the labels of its service are not known yet."""
        if not self.settled(container.labels):
            return None
        return self.values(container.origin.service, container.labels)

    def settled(self, labels: Mapping[str, str]) -> bool:
        """Whether all is known that may be said of a container with these labels."""
        service_id = labels.get(SERVICE_ID)
        return not service_id or self._services is None or self._services.of(service_id) is not None

    def values(self, service: str, labels: Mapping[str, str]) -> Reading:
        """What is said of a container of `service` with these labels; equal values where nothing else is said."""
        found, problems = self.effective(service, labels)
        problems = [*problems, *incomplete(found)]
        reading = read(found)
        return Reading(reading.values, [*reading.problems, *problems]) if problems else reading

    def effective(self, service: str, labels: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
        """The `towline.…` labels that count, and what is wrong with the hints among these."""
        service_id = labels.get(SERVICE_ID)
        of_service = (self._services.of(service_id) if self._services and service_id else None) or {}
        hints = translate({**of_service, **labels})
        below = self._defaults.of(service) if self._defaults else []
        found = merged([*below, hints.labels, _ours(of_service), _ours(labels)])
        return {name: text for name, text in found.items() if text.strip() or name == COMPONENT.name}, hints.problems

    def enabled(self, service: str, labels: Mapping[str, str]) -> str:
        """What is said by `towline.enable`, "" where nothing is."""
        return self.effective(service, labels)[0].get(ENABLE.name, "").strip().lower()

    def look(self) -> bool:
        """Read the rules file again where it has changed; whether it says something else now."""
        return self._defaults is not None and self._defaults.look()

    @property
    def problem(self) -> str:
        """What is wrong with the rules file, "" where nothing is."""
        return self._defaults.problem if self._defaults else ""


def merged(layers: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """All labels of these layers, the weakest given first."""
    found: dict[str, str] = {}
    for layer in layers:
        replaced = [below for name in layer for below in _REPLACED.get(name, ())]
        for name in [name for name in found if any(_is(name, below) for below in replaced)]:
            del found[name]
        found.update(layer)
    return found


def _is(name: str, label: str) -> bool:
    return name.startswith(label) if label.endswith(".") else name == label


def _ours(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in labels.items() if name.startswith(PREFIX)}
