"""What all lines of one sender share: the origin, the count of its lines, its mark in their identities."""

import hashlib
import logging
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from shipper.container import Container
from shipper.inputs.line import Sender
from shipper.inputs.owners import Owners
from shipper.inputs.ruling import HIDING, RECORDS, Ruling, Said
from shipper.rules.chain import Make
from shipper.rules.layers import Rules
from shipper.rules.routing import data_stream
from shipper.rules.table import ENABLE, NO, STEPS, Reading
from towline.batch import Origin
from towline.identity import MAX_SERVICE, clean

log = logging.getLogger(__name__)

MOST_SENDERS = 10_000
"""That are remembered; one that was forgotten is counted anew from the present microsecond, which is further on."""
MOST_SERVICES = 1_000
"""Names that come in from outside and become labels of metrics; further ones share the name of their input."""
_RECORDS = frozenset({"forward", "gelf", "ndjson"})

Written = Callable[[Container, Mapping[str, Any]], Origin]
"""What stands in each line of a container, where its labels say this (shipper.open_logs)."""
Wants = Callable[[str, str, Mapping[str, str]], bool]
"""Whether lines of a container of this id, name and labels are collected (shipper.filters)."""


@dataclass(slots=True, eq=False)
class Source:
    """One sender. `mark` stands in the ids of its lines, `sequence` is the last line's number.

    known: the containers of this node that it may be. wanted: whether its lines are collected.
    """

    origin: Origin
    mark: bytes
    sequence: int
    ruling: Ruling
    known: tuple[Container, ...] = ()
    wanted: bool = True
    age: int = -1
    problems: list[str] = field(default_factory=list)
    cut: set[bytes] = field(default_factory=set)
    """Streams of which the last line was only the first part of one."""

    @property
    def container(self) -> Container | None:
        """The one that it is, None where that is not known."""
        return self.known[0] if len(self.known) == 1 else None


class Senders:
    """`of` and `settled` belong to one thread. `node`: the name of this node, as it is known by now. most: bytes that
    one event of several lines may have."""

    def __init__(
        self, node: Callable[[], str], owners: Owners, rules: Rules, written: Written, wants: Wants, most: int,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:  # fmt: skip
        self._node = node
        self._owners = owners
        self._rules = rules
        self._written = written
        self._wants = wants
        self._most = most
        self._wall = wall
        self._sources: dict[Sender, Source] = {}
        self._services: set[str] = set()
        self._full = False
        self._age = 0

    def changed(self) -> None:
        """What is said about lines may be something else now. From any thread."""
        self._age += 1

    def settled(self, sender: Sender) -> bool:
        """Whether it is known, as far as it will be, what is to become of its lines."""
        meant = meant_by(sender)
        return not meant or sender in self._sources or self._owners.settled(meant)

    def of(self, sender: Sender) -> Source:
        source = self._sources.get(sender)
        if source is None:
            source = self._sources[sender] = self._new(sender)
            if len(self._sources) > MOST_SENDERS:
                del self._sources[next(iter(self._sources))]
        known = tuple(self._owners.of(sender.container_id or meant_by(sender))) or source.known
        if known != source.known or source.age != self._age:
            source.known, source.age = known, self._age
            self._describe(source, sender)
        return source

    def _new(self, sender: Sender) -> Source:
        container_id = sender.container_id or self._made(sender).container_id
        mark = urlsafe_b64encode(hashlib.sha256(container_id.encode()).digest())[:8]
        return Source(Origin({}), mark, self._wall() // 1000, Ruling(self._most))

    def _describe(self, source: Source, sender: Sender) -> None:
        """Whose its lines are, and what is said about them."""
        container = source.container
        if container is None:
            reading, said = self._of_others(source, sender)
        else:
            service = container.origin.service
            reading = self._rules.values(service, container.labels)
            said = _said(sender, reading, service, STEPS)
            source.wanted = sender.told or self._wants(container.id, container.origin.container_name, container.labels)
            source.origin = self._written(container, said.values)
        self._tell(source, reading.problems)
        if said != source.ruling.said:
            source.ruling.say(said)

    def _of_others(self, source: Source, sender: Sender) -> tuple[Reading, Said]:
        """Of a sender that is no one container of this node: what is said about all, and about services of this name.
        Where containers share a tag, what each of them wants hidden is hidden."""
        made = self._made(sender)
        shared = len({each.origin.service for each in source.known}) == 1
        service = source.known[0].origin.service if shared else made.service
        reading = self._rules.values(service, source.known[0].labels if shared else {})
        said = _said(sender, reading, service, RECORDS if sender.input in _RECORDS else STEPS)
        others = [] if shared else [(each.origin.service, each.labels) for each in source.known]
        also = tuple((name, self._rules.values(name, labels).values) for name, labels in others)
        source.wanted = sender.told or reading.values.get(ENABLE.name) not in NO
        source.origin = Origin({**made.fields, "service": {"name": service}, "data_stream": data_stream(said.values)})
        return reading, replace(said, also=also)

    def _tell(self, source: Source, problems: list[str]) -> None:
        if problems != source.problems:
            source.problems = problems
            for problem in problems:
                log.warning("%s: service=%s", problem, source.origin.service)

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


def meant_by(sender: Sender) -> str:
    """The id or the tag of the container whose lines these may be, "" where they are nobody's here. Another Towline's
    are done with: their labels were obeyed there."""
    if sender.told:
        return ""
    return sender.service if sender.input == "syslog" else sender.container_id


def _said(sender: Sender, reading: Reading, service: str, makes: tuple[Make, ...]) -> Said:
    """Lines of another Towline went through what labels ask for there: here they are looked through for secrets."""
    return Said(reading.values, service, HIDING if sender.told else makes, joins=not sender.told)


def made_id(source: str, host: str, service: str) -> str:
    """The stable id of what stands for a container: 64 hex digits."""
    return hashlib.sha256(f"{source}:{host}:{service}".encode()).hexdigest()


def text_of(record: Mapping[str, Any], *keys: str) -> str:
    """The first of these that is text and not empty, "" where none is."""
    return next((value for key in keys if isinstance(value := record.get(key), str) and value), "")


def _name(text: str) -> str:
    """Names are whatever somebody sends: bounded, and without half characters."""
    return clean(text)[:MAX_SERVICE]
