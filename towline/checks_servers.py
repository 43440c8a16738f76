"""What `towline check` finds out about the broker, store and Prometheus configured: do they answer, and let us in."""

import ssl
import time
from collections.abc import Iterator, Mapping

import pika
from pika import exceptions

from towline.config import PROMETHEUS, QUEUE, SETTINGS, STORE, masked, secret
from towline.errors import QueueUnavailable, TowlineError, UsageError
from towline.finding import Finding, Mark
from towline.prometheus import Prometheus, parse
from towline.prometheus_queries import interval
from towline.query import Query
from towline.queues import amqp_url, file, forward_url, forward_wire, leads_out, stdout
from towline.queues.amqp_errors import explain
from towline.stores import open_store


def findings(queue: str, store: str, environ: Mapping[str, str]) -> Iterator[Finding]:
    """The findings about secrets, queue and store; `queue` and `store` are URLs, "" where none is configured."""
    unreadable = list(secrets(environ))
    yield from unreadable
    try:
        queue, store = queue or secret(QUEUE, environ), store or secret(STORE, environ)
    except UsageError:
        return  # said already
    if queue and not queue.startswith("memory:"):
        yield from way_out(queue, environ) if leads_out(queue) else broker(queue)
    if store and not store.startswith("sqlite:") and not unreadable:
        yield kept(store)
    if (measured := secret(PROMETHEUS, environ)) and not unreadable:
        yield scraped(measured, environ)


def secrets(environ: Mapping[str, str]) -> Iterator[Finding]:
    """One finding for each file of a secret that is named and can't be read."""
    for setting in SETTINGS:
        if setting.in_file:
            try:
                secret(setting, environ)
            except UsageError as error:
                yield _bad(str(error))


def broker(url: str) -> Iterator[Finding]:
    """One finding for each of the broker's addresses; nothing is declared there."""
    try:
        parsed = amqp_url.parse(url)
    except UsageError as error:
        yield _bad(str(error))
        return
    for address in parsed.addresses:
        yield _answers(parsed, address)


def way_out(url: str, environ: Mapping[str, str]) -> Iterator[Finding]:
    """One finding for each receiver, or for the file or stdout; nothing is written there."""
    try:
        if url.lower().startswith("forward"):
            receiver = forward_url.parse(url, environ)
            yield from (_receives(receiver, address) for address in receiver.addresses)
        elif url.lower().startswith("file"):
            yield Finding(Mark.GOOD, f"lines go to {file.parse(url)}, which can be written")
        else:
            stdout.parse(url)
            yield Finding(Mark.GOOD, "lines go to standard output")
    except UsageError as error:
        yield _bad(str(error))


def _receives(receiver: forward_url.Receiver, address: tuple[str, int]) -> Finding:
    shown = receiver.at(address)
    try:
        connection = forward_wire.Connection(receiver, address)
        demand = "" if receiver.shared_key else connection.demand()
        connection.close()
    except QueueUnavailable as error:
        demand = str(error)
    if demand:
        text, _, fix = demand.rpartition(": ")
        return Finding(Mark.BAD, f"queue {shown}: {text or fix}", fix if text else "look into its log")
    return Finding(Mark.GOOD, f"a forward receiver answers at {shown}")


def _answers(broker: amqp_url.Broker, address: tuple[str, int]) -> Finding:
    shown = broker.at(address)
    try:
        pika.BlockingConnection(broker.parameters(address)).close()
    except (exceptions.AMQPError, OSError, ssl.SSLError, TowlineError) as error:
        text, _, fix = explain(error, broker).rpartition(": ")
        return Finding(Mark.BAD, f"queue {shown}: {text or fix}", fix if text else "look into its log")
    return Finding(Mark.GOOD, f"the queue's broker answers at {shown}")


def kept(url: str) -> Finding:
    """Whether the store answers a search of ours."""
    try:
        store = open_store(url, retention=None, read_only=True)
        try:
            next(iter(store.search(Query(limit=1))), None)
        finally:
            store.close()
    except TowlineError as error:
        return _bad(str(error))
    return Finding(Mark.GOOD, f"the store answers at {masked(STORE, url)}")


def scraped(url: str, environ: Mapping[str, str]) -> Finding:
    """Whether Prometheus answers, and has something of `towline export`."""
    try:
        client = Prometheus(parse(url, environ))
        try:
            exporters = len(client.instant(interval(), time.time()))
        finally:
            client.close()
    except TowlineError as error:
        return _bad(str(error))
    if not exporters:
        return Finding(Mark.HINT, f"Prometheus {client.shown} answers, and scrapes no `towline export`",
                       "give it a job with the address of each, as compose/prometheus has it")  # fmt: skip
    return Finding(Mark.GOOD, f"Prometheus answers at {client.shown}; our exporters there: {exporters}")


def _bad(text: str) -> Finding:
    """The error's text, which ends with the fix behind a semicolon."""
    what, _, fix = text.rpartition("; ")
    return Finding(Mark.BAD, what or text, fix if what else "")
