"""Which containers there are, told as it happens: events first, a list of all containers against what events lose.

Three kinds of threads, so that nothing waits for something slow:
- the one that calls `run` reads events and tells of a start at once, before anything is asked about the container;
- one lists all containers, after each (re)connect and every RECONCILE seconds, and tells what events did not;
- a few inspect containers, and tell what they found.
"""

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

from shipper.container import Node, described
from shipper.filters import Filters
from shipper.roster import Inspection, Listener, Roster, by_id
from towline.backoff import SHORTEST_WAIT, Backoff
from towline.engine import INSPECT_TIMEOUT, Engine, Events
from towline.errors import EngineUnavailable
from towline.happened import Happened, read
from towline.metrics import ENGINE_RECONNECTS

__all__ = ["Listener", "Watcher"]

log = logging.getLogger(__name__)

RECONCILE = 60.0
INSPECTORS = 4
INSPECT_TRIES = 3

_STOP, _FRESH, _LISTED, _AGAIN = range(4)


class Watcher:
    """Tells `listener` of the containers of `engine` that `filters` want.

    `node` names this node (default: the engine's own name); `engine_root` is where this process sees the engine's
    data folder; `interval` is in seconds; `connected` is called before each stream of events is opened.
    """

    def __init__(
        self,
        engine: Engine,
        listener: Listener,
        filters: Filters,
        node: str | None = None,
        *,
        engine_root: Path | None = None,
        interval: float = RECONCILE,
        connected: Callable[[Node], None] = lambda node: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.problem = f"not yet connected to the engine at {engine.url}"
        """Why the engine can't be reached, "" while it is and its containers are known."""
        self._engine = engine
        self._name = node
        self._engine_root = engine_root
        self._interval = interval
        self._connected = connected
        self._clock = clock
        self._roster = Roster(listener, filters, Node(node or "", engine_root=engine_root), self._ask)
        self._inspections: queue.PriorityQueue[tuple[int, int, Inspection | None]] = queue.PriorityQueue()
        self._order = count()
        self._stream: Events | None = None
        self._why = ""
        self._streams = 0
        self._last: Happened | None = None
        self._quiet_since: int | None = None
        self._told = False
        self._stopping = threading.Event()
        self._list_now = threading.Event()

    @property
    def node(self) -> Node:
        """What all containers of the engine share; as the engine told when it last answered."""
        return self._roster.node

    def run(self) -> None:
        """Tell the listener until `stop`. The engine may be away at any time, also at the start."""
        backoff = Backoff()
        jobs = [self._keep_listing, *[self._keep_inspecting] * INSPECTORS]
        helpers = [threading.Thread(target=job, name=job.__name__.strip("_"), daemon=True) for job in jobs]
        for thread in helpers:
            thread.start()
        while not self._stopping.is_set():
            begin = self._clock()
            try:
                self._follow()
            except EngineUnavailable as error:
                self._lost(str(error))
            self._stopping.wait(backoff.next(self._clock() - begin))
        for thread in helpers:
            thread.join(INSPECT_TIMEOUT)

    def stop(self) -> None:
        """End `run` soon. From any thread, any number of times."""
        self._stopping.set()
        self._list_now.set()
        for _ in range(INSPECTORS):
            self._inspections.put((_STOP, next(self._order), None))
        self._end_stream("")

    def look_again(self) -> None:
        """Which containers are wanted may have changed: list them now. From any thread."""
        self._list_now.set()

    # --- events

    def _follow(self) -> None:
        """Read one event stream to its end; raises EngineUnavailable there, unless it is our own."""
        info = self._engine.info()
        self._roster.node = Node(self._name or info.name, info.data_root, self._engine_root, info.driver, info.cluster)
        self._connected(self.node)
        # From then on the engine's memory also tells what happens while the stream is away.
        self._last = self._last or Happened(info.clock)
        self._why, self._quiet_since = "", None
        stream = self._engine.events(self._last.since)
        try:
            self._stream = stream
            ENGINE_RECONNECTS.inc(1 if self._streams else 0)
            self._streams += 1
            self._list_now.set()
            if self._stopping.is_set():
                return
            for event in stream:
                self._happened(event)
        finally:
            self._stream = None
            stream.close()
        raise EngineUnavailable(self._why or f"the engine at {self._engine.url} ended its event stream")

    def _happened(self, event: Mapping[str, Any]) -> None:
        found = read(event)
        if found is None or found == self._last:
            return  # `since` is inclusive: the last one comes again.
        self._last = found
        if self._roster.happened(found.container_id, found.action, found.attributes):
            self._list_now.set()

    def _lost(self, reason: str) -> None:
        """A stream that ends and opens again at once is no news: proxies cut quiet ones. A failure to open is."""
        if self.problem and not self._told and not self._stopping.is_set():
            self._told = True
            log.warning("%s (trying again until it answers)", reason)
        self.problem = reason

    def _end_stream(self, why: str) -> None:
        self._why = why
        if (stream := self._stream) is not None:
            stream.close()

    # --- the list

    def _keep_listing(self) -> None:
        while True:
            self._list_now.wait(self._interval)
            self._list_now.clear()
            if self._stopping.is_set():
                return
            if self._stream is not None:
                try:
                    self._reconcile()
                except EngineUnavailable as error:
                    # The stream may be dead without an end: another will show.
                    self._end_stream(str(error))
                except Exception:
                    log.exception("the list of containers could not be gone through; trying again in a while")

    def _reconcile(self) -> None:
        self._roster.listing()
        before = self._roster.events
        lost = self._roster.listed(by_id(self._engine.containers()))
        silent = lost and before == self._quiet_since == self._roster.events
        self._quiet_since = self._roster.events
        if self._told:
            log.info("the engine at %s is back", self._engine.url)
        self.problem, self._told = "", False
        if silent:
            self._end_stream("the engine's event stream has fallen silent")

    # --- inspections

    def _ask(self, wish: Inspection) -> None:
        rank = _AGAIN if wish.tries > 1 else _FRESH if wish.fresh else _LISTED
        self._inspections.put((rank, next(self._order), wish))

    def _keep_inspecting(self) -> None:
        while (wish := self._inspections.get()[2]) is not None:
            try:
                self._inspect(wish)
            except Exception:
                log.exception("container %s could not be described", wish.container_id)

    def _inspect(self, wish: Inspection) -> None:
        if not self._roster.awaited(wish):
            return
        try:
            row = self._engine.inspect(wish.container_id)
        except EngineUnavailable:
            self._try_again(wish)
        else:
            self._roster.found(wish, described(row, self.node) if row else None)

    def _try_again(self, wish: Inspection) -> None:
        away = self._stream is None
        if away or wish.tries >= INSPECT_TRIES:
            self._roster.failed(wish, away)
            return
        self._stopping.wait(SHORTEST_WAIT * wish.tries)
        self._ask(replace(wish, tries=wish.tries + 1))
