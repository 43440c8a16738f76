"""`towline ship` and `towline index`: the two halves of `up`, each a process of its own, with a broker between them."""

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from indexer.events import open_events
from indexer.index import Count, Indexer
from indexer.ledger import count, count_events
from shipper.ship import Shipper, ShipSettings
from towline import __version__, health, memory
from towline.backoff import Backoff
from towline.config import QUEUE, STORE, masked
from towline.errors import StoreUnavailable
from towline.http import HttpServer, Site, Tails, known_hosts, probe
from towline.metrics import QUEUE_BYTES, REGISTRY
from towline.places import make_folder
from towline.queues import Queue, open_outlet, open_queue
from towline.queues.amqp_events import EventQueue
from towline.service import Actor, Group, signals
from towline.store_names import MAIN
from towline.stores import Retention, Store, open_store

log = logging.getLogger(__name__)

LINGER = 0.1
"""Seconds between small writes of `index`, at most twice that: a write costs it a millisecond of CPU whatever is in it,
and who searches Elasticsearch waits for its refresh anyway."""


@dataclass(frozen=True)
class IndexSettings:
    """`memory` bounds the batches that wait for the store, in bytes."""

    queue: str
    store: str
    listen: tuple[str, int]
    retention: Retention
    memory: int
    events: str = ""
    """The exchange that domain events are taken from; "": none are."""
    name: str = MAIN
    """What labels call the store; another name than that takes only lines that are for it."""


def ship(queue_url: str, listen: tuple[str, int], settings: ShipSettings) -> None:
    """Read this node's logs and publish them, until SIGTERM or SIGINT; then all that was read is confirmed or spooled.

    Raises TowlineError where it can't start or one of the parts can't go on.
    """
    probe(listen)
    make_folder(settings.state, "--state")
    with ExitStack() as parts:
        queue = open_outlet(queue_url, max_bytes=settings.memory // 2)  # the rest is for what may go to the spool
        parts.callback(queue.close)
        QUEUE_BYTES.set_function(queue.depth)
        shipper = Shipper(queue, settings)
        log.info("towline %s ships", __version__, extra={"queue": masked(QUEUE, queue_url), "state": settings.state})
        problems = {"shipper": lambda: shipper.problem, "queue": health.of_check(queue.check)}
        _run({"shipper": shipper, "http": _server(listen, problems)})


def index(settings: IndexSettings) -> None:
    """Move batches from the queue to the store, until SIGTERM or SIGINT; what has no verdict then stays in the queue.

    Raises TowlineError where it can't start or one of the parts can't go on.
    """
    probe(settings.listen)
    memory.reuse()
    with ExitStack() as parts:
        queue = open_queue(settings.queue, max_bytes=settings.memory, store=settings.name)
        parts.callback(queue.close)
        QUEUE_BYTES.set_function(queue.depth)
        indexing = Indexing(
            queue,
            lambda: open_store(settings.store, retention=settings.retention),
            partial(count, store=settings.name),
        )
        parts.callback(indexing.close)
        shown = {"queue": masked(QUEUE, settings.queue), "store": masked(STORE, settings.store)}
        shown |= {} if settings.name == MAIN else {"store_name": settings.name}
        log.info("towline %s indexes", __version__, extra=shown)
        problems = {
            "indexer": lambda: indexing.problem,
            "queue": health.of_check(queue.check),
            "store": health.of_check(indexing.check),
        }
        actors: dict[str, Actor] = {"indexer": indexing}
        if settings.events:
            events = open_events(settings.queue, settings.events, settings.memory // 4)
            parts.callback(events.close)
            storing = Storing(events, indexing)
            actors["events"] = storing
            problems |= {"events": lambda: storing.problem, "events' queue": health.of_check(events.check)}
        _run(actors | {"http": _server(settings.listen, problems)})


class Indexing:
    """An indexer whose store may be away at the start: it is waited for, and that is said.

    Whatever the server answers is waited out, also refused credentials or an old version: they are mended there as
    often as here, and a process that ends is only started again. What
    is wrong with the URL or a file raises UsageError.
    """

    def __init__(self, queue: Queue, opened: Callable[[], Store], counted: Count = count) -> None:
        self._queue = queue
        self._opened = opened
        self._counted = counted
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._indexer: Indexer | None = None
        self._waiting = "the store was not asked yet"
        self._there = threading.Event()

    @property
    def problem(self) -> str:
        return self._indexer.problem if self._indexer else ""

    def store(self) -> Store | None:
        """The store, once it is open; None where it is to stop before that. Waits."""
        self._there.wait()
        return self._store

    def check(self) -> None:
        """Raise StoreUnavailable where there is no store, or it takes nothing."""
        if self._store is None:
            raise StoreUnavailable(self._waiting)
        self._store.check()

    def run(self) -> None:
        """Open the store, however long that takes; then work until `stop`."""
        backoff, waited = Backoff(), False
        while not self._stopping.is_set() and self._store is None:
            try:
                self._store = self._opened()
            except StoreUnavailable as error:
                self._say(str(error))
                waited = True
                self._stopping.wait(backoff.next())
        with self._lock:
            if self._store is None or self._stopping.is_set():
                return
            self._indexer = Indexer(self._queue, self._store, linger=LINGER, count=self._counted)
        self._there.set()
        if waited:
            log.info("the store is there")
        self._indexer.run()

    def stop(self) -> None:
        with self._lock:
            self._stopping.set()
            self._there.set()
        if self._indexer:
            self._indexer.stop()

    def close(self) -> None:
        if self._store:
            self._store.close()

    def _say(self, text: str) -> None:
        if text != self._waiting:
            log.error("waiting for the store: %s. Lines wait in the queue, nothing is lost", text)
        self._waiting = text


class Storing:
    """Domain events into the store that an `Indexing` has opened."""

    def __init__(self, queue: EventQueue, indexing: Indexing) -> None:
        self._queue = queue
        self._indexing = indexing
        self._lock = threading.Lock()
        self._stopped = False
        self._indexer: Indexer | None = None

    @property
    def problem(self) -> str:
        return self._indexer.problem if self._indexer else ""

    def run(self) -> None:
        """Work until `stop`, once there is a store."""
        store = self._indexing.store()
        with self._lock:
            if store is None or self._stopped:
                return
            self._indexer = Indexer(self._queue, store, linger=LINGER, count=count_events)
        self._indexer.run()

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
        if self._indexer:
            self._indexer.stop()


def _server(listen: tuple[str, int], problems: dict[str, health.Problem]) -> HttpServer:
    """`/metrics`, `/healthz` and `/readyz`, which tell no line of any log and so ask for no token."""
    tails = Tails(0)
    server = HttpServer(
        Site(health.handlers(REGISTRY, problems), hosts=known_hosts(listen[0]), token=""), listen, tails
    )
    log.info("listening", extra={"url": server.url})
    return server


def _run(actors: dict[str, Actor]) -> None:
    group = Group(actors)
    with signals(group):
        group.run()
    log.info("stopped%s", "; what was in flight is sent again at the next start" if group.left else "")
