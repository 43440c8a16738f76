"""What all lines of one sender share: the origin, the count of its lines, its mark in their identities."""

import hashlib
import logging
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shipper.inputs.line import Sender
from towline.batch import Origin
from towline.identity import MAX_SERVICE, clean

log = logging.getLogger(__name__)

MOST_SENDERS = 10_000
"""That are remembered; one that was forgotten is counted anew from the present microsecond, which is further on."""
MOST_SERVICES = 1_000
"""Names that come in from outside and become labels of metrics; further ones share the name of their input."""

Known = Callable[[str], Origin | None]
"""The origin of a container of this node by its id, None where it is not known (yet)."""


@dataclass(slots=True)
class Source:
    """One sender. `mark` stands in the ids of its lines, `sequence` is the last line's number."""

    origin: Origin
    mark: bytes
    sequence: int
    native: bool
    """Whether the origin is that of a container of this node."""


class Senders:
    """Not thread-safe. `node`: the name of this node, as it is known by now."""

    def __init__(self, node: Callable[[], str], known: Known, wall: Callable[[], int] = time.time_ns) -> None:
        self._node = node
        self._known = known
        self._wall = wall
        self._sources: dict[Sender, Source] = {}
        self._services: set[str] = set()
        self._full = False

    def of(self, sender: Sender) -> Source:
        source = self._sources.get(sender)
        if source is None:
            source = self._sources[sender] = self._new(sender)
            if len(self._sources) > MOST_SENDERS:
                del self._sources[next(iter(self._sources))]
        elif sender.container_id and not source.native and (origin := self._known(sender.container_id)):
            source.origin, source.native = origin, True
        return source

    def _new(self, sender: Sender) -> Source:
        native = self._known(sender.container_id) if sender.container_id else None
        origin = native or self._made(sender)
        mark = urlsafe_b64encode(hashlib.sha256(origin.container_id.encode()).digest())[:8]
        return Source(origin, mark, self._wall() // 1000, native is not None)

    def _made(self, sender: Sender) -> Origin:
        name = _name(sender.service) or sender.input
        host = _name(sender.host) or self._node()
        return Origin(
            {
                "container": {
                    "id": sender.container_id or made_id(sender.input, host, name),
                    "name": _name(sender.container_name) or name,
                    "image": {"name": ""},
                    "labels": {"towline.input": sender.input},
                },
                "host": {"name": host},
                "service": {"name": self._service(name, sender.input)},
                "data_stream": {"type": "logs", "dataset": "docker", "namespace": "default"},
            }
        )

    def _service(self, name: str, source: str) -> str:
        if name in self._services or len(self._services) < MOST_SERVICES:
            self._services.add(name)
            return name
        if not self._full:
            self._full = True
            log.warning("more than %d services send to the listeners: further ones are called by their listener, with "
                        "their own name in container.name", MOST_SERVICES)  # fmt: skip
        return source


def made_id(source: str, host: str, service: str) -> str:
    """The stable id of what stands for a container: 64 hex digits."""
    return hashlib.sha256(f"{source}:{host}:{service}".encode()).hexdigest()


def text_of(record: Mapping[str, Any], *keys: str) -> str:
    """The first of these that is text and not empty, "" where none is."""
    return next((value for key in keys if isinstance(value := record.get(key), str) and value), "")


def _name(text: str) -> str:
    """Names are whatever somebody sends: bounded, and without half characters."""
    return clean(text)[:MAX_SERVICE]
