"""Keeps a look at the Swarm: a manager is asked every few seconds and after its events, never in a scrape.

A worker asks for `docker info` as often: it may be promoted. Where there is no Swarm that is asked once a minute.
"""

import logging
import threading
from collections.abc import Callable
from time import monotonic

from exporters.swarm import Swarm, read
from towline.engine import Engine, EngineInfo, Events
from towline.errors import EngineUnavailable

log = logging.getLogger(__name__)

INTERVAL, SELDOM, SETTLE, RETRY = 15.0, 60.0, 1.0, 10.0
"""Seconds between two looks: in a Swarm, elsewhere, after an event, after a failure."""

THRIFT = 50
"""A look that took long is followed by a pause this many times as long, two percent of a core at most; but never by one
longer than SELDOM: an engine that has just started takes ten seconds for an answer once, and then no longer."""

CHANGES = ("create", "update", "remove")

_USELESS = {
    "locked": "the Swarm is locked on this node: `docker swarm unlock` it",
    "error": "this node can't take part in its Swarm: `docker info` says why",
}
"""States of a node in which its engine tells nothing of the Swarm. After trouble on the way to be a manager 20.10 stays
in "error" for good, and does all its work."""


class SwarmWatch:
    """`swarm`: the last look, None where this node is no manager. `listener` hears each look. Intervals in seconds."""

    def __init__(
        self, engine: Engine, *, interval: float = INTERVAL, listener: Callable[[Swarm], None] = lambda _: None
    ) -> None:
        self.problem = f"not yet connected to the engine at {engine.url}"
        """Why nothing is known of the Swarm, "" where it is, and where there is none."""
        self.swarm: Swarm | None = None
        self.info: EngineInfo | None = None
        """What the engine said last of itself, kept while it is away."""
        self._engine = engine
        self._interval = interval
        self._listener = listener
        self._asked_at = 0.0
        self._stream: Events | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()

    def run(self) -> None:
        """Look until `stop`. The engine may be away at any time, also at the start."""
        hearing = threading.Thread(target=self._keep_hearing, name="swarm events", daemon=True)
        hearing.start()
        while not self._stopping.is_set():
            self._wake.wait(self._look())
            if self._wake.is_set() and not self._stopping.wait(SETTLE):
                self._wake.clear()
        hearing.join(RETRY)
        self._engine.close()

    def stop(self) -> None:
        """End `run` soon. From any thread, any number of times."""
        self._stopping.set()
        self._wake.set()
        if (stream := self._stream) is not None:
            stream.close()

    def _look(self) -> float:
        """Ask once; seconds until the next time."""
        begin = monotonic()
        try:
            pause = self._ask(begin)
        except EngineUnavailable as error:
            self.problem, self.swarm, self._asked_at = str(error), None, -SELDOM
            return min(RETRY, self._interval)
        self.problem = ""
        return max(pause, min(THRIFT * (monotonic() - begin), SELDOM))

    def _ask(self, now: float) -> float:
        info = self.info
        if info is None or now - self._asked_at >= SELDOM or not info.swarm_manager:
            info = self._who_is_here(now)
        if info.swarm_manager:
            try:
                self._see()
            except EngineUnavailable:
                info = self._who_is_here(now)  # one that was demoted refuses; one that lacks a majority does, too
                if info.swarm_manager:
                    raise
        if not info.swarm_manager:
            self.swarm = None
        return self._interval if info.swarm_node else max(SELDOM, self._interval)

    def _who_is_here(self, now: float) -> EngineInfo:
        """Raises EngineUnavailable also where this node is in a Swarm, but of no use there."""
        info, before = self._engine.info(), self.info
        self.info, self._asked_at = info, now
        why = "" if info.swarm_manager else _USELESS.get(info.swarm, "")
        if why:
            if before is None or before.swarm != info.swarm:
                log.warning("node %s: %s", info.name, why)
            raise EngineUnavailable(why)
        if before is not None and before.swarm_manager != info.swarm_manager:
            begins = "manages the Swarm from now on: it tells all about it"
            ends = "manages no Swarm any more: others tell of services, tasks and nodes"
            log.info("node %s %s", info.name, begins if info.swarm_manager else ends)
        return info

    def _see(self) -> None:
        found = read(self._engine.swarm("services"), self._engine.swarm("tasks"), self._engine.swarm("nodes"))
        self._listener(found)
        self.swarm = found

    def _keep_hearing(self) -> None:
        """Of services and nodes only a manager hears; `docker swarm init` and `join` show in the looks."""
        while not self._stopping.wait(SETTLE):
            if self.swarm is None:
                continue
            try:
                self._hear()
            except EngineUnavailable as error:
                log.debug("no events of the Swarm: %s", error)
            self._stopping.wait(RETRY)

    def _hear(self) -> None:
        stream = self._engine.events(watched=CHANGES, kinds=("service", "node"))
        try:
            self._stream = stream
            self._wake.set()  # for what happened before
            if not self._stopping.is_set():
                for _ in stream:
                    self._wake.set()
        finally:
            self._stream = None
            stream.close()
