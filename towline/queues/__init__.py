"""The queue between shipper and indexer: the contract, and the one table that picks a backend by URL scheme.

Beside them are ways out of Towline, which are offered batches like a queue and give none back (outgoing.py).

A batch that was taken by `offer` is in the queue's care; `confirmed` is called once, when the batch is safe beyond
this process's death (a broker's confirm; for the memory queue, the store's verdict). Only then may a position move.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from towline.batch import Batch
from towline.config import QUEUE, masked
from towline.errors import UsageError
from towline.store_names import MAIN


class Delivery(Protocol):
    """One batch on its way to the store. Exactly one of `done` and `retry` ends it."""

    batch: Batch

    def done(self) -> None:
        """The store has given its verdict on every line: forget the batch."""

    def retry(self) -> None:
        """Nothing was decided: hand the batch out again later."""


class Outlet(Protocol):
    """What a shipper offers to: bounded, ordered as published, safe to call from any thread."""

    def offer(self, batch: Batch, confirmed: Callable[[], None]) -> bool:
        """Take the batch, or answer False at once where there is no room or no connection (the caller keeps it).

        `confirmed` is called from any thread, exactly once, and must return quickly.
        """

    def check(self) -> None:
        """Raise QueueUnavailable, with the reason, where batches can't pass right now."""

    def resume(self, life: str) -> None:
        """Before the first `offer`, where one wants to be told of losses: go on in this `life`, "" for a new one."""

    @property
    def life(self) -> str:
        """Name of the life of the queue that confirmed batches are in, worth noting; "" where there is none to tell."""

    @property
    def lost(self) -> int:
        """How often a queue was found to be gone, and with it perhaps batches that it had confirmed (also to an earlier
        process, in the life that was resumed). Grows before `life` changes.
        """

    def waiting(self) -> int | None:
        """How many batches wait in the queue for somebody to take them, as last heard; None where nothing that is
        offered can stand behind others for long. To be asked again and again: asking brings the next answer about."""

    def depth(self) -> int:
        """Bytes (uncompressed) that wait or are being worked on, as far as this process knows."""

    def close(self) -> None:
        """Stop taking and giving; wakes every waiter. Calling it twice is fine."""


class Queue(Outlet, Protocol):
    """What an indexer takes from as well."""

    def take(self, max_lines: int, timeout: float) -> Sequence[Delivery]:
        """Up to about `max_lines` lines of batches (at least one batch where any waits), within `timeout` seconds."""


WAYS_OUT = ("forward", "forwards", "file", "stdout")
"""Schemes that lead out of Towline."""


def leads_out(url: str) -> bool:
    """Whether lines leave Towline there."""
    return _scheme(url) in WAYS_OUT


def open_outlet(url: str, *, max_bytes: int) -> Outlet:
    """What a shipper offers to, behind `url`: a queue, or a way out; raises UsageError as `open_queue` does."""
    scheme = _scheme(url)
    if scheme in ("forward", "forwards"):
        from towline.queues import forward

        return forward.outlet(url, max_bytes)
    if scheme == "file":
        from towline.queues import file

        return file.outlet(url, max_bytes)
    if scheme == "stdout":
        from towline.queues import stdout

        return stdout.outlet(url, max_bytes)
    return open_queue(url, max_bytes=max_bytes)


def open_queue(url: str, *, max_bytes: int, store: str = MAIN) -> Queue:
    """The queue behind `url`, whose batches for the store of this name are to be taken (all batches may be offered).

    Raises UsageError for an unknown scheme, or a URL that its backend can't use.
    """
    scheme = _scheme(url)
    if scheme == "memory":
        from towline.queues.memory import MemoryQueue

        return MemoryQueue(max_bytes)
    if scheme in ("amqp", "amqps"):
        from towline.queues.rabbitmq import RabbitQueue

        return RabbitQueue(url, max_bytes, store)
    shown = masked(QUEUE, url)
    if scheme in WAYS_OUT:
        raise UsageError(f"queue URL {shown!r}: lines leave Towline there, none can be taken back; use amqp://")
    known = ", ".join(f"{name}://" for name in ("amqp", "amqps", *WAYS_OUT))
    raise UsageError(f"queue URL {shown!r}: unknown scheme {scheme!r}; use {known} or memory://")


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()
