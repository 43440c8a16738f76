"""Labels of a Swarm's services (`deploy.labels`) and of this node, which only managers know: asked of one, kept for
when none answers.

On a manager its own engine tells them; elsewhere `towline export` on a manager does, at `/api/service-labels`. Nobody
is asked before a container of a service is seen. A service that was not heard of is asked for at once, and lines of its
containers wait for the answer, though not for ever: what hides or drops lines has to hold from the first one on. The
labels of the node come with the same answer where they are wanted; no line waits for those.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from shipper.known_labels import Known, load, save
from shipper.managers import EngineOfManager, Manager, Told, Url
from towline.backoff import Backoff
from towline.engine import Engine
from towline.errors import TowlineError
from towline.metrics import SERVICES_WITHOUT_LABELS

log = logging.getLogger(__name__)

EVERY, AGAIN, HOLD = 30.0, 1.0, 15.0
"""Seconds between two questions; while an answer lacks a service; and for which the lines of such a one wait."""
KEEP_GONE = 86400.0
"""Seconds for which the labels of a service that is gone still hold: its last lines may be read late."""
FORGET = 300.0
"""Seconds after which a service that is asked for no more has no container here (they are listed every 60 s)."""
SELDOM = 300.0
"""Seconds between two looks whether this node manages a Swarm now, where nobody else can be asked."""


class ServiceLabels:
    """`of` is safe to call from any thread; `run` asks, until `stop`, and calls `changed` from its own thread after
    each answer that says something else, and where waiting for one has come to its end.

    urls: of managers' `towline export`, asked in turn. path: where the last answer is kept. engine: this node's.
    wanted: names of the node's labels. Raises UsageError for a URL that can't be one.
    """

    def __init__(
        self,
        urls: Sequence[str],
        engine: Engine,
        path: Path,
        changed: Callable[[], None],
        *,
        wanted: Sequence[str] = (),
        every: float = EVERY,
        hold: float = HOLD,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.problem = ""
        """Why no manager tells labels, "" where one does, or none is needed."""
        self._own = EngineOfManager(engine)
        self._urls = [Url(url) for url in urls]
        self._path = path
        self._changed = changed
        self._every, self._hold = every, hold
        self._clock, self._wall = clock, wall
        self._wanted = wanted
        self._known = load(path, wanted)
        self._seen: dict[str, float] = {}
        """When each service was first asked for."""
        self._lately: dict[str, float] = {}
        """When each was asked for last."""
        self._awaited: set[str] = set()
        """Those that were told to be asked for, and no more since."""
        self._useless = False
        """There is nobody to ask: no URL, and this node manages no Swarm."""
        self._lock = threading.Lock()
        self._wake = threading.Event()
        if wanted:
            self._wake.set()
        self._stopping = threading.Event()
        self._backoff = Backoff()

    def of(self, service_id: str) -> Mapping[str, str] | None:
        """The labels of a service: its `towline.…` and `co.elastic.logs/…` ones; None while they are asked for."""
        with self._lock:
            now = self._lately[service_id] = self._clock()
            if service_id not in self._seen:
                self._seen[service_id] = now
                self._wake.set()
            found = self._found(service_id)
            if found is None:
                self._awaited.add(service_id)
            return found

    @property
    def node(self) -> Mapping[str, str]:
        """Labels of this node in its Swarm, as far as they are wanted and known."""
        return self._known.node

    def run(self) -> None:
        """Ask from the first `of` on, or at once where the node's labels are wanted, until `stop`. Managers may be away
        at any time."""
        pause = None
        while not self._stopping.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            if self._stopping.is_set():
                return
            pause = self._ask()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()

    def _ask(self) -> float:
        """One question, and what follows; seconds until the next."""
        changed, pause = False, SELDOM
        try:
            found = self._answer()
        except TowlineError as error:
            self._failed(str(error))
            pause = self._backoff.next()
        else:
            self._backoff, self._useless = Backoff(), found is None
            changed, pause = self._heard(found), self._every if found else SELDOM
        if self._release() or changed:
            self._changed()
        self._count()
        return min(pause, AGAIN) if self._awaited else pause

    def _answer(self) -> Told | None:
        """Of the first that answers; None where there is nobody to ask. Raises TowlineError: why nobody answers."""
        reasons = []
        sources: tuple[Manager, ...] = (self._own, *self._urls)
        for source in sources:
            try:
                found = source.ask(self._own.node or "", self._wanted)
            except TowlineError as error:
                reasons.append(str(error))
                continue
            if found is not None:
                self._prefer(source)
                return found
        if not self._urls and not reasons:
            return None
        raise TowlineError("; ".join(reasons))

    def _prefer(self, source: Manager) -> None:
        """Who answered is asked first the next time."""
        if source in self._urls:
            self._urls.sort(key=lambda url: url is not source)

    def _heard(self, found: Told | None) -> bool:
        """Whether it is something else than before."""
        if self.problem and found:
            log.info("the labels of services are told again")
        self.problem = ""
        with self._lock:
            old = self._known
            new = self._known = replace(self._with_services(found), node=self._of_node(found))
        if new != old:
            save(self._path, new)
        return new.labels != old.labels or new.node != old.node

    def _with_services(self, found: Told | None) -> Known:
        """Under the lock."""
        old, now = self._known, self._wall()
        if found is None:
            return old
        missed = {key: old.gone.get(key, now) for key in old.labels if key not in found.services}
        gone = {key: since for key, since in missed.items() if now - since < KEEP_GONE}
        return Known({**{key: old.labels[key] for key in gone}, **found.services}, gone)

    def _of_node(self, found: Told | None) -> Mapping[str, str]:
        """Under the lock. What was told last holds while nobody tells; a node that left its Swarm has none."""
        if self._own.node == "":
            return {}
        told = found.node if found else None
        return self._known.node if told is None else told

    def _found(self, service_id: str) -> Mapping[str, str] | None:
        """Under the lock."""
        known = self._known.labels.get(service_id)
        over = self._useless or self._clock() - self._seen[service_id] >= self._hold
        return {} if known is None and over else known

    def _release(self) -> bool:
        """Whether some services are no longer waited for; those of which nothing became known are named."""
        with self._lock:
            free = {key for key in self._awaited if self._found(key) is not None}
            self._awaited -= free
            without = sorted(free - self._known.labels.keys())
        if without and not self._useless:
            log.warning(
                "no manager knows the labels of these services, their lines go on without: %s", " ".join(without)
            )
        return bool(free)

    def _count(self) -> None:
        """Services with containers here whose lines go on without labels, although there is somebody to ask."""
        now = self._clock()
        with self._lock:
            for key in [key for key, asked in self._lately.items() if now - asked >= FORGET]:
                del self._lately[key]
            without = [key for key in self._lately if key not in self._known.labels and self._found(key) is not None]
        SERVICES_WITHOUT_LABELS.set(0 if self._useless else len(without))

    def _failed(self, reason: str) -> None:
        if reason != self.problem:
            log.warning("labels of services can't be asked for: %s. What was told last still holds", reason)
        self.problem = reason
