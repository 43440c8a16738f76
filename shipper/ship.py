"""The shipper: watches containers, reads their logs in turn, hands batches to the outbox, moves checkpoints.

One thread reads everything, in rounds. A container is looked at again the sooner the more it has just said: at once
while its reads come back full, after TICK when there was something, ever later up to SLOWEST while there is nothing.
Reading each line the moment it comes is what costs; waiting for a few hundredths of a second is what doesn't show.
"""

import heapq
import logging
import resource
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from math import inf
from pathlib import Path

from shipper.checkpoint import Checkpoints
from shipper.container import Container
from shipper.engine import Engine
from shipper.filters import Filters, own_containers
from shipper.outbox import Outbox
from shipper.sources import Source
from shipper.sources.choice import open_source
from shipper.spool import Spool
from shipper.tail import Row, Tail, resume, usable
from shipper.watch import Watcher
from towline import metrics
from towline.queues import Queue

log = logging.getLogger(__name__)

OPEN_PER_TURN = 10
READ_BYTES = 256 << 10
"""What one container may read in one turn; so a flooding one delays the next by milliseconds."""
TICK = 0.05
SLOWEST = 0.8
SAVE_EVERY = 1.0
STOP_WITHIN = 10.0


@dataclass(frozen=True)
class ShipSettings:
    """See towline.config for each."""

    engine: str
    state: Path
    source: str = "auto"
    engine_root: Path | None = None
    node: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    max_line: int = 1 << 20
    memory: int = 32 << 20
    spool: int = 1 << 30


class Shipper:
    """Runs until `stop`, whatever the engine and the queue do. It listens to its Watcher (shipper.watch.Listener)."""

    def __init__(self, queue: Queue, settings: ShipSettings, *, again: bool = False) -> None:
        """`again`: read all logs from their start, since something stored was lost; what is there is recognised.

        Raises TowlineError where the state folder or a setting can't be used.
        """
        self._settings = settings
        spool = Spool(settings.state / "spool", settings.spool)
        self._checkpoints = Checkpoints(settings.state / "checkpoints.json")
        self._rows: dict[str, Row] = usable(self._checkpoints.load())
        if again or spool.damaged:
            log.warning("reading all logs again from their start: what the damage took may still be there")
            self._rows.clear()
            self._checkpoints.save(self._rows)
        self._wake = threading.Event()
        self._outbox = Outbox(queue, spool, settings.memory, settings.node or "", self._wake.set)
        self._spool = spool
        filters = Filters.of(settings.include, settings.exclude, own_containers())
        self._watcher = Watcher(
            Engine(settings.engine), self, filters, settings.node, engine_root=settings.engine_root)  # fmt: skip
        self._tails: dict[str, Tail] = {}
        self._containers: dict[str, Container] = {}
        self._found: dict[str, tuple[Path | None, bool]] = {}
        """Containers that were there before us and wait for their log to be opened: its path, whether they run."""
        self._heap: list[tuple[float, int, Tail]] = []
        self._ticket = count()
        self._inbox: deque[Callable[[], None]] = deque()
        self._stopping = threading.Event()
        self._unsaved = False
        self._saved = 0.0

    # --- the shipper's own thread

    def run(self) -> None:
        _open_files()
        watching = threading.Thread(target=self._watcher.run, name="watch", daemon=True)
        watching.start()
        while not self._stopping.is_set():
            self._wake.clear()
            self._wake.wait(self._turn(time.monotonic()))
        self._watcher.stop()
        self._hand_over()
        watching.join(5)
        for tail in self._tails.values():
            tail.source.close()
        self._spool.close()

    def stop(self) -> None:
        """End `run` once everything read is confirmed or spooled, within STOP_WITHIN seconds. From any thread."""
        self._stopping.set()
        self._wake.set()

    @property
    def problem(self) -> str:
        """Why lines don't flow as they should, "" where they do."""
        return self._watcher.problem or self._outbox.problem

    def _turn(self, now: float) -> float:
        """One round over everything that is due; the seconds until the next."""
        while self._inbox:
            self._inbox.popleft()()
        self._open_found()
        self._settle(now)
        busy = self._read_due(now)
        self._outbox.flush(now)
        self._outbox.pump(now)
        if self._found or not self._outbox.room:
            return TICK
        if busy or not self._heap:
            return 0 if busy else SLOWEST
        return max(0.0, min(SLOWEST, self._heap[0][0] - time.monotonic()))

    def _read_due(self, now: float) -> bool:
        """Let every container that is due read once; whether one has more to read at once."""
        ready: list[Tail] = []
        while self._heap and self._heap[0][0] <= now:
            due, _, tail = heapq.heappop(self._heap)
            if due == tail.due and self._tails.get(tail.id) is tail:
                tail.due = inf  # It may be in the heap twice for the same moment.
                ready.append(tail)
        busy = False
        for tail in ready:
            again = self._read(tail, now)
            busy = busy or again == now
            if tail.id in self._tails:
                self._schedule(tail, again)
        return busy

    def _read(self, tail: Tail, now: float) -> float:
        """Let `tail` read once; when it wants to read again."""
        if tail.origin is None or not self._outbox.room or self._has_its_share(tail, now):
            return now + TICK
        found = tail.read(READ_BYTES)
        if found is not None:
            self._outbox.add(tail, *found, now)
        if tail.over:
            self._over(tail)
        if tail.source.eager:
            return now
        tail.interval = TICK if found else min(max(tail.interval, TICK / 2) * 2, SLOWEST)
        return _on_the_beat(now + tail.interval)

    def _has_its_share(self, tail: Tail, now: float) -> bool:
        """Whether so much of it is in flight that it has to wait. Where the queue stalls, what may vanish has not: it
        goes on to the spool."""
        full = tail.in_flight > self._settings.memory // 4
        return full and not (tail.urgent and self._outbox.stalled(now))

    def _over(self, tail: Tail) -> None:
        """Its log has ended, or can't be had, and all that was read is safe."""
        if tail.source.refused:
            metrics.UNREADABLE.labels(tail.source.refused.split(":")[0]).inc()
            log.warning("log can't be read: container=%s reason=%s", tail.id[:12], tail.source.refused)
        tail.source.close()
        del self._tails[tail.id]
        self._count()

    def _settle(self, now: float) -> None:
        for tail in self._outbox.settle(now):
            row = tail.settle()
            if row is not None:
                self._rows[tail.id] = row
                self._unsaved = True
        if self._unsaved and now - self._saved >= SAVE_EVERY:
            self._save(now)

    def _save(self, now: float) -> None:
        self._saved = now
        self._unsaved = not self._checkpoints.save(self._rows)

    def _hand_over(self) -> None:
        """Wait for confirms; what is still not confirmed after STOP_WITHIN goes to the spool."""
        deadline = time.monotonic() + STOP_WITHIN
        while not self._outbox.idle and (now := time.monotonic()) < deadline:
            self._outbox.flush(now)
            self._outbox.pump(now)
            self._settle(now)
            self._wake.wait(TICK)
            self._wake.clear()
        self._settle(deadline)
        self._outbox.save_all()
        self._settle(deadline)
        self._save(deadline)

    # --- called by the watcher, in its threads

    def appeared(self, container_id: str, attributes: Mapping[str, str], log_path: Path | None, fresh: bool) -> None:
        """Open a fresh log before anything else: it may be gone soon, and an open one outlives its container."""
        if fresh:
            source = self._open(container_id, log_path, fresh=True)
            self._tell(lambda: self._add(container_id, source))
        else:
            self._tell(lambda: self._found.update({container_id: (log_path, True)}))

    def described(self, container: Container) -> None:
        self._tell(lambda: self._describe(container))

    def stopped(self, container_id: str) -> None:
        self._tell(lambda: self._stopped(container_id))

    def started(self, container_id: str) -> None:
        self._tell(lambda: self._started(container_id))

    def removed(self, container_id: str) -> None:
        self._tell(lambda: self._stopped(container_id))

    def present(self, container_ids: frozenset[str]) -> None:
        self._tell(lambda: self._forget(container_ids))

    def _tell(self, what: Callable[[], None]) -> None:
        self._inbox.append(what)
        self._wake.set()

    # --- what the watcher told, in the shipper's thread

    def _add(self, container_id: str, source: Source) -> None:
        if container_id in self._tails:
            source.close()
            return
        tail = Tail(container_id, source, self._rows.get(container_id), self._settings.max_line)
        self._tails[container_id] = tail
        self._count()
        if container_id in self._containers:
            self._describe(self._containers[container_id])
        self._soon(tail)

    def _describe(self, container: Container) -> None:
        self._containers[container.id] = container
        tail = self._tails.get(container.id)
        if tail is None:
            return
        tail.origin = container.origin
        tail.source.tty = container.tty
        tail.urgent = tail.source.kind == "api" or container.rotates or container.auto_remove
        self._soon(tail)

    def _open_found(self) -> None:
        """Open some of the logs that were found, those of running containers first: hundreds at once would make the
        engine read hundreds of logs at once."""
        for container_id in [*self._found][:OPEN_PER_TURN]:
            log_path, running = self._found.pop(container_id)
            source = self._open(container_id, log_path)
            if not running:
                source.stopped()
            self._add(container_id, source)

    def _stopped(self, container_id: str) -> None:
        tail = self._tails.get(container_id)
        if tail is not None:
            tail.source.stopped()
            self._soon(tail)
        elif container_id in self._found:
            self._found[container_id] = (self._found.pop(container_id)[0], False)  # now last in turn

    def _started(self, container_id: str) -> None:
        tail = self._tails.get(container_id)
        if tail is not None:
            tail.source.started()
            self._soon(tail)
        elif container_id in self._found:
            self._found[container_id] = (self._found[container_id][0], True)
        elif container_id in self._containers:
            path = self._containers[container_id].log_path
            self._add(container_id, self._open(container_id, path))

    def _forget(self, present: frozenset[str]) -> None:
        """Let go of what is kept about containers that no longer exist and whose lines are all safe."""
        for container_id in [*self._containers.keys() - present - self._tails.keys()]:
            del self._containers[container_id]
        for container_id in [*self._rows.keys() - present - self._tails.keys()]:
            del self._rows[container_id]
            self._unsaved = True

    def _soon(self, tail: Tail) -> None:
        tail.interval = 0.0
        self._schedule(tail, 0.0)

    def _schedule(self, tail: Tail, due: float) -> None:
        tail.due = due
        heapq.heappush(self._heap, (due, next(self._ticket), tail))

    def _open(self, container_id: str, log_path: Path | None, fresh: bool = False) -> Source:
        row = self._rows.get(container_id)
        position = resume(row)[0] if row else None
        settings = self._settings
        return open_source(
            settings.source, settings.engine, container_id, log_path, position, running=True, fresh=fresh
        )

    def _count(self) -> None:
        for kind in ("file", "api"):
            metrics.CONTAINERS.labels(kind).set(sum(tail.source.kind == kind for tail in self._tails.values()))


def _on_the_beat(moment: float) -> float:
    """The moment moved to the next half tick, so that containers wake the process together."""
    beat = TICK / 2
    return (moment // beat + 1) * beat


def _open_files() -> None:
    """Let this process hold as many logs open as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
