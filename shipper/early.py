"""Logs opened before anybody tells of their containers.

An open log outlives its container, and a `--rm` container may live so briefly that it is gone when the event of its
start is read on a busy machine. The engine makes a container's folder when the container is created, and the log in it
before the container's process runs: so the folders are watched, and a new log is held open until the event comes.
"""

import contextlib
import logging
import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path

from shipper import inotify
from shipper.inotify import Event, Inotify
from shipper.sources.logfile import LogFile
from towline.identity import is_id

log = logging.getLogger(__name__)

HOLD = 60.0
"""Seconds that a log is held for the event of its container's start; none asks for that of one that is left out."""
MOST = 1000
"""Logs that are held at a time; beyond that the oldest are let go."""


class EarlyLogs:
    """Safe to use from any thread. Does nothing where the engine's folder can't be seen or watched: then a log is
    opened when the event of its container's start comes."""

    def __init__(self, hold: float = HOLD, clock: Callable[[], float] = time.monotonic) -> None:
        self._hold = hold
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, tuple[float, LogFile]] = {}
        """By container, oldest first: since when."""
        self._inotify: Inotify | None = None
        self._root = -1
        self._waiting: dict[int, str] = {}
        """Watched folders of containers that have no log yet."""
        self._stop = os.eventfd(0)
        self._thread: threading.Thread | None = None

    def look_in(self, folder: Path) -> None:
        """`folder` is where the engine keeps a folder for each container. Once is enough, again does no harm."""
        if self._thread is not None:
            return
        try:
            self._inotify = Inotify()
            self._root = self._inotify.watch(folder, inotify.CREATE | inotify.ONLYDIR)
        except OSError as error:
            log.debug("logs are opened when their containers' start is told: %s: %s", folder, error)
            if self._inotify is not None:
                self._inotify.close()
            return
        self._scan(self._inotify, folder)
        self._thread = threading.Thread(target=self._run, args=(self._inotify, folder), name="early", daemon=True)
        self._thread.start()

    def take(self, container_id: str) -> LogFile | None:
        """The log of a container that has just started, if it is held; from now on it is the caller's to close."""
        with self._lock:
            held = self._held.pop(container_id, None)
        return held[1] if held else None

    def close(self) -> None:
        os.eventfd_write(self._stop, 1)
        if self._thread is not None:
            self._thread.join()
        if self._inotify is not None and self._thread is not None:
            self._inotify.close()
        os.close(self._stop)
        self._let_go(self._clock() + self._hold)

    # --- in its own thread

    def _run(self, changes: Inotify, folder: Path) -> None:
        poll = select.poll()
        poll.register(changes.fd, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        while not any(fd == self._stop for fd, _ in poll.poll(1000 * self._hold / 2 if self._held else None)):
            for event in changes.events():
                self._happened(changes, folder, event)
            self._let_go(self._clock())

    def _happened(self, changes: Inotify, folder: Path, event: Event) -> None:
        if event.mask & inotify.OVERFLOW:
            self._scan(changes, folder)
        elif event.mask & inotify.IGNORED:
            self._waiting.pop(event.watch, None)
        elif event.watch == self._root and is_id(event.name):
            self._await(changes, folder, event.name)
        elif event.name.endswith("-json.log"):
            self._open(changes, folder, event.watch)

    def _scan(self, changes: Inotify, folder: Path) -> None:
        """Look for folders that nobody told of; a container that was never started has no log."""
        with contextlib.suppress(OSError):
            for path in folder.iterdir():
                if is_id(path.name) and not _log(folder, path.name).exists():
                    self._await(changes, folder, path.name)

    def _await(self, changes: Inotify, folder: Path, name: str) -> None:
        with contextlib.suppress(OSError):  # gone, or no more watches: its start will be told
            watch = changes.watch(folder / name, inotify.CREATE | inotify.ONLYDIR)
            self._waiting[watch] = name
            self._open(changes, folder, watch)

    def _open(self, changes: Inotify, folder: Path, watch: int) -> None:
        """Open the log if it is there already. Under the lock: `take` must not come in between."""
        name = self._waiting.get(watch, "")
        with self._lock, contextlib.suppress(OSError):
            self._held[name] = (self._clock(), LogFile(_log(folder, name)))
            del self._waiting[watch]
            changes.forget(watch)

    def _let_go(self, now: float) -> None:
        """Close what nobody asked for."""
        with self._lock:
            for name in [*self._held]:
                if len(self._held) <= MOST and now - self._held[name][0] < self._hold:
                    break
                self._held.pop(name)[1].close()


def _log(folder: Path, name: str) -> Path:
    return folder / name / f"{name}-json.log"
