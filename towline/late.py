"""A store that may come later: what only reads is there before its store is."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, cast

from towline.errors import StoreUnavailable
from towline.stores import Store

log = logging.getLogger(__name__)

PAUSE = 2.0
"""Seconds for which a refusal holds: many ask at once, and a host that does not answer takes long to say so."""


def when_it_comes(opened: Callable[[], Store]) -> Store:
    """The store, also where it is away now. Raises UsageError where it never can be there."""
    late = LateStore(opened)
    try:
        late.open()
    except StoreUnavailable as error:
        log.warning("%s; asking again when somebody looks", error)
    return cast(Store, late)


class LateStore:
    """Opens the store when it is asked for, until that works; each question meanwhile raises StoreUnavailable."""

    def __init__(self, opened: Callable[[], Store], clock: Callable[[], float] = time.monotonic) -> None:
        self._opened, self._clock = opened, clock
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._refusal: tuple[float, StoreUnavailable] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.open(), name)

    def open(self) -> Store:
        with self._lock:
            if self._store is None:
                if self._refusal and self._clock() - self._refusal[0] < PAUSE:
                    raise StoreUnavailable(str(self._refusal[1]))
                try:
                    self._store = self._opened()
                except StoreUnavailable as error:
                    self._refusal = self._clock(), error
                    raise
            return self._store

    def close(self) -> None:
        with self._lock:
            if self._store is not None:
                self._store.close()
