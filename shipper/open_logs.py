"""The logs that are open, and what the watcher tells about their containers.

The watcher calls from its own threads; all but the opening of a fresh log waits in an inbox for the shipper's thread.
"""

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shipper.container import Container, with_node_labels
from shipper.parcel import Giver
from shipper.ruled import ruled_of
from shipper.rules.chain import Values
from shipper.rules.routing import data_stream
from shipper.rules.table import ENABLE, NO, Reading, read
from shipper.schedule import Schedule
from shipper.sources import Source
from shipper.tail import Row, Tail
from towline import metrics
from towline.batch import Origin

log = logging.getLogger(__name__)

OPEN_PER_TURN = 10

Open = Callable[[str, Path | None, Row | None, bool], Source]
"""Open a container's log: id, where its json-file would be, its checkpoint, whether it has just started."""

Rules = Callable[[Container], Reading | None]
"""What is said about a container by its labels and whatever else counts; None where that is not known yet."""


@dataclass
class _Found:
    """A container that was there before us and waits for its log to be opened."""

    log_path: Path | None
    running: bool = True


class OpenLogs:
    """A shipper.watch.Listener. `rows`: the checkpoints, which it reads, and clears of containers that are gone."""

    def __init__(
        self,
        open_log: Open,
        rows: dict[str, Row],
        schedule: Schedule,
        max_line: int,
        wake: Callable[[], None],
        rules: Rules = lambda container: read(container.labels),
        node_labels: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """node_labels: those that stand in each line; once they have changed, `rules_changed` is to be called."""
        self._rules = rules
        self._node_labels = node_labels
        self._told: dict[str, list[str]] = {}
        """What was wrong with the labels of each container, as it was said."""
        self._open = open_log
        self._rows = rows
        self._schedule = schedule
        self._max_line = max_line
        self._wake = wake
        self._tails: dict[str, Tail] = {}
        self._containers: dict[str, Container] = {}
        self._tagged: dict[str, list[Container]] = {}
        self._running: set[str] = set()
        self._found: dict[str, _Found] = {}
        self._inbox: deque[Callable[[], None]] = deque()
        self.delivered: Callable[[str, int | None], bool] = lambda driver, port: False
        """Whether what a log driver sends to a port comes to a listener of ours: then it is not read as well."""
        self.asked: Callable[[str], Container | None] = lambda container_id: None
        """What a listener, to which a line of it had come, was told of a container by the engine."""

    # --- in the watcher's threads

    def appeared(self, container_id: str, attributes: Mapping[str, str], log_path: Path | None, fresh: bool) -> None:
        """Open a fresh log before anything else: it may be gone soon, and an open one outlives its container."""
        if fresh:
            row = self._rows.get(container_id)
            source = self._open(container_id, log_path, row, True)
            self._tell(lambda: self._add(container_id, source, row))
        else:
            self._tell(lambda: self._found.update({container_id: _Found(log_path)}))

    def described(self, container: Container) -> None:
        self._tell(lambda: self._take_down(container))

    def stopped(self, container_id: str) -> None:
        self._tell(lambda: self._stop(container_id))

    def started(self, container_id: str) -> None:
        self._tell(lambda: self._start(container_id))

    def removed(self, container_id: str) -> None:
        self._tell(lambda: self._remove(container_id))

    def present(self, container_ids: frozenset[str]) -> None:
        self._tell(lambda: self._compare(container_ids))

    def rules_changed(self) -> None:
        """What `rules` says may have changed, for any container."""
        self._tell(self._rule_all)

    def _tell(self, what: Callable[[], None]) -> None:
        self._inbox.append(what)
        self._wake()

    def container(self, container_id: str) -> Container | None:
        """What is known of this container, None where that is nothing (yet). From any thread."""
        return self._containers.get(container_id)

    def tagged(self, tag: str) -> list[Container]:
        """The containers whose lines are called so where they go by syslog: those that run, else those that did. From
        any thread."""
        found = self._tagged.get(tag, [])
        return [each for each in found if each.id in self._running] or found

    def written(self, container: Container, values: Values) -> Origin:
        """What stands in each of its lines, where labels say this. From any thread."""
        return with_node_labels(_routed(container.origin, values), self._node_labels())

    # --- in the shipper's thread

    def __contains__(self, tail: Giver) -> bool:
        return self._tails.get(tail.id) is tail

    def take_in(self) -> bool:
        """Do what the watcher told. Some of the logs that were found are opened, those of running containers first:
        hundreds at once would make the engine read hundreds of logs at once. True where more wait for that."""
        while self._inbox:
            self._inbox.popleft()()
        for container_id in [*self._found][:OPEN_PER_TURN]:
            found = self._found.pop(container_id)
            self._open_now(container_id, found.log_path, found.running)
        return bool(self._found)

    def read_again(self) -> None:
        """Read every log from its start: lines that were stored are lost. Those that are there are recognised."""
        self._rows.clear()
        for tail in [*self._tails.values()]:
            if tail.source.rewind():
                self._replace(tail)
            elif not tail.removed:  # else only its open stream is left, and it goes on
                self._drop(tail)
        for container_id, container in self._containers.items():
            if container_id not in self._tails:
                self._found[container_id] = _Found(container.log_path, container_id in self._running)

    def vanishing(self) -> list[Tail]:
        """Tails of removed containers that are not read to their end: only the open log still holds their lines."""
        return [tail for tail in self._tails.values() if tail.removed and not tail.source.finished]

    def close(self, tail: Tail) -> None:
        """Its log has ended, or can't be had, and all that was read is safe."""
        if tail.source.refused:
            metrics.UNREADABLE.labels(tail.source.refused.split(":")[0]).inc()
            log.warning("log can't be read: container=%s reason=%s", tail.id[:12], tail.source.refused)
        self._drop(tail)

    def close_all(self) -> None:
        for tail in self._tails.values():
            tail.source.close()

    def _drop(self, tail: Tail) -> None:
        self._schedule.forget(tail)
        tail.source.close()
        del self._tails[tail.id]
        metrics.CONTAINERS.labels(tail.source.kind).dec()

    def _open_now(self, container_id: str, log_path: Path | None, running: bool) -> None:
        row = self._rows.get(container_id)
        source = self._open(container_id, log_path, row, False)
        if not running:
            source.stopped()
        self._add(container_id, source, row)

    def _add(self, container_id: str, source: Source, row: Row | None) -> None:
        if container_id in self._tails:
            source.close()
            return
        tail = Tail(container_id, source, row, self._max_line)
        self._tails[container_id] = tail
        metrics.CONTAINERS.labels(source.kind).inc()
        if container_id in self._containers:
            self._describe(self._containers[container_id])
        self._schedule.soon(tail)

    def _replace(self, old: Tail) -> None:
        """A tail that knows nothing of what the old one has read and not seen confirmed, on the same source."""
        self._schedule.forget(old)
        tail = Tail(old.id, old.source, None, self._max_line)
        tail.origin, tail.urgent, tail.removed = old.origin, old.urgent, old.removed
        self._tails[old.id] = tail
        if old.id in self._containers and not self._rule(tail, self._containers[old.id]):
            return
        self._schedule.soon(tail)

    def _take_down(self, container: Container) -> None:
        if container.guessed and (asked := self.asked(container.id)):
            container = replace(asked, running=container.running)
        self._containers[container.id] = container
        if container.tag:
            self._tag_all()
        (self._running.add if container.running else self._running.discard)(container.id)
        self._describe(container)

    def _tag_all(self) -> None:
        tagged: dict[str, list[Container]] = {}
        for container in self._containers.values():
            if container.tag:
                tagged.setdefault(container.tag, []).append(container)
        self._tagged = tagged

    def _rule_all(self) -> None:
        for container in [*self._containers.values()]:
            self._describe(container)

    def _describe(self, container: Container) -> None:
        """Nothing is read of a container of which it is not known what is to become of its lines."""
        tail = self._tails.get(container.id)
        if tail is not None and self.delivered(container.driver, container.sends_to):
            self._drop(tail)
        elif tail is not None and self._rule(tail, container):
            tail.origin = self.written(container, tail.values)
            tail.source.tty = container.tty
            # What is removed at its end can't be asked again: there the follower is all there is.
            tail.source.rotates_at = None if container.auto_remove else container.rotates_at
            vanishes = container.rotates_at is not None or container.auto_remove or tail.removed
            tail.urgent = tail.source.kind == "api" or vanishes
            self._schedule.soon(tail)

    def _rule(self, tail: Tail, container: Container) -> bool:
        """Whether its lines are to be read, as far as is known now."""
        reading = self._rules(container)
        if reading is None:
            return tail.origin is not None
        if reading.values.get(ENABLE.name) in NO:
            self._drop(tail)
            return False
        if reading.problems != self._told.get(container.id, []):
            self._told[container.id] = reading.problems
            for problem in reading.problems:
                log.warning("%s: container=%s", problem, container.id[:12])
        if reading.values != tail.values:
            service = container.origin.service
            tail.rule(reading.values, ruled_of(reading.values, service, self._max_line))
        return True

    def _stop(self, container_id: str) -> None:
        self._running.discard(container_id)
        tail = self._tails.get(container_id)
        if tail is not None:
            tail.source.stopped()
            self._schedule.soon(tail)
        elif container_id in self._found:
            found = self._found.pop(container_id)
            self._found[container_id] = _Found(found.log_path, running=False)  # now the last in turn

    def _start(self, container_id: str) -> None:
        self._running.add(container_id)
        tail = self._tails.get(container_id)
        if tail is not None:
            tail.source.started()
            self._schedule.soon(tail)
        elif container_id in self._found:
            self._found[container_id].running = True
        elif container_id in self._containers:
            self._open_now(container_id, self._containers[container_id].log_path, running=True)

    def _remove(self, container_id: str) -> None:
        self._stop(container_id)
        if container_id in self._tails:
            self._tails[container_id].removed = True
            self._tails[container_id].urgent = True  # only our open file still has its lines

    def _compare(self, present: frozenset[str]) -> None:
        """What events may have kept from us: containers that are gone, and a whole run between two listings."""
        self._forget(present)
        for container_id, container in self._containers.items():
            if container_id not in self._tails and self._has_grown(container_id, container.log_path):
                self._found.setdefault(container_id, _Found(container.log_path, running=False))

    def _has_grown(self, container_id: str, log_path: Path | None) -> bool:
        row = self._rows.get(container_id)
        place = row["position"]["place"] if row else None
        if log_path is None or not place:
            return False
        try:
            status = log_path.stat()
        except OSError:
            return False
        return bool((status.st_ino, status.st_size) != (place[0], place[2]))

    def _forget(self, present: frozenset[str]) -> None:
        """Let go of what is kept about containers that no longer exist and whose lines are all safe."""
        kept: tuple[dict[str, Any], ...] = (self._containers, self._rows, self._told)
        for rows in kept:
            for container_id in [*rows.keys() - present - self._tails.keys()]:
                del rows[container_id]
        if self._tagged:
            self._tag_all()


def _routed(origin: Origin, values: Values) -> Origin:
    """The origin with the data stream that labels choose."""
    stream = data_stream(values)
    return origin if stream == origin.fields["data_stream"] else Origin({**origin.fields, "data_stream": stream})
