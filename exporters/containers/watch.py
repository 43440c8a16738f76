"""Keeps the inventory true: events as they happen, `inspect` for what they leave open, a list against what they lose.

A scrape asks the engine nothing.
"""

import logging
import threading
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any

from exporters.containers.described import of_inspect
from exporters.containers.inventory import Inventory
from towline.backoff import LONGEST_WAIT, Backoff
from towline.engine import Engine, Events
from towline.errors import EngineUnavailable
from towline.happened import Happened, read
from towline.identity import is_id

log = logging.getLogger(__name__)

WATCHED = ("create", "start", "die", "oom", "pause", "unpause", "rename", "update", "destroy", "health_status")
RECONCILE = 60.0
SETTLE = 2.0
"""Seconds between an event and a question: the events of one start are one question, and who is gone by then is none.
Where hundreds start and end at once, the engine and the logs have more urgent work."""
MOST_FAILURES = 3
"""Containers in one round that the engine may fail to tell about before the round is given up."""


class EngineWatch:
    """Follows `engine` into `inventory`. `node`: this node's name, default the engine's own; `interval`: seconds."""

    def __init__(
        self, engine: Engine, inventory: Inventory, node: str | None = None, *, interval: float = RECONCILE
    ) -> None:
        self.problem = f"not yet connected to the engine at {engine.url}"
        """Why the inventory may be out of date, "" where it is not."""
        self._engine = engine
        self._inventory = inventory
        self._node = node
        self._interval = interval
        self._stream: Events | None = None
        self._last = Happened(0)
        self._asked: dict[str, None] = {}
        self._list_now = False
        self._wake = threading.Condition()
        self._stopping = threading.Event()

    def run(self) -> None:
        """Follow until `stop`. The engine may be away at any time, also at the start."""
        asking = threading.Thread(target=self._keep_asking, name="inspect for metrics", daemon=True)
        asking.start()
        backoff = Backoff()
        while not self._stopping.is_set():
            begin = monotonic()
            try:
                self._follow()
            except EngineUnavailable as error:
                self.problem = str(error)
            self._stopping.wait(backoff.next(monotonic() - begin))
        asking.join(LONGEST_WAIT)
        self._engine.close()

    def stop(self) -> None:
        """End `run` soon. From any thread, any number of times."""
        self._stopping.set()
        with self._wake:
            self._wake.notify_all()
        if (stream := self._stream) is not None:
            stream.close()

    def inspect(self, container_id: str) -> None:
        """Have the engine asked about this container, soon."""
        with self._wake:
            self._asked[container_id] = None
            self._wake.notify_all()

    # --- events

    def _follow(self) -> None:
        info = self._engine.info()
        self._inventory.node = self._node or info.name
        self._last = self._last if self._last.when else Happened(info.clock)
        stream = self._engine.events(self._last.since, WATCHED)
        try:
            self._stream = stream
            self._ask_for_list()
            if self._stopping.is_set():
                return
            for event in stream:
                self._happened(event)
        finally:
            self._stream = None
            stream.close()
        raise EngineUnavailable(f"the engine at {self._engine.url} ended its event stream")

    def _happened(self, event: Mapping[str, Any]) -> None:
        found = read(event)
        if found is None or found == self._last:
            return  # `since` is inclusive: the last one comes again
        self._last = found
        self._inventory.happened(found.container_id, found.action, found.attributes, found.when / 1e9)
        if found.action == "destroy":
            with self._wake:
                self._asked.pop(found.container_id, None)
        elif found.action != "oom":
            self.inspect(found.container_id)

    # --- questions

    def _ask_for_list(self) -> None:
        with self._wake:
            self._list_now = True
            self._wake.notify_all()

    def _keep_asking(self) -> None:
        listed = monotonic()
        while not self._stopping.is_set():
            with self._wake:
                self._wake.wait_for(self._is_wanted, listed + self._interval - monotonic())
            self._stopping.wait(SETTLE)
            with self._wake:
                wanted, self._asked = list(self._asked), {}
                listing, self._list_now = self._list_now or monotonic() - listed >= self._interval, False
            try:
                self.problem = self._ask_about(wanted) or self.problem
                if listing and self._stream is not None:
                    self.problem = self._reconcile()
            except EngineUnavailable as error:
                self._away(str(error))
            except Exception:
                log.exception("the engine's answer could not be used; asking again in a while")
            listed = monotonic() if listing else listed

    def _is_wanted(self) -> bool:
        return bool(self._asked) or self._list_now or self._stopping.is_set()

    def _reconcile(self) -> str:
        return self._ask_about(filter(is_id, self._inventory.differing(self._engine.containers())))

    def _ask_about(self, container_ids: Iterable[str]) -> str:
        """Why some could not be asked about, "" where all could: one that hangs in the engine must not cost the others.
        The next list shows who is left."""
        why, failures = "", 0
        for container_id in container_ids:
            try:
                self._inspect(container_id)
            except EngineUnavailable as error:
                why, failures = str(error), failures + 1
                if failures == MOST_FAILURES or self._stopping.is_set():
                    break
        return why

    def _inspect(self, container_id: str) -> None:
        row = self._engine.inspect(container_id)
        if row is None:
            self._inventory.gone(container_id)
        else:
            self._inventory.inspected(of_inspect(row))

    def _away(self, why: str) -> None:
        """The stream may be dead without an end: another will show, and bring another list."""
        self.problem = why
        if (stream := self._stream) is not None:
            stream.close()
