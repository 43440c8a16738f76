"""`towline ship` and `towline index`: the two halves of `up`, each a process of its own, with a broker between them."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass

from indexer.index import Indexer
from shipper.ship import Shipper, ShipSettings
from towline import __version__, health
from towline.config import QUEUE, STORE, masked
from towline.http import HttpServer, Site, Tails, known_hosts, probe
from towline.metrics import REGISTRY
from towline.places import make_folder
from towline.queues import open_queue
from towline.service import Actor, Group, signals
from towline.stores import Retention, open_store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IndexSettings:
    """`memory` bounds the batches that wait for the store, in bytes."""

    queue: str
    store: str
    listen: tuple[str, int]
    retention: Retention
    memory: int


def ship(queue_url: str, listen: tuple[str, int], settings: ShipSettings) -> None:
    """Read this node's logs and publish them, until SIGTERM or SIGINT; then all that was read is confirmed or spooled.

    Raises TowlineError where it can't start or one of the parts can't go on.
    """
    probe(listen)
    make_folder(settings.state, "--state")
    with ExitStack() as parts:
        queue = open_queue(queue_url, max_bytes=settings.memory // 2)  # the rest is for what may go to the spool
        parts.callback(queue.close)
        shipper = Shipper(queue, settings)
        log.info("towline %s ships", __version__, extra={"queue": masked(QUEUE, queue_url), "state": settings.state})
        problems = {"shipper": lambda: shipper.problem, "queue": health.of_check(queue.check)}
        _run({"shipper": shipper, "http": _server(listen, problems)})


def index(settings: IndexSettings) -> None:
    """Move batches from the queue to the store, until SIGTERM or SIGINT; what has no verdict then stays in the queue.

    Raises TowlineError where it can't start or one of the parts can't go on.
    """
    probe(settings.listen)
    with ExitStack() as parts:
        queue = open_queue(settings.queue, max_bytes=settings.memory)
        parts.callback(queue.close)
        store = open_store(settings.store, retention=settings.retention)
        parts.callback(store.close)
        shown = {"queue": masked(QUEUE, settings.queue), "store": masked(STORE, settings.store)}
        log.info("towline %s indexes", __version__, extra=shown)
        indexer = Indexer(queue, store)
        problems = {
            "indexer": lambda: indexer.problem,
            "queue": health.of_check(queue.check),
            "store": health.of_check(store.check),
        }
        _run({"indexer": indexer, "http": _server(settings.listen, problems)})


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
