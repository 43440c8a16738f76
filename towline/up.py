"""Everything in one process: shipper, memory queue, indexer, SQLite store, HTTP. The same parts that run apart."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from exporters.history import History
from exporters.serve import Exporter, ExportSettings
from indexer.index import Indexer
from indexer.ledger import count_events
from shipper.ship import Shipper, ShipSettings
from towline import __version__, api, api_pipeline, api_views, health, memory, page
from towline.config import STORE, masked
from towline.http import HttpServer, Site, Tails, check_token, known_hosts, probe
from towline.metrics import QUEUE_BYTES, REGISTRY
from towline.places import make_folder
from towline.queues import Queue, open_queue
from towline.service import Actor, Group, signals
from towline.stores import Retention, Store, open_store

if TYPE_CHECKING:  # it and its library are loaded where events are asked for
    from towline.queues.amqp_events import EventQueue

log = logging.getLogger(__name__)

MOST_TAILS = 16


@dataclass(frozen=True)
class UpSettings:
    """`memory` bounds the queue in bytes; `token` "" means that `/api` is open. events: the exchange that domain events
    are taken from, of the broker with the URL `broker`; "": none are."""

    store: str
    listen: tuple[str, int]
    ship: ShipSettings
    retention: Retention
    memory: int
    token: str = ""
    export: ExportSettings = field(default_factory=ExportSettings)
    events: str = ""
    broker: str = ""


def up(settings: UpSettings) -> None:
    """Run until SIGTERM or SIGINT; then everything in flight is delivered or spooled, and this returns.

    Raises TowlineError where it can't start or one of the parts can't go on.
    """
    check_token(settings.listen, settings.token)
    probe(settings.listen)
    memory.share()
    _say(settings)
    make_folder(settings.ship.state, "--state")
    with ExitStack() as parts:
        store = open_store(settings.store, retention=settings.retention)
        parts.callback(store.close)
        queue = open_queue("memory://", max_bytes=settings.memory // 2)  # the rest is for what may go to the spool
        parts.callback(queue.close)
        QUEUE_BYTES.set_function(queue.depth)
        exporter = Exporter(settings.export)
        parts.callback(exporter.close)
        events = _events(settings)
        if events:
            parts.callback(events.close)
        group = Group(_actors(settings, queue, store, exporter, events))
        with signals(group):
            group.run()
    rest = "what was in flight is read again at the next start" if group.left else "all that was read is safe"
    log.info("stopped; %s", rest)


def _say(settings: UpSettings) -> None:
    """What it runs with, once, so that a log tells it later."""
    chosen = {name: value for name, value in vars(settings.ship).items() if value not in (None, ())}
    bounds = {"keep_age": settings.retention.age, "keep_size": settings.retention.size}
    log.info("towline %s starts", __version__, extra={"store": settings.store, **chosen, **bounds})


def _events(settings: UpSettings) -> "EventQueue | None":
    """Where domain events come from; raises UsageError for a URL that is no broker's."""
    if not settings.events:
        return None
    from indexer.events import open_events

    return open_events(settings.broker, settings.events, settings.memory // 4)


def _actors(
    settings: UpSettings, queue: Queue, store: Store, exporter: Exporter, events: "EventQueue | None"
) -> dict[str, Actor]:
    """In the order of stopping: what the shipper still hands over, the indexer still stores."""
    shipper = Shipper(queue, settings.ship, lost=lambda: store.damaged)
    indexer = Indexer(queue, store)
    problems = {
        "shipper": lambda: shipper.problem,
        "indexer": lambda: indexer.problem,
        "store": health.of_check(store.check),
    }
    storing: dict[str, Actor] = {}
    if events:
        storer = Indexer(events, store, count=count_events)
        storing["events"] = storer
        problems |= {"events": lambda: storer.problem, "events' queue": health.of_check(events.check)}
    tails = Tails(MOST_TAILS)
    history = History(exporter.containers, exporter.happenings)
    pages = {**api.handlers(store, tails), "/api/metrics": history.handler(), **health.handlers(REGISTRY, problems)}
    pages |= {"/metrics": exporter.metrics(REGISTRY), "/sd/targets": exporter.targets}
    pages |= api_views.handlers(store) | api_pipeline.pipeline(REGISTRY, problems) | page.handlers()
    pages |= api_views.about(masked(STORE, settings.store), ("metrics", "pipeline"))
    site = Site(api.with_index(pages), hosts=known_hosts(settings.listen[0]), token=settings.token)
    server = HttpServer(site, settings.listen, tails)
    log.info("listening", extra={"url": server.url})
    actors: dict[str, Actor] = {"shipper": shipper, "indexer": indexer, **storing, "http": server}
    return actors | {"history": history, "exporter": exporter}
