"""`towline up`, `ship`, `index`, `setup`: the commands that run or prepare something. Only here, in other cli_* modules
and in up.py are shipper, indexer and exporters imported, and only when such a command runs."""

import logging
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from towline import config, logs
from towline.cli_export import MEASURING, export_settings
from towline.cli_inputs import LISTENING, input_settings
from towline.config import (
    DATA,
    ENGINE,
    ENGINE_ROOT,
    EVENTS,
    EVENTS_QUEUE,
    EXCLUDE,
    INCLUDE,
    KEEP_AGE,
    KEEP_SIZE,
    LISTEN,
    LOG_LEVEL,
    MAX_LINE,
    MEMORY,
    NODE,
    NODE_LABEL,
    QUEUE,
    RULES,
    SERVICE_LABELS,
    SOURCE,
    SPOOL,
    STATE,
    STORE,
    STORE_NAME,
    TOKEN,
    options,
)
from towline.errors import UsageError
from towline.places import chosen_store, make_folder, store_url

log = logging.getLogger(__name__)

READING = (ENGINE, SOURCE, ENGINE_ROOT, NODE, NODE_LABEL, INCLUDE, EXCLUDE, RULES, SERVICE_LABELS, MAX_LINE, MEMORY,
           SPOOL)  # fmt: skip
KEEPING = (KEEP_AGE, KEEP_SIZE)


@click.command(short_help="Collect logs and serve them, in one process.")
@options(DATA, STATE, LISTEN, *READING, *LISTENING, EVENTS, EVENTS_QUEUE, *KEEPING, *MEASURING, LOG_LEVEL)
def up(**values: Any) -> None:
    """Collect the logs of all containers here and serve them, in one process.

    \b
    towline up
    towline up --data /srv/towline --keep-age 30d --keep-size 100G
    towline up --exclude 'ci-*' --exclude scratch
    TOWLINE_TOKEN_FILE=/run/secrets/towline towline up --listen :8514
    towline up --events --queue amqp://shop@broker/

    Then `towline search` and `towline tail` in another terminal, or the HTTP address that the log names. Ctrl-C or
    SIGTERM stops it with every line delivered or spooled; a second one is less patient. Nothing is lost either way.
    """
    logs.configure(values["log_level"])
    from shipper.ship import ShipSettings
    from towline.stores import Retention
    from towline.up import UpSettings
    from towline.up import up as run

    data = values["data"] or config.default_data()
    make_folder(data, "--data")
    reading = {setting.parameter: values[setting.parameter] for setting in READING}
    run(
        UpSettings(
            store=store_url(data),
            listen=values["listen"],
            ship=ShipSettings(state=values["state"] or data / "state", **reading, inputs=input_settings(values)),
            retention=Retention(age=values["keep_age"], size=values["keep_size"]),
            memory=values["memory"],
            token=config.secret(TOKEN),
            export=export_settings(values),
            events=values["events"] or "",
            broker=events_broker(values["events"], values["queue"]),
        )
    )


@click.command(short_help="Read logs, publish them to a queue.")
@options(QUEUE, DATA, STATE, LISTEN, *READING, *LISTENING, LOG_LEVEL)
def ship(queue: str | None, data: Path | None, state: Path | None, **values: Any) -> None:
    """Read the logs of all containers here and publish them to a queue (one per node).

    \b
    towline ship --queue amqp://towline@broker/
    TOWLINE_QUEUE_FILE=/run/secrets/queue towline ship
    towline ship --queue 'forward://fluentd:24224?tag=docker.{service}'
    towline ship --queue file:///var/log/containers.ndjson
    towline ship --queue stdout:// | jq .message

    While the queue is away, lines wait in their logs, or in the spool where they may vanish. `towline index` takes them
    from the queue. Behind forward (Fluentd, Fluent Bit), file and stdout they leave Towline, each as a document whose
    `event.id` tells repeats; such a queue is one shipper's own.
    """
    logs.configure(values["log_level"])
    from shipper.ship import ShipSettings
    from towline.apart import ship as run

    folder = state or (data or config.default_data()) / "state"
    reading = {setting.parameter: values[setting.parameter] for setting in READING}
    run(_broker("ship", queue), values["listen"], ShipSettings(state=folder, **reading, inputs=input_settings(values)))


@click.command(short_help="Take lines from a queue, put them into a store.")
@options(QUEUE, STORE, STORE_NAME, DATA, LISTEN, EVENTS, MEMORY, *KEEPING, LOG_LEVEL)
def index(queue: str | None, store: str | None, data: Path | None, **values: Any) -> None:
    """Take lines from a queue and put them into a store (as many as needed, anywhere).

    \b
    towline index --queue amqp://towline@broker/ --store https://elasticsearch:9200
    TOWLINE_QUEUE_FILE=/run/secrets/queue TOWLINE_STORE_FILE=/run/secrets/store towline index
    towline index --queue amqp://towline@broker/ --store https://elasticsearch:9200 --events
    towline index --queue amqp://towline@broker/ --store https://archive:9200 --store-name archive

    With --events it also stores what applications publish to the topic exchange `events` of that broker. With
    --store-name it takes the lines of services whose label `towline.store` names this store, and only these; its queue
    on the broker fills from the first start on, also while no such indexer runs.
    """
    logs.configure(values["log_level"])
    from towline.apart import IndexSettings
    from towline.apart import index as run
    from towline.stores import Retention

    url = chosen_store(store, data)
    _say_unused(url)
    run(
        IndexSettings(
            queue=_broker("index", queue),
            store=url,
            listen=values["listen"],
            retention=Retention(age=values["keep_age"], size=values["keep_size"], default=not _given(KEEP_AGE)),
            memory=values["memory"],
            events=values["events"] or "",
            name=values["store_name"],
        )
    )


def events_broker(events: str | None, given: str | None) -> str:
    """The URL of the broker that `up` takes domain events from, "" where it takes none."""
    if not events:
        if given:
            log.warning("--%s has no effect without --%s: lines stay in this process", QUEUE.name, EVENTS.name)
        return ""
    url = given or config.secret(QUEUE)
    if urlsplit(url).scheme not in ("amqp", "amqps"):
        raise UsageError(
            f"up --events needs --queue amqp://HOST (or {QUEUE.variable}, {QUEUE.variable}_FILE): the broker of events"
        )
    return url


def _given(setting: config.Setting) -> bool:
    """Whether somebody has said it, as an option or in the environment."""
    source = click.get_current_context().get_parameter_source(setting.parameter)
    return source is not ParameterSource.DEFAULT


def _say_unused(url: str) -> None:
    """Settings that were given, and have no effect on this store."""
    if urlsplit(url).scheme != "sqlite" and _given(KEEP_SIZE):
        log.warning("--%s has no effect on Elasticsearch, which forgets by age alone", KEEP_SIZE.name)


def _broker(command: str, given: str | None) -> str:
    """The URL of a queue that two processes can share."""
    url = given or config.secret(QUEUE)
    if not url:
        raise UsageError(f"{command} needs --queue amqp://HOST (or {QUEUE.variable}, {QUEUE.variable}_FILE)")
    if urlsplit(url).scheme == "memory":
        raise UsageError(f"{command} --queue {url}: a memory queue lives inside one process; use `towline up`")
    return url


@click.command(short_help="Prepare a store.")
@options(STORE, DATA, *KEEPING, LOG_LEVEL)
def setup(store: str | None, data: Path | None, **values: Any) -> None:
    """Prepare a store: make it, or bring it up to this version. Doing it again changes nothing, and no line is lost.

    \b
    towline setup
    towline setup --store sqlite:///srv/towline/store
    towline setup --store https://elastic@elasticsearch:9200 --keep-age 30d

    On Elasticsearch these are the index templates `towline-…`, and where --keep-age is given the retention, also of
    data streams that are there; else that stays as it is. Put settings of your own into the component template
    `logs-docker@custom`: it stays as it is, and wins.
    """
    logs.configure(values["log_level"])
    from towline.stores import Retention, open_store

    url = chosen_store(store, data)
    if url == store_url(data):
        make_folder(data or config.default_data(), "--data")
    _say_unused(url)
    retention = Retention(age=values["keep_age"], size=values["keep_size"], default=not _given(KEEP_AGE))
    open_store(url, retention=retention).close()
    click.echo(f"store ready: {config.masked(STORE, url)}")


COMMANDS = (up, ship, index, setup)
