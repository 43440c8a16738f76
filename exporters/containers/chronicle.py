"""What happened to containers lately, for marks beside charts: starts, ends, deployments, OOM kills, failing health.

A deployment is the first start of a container whose service ran with another image or configuration before: another
image, another `com.docker.compose.config-hash`, or (Swarm has no such label) another environment or command. Where
others of the service still run with the same, it is a part of a deployment that was told already, or a larger scale;
what `docker compose run` starts is none.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from exporters.containers.described import ALIVE, Described
from towline.happening import SAME_MOMENT, Happening
from towline.identity import service_of

MOST = 2000
"""Happenings, and services whose last version is remembered."""
CONFIG_HASH, ONE_OFF = "com.docker.compose.config-hash", "com.docker.compose.oneoff"


@dataclass(slots=True)
class _Seen:
    """One container as it was at the last look. `first`: its first start, until it is certain what that was."""

    service: str
    version: tuple[str, str, str]
    running: bool = False
    started: float = 0.0
    finished: float = 0.0
    oom_kills: int = 0
    health: str = ""
    first: Happening | None = None


class Chronicle:
    """Compares each look at a container with the one before. Not safe from several threads: its inventory is."""

    def __init__(self) -> None:
        self._happened: deque[Happening] = deque(maxlen=MOST)
        self._seen: dict[str, _Seen] = {}
        self._latest: dict[str, tuple[str, str, str]] = {}

    def __iter__(self) -> Iterator[Happening]:
        return iter(sorted(self._happened, key=lambda each: each.time))

    def deployed(self) -> dict[str, float]:
        """The first starts that were deployments lately, by container id, seconds since 1970."""
        return {each.id: each.time for each in self._happened if each.what == "deployed"}

    def look(self, told: Described, oom_kills: int, when: float) -> None:
        """Note what is new about a container; `when`: the event's or the answer's time."""
        seen = self._seen.get(told.id)
        if new := seen is None:
            seen = _Seen(service_of(told.name, told.labels), _version(told), oom_kills=oom_kills, health=told.health)
            self._seen[told.id] = seen
        seen.version = _version(told, seen.version[2])
        seen.running = told.state in ALIVE
        if told.finished > seen.finished + SAME_MOMENT:
            code = "" if told.exit_code is None else str(told.exit_code)
            self._note(told, seen, "stopped", told.finished, code)
            seen.finished = told.finished
        if told.started > seen.started + SAME_MOMENT:
            self._start(told, seen, known_before=new or bool(seen.started))
        elif seen.first is not None and seen.version[2]:
            self._settle(seen, seen.first)
        if oom_kills > seen.oom_kills:
            self._note(told, seen, "oom", when)
            seen.oom_kills = oom_kills
        if told.health != seen.health and "unhealthy" in (told.health, seen.health):
            self._note(told, seen, told.health or "healthy", when)
        seen.health = told.health

    def forget(self, container_id: str) -> None:
        """It was removed; what happened stays."""
        self._seen.pop(container_id, None)

    def _note(self, told: Described, seen: _Seen, what: str, when: float, about: str = "") -> Happening:
        made = Happening(when, what, told.id, told.name, seen.service, about)
        self._happened.append(made)
        return made

    def _start(self, told: Described, seen: _Seen, *, known_before: bool) -> None:
        seen.started = told.started
        made = self._note(told, seen, "started", told.started, told.image)
        if told.labels.get(ONE_OFF) == "True":
            return
        if not known_before:
            seen.first = made
            self._settle(seen, made)
        elif seen.service not in self._latest:
            self._remember(seen)

    def _settle(self, seen: _Seen, made: Happening) -> None:
        """Whether the first start was a deployment, as far as can be told by now."""
        latest = self._latest.get(seen.service, seen.version)
        if not _same(latest, seen.version) and not self._shared(seen):
            self._happened = deque((replace(each, what="deployed") if each is made else each
                                    for each in self._happened), MOST)  # fmt: skip
            self._remember(seen)
        elif seen.version[2] or seen.service not in self._latest:
            self._remember(seen)
        if seen.version[2]:  # nothing more will be known
            seen.first = None

    def _remember(self, seen: _Seen) -> None:
        self._latest.pop(seen.service, None)
        self._latest[seen.service] = seen.version
        if len(self._latest) > MOST:
            del self._latest[next(iter(self._latest))]

    def _shared(self, seen: _Seen) -> bool:
        """Whether another container of the service runs with the same."""
        return any(other is not seen and other.running and other.service == seen.service
                   and _same(other.version, seen.version) for other in self._seen.values())  # fmt: skip


def _version(told: Described, before: str = "") -> tuple[str, str, str]:
    """Image, compose's hash, and what tells most of the configuration: "" while that is unknown."""
    hashed = told.labels.get(CONFIG_HASH, "")
    return told.image, hashed, hashed or told.setup or before


def _same(one: tuple[str, str, str], other: tuple[str, str, str]) -> bool:
    """Whether nothing that is known of both differs; what events do not tell is unknown."""
    return all(a == b for a, b in zip(one, other, strict=True) if a and b)
