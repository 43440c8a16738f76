"""What is wrong with what comes in, counted always and said seldom: whoever may send could fill our log otherwise."""

import logging
import time
from collections.abc import Callable
from math import inf

from towline import metrics

log = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two lines about the same kind of trouble at the same listener."""


class Complaints:
    """One listener's. Used by one thread, or one loop."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._said: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def say(self, kind: str, peer: str, text: str) -> None:
        """kind: what it is counted as, one of a few words."""
        metrics.INPUT_ERRORS.labels(self._name, kind).inc()
        now = self._clock()
        if now - self._said.get(kind, -inf) < EVERY:
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return
        self._said[kind] = now
        unsaid = self._unsaid.pop(kind, 0)
        more = f" (and {unsaid} times since this was last said)" if unsaid else ""
        log.warning("%s from %s: %s%s", self._name, peer, text, more)
