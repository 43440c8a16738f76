"""What ends the shipper's wait: a call from another thread, a log that was written to, a socket with something in it.

Being told of each write is what costs, so logs and sockets tell once: only what has been looked at, and had nothing
more, is armed again. And nobody is told in between beats: the first one after a quiet time ends the wait, and the
others of the same beat are looked at with it. While each beat brings something, not even that one does.
"""

import logging
import os
import select
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from shipper import inotify
from shipper.inotify import Inotify

Key = TypeVar("Key", bound=Hashable)

log = logging.getLogger(__name__)

BEAT = 0.2
"""Seconds; half of it is what a line waits on average after a quiet time."""
_CHANGED = inotify.MODIFY | inotify.ATTRIB | inotify.MOVE_SELF | inotify.ONESHOT


class Wake(Generic[Key]):
    """Tells of logs and sockets by the keys they were given with.

    `set` may be called from any thread, all else belongs to the shipper's. Where the system has no inotify to give,
    `file` is always False.
    """

    def __init__(
        self, notify: Callable[[], Inotify] = Inotify, clock: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        self._clock = clock
        self._outer = select.epoll()
        self._inner = select.epoll()
        """All that is armed; it tells `_outer` of the first."""
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._rung = False
        self._look_at: float | None = None
        """When the inner one is looked at; None: as soon as it tells of something."""
        self._files: dict[int, Key] = {}
        self._watches: dict[Key, int] = {}
        self._sockets: dict[int, Key] = {}
        self._notify = self._have(notify)
        self._told = False
        self._outer.register(self._bell, select.EPOLLIN)
        self._outer.register(self._inner.fileno(), select.EPOLLIN | select.EPOLLONESHOT)

    def set(self) -> None:
        """End the wait now, or the next one."""
        if not self._rung:
            self._rung = True
            os.eventfd_write(self._bell, 1)

    def wait(self, seconds: float) -> None:
        """Until `set`, until `stirred` has something to tell, at most for so many seconds."""
        if self._look_at is not None:
            seconds = min(seconds, self._look_at - self._clock())
        for fd, _ in self._outer.poll(max(0.0, seconds)):
            if fd == self._bell:
                os.eventfd_read(self._bell)  # first this, then the flag: whoever finds it set was not waited for
                self._rung = False
            else:
                self._look_at = self._next_beat(self._clock())

    def file(self, fd: int, whose: Key) -> bool:
        """Tell of the next change to this open file; False where the system can't."""
        if self._notify is None or not self._notify.tells(fd):
            return False
        try:
            watch = self._notify.watch(f"/proc/self/fd/{fd}", _CHANGED)  # the file itself, whatever its name is now
        except OSError as error:
            self._say(error)
            return False
        self._files[watch] = whose
        self._watches[whose] = watch
        return True

    def socket(self, fd: int, whose: Key) -> bool:
        """Tell once as soon as this socket has something to read."""
        try:
            self._inner.modify(fd, select.EPOLLIN | select.EPOLLONESHOT)
        except FileNotFoundError:
            self._inner.register(fd, select.EPOLLIN | select.EPOLLONESHOT)
        self._sockets[fd] = whose
        return True

    def forget(self, whose: Key) -> None:
        """Tell nothing of this one any more."""
        watch = self._watches.pop(whose, None)
        if watch is not None and self._notify is not None:
            del self._files[watch]
            self._notify.forget(watch)
        for fd in [fd for fd, key in self._sockets.items() if key is whose]:
            del self._sockets[fd]

    def stirred(self, now: float) -> list[Key] | None:
        """Whose logs or sockets have something since they were armed; None: that is not known, look at all."""
        if self._look_at is None or now < self._look_at:
            return []
        found: list[Key] | None = []
        for fd, _ in self._inner.poll(0):
            more = self._changed() if self._notify and fd == self._notify.fd else [self._sockets.get(fd)]
            found = None if more is None or found is None else found + [key for key in more if key]
        if found or found is None:
            self._look_at = self._next_beat(now)
        else:
            self._look_at = None
            self._outer.modify(self._inner.fileno(), select.EPOLLIN | select.EPOLLONESHOT)
        return found

    def close(self) -> None:
        self._outer.close()
        self._inner.close()
        os.close(self._bell)
        if self._notify is not None:
            self._notify.close()

    def _changed(self) -> list[Key | None] | None:
        assert self._notify
        whoses: list[Key | None] = []
        lost = False
        for event in self._notify.events():
            lost = lost or bool(event.mask & inotify.OVERFLOW)
            whose = self._files.pop(event.watch, None)
            if whose is not None:
                del self._watches[whose]
                whoses.append(whose)
        return None if lost else whoses

    def _have(self, notify: Callable[[], Inotify]) -> Inotify | None:
        try:
            made = notify()
        except OSError as error:
            log.info("logs are looked at from time to time, since the system can't tell of changes: %s", error)
            return None
        self._inner.register(made.fd, select.EPOLLIN)
        return made

    def _say(self, error: OSError) -> None:
        if not self._told:
            log.info("some logs are looked at from time to time, since the system can't tell of changes: %s", error)
        self._told = True

    @staticmethod
    def _next_beat(now: float) -> float:
        return (now // BEAT + 1) * BEAT
