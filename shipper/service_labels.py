"""Labels of a Swarm's services (`deploy.labels`), which only managers know: asked of one, kept for when none answers.

On a manager its own engine tells them; elsewhere `towline export` on a manager does, at `/api/service-labels`. Nobody
is asked before a container of a service is seen. A service that was not heard of is asked for at once, and lines of its
containers wait for the answer, though not for ever: what hides or drops lines has to hold from the first one on.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from shipper.managers import EngineOfManager, Labels, Manager, Url
from towline.backoff import Backoff
from towline.engine import Engine
from towline.errors import TowlineError

log = logging.getLogger(__name__)

EVERY, AGAIN, HOLD = 30.0, 1.0, 15.0
"""Seconds between two questions; while an answer lacks a service; and for which the lines of such a one wait."""
KEEP_GONE = 86400.0
"""Seconds for which the labels of a service that is gone still hold: its last lines may be read late."""
SELDOM = 300.0
"""Seconds between two looks whether this node manages a Swarm now, where nobody else can be asked."""


@dataclass
class _Known:
    """Labels by id of the service, and when (Unix time) those that are gone were first missed."""

    labels: Labels = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)


class ServiceLabels:
    """`of` is safe to call from any thread; `run` asks, until `stop`, and calls `changed` from its own thread after
    each answer that says something else, and where waiting for one has come to its end.

    urls: of managers' `towline export`, asked in turn. path: where the last answer is kept. engine: this node's.
    Raises UsageError for a URL that can't be one.
    """

    def __init__(
        self,
        urls: Sequence[str],
        engine: Engine,
        path: Path,
        changed: Callable[[], None],
        *,
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
        self._known = _load(path)
        self._seen: dict[str, float] = {}
        """When each service was first asked for."""
        self._awaited: set[str] = set()
        """Those that were told to be asked for, and no more since."""
        self._useless = False
        """There is nobody to ask: no URL, and this node manages no Swarm."""
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._backoff = Backoff()

    def of(self, service_id: str) -> Mapping[str, str] | None:
        """The labels of a service: its `towline.…` and `co.elastic.logs/…` ones; None while they are asked for."""
        with self._lock:
            if service_id not in self._seen:
                self._seen[service_id] = self._clock()
                self._wake.set()
            found = self._found(service_id)
            if found is None:
                self._awaited.add(service_id)
            return found

    def run(self) -> None:
        """Ask from the first `of` on, until `stop`. Managers may be away at any time."""
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
            if found is not None:
                changed, pause = self._heard(found), self._every
        if self._release() or changed:
            self._changed()
        return min(pause, AGAIN) if self._awaited else pause

    def _answer(self) -> Labels | None:
        """Of the first that answers; None where there is nobody to ask. Raises TowlineError: why nobody answers."""
        reasons = []
        sources: tuple[Manager, ...] = (self._own, *self._urls)
        for source in sources:
            try:
                found = source.labels()
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

    def _heard(self, found: Labels) -> bool:
        """Whether it is something else than before."""
        if self.problem:
            log.info("the labels of services are told again")
        self.problem = ""
        now = self._wall()
        with self._lock:
            old = self._known
            missed = {key: old.gone.get(key, now) for key in old.labels if key not in found}
            gone = {key: since for key, since in missed.items() if now - since < KEEP_GONE}
            self._known = _Known({**{key: old.labels[key] for key in gone}, **found}, gone)
            changed, moved = self._known.labels != old.labels, self._known != old
        if moved:
            _save(self._path, self._known)
        return changed

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

    def _failed(self, reason: str) -> None:
        if reason != self.problem:
            log.warning("labels of services can't be asked for: %s. What was told last still holds", reason)
        self.problem = reason


def _load(path: Path) -> _Known:
    """What was kept; nothing where nothing was, or where it can't be read: it will be asked for."""
    try:
        told = orjson.loads(path.read_bytes())
        labels: Labels = {
            str(key): {str(name): str(text) for name, text in of.items()} for key, of in told["labels"].items()
        }
        return _Known(labels, {str(key): float(since) for key, since in told["gone"].items()})
    except FileNotFoundError:
        return _Known()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("%s can't be used, labels of services are asked for anew: %s", path, error)
        return _Known()


def _save(path: Path, known: _Known) -> None:
    draft = path.with_name(path.name + ".tmp")
    try:
        draft.write_bytes(orjson.dumps({"labels": known.labels, "gone": known.gone}))
        draft.replace(path)
    except OSError as error:
        log.warning("%s can't be written: %s; a restart without a manager would not know labels of services",
                    path, error.strerror or error)  # fmt: skip
