"""`towline page`: the page over a store that others fill."""

import logging
import os
from pathlib import Path
from typing import Any

import click

from towline import config, logs
from towline.config import DATA, LISTEN, LOG_LEVEL, METRICS, PROMETHEUS, STORE, TOKEN, masked, options
from towline.places import chosen_store

log = logging.getLogger(__name__)

MOST_TAILS = 64


@click.command(short_help="Serve the page over a store.")
@options(STORE, DATA, LISTEN, METRICS, PROMETHEUS, LOG_LEVEL)
def page(store: str | None, data: Path | None, listen: tuple[str, int], **values: Any) -> None:
    """Serve the page, and /api, over a store that `towline index` fills. It only reads.

    \b
    towline page --store https://elasticsearch:9200
    towline page --store https://elasticsearch:9200 --metrics http://node1:8514/metrics
        --metrics http://indexer:8514/metrics
    towline page --store https://elasticsearch:9200 --prometheus http://prometheus:9090
    TOWLINE_TOKEN_FILE=/run/secrets/towline towline page --store https://elasticsearch:9200 --listen :8514

    Only this machine can ask unless --listen says otherwise; then a token is needed, which browsers ask for as the
    password (any user name).
    """
    logs.configure(values["log_level"])
    from towline import api, api_pipeline, api_views, health
    from towline import page as files
    from towline.http import HttpServer, Site, Tails, check_token, known_hosts, probe
    from towline.late import when_it_comes
    from towline.metrics import REGISTRY
    from towline.query import Query
    from towline.service import Group, signals
    from towline.stores import open_store

    token, urls = config.secret(TOKEN), values["metrics"]
    check_token(listen, token)
    ledger = api_pipeline.elsewhere(urls) if urls else {}
    measured = _measured(values["prometheus"])
    probe(listen)
    url = chosen_store(store, data)
    opened = when_it_comes(lambda: open_store(url, read_only=True))
    tails = Tails(MOST_TAILS)
    problems = {"store": health.of_check(lambda: _look(opened.search(Query(limit=1))))}
    pages = api.handlers(opened, tails) | api_views.handlers(opened) | health.handlers(REGISTRY, problems)
    features = [*(("pipeline",) if urls else ()), *(("metrics", "nodes") if measured else ())]
    pages |= api_views.about(masked(STORE, url), features) | ledger | measured | files.handlers()
    server = HttpServer(Site(api.with_index(pages), hosts=known_hosts(listen[0]), token=token), listen, tails)
    log.info("listening", extra={"url": server.url})
    group = Group({"http": server})
    try:
        with signals(group):
            group.run()
    finally:
        opened.close()


def _measured(given: str | None) -> dict[str, Any]:
    """`/api/metrics` where a Prometheus is named; it may be away."""
    from towline.api_metrics import PrometheusMetrics
    from towline.prometheus import Prometheus, parse

    url = given or config.secret(PROMETHEUS)
    return PrometheusMetrics(Prometheus(parse(url, os.environ))).handlers() if url else {}


def _look(found: Any) -> None:
    next(iter(found), None)


COMMANDS = (page,)
