"""The containers that a listener has been told of: events, list rows and inspections in, calls of the listener out."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from shipper.container import Container, Node, attributes_of, labels_in, provisional
from shipper.filters import Filters
from towline.identity import is_id, name_of

log = logging.getLogger(__name__)


class Listener(Protocol):
    """What a Watcher tells. Calls never overlap, may come from different threads, and must return quickly.

    Per container: `appeared`, then any of `described`, `stopped`, `started`, then perhaps `removed`; before `removed`
    there is always a `described`. All but `appeared` may be told again; the last one counts. After `removed` the same
    container may appear once more.
    """

    def appeared(self, container_id: str, attributes: Mapping[str, str], log_path: Path | None, fresh: bool) -> None:
        """A container that was not known: just started, or found. It runs unless `stopped` follows.

        `attributes`: name, image, and the labels. `log_path`: where its json-file log is, if it has one there.
        `fresh`: it has started just now; open its log at once, it may be gone in a millisecond.
        """

    def described(self, container: Container) -> None:
        """All about it; again after a rename, and where an earlier one had only the event to go by."""

    def stopped(self, container_id: str) -> None:
        """Its process has ended; it may start again."""

    def started(self, container_id: str) -> None:
        """A known container has started again."""

    def removed(self, container_id: str) -> None:
        """It is gone, or is left out from now on (renamed to an excluded name)."""

    def present(self, container_ids: frozenset[str]) -> None:
        """These containers exist, also those left out: what is kept about any other can be forgotten."""


@dataclass(frozen=True)
class Inspection:
    """A wish to know all about a container. `fresh`: it has just started, and may be gone soon."""

    container_id: str
    ticket: int
    fresh: bool
    tries: int = 1


@dataclass
class _Known:
    attributes: Mapping[str, str]
    running: bool
    described: bool = False
    ticket: int | None = None
    """Of the inspection that is under way; what another one finds is out of date."""


class Roster:
    """Safe to call from any thread. `ask` is called with each inspection that is wanted, and must return at once."""

    def __init__(self, listener: Listener, filters: Filters, node: Node, ask: Callable[[Inspection], None]) -> None:
        self.node = node
        self.events = 0
        """How many have been taken in."""
        self._listener = listener
        self._filters = filters
        self._inspect = ask
        self._lock = threading.RLock()
        self._known: dict[str, _Known] = {}
        self._touched: dict[str, str] = {}  # Last event of each container since the current listing began.
        self._tickets = count()

    # --- events

    def happened(self, container_id: str, action: str, attributes: Mapping[str, str]) -> bool:
        """Take in an event; True where only a listing can tell what follows from it."""
        with self._lock:
            self.events += 1
            self._touched[container_id] = action
            known = self._known.get(container_id)
            if action == "rename":
                return self._renamed(container_id, known, attributes)
            if action == "start":
                self._started(container_id, known, attributes)
            elif known is not None and action == "die":
                self._runs(container_id, known, False)
            elif known is not None and action == "destroy":
                self._forget(container_id, known)
            return False

    def _started(self, container_id: str, known: _Known | None, attributes: Mapping[str, str]) -> None:
        if known is not None:
            known.running = True
            self._tell(self._listener.started, container_id)
        elif self._wants(container_id, attributes):
            self._appear(container_id, attributes, running=True, fresh=True)

    def _renamed(self, container_id: str, known: _Known | None, attributes: Mapping[str, str]) -> bool:
        wanted = self._wants(container_id, attributes)
        if known is None:
            return wanted
        if wanted:
            known.attributes = attributes
            self._ask(container_id, known, fresh=True)
        else:
            self._forget(container_id, known)
        return False

    # --- a listing

    def listing(self) -> None:
        """A list of all containers is about to be asked for; events that come meanwhile know better."""
        with self._lock:
            self._touched = {}

    def listed(self, rows: Mapping[str, Mapping[str, Any]]) -> bool:
        """Tell what events did not; True if that was something."""
        # One container at a time, so that a start that happens meanwhile is told between two of them.
        lost = [self._compare(container_id, rows.get(container_id)) for container_id in self._all(rows)]
        with self._lock:
            self._tell(self._listener.present, frozenset(self._all(rows)))
            self._touched = {}
        return any(lost)

    def _all(self, rows: Iterable[str]) -> list[str]:
        with self._lock:
            return list({*rows, *self._known})

    def _compare(self, container_id: str, row: Mapping[str, Any] | None) -> bool:
        with self._lock:
            event, known = self._touched.get(container_id), self._known.get(container_id)
            if known is None:
                return row is not None and event != "destroy" and self._find(container_id, row, alive=event != "die")
            if known.ticket is None and not known.described and row is not None:
                self._ask(container_id, known, fresh=False)
            if event:
                return False
            if row is None:
                self._forget(container_id, known)
                return True
            return self._update(container_id, known, row)

    def _find(self, container_id: str, row: Mapping[str, Any], alive: bool) -> bool:
        attributes = attributes_of(row)
        if row.get("State") == "created" or not self._wants(container_id, attributes):
            return False  # What never ran has no log.
        self._appear(container_id, attributes, running=alive and _is_running(row), fresh=False)
        return True

    def _update(self, container_id: str, known: _Known, row: Mapping[str, Any]) -> bool:
        attributes = attributes_of(row)
        renamed = attributes["name"] != name_of(known.attributes.get("name"))
        if renamed:
            self._renamed(container_id, known, attributes)
        elif not self._wants(container_id, attributes):  # what counts beside its own labels may change
            self._forget(container_id, known)
            return False
        if container_id in self._known:
            return self._runs(container_id, known, _is_running(row)) or renamed
        return True

    # --- inspections

    def awaited(self, wish: Inspection) -> bool:
        """Whether anybody still wants to know."""
        known = self._known.get(wish.container_id)
        return known is not None and known.ticket == wish.ticket

    def found(self, wish: Inspection, container: Container | None) -> None:
        """What an inspection found; None where the container is gone."""
        with self._lock:
            if self.awaited(wish):
                known = self._known[wish.container_id]
                known.ticket = None
                if container is not None or not known.described:
                    self._describe(wish.container_id, known, container)

    def failed(self, wish: Inspection, away: bool) -> None:
        """An inspection was given up; the next listing wishes for it again.

        Where the engine is not just `away`, the listener gets what is known until then: it waits for a description.
        """
        with self._lock:
            if self.awaited(wish):
                known = self._known[wish.container_id]
                known.ticket = None
                if not known.described and not away:
                    self._describe(wish.container_id, known, None)
                known.described = False

    # --- telling; under the lock

    def _wants(self, container_id: str, attributes: Mapping[str, str]) -> bool:
        return self._filters.wants(container_id, name_of(attributes.get("name")), labels_in(attributes))

    def _appear(self, container_id: str, attributes: Mapping[str, str], running: bool, fresh: bool) -> None:
        known = self._known[container_id] = _Known(attributes, running)
        self._tell(self._listener.appeared, container_id, attributes, self.node.guess_log(container_id), fresh)
        if not running:
            self._tell(self._listener.stopped, container_id)
        self._ask(container_id, known, fresh)

    def _ask(self, container_id: str, known: _Known, fresh: bool) -> None:
        known.ticket = next(self._tickets)
        self._inspect(Inspection(container_id, known.ticket, fresh))

    def _runs(self, container_id: str, known: _Known, running: bool) -> bool:
        if known.running == running:
            return False
        known.running = running
        self._tell(self._listener.started if running else self._listener.stopped, container_id)
        return True

    def _describe(self, container_id: str, known: _Known, found: Container | None) -> None:
        if found is None:
            found = provisional(container_id, known.attributes, self.node, running=known.running)
        known.described = True
        self._tell(self._listener.described, replace(found, running=known.running))

    def _forget(self, container_id: str, known: _Known) -> None:
        del self._known[container_id]
        self._runs(container_id, known, False)
        if not known.described:
            self._describe(container_id, known, None)
        self._tell(self._listener.removed, container_id)

    def _tell(self, what: Callable[..., None], *about: Any) -> None:
        try:
            what(*about)
        except Exception:
            log.exception("one container could not be taken up or let go; the others go on")


def by_id(rows: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """A list of containers by their ids; what has none is left out."""
    return {row["Id"]: row for row in rows if is_id(row.get("Id"))}


def _is_running(row: Mapping[str, Any]) -> bool:
    """A paused one is; one that waits for its restart is not."""
    return row.get("State") in ("running", "paused")
