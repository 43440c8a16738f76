"""What is known of each container: the engine's events and answers in, what a scrape tells out.

Events count (restarts, OOM kills), answers of `inspect` correct. A container is told of until `keep` seconds after its
end, also when it has been removed meanwhile.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from exporters.containers.chronicle import Chronicle
from exporters.containers.described import ALIVE, HEALTH, Described, of_event
from exporters.containers.naming import Naming
from towline.happening import Happening
from towline.identity import name_of

SAME_START = 0.5
"""An event within so many seconds of what `inspect` told of is the same one."""


@dataclass(slots=True)
class Known:
    """One container. `block` is its label block (open). `changes` grows with anything that its readers depend on.

    `baseline`: its latest start when `inspect` first told of it, 0 where events did; later starts are counted.
    """

    told: Described
    block: bytes
    baseline: float = 0.0
    changes: int = 0
    starts: int = 0
    restarts_before: int = 0
    restarts_told: int = 0
    ended: float | None = None
    died: float = 0.0
    between_runs: bool = False
    removed: bool = False
    oom_past: int = 0
    oom_last_run: int = 0
    oom_events: int = 0
    oom_seen: int = 0

    @property
    def alive(self) -> bool:
        return self.told.state in ALIVE and not self.removed

    @property
    def restarts(self) -> int:
        """Starts after the first: by the engine's events, or by its own count of what it restarted by itself."""
        seen = self.starts if self.baseline else max(0, self.starts - 1)
        return max(self.restarts_before + seen, self.restarts_told)

    @property
    def oom_kills(self) -> int:
        """Of all its runs: the engine's events or the kernel's count, whichever saw more."""
        return self.oom_past + max(self.oom_events, self.oom_seen)


class Inventory:
    """Safe to call from any thread. `clock`: seconds since 1970."""

    def __init__(self, naming: Naming, keep: float = 300.0, clock: Callable[[], float] = time.time) -> None:
        self.node = ""
        self.changes = 0
        """Grows with whatever the readers of running containers depend on."""
        self._naming = naming
        self._keep = keep
        self._clock = clock
        self._lock = threading.RLock()
        self._known: dict[str, Known] = {}
        self._chronicle = Chronicle()

    # --- out

    def happenings(self) -> list[Happening]:
        """What happened to containers lately, oldest first."""
        with self._lock:
            return list(self._chronicle)

    def deployed(self) -> dict[str, float]:
        """When those containers first started that came with a deployment, by id, seconds since 1970."""
        with self._lock:
            return self._chronicle.deployed()

    def shown(self) -> list[Known]:
        """All that a scrape tells of, in the order in which they became known."""
        with self._lock:
            horizon = self._clock() - self._keep
            past = [key for key, known in self._known.items() if known.removed and (known.ended or 0) < horizon]
            for key in past:
                del self._known[key]
            return [known for known in self._known.values() if known.ended is None or known.ended >= horizon]

    def running(self) -> list[Known]:
        """Those that have processes now."""
        with self._lock:
            return [known for known in self._known.values() if known.alive and known.told.pid]

    # --- in: events

    def happened(self, container_id: str, action: str, attributes: Mapping[str, Any], when: float) -> None:
        """Take in an event. What it leaves open, an `inspect` afterwards tells."""
        with self._lock:
            verb, _, rest = action.partition(": ")
            known = self._known.get(container_id)
            if known is None and verb == "destroy":
                return  # it had ended before anybody looked
            known = known or self._add(of_event(container_id, attributes))
            if verb == "start":
                self._started(known, when)
            elif verb == "die":
                self._ended(known, when, attributes.get("exitCode"))
            elif verb == "oom":
                self._oom(known)
            elif verb in ("pause", "unpause"):
                self._tell(known, replace(known.told, state="paused" if verb == "pause" else "running"))
            elif verb == "health_status" and rest in HEALTH:
                self._tell(known, replace(known.told, health=rest))
            elif verb == "rename":
                self._tell(known, replace(known.told, name=name_of(attributes.get("name"))))
            elif verb == "update":
                self._changed(known)
            elif verb == "destroy":
                self._removed(known, when)
            self._note(known, when)

    def _started(self, known: Known, when: float) -> None:
        if when < known.baseline + SAME_START:
            return
        known.starts += 1
        known.ended, known.between_runs = None, False
        self._close_run(known)
        known.oom_last_run = 0
        self._tell(known, replace(known.told, state="running", started=when, pid=0))

    def _ended(self, known: Known, when: float, code: object) -> None:
        text = str(code)
        exit_code = int(text) if text.isascii() and text.isdecimal() else None
        self._close_run(known)
        known.ended = known.died = when
        known.between_runs = True
        self._tell(known, replace(known.told, state="exited", finished=when, exit_code=exit_code, pid=0))

    def _oom(self, known: Known) -> None:
        if known.told.state in ALIVE:
            known.oom_events += 1
        elif not known.oom_last_run:  # told after the end of the run that it belongs to
            known.oom_past, known.oom_last_run = known.oom_past + 1, 1

    def _close_run(self, known: Known) -> None:
        kills = max(known.oom_events, known.oom_seen)
        known.oom_past += kills
        known.oom_last_run = max(known.oom_last_run, kills)
        known.oom_events = known.oom_seen = 0

    def _removed(self, known: Known, when: float) -> None:
        self._close_run(known)
        known.removed = True
        known.ended = known.ended or when
        self._tell(known, replace(known.told, state="exited", pid=0))

    # --- in: answers

    def inspected(self, found: Described) -> None:
        """What `inspect` says now."""
        with self._lock:
            known = self._known.get(found.id) or self._learn(found)
            if known.removed:
                return
            known.restarts_told = max(known.restarts_told, found.restarts)
            known.ended = (known.ended or found.finished) if found.state in ("exited", "dead") else None
            if found.pid != known.told.pid and known.told.pid:
                self._close_run(known)  # another run, whose events were lost
            if found.exit_code is None or found.finished < known.died - SAME_START:
                found = replace(found, exit_code=known.told.exit_code)  # an answer that events have overtaken
            self._tell(known, found)
            if found.oom_killed and found.state not in ALIVE and self._caught_up(known):
                self._close_run(known)
                self._oom(known)
            self._note(known, self._clock())

    def _learn(self, found: Described) -> Known:
        known = self._add(found)
        known.baseline, known.died = found.started, found.finished
        known.restarts_before = found.restarts
        known.between_runs = found.state not in ALIVE
        return known

    def _caught_up(self, known: Known) -> bool:
        """Whether the end that `inspect` told of is the last one that was counted."""
        return known.between_runs and abs(known.died - known.told.finished) < SAME_START

    def gone(self, container_id: str) -> None:
        """The engine knows no such container any more."""
        with self._lock:
            known = self._known.get(container_id)
            if known is not None and not known.removed:
                self._removed(known, self._clock())
                self._note(known, self._clock())

    def differing(self, rows: Iterable[Mapping[str, Any]]) -> set[str]:
        """Ids of those that a list of all containers shows otherwise than they are known here, or that run and have no
        process that is known: nobody answered when they were asked about."""
        with self._lock:
            listed = {str(row.get("Id")): str(row.get("State")) for row in rows}
            here = {key: found for key, found in self._known.items() if not found.removed}
            unasked = {key for key, found in here.items() if found.alive and not found.told.pid}
            states = {key: found.told.state for key, found in here.items()}
            return unasked | {key for key in {*listed, *states} if listed.get(key) != states.get(key)}

    def saw_oom_kills(self, known: Known, count: int) -> None:
        """The kernel's count of this run."""
        with self._lock:
            if known.alive and count > known.oom_seen:
                known.oom_seen = count
                self._note(known, self._clock())

    # ---

    def _note(self, known: Known, when: float) -> None:
        self._chronicle.look(known.told, known.oom_kills, when)
        if known.removed:
            self._chronicle.forget(known.told.id)

    def _add(self, found: Described) -> Known:
        block = self._naming.block(found.id, found.name, found.image, found.labels)
        known = self._known[found.id] = Known(found, block)
        self.changes += 1
        return known

    def _tell(self, known: Known, told: Described) -> None:
        if told != known.told:
            known.told = told
            self._changed(known)

    def _changed(self, known: Known) -> None:
        told = known.told
        known.block = self._naming.block(told.id, told.name, told.image, told.labels)
        known.changes += 1
        self.changes += 1
