"""The shipper: watches containers, reads their logs in turn, hands batches to the outbox, moves checkpoints.

One thread reads everything, in rounds: what the watcher told, what was confirmed, whose turn it is to be read, what is
to be published.
"""

import logging
import resource
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from shipper.checkpoint import Checkpoints
from shipper.container import Container, Node, described
from shipper.early import EarlyLogs
from shipper.filters import Filters, own_containers
from shipper.hold import EVERY
from shipper.inputs.settings import InputSettings
from shipper.losses import Losses
from shipper.open_logs import OpenLogs
from shipper.outbox import Outbox
from shipper.queue_life import QueueLife
from shipper.rules.defaults import Defaults
from shipper.rules.layers import Rules
from shipper.schedule import QUICKEST, TICK, Schedule
from shipper.service_labels import ServiceLabels
from shipper.sources import Source
from shipper.sources.choice import open_source
from shipper.spool import Spool
from shipper.tail import Mark, Row, Tail, resume, usable
from shipper.wake import Wake
from shipper.watch import Watcher
from towline.batch import Section
from towline.engine import Engine
from towline.queues import Outlet

if TYPE_CHECKING:  # it is loaded where there are listeners
    from shipper.inputs.inputs import Inputs

log = logging.getLogger(__name__)

READ_BYTES = 256 << 10
"""What one container may read in one turn; so a flooding one delays the next by milliseconds."""
TOGETHER = 32
"""Logs that are fetched from before they are read: each may be 64 KiB until then."""
SAVE_EVERY, SAVE_SELDOM = 1.0, 3.0
"""Seconds between two saves of the checkpoints; the latter while less than MUCH has become safe since the last one: a
process that is killed then has its successor read that again, and the store knows it."""
MUCH = 1 << 20
"""Bytes of lines."""
LOOK_EVERY = 1.0
"""Seconds between two looks whether the rules file has changed."""
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
    rules: Path | None = None
    service_labels: tuple[str, ...] = ()
    node_label: tuple[str, ...] = ()
    max_line: int = 1 << 20
    memory: int = 32 << 20
    spool: int = 1 << 30
    inputs: InputSettings = field(default_factory=InputSettings)


class Shipper:
    """Runs until `stop`, whatever the engine and the queue do."""

    def __init__(self, queue: Outlet, settings: ShipSettings, lost: Callable[[], int] = lambda: 0) -> None:
        """`lost`: how often lines that had been stored were lost, ever (shipper.losses).

        Raises TowlineError where the state folder or a setting can't be used.
        """
        self._settings = settings
        self._spool = Spool(settings.state / "spool", settings.spool)
        self._checkpoints = Checkpoints(settings.state / "checkpoints.json")
        self._rows: dict[str, Row] = usable(self._checkpoints.load())
        self._life = QueueLife(settings.state / "queue", queue)
        self._losses = Losses(settings.state / "losses", lost, lambda: self._spool.damaged + self._life.lost())
        self._wake: Wake[Tail] = Wake()
        self._outbox = Outbox(queue, self._spool, settings.memory, settings.node or "", self._wake.set)
        self._schedule = Schedule(self._wake)
        engine = self._engine = Engine(settings.engine)
        self._services = ServiceLabels(
            settings.service_labels, engine, settings.state / "service-labels.json", self._rule_again,
            wanted=settings.node_label)  # fmt: skip
        self._rules = Rules(Defaults(settings.rules) if settings.rules else None, self._services)
        self._ruled = 0.0
        self._logs = OpenLogs(self._open, self._rows, self._schedule, settings.max_line, self._wake.set, self._rules,
                              lambda: self._services.node)  # fmt: skip
        filters = Filters.of(settings.include, settings.exclude, own_containers())
        filters = self._filters = replace(filters, enabled=self._rules.enabled)
        self._early = EarlyLogs()
        self._watcher = Watcher(
            engine, self._logs, filters, settings.node, engine_root=settings.engine_root, connected=self._look_early
        )
        self._inputs = self._listen(settings.inputs) if settings.inputs else None
        self._stopping = threading.Event()
        self._unsaved = False
        self._saved = 0.0
        self._saved_bytes = 0

    def run(self) -> None:
        _allow_open_files()
        watching = threading.Thread(target=self._watcher.run, name="watch", daemon=True)
        watching.start()
        asking = threading.Thread(target=self._services.run, name="service labels", daemon=True)
        asking.start()
        if self._inputs:
            self._inputs.start()
        while not self._stopping.is_set():
            self._look_for_losses()
            self._look_at_rules(time.monotonic())
            self._wake.wait(self._round(time.monotonic()))
        self._watcher.stop()
        self._services.stop()
        self._hand_over()
        if self._inputs:
            self._inputs.close()
        watching.join(5)
        self._early.close()
        self._logs.close_all()
        self._spool.close()

    def stop(self) -> None:
        """End `run` once everything read is confirmed or spooled, within STOP_WITHIN seconds. From any thread."""
        self._stopping.set()
        self._wake.set()

    @property
    def problem(self) -> str:
        """Why lines don't flow as they should, "" where they do."""
        return self._watcher.problem or self._outbox.problem or (self._inputs.problem if self._inputs else "")

    @property
    def listening(self) -> dict[str, tuple[str, int]]:
        """The address of each listener for lines, by its name."""
        return self._inputs.addresses if self._inputs else {}

    def _open(self, container_id: str, log_path: Path | None, row: Row | None, fresh: bool) -> Source:
        position = resume(row)[0] if row else None
        kind, engine = self._settings.source, self._settings.engine
        held = self._early.take(container_id)
        return open_source(kind, engine, container_id, log_path, position, running=True, fresh=fresh, held=held)

    def _listen(self, settings: InputSettings) -> "Inputs":
        from shipper.inputs.inputs import Inputs, Rulers
        from shipper.inputs.owners import Owners

        own = self._settings
        owners = Owners(self._logs, self._inspected, self._rules.settled)
        rulers = Rulers(owners, self._rules, self._logs.written, self._filters.wants)
        inputs = Inputs(settings, own.memory, own.max_line, rulers, self._wake.set)
        self._logs.delivered, self._logs.asked = inputs.takes, owners.asked
        inputs.node = own.node or inputs.node
        return inputs

    def _inspected(self, container_id: str) -> Container | None:
        """A container that the watcher has not told of; raises EngineUnavailable. From any thread."""
        row = self._engine.inspect(container_id)
        node = self._watcher.node
        return described(row, node if node.name else replace(node, name=socket.gethostname())) if row else None

    def _look_early(self, node: Node) -> None:
        if self._inputs:
            self._inputs.node = node.name
        if self._settings.source != "api":
            self._early.look_in((node.engine_root or node.data_root) / "containers")

    def _round(self, now: float) -> float:
        """Everything that is due; the seconds until the next round."""
        more = self._logs.take_in()
        self._settle(now)
        if self._inputs:
            self._take_from(self._inputs, now)
        due = [tail for tail in self._schedule.due(now) if tail in self._logs]
        for start in range(0, len(due), TOGETHER):
            self._read_together(due[start : start + TOGETHER], now)
        self._publish(now)
        wait = min(self._schedule.wait(time.monotonic()), EVERY if self._outbox.holding else inf)
        return max(TICK, wait) if not self._outbox.room else min(TICK, wait) if more else wait

    def _read_together(self, tails: list[Tail], now: float) -> None:
        if len(tails) > 1 and self._outbox.room:
            for tail in tails:
                if tail.origin is not None:
                    tail.source.fetch()
        for tail in tails:
            self._read(tail, now)

    def _take_from(self, inputs: "Inputs", now: float) -> None:
        """What came in otherwise than by a container's log."""
        while (self._outbox.room or self._stopping.is_set()) and (handed := inputs.take()):
            self._outbox.add(handed, handed.section, handed, now)

    def _look_at_rules(self, now: float) -> None:
        if now - self._ruled >= LOOK_EVERY:
            self._ruled = now
            if self._rules.look():
                self._rule_again()

    def _rule_again(self) -> None:
        """What is said about containers has changed."""
        if self._inputs:
            self._inputs.rules_changed()
        self._logs.rules_changed()
        self._watcher.look_again()

    def _look_for_losses(self) -> None:
        if self._losses.new():
            log.warning("reading all logs again from their start: what was lost may still be there")
            self._logs.read_again()
            self._save(time.monotonic())

    def _read(self, tail: Tail, now: float) -> None:
        """Let `tail` read once, and say when it comes again."""
        if tail.origin is None or not self._outbox.room or self._has_its_share(tail, now):
            self._schedule.later(tail, now)
            return
        found = tail.read(READ_BYTES)
        if found is not None:
            self._take(tail, *found, now)
        if tail.over:
            self._logs.close(tail)
        else:
            self._schedule.again(tail, now, found[1].size if found else 0)

    def _take(self, tail: Tail, section: Section | None, mark: Mark, now: float) -> None:
        if section is not None:
            self._outbox.add(tail, section, mark, now)
        else:
            self._outbox.skip(tail, mark)

    def _has_its_share(self, tail: Tail, now: float) -> bool:
        """Whether so much of it, or of what is old, is in flight that it has to wait. What may vanish has not, where
        the queue stalls or is deep: it goes on to the spool."""
        if tail.in_flight > self._settings.memory // 4:
            return not (tail.urgent and self._outbox.stalled(now))
        return tail.behind and self._outbox.behind and not tail.urgent

    def _publish(self, now: float) -> None:
        self._outbox.flush(now, more_soon=self._schedule.wait(time.monotonic()) < 2 * QUICKEST)
        self._outbox.pump(now)

    def _settle(self, now: float) -> None:
        """Move checkpoints over what is safe, and save them now and then."""
        for tail in self._outbox.settle(now):
            row = tail.settle()
            if row is not None and tail in self._logs:
                self._rows[tail.id] = row
                self._unsaved = True
        much = self._outbox.safe - self._saved_bytes > MUCH
        if self._unsaved and now - self._saved >= (SAVE_EVERY if much else SAVE_SELDOM):
            self._save(now)

    def _save(self, now: float) -> None:
        self._saved, self._saved_bytes = now, self._outbox.safe
        self._life.keep(lambda: self._losses.settled)
        self._unsaved = not self._checkpoints.save(self._rows)
        if not self._unsaved:
            self._losses.dealt_with()

    def _hand_over(self) -> None:
        """Read what only our open logs still hold, and wait for confirms; what is not confirmed after STOP_WITHIN goes
        to the spool."""
        deadline = time.monotonic() + STOP_WITHIN
        if self._inputs:
            self._inputs.stop_reading()
            self._take_from(self._inputs, time.monotonic())
        self._logs.take_in()
        while (now := time.monotonic()) < deadline and (self._logs.vanishing() or not self._outbox.idle):
            for tail in self._logs.vanishing():
                self._read(tail, now)
            self._publish(now)
            self._settle(now)
            self._wake.wait(TICK)
        self._outbox.flush(deadline)
        self._settle(deadline)
        self._outbox.save_all()
        self._settle(deadline)
        self._save(deadline)


def _allow_open_files() -> None:
    """Let this process hold as many logs open as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
