"""The logs that are open, and what the watcher tells about their containers.

The watcher calls from its own threads; all but the opening of a fresh log waits in an inbox for the shipper's thread.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from shipper.container import Container
from shipper.schedule import Schedule
from shipper.sources import Source
from shipper.tail import Row, Tail
from towline import metrics

log = logging.getLogger(__name__)

OPEN_PER_TURN = 10

Open = Callable[[str, Path | None, bool], Source]
"""Open a container's log: id, where its json-file would be, whether it has just started."""


@dataclass
class _Found:
    """A container that was there before us and waits for its log to be opened."""

    log_path: Path | None
    running: bool = True


class OpenLogs:
    """A shipper.watch.Listener. `rows`: the checkpoints, which it reads, and clears of containers that are gone."""

    def __init__(
        self, open_log: Open, rows: dict[str, Row], schedule: Schedule, max_line: int, wake: Callable[[], None]
    ) -> None:
        self._open = open_log
        self._rows = rows
        self._schedule = schedule
        self._max_line = max_line
        self._wake = wake
        self._tails: dict[str, Tail] = {}
        self._containers: dict[str, Container] = {}
        self._found: dict[str, _Found] = {}
        self._inbox: deque[Callable[[], None]] = deque()

    # --- in the watcher's threads

    def appeared(self, container_id: str, attributes: Mapping[str, str], log_path: Path | None, fresh: bool) -> None:
        """Open a fresh log before anything else: it may be gone soon, and an open one outlives its container."""
        if fresh:
            source = self._open(container_id, log_path, True)
            self._tell(lambda: self._add(container_id, source))
        else:
            self._tell(lambda: self._found.update({container_id: _Found(log_path)}))

    def described(self, container: Container) -> None:
        self._tell(lambda: self._describe(container))

    def stopped(self, container_id: str) -> None:
        self._tell(lambda: self._stop(container_id))

    def started(self, container_id: str) -> None:
        self._tell(lambda: self._start(container_id))

    def removed(self, container_id: str) -> None:
        self._tell(lambda: self._remove(container_id))

    def present(self, container_ids: frozenset[str]) -> None:
        self._tell(lambda: self._forget(container_ids))

    def _tell(self, what: Callable[[], None]) -> None:
        self._inbox.append(what)
        self._wake()

    # --- in the shipper's thread

    def __contains__(self, tail: Tail) -> bool:
        return self._tails.get(tail.id) is tail

    def take_in(self) -> bool:
        """Do what the watcher told. Some of the logs that were found are opened, those of running containers first:
        hundreds at once would make the engine read hundreds of logs at once. True where more wait for that."""
        while self._inbox:
            self._inbox.popleft()()
        for container_id in [*self._found][:OPEN_PER_TURN]:
            found = self._found.pop(container_id)
            source = self._open(container_id, found.log_path, False)
            if not found.running:
                source.stopped()
            self._add(container_id, source)
        return bool(self._found)

    def vanishing(self) -> list[Tail]:
        """Tails of removed containers that are not read to their end: only the open log still holds their lines."""
        return [tail for tail in self._tails.values() if tail.removed and not tail.source.finished]

    def close(self, tail: Tail) -> None:
        """Its log has ended, or can't be had, and all that was read is safe."""
        if tail.source.refused:
            metrics.UNREADABLE.labels(tail.source.refused.split(":")[0]).inc()
            log.warning("log can't be read: container=%s reason=%s", tail.id[:12], tail.source.refused)
        tail.source.close()
        del self._tails[tail.id]
        metrics.CONTAINERS.labels(tail.source.kind).dec()

    def close_all(self) -> None:
        for tail in self._tails.values():
            tail.source.close()

    def _add(self, container_id: str, source: Source) -> None:
        if container_id in self._tails:
            source.close()
            return
        tail = Tail(container_id, source, self._rows.get(container_id), self._max_line)
        self._tails[container_id] = tail
        metrics.CONTAINERS.labels(source.kind).inc()
        if container_id in self._containers:
            self._describe(self._containers[container_id])
        self._schedule.soon(tail)

    def _describe(self, container: Container) -> None:
        self._containers[container.id] = container
        tail = self._tails.get(container.id)
        if tail is not None:
            tail.origin = container.origin
            tail.source.tty = container.tty
            tail.urgent = tail.source.kind == "api" or container.rotates or container.auto_remove
            self._schedule.soon(tail)

    def _stop(self, container_id: str) -> None:
        tail = self._tails.get(container_id)
        if tail is not None:
            tail.source.stopped()
            self._schedule.soon(tail)
        elif container_id in self._found:
            found = self._found.pop(container_id)
            self._found[container_id] = _Found(found.log_path, running=False)  # now the last in turn

    def _start(self, container_id: str) -> None:
        tail = self._tails.get(container_id)
        if tail is not None:
            tail.source.started()
            self._schedule.soon(tail)
        elif container_id in self._found:
            self._found[container_id].running = True
        elif container_id in self._containers:
            self._add(container_id, self._open(container_id, self._containers[container_id].log_path, False))

    def _remove(self, container_id: str) -> None:
        self._stop(container_id)
        if container_id in self._tails:
            self._tails[container_id].removed = True

    def _forget(self, present: frozenset[str]) -> None:
        """Let go of what is kept about containers that no longer exist and whose lines are all safe."""
        for kept in (self._containers, self._rows):
            for container_id in [*kept.keys() - present - self._tails.keys()]:
                del kept[container_id]
