"""The thread in which everything of one connection happens.

It sleeps in the poller until the socket, a timer or another thread has something for it: an idle link costs its
heartbeats. Everything of pika's is touched by this thread only; others come in by `call`.
"""

import logging
import threading
from collections.abc import Callable
from typing import Any

from pika.adapters.select_connection import IOLoop

CLOSE_WITHIN = 5.0


class Loop:
    """`first` is what the thread begins with; `failed` is told what it did not expect, and goes on after it; `ended`
    is called last. `start`, `call` and `end` are for any thread, the rest is for this one."""

    def __init__(
        self, name: str, first: Callable[[], None], failed: Callable[[Exception], None], ended: Callable[[], None]
    ) -> None:
        self.poller: IOLoop | None = None
        self.closing = False
        self._name = name
        self._first = first
        self._failed = failed
        self._ended = ended
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def started(self) -> bool:
        return self._thread is not None

    def start(self) -> None:
        """Once is enough."""
        with self._lock:
            if self._thread is not None or self.closing:
                return
            logging.getLogger("pika").setLevel(logging.CRITICAL)  # we say in one line what it says in ten
            self.poller = IOLoop()
            self._thread = threading.Thread(target=self._run, args=(self.poller,), name=self._name, daemon=True)
            self._thread.start()

    def call(self, what: Callable[[], None]) -> None:
        """Run `what` in this thread, soon; not at all where it has ended."""
        with self._lock:
            if self.poller is not None:
                self.poller.add_callback_threadsafe(what)

    def end(self, leave: Callable[[], None]) -> None:
        """Have `leave` come to a `stop` in order; stop anyway where that takes too long."""
        with self._lock:
            self.closing = True
            thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        self.call(leave)
        thread.join(CLOSE_WITHIN)
        self.call(self.stop)
        thread.join(CLOSE_WITHIN)

    def later(self, delay: float, what: Callable[[], None]) -> Any:
        """A timer, for `cancel`."""
        assert self.poller is not None
        return self.poller.call_later(delay, what)

    def cancel(self, timer: Any) -> None:
        if timer is not None and self.poller is not None:
            self.poller.remove_timeout(timer)

    def stop(self) -> None:
        if self.poller is not None:
            self.poller.stop()

    def _run(self, poller: IOLoop) -> None:
        poller.add_callback(self._first)
        while True:
            try:
                poller.start()
                break
            except Exception as error:  # a bug here or in pika must not end the delivery of logs
                self._failed(error)
        with self._lock:
            self.poller = None
        self._ended()
        poller.close()
