"""Asks filesystems for their sizes in threads of their own: a dead network mount never answers."""

import os
import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue

Size = os.statvfs_result
Answer = Size | OSError


class StatFs:
    """Calls statfs(2) on many paths with one deadline for all.

    One daemon thread asks them one after the other. When an answer takes longer than `patience` seconds, another
    thread goes on with the next path. A path whose call has not returned is not asked again until it has.
    timeout: seconds for a call of this object. Used by one thread at a time.
    """

    def __init__(self, timeout: float, patience: float = 0.1, statfs: Callable[[str], Size] = os.statvfs) -> None:
        self._timeout = timeout
        self._patience = patience
        self._statfs = statfs
        self._jobs: SimpleQueue[tuple[str, SimpleQueue[tuple[str, Answer]]]] = SimpleQueue()
        self._lock = threading.Lock()
        self._asked: set[str] = set()
        self._free = 0

    def __call__(self, paths: Iterable[str]) -> dict[str, Answer]:
        """Sizes or errors by path. Paths that did not answer in time, now or in an earlier call, are missing."""
        with self._lock:
            waiting = {path for path in paths if path not in self._asked}
        answers: SimpleQueue[tuple[str, Answer]] = SimpleQueue()
        for path in sorted(waiting):
            self._jobs.put((path, answers))
        found = self._gather(waiting, answers)
        self._withdraw()
        return found

    def _gather(self, waiting: set[str], answers: SimpleQueue[tuple[str, Answer]]) -> dict[str, Answer]:
        found: dict[str, Answer] = {}
        deadline = time.monotonic() + self._timeout
        while waiting and (left := deadline - time.monotonic()) > 0:
            self._ensure_worker()
            try:
                path, answer = answers.get(timeout=min(self._patience, left))
            except Empty:
                continue
            found[path] = answer
            waiting.discard(path)
        return found

    def _ensure_worker(self) -> None:
        """At least one thread that no filesystem holds, while there is something to ask."""
        with self._lock:
            if self._free or self._jobs.empty():
                return
            self._free += 1
        threading.Thread(target=self._work, name="statfs", daemon=True).start()

    def _withdraw(self) -> None:
        try:
            while True:
                self._jobs.get_nowait()
        except Empty:
            return

    def _work(self) -> None:
        """Takes paths for as long as it is the only free thread."""
        while True:
            path, answers = self._jobs.get()
            with self._lock:
                self._free -= 1
                self._asked.add(path)
            answer = self._ask(path)
            with self._lock:
                self._asked.discard(path)
                spare = self._free > 0
                self._free += not spare
            answers.put((path, answer))
            if spare:
                return

    def _ask(self, path: str) -> Answer:
        try:
            return self._statfs(path)
        except OSError as error:
            return error
