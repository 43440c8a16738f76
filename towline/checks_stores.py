"""What `towline check` finds out about stores that labels name: whether somebody feeds them, so that they get lines."""

import ssl
from collections.abc import Iterator, Mapping, Sequence

import pika
from pika import exceptions

from towline.config import QUEUE, secret
from towline.errors import TowlineError
from towline.finding import Finding, Mark
from towline.queues import amqp_url, leads_out
from towline.queues.amqp_blocking import connected
from towline.store_names import MAIN

SHOWN = 5


def findings(asked: Mapping[str, Sequence[str]], queue: str, environ: Mapping[str, str]) -> Iterator[Finding]:
    """One finding for each store but the default one. `asked`: the services that name it. `queue`: URL, or ""."""
    named = {store: services for store, services in sorted(asked.items()) if store != MAIN}
    if not named:
        return
    try:
        queue = queue or secret(QUEUE, environ)
        there = None if not queue or queue.startswith("memory:") or leads_out(queue) else _served(queue, named)
    except (exceptions.AMQPError, OSError, ssl.SSLError, TowlineError):
        return  # said already
    for store, services in named.items():
        yield _told(store, services, leads_out(queue) if queue else False, there)


def _told(store: str, services: Sequence[str], out: bool, there: set[str] | None) -> Finding:
    who = f"label towline.store={store} ({', '.join(services[:SHOWN])}{' and others' if len(services) > SHOWN else ''})"
    if there is None:
        way = "all lines leave Towline by --queue" if out else "`towline up` has one store, main"
        return Finding(Mark.HINT, f"{who}: {way}", "name a broker with --queue amqp://HOST, or mend the label")
    if store not in there:
        return Finding(Mark.BAD, f"{who}: nobody serves this store; main gets its lines",
                       f"run `towline index --store-name {store}`, or mend the label")  # fmt: skip
    return Finding(Mark.GOOD, f"{who}: the broker has a queue for it")


def _served(url: str, names: Mapping[str, Sequence[str]]) -> set[str]:
    """Those of the stores that the broker has a queue for; errors of the client go through."""
    broker = amqp_url.parse(url)
    connection = connected(broker)
    try:
        return {store for store in names if _is_there(connection, broker.queue_of(store))}
    finally:
        connection.close()


def _is_there(connection: pika.BlockingConnection, queue: str) -> bool:
    channel = connection.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except exceptions.ChannelClosedByBroker as error:
        if error.reply_code != 404:
            raise
        return False
    channel.close()
    return True
