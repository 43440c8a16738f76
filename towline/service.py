"""A group of actors in one process: the first one to end, or a signal, stops all of them, in order."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from towline.errors import TowlineError

log = logging.getLogger(__name__)

LOOK_UP = 0.5
HASTE = 2.0
"""Seconds that each actor still has after a second signal."""


class Actor(Protocol):
    """Something that runs until it is stopped."""

    def run(self) -> None:
        """Work in the calling thread; returns after `stop`, raises TowlineError where it can't go on."""

    def stop(self) -> None:
        """Make `run` return soon; called once from another thread, may wait (bounded) for work to be handed on."""


@dataclass(frozen=True)
class _Ended:
    """`run` of the actor `name` has ended, by itself or because it was told to."""

    name: str
    error: BaseException | None


@dataclass(frozen=True)
class _Stopped:
    """`stop` of the actor `name` has returned."""

    name: str


@dataclass(frozen=True)
class _Signal:
    number: int


class Group:
    """Runs named actors, each in a thread of its own, and stops them in the order given.

    Each actor is stopped only when the one before it is through: what an earlier one hands on, a later one still takes.
    """

    def __init__(self, actors: Mapping[str, Actor], *, haste: float = HASTE) -> None:
        self._actors = dict(actors)
        self.left: list[str] = []
        """Who had not ended when a second signal hastened the stop."""
        self._haste = haste
        self._news: SimpleQueue[_Ended | _Stopped | _Signal] = SimpleQueue()
        self._running: set[str] = set()
        self._error: BaseException | None = None
        self._culprit = ""
        self._stopping = False
        self._hasty = False

    def interrupt(self, number: int = signal.SIGTERM) -> None:
        """What a signal does; safe to call from a handler or any thread."""
        self._news.put(_Signal(number))

    def run(self) -> None:
        """Start all, wait for the first to end (or `interrupt`), stop all; raises the error that an actor ended with.

        An exception that is no TowlineError is logged with its place, and raised as a TowlineError of one line.
        """
        for name, actor in self._actors.items():
            self._running.add(name)
            self._thread(name, self._work, name, actor)
        self._note(self._next())
        for name, actor in self._actors.items():
            self._stop(name, actor)
        self._raise()

    def _thread(self, name: str, target: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=target, args=arguments, name=name, daemon=True).start()

    def _work(self, name: str, actor: Actor) -> None:
        error: BaseException | None = None
        try:
            actor.run()
        except BaseException as caught:
            error = caught
        self._news.put(_Ended(name, error))

    def _stop(self, name: str, actor: Actor) -> None:
        log.debug("stopping %s", name)
        waiting = {name} if name in self._running else set()
        self._thread(f"stop {name}", self._call_stop, name, actor)
        stopped = False
        while not stopped or waiting & self._running:
            news = self._next()
            if news is None:
                self.left.append(name)
                log.warning("left %s behind, as a second signal asked", name)
                return
            self._note(news)
            stopped = stopped or news == _Stopped(name)

    def _next(self) -> _Ended | _Stopped | _Signal | None:
        """What happens next; None where nothing does within what a second signal leaves.

        Looks up now and then: a signal that comes just before the wait begins does not end it, and its handler only
        runs between two steps of this thread.
        """
        deadline = time.monotonic() + self._haste
        while not self._hasty or time.monotonic() < deadline:
            with suppress(Empty):
                return self._news.get(timeout=min(LOOK_UP, self._haste))
        return None

    def _call_stop(self, name: str, actor: Actor) -> None:
        try:
            actor.stop()
        except Exception as error:
            log.error("%s did not stop cleanly: %s", name, error, exc_info=error)
        self._news.put(_Stopped(name))

    def _note(self, news: _Ended | _Stopped | _Signal | None) -> None:
        match news:
            case _Signal(number):
                self._hasty = self._hasty or self._stopping
                self._stopping = True
                haste = "now" if self._hasty else "a second signal hastens it"
                log.info("stopping on %s (%s)", signal.Signals(number).name, haste)
            case _Ended(name, error):
                self._stopping = True
                self._running.discard(name)
                self._keep(name, error)

    def _keep(self, name: str, error: BaseException | None) -> None:
        if error is None:
            return
        if not isinstance(error, TowlineError):
            log.error("%s ended unexpectedly", name, exc_info=error)
        if self._error is None:
            self._error = error
            self._culprit = name

    def _raise(self) -> None:
        error = self._error
        if isinstance(error, TowlineError):
            raise error
        if error is not None:
            raise TowlineError(
                f"{self._culprit} ended unexpectedly: {type(error).__name__}: {error}; the log says where"
            ) from error


@contextmanager
def signals(group: Group) -> Iterator[None]:
    """While inside, SIGTERM and SIGINT stop the group. Main thread only."""

    def handle(number: int, frame: Any) -> None:
        group.interrupt(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
