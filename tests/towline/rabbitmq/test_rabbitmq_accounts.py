"""The accounts that compose/init.py makes, on a real broker: each may do what it is for, and no more."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from pika import exceptions
from rabbitmq_server import Server, make, until

from indexer.events import batch_of
from towline.errors import QueueUnavailable
from towline.queues import open_queue
from towline.queues.amqp_events import EventQueue

INIT = Path(__file__).parents[3] / "compose" / "init.py"
FOLDERS = {"shipper": "shipper", "indexer": "indexer", "application": "events"}


class Accounts:
    """What init.py made for the broker, imported as the broker does at its start."""

    def __init__(self, server: Server, folder: Path) -> None:
        subprocess.run([sys.executable, str(INIT), str(folder)], check=True, capture_output=True)
        server.ctl("import_definitions", str(folder / "rabbitmq/definitions.json"))
        self._server, self._folder = server, folder

    def url(self, user: str) -> str:
        password = (self._folder / FOLDERS[user] / "queue_password").read_text()
        return self._server.url.replace("guest:guest", f"{user}:{password}")

    def publish(self, user: str, exchange: str, key: str) -> None:
        """Confirmed and routed; raises what pika does where it is not."""
        connection = pika.BlockingConnection(pika.URLParameters(self.url(user)))
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.basic_publish(exchange, key, b'{"order":1}', pika.BasicProperties(message_id="m"), mandatory=True)
        finally:
            if connection.is_open:
                connection.close()

    def remove(self) -> None:
        """All but the users: the broker is this session's own."""
        connection, channel = self._server.channel()
        for queue in ("towline.logs", "towline.logs.archive", "towline.dead", "towline.events"):
            channel.queue_delete(queue)
        for exchange in ("towline", "towline.dead", "events"):
            channel.exchange_delete(exchange)
        connection.close()


@pytest.fixture
def accounts(server: Server, tmp_path: Path) -> Iterator[Accounts]:
    made = Accounts(server, tmp_path)
    yield made
    made.remove()


def test_lines_to_both_stores_and_events_pass_and_nothing_else_does(
    accounts: Accounts, request: pytest.FixtureRequest
) -> None:
    def kept(opened: Any) -> Any:
        request.addfinalizer(opened.close)
        return opened

    shipper = kept(open_queue(accounts.url("shipper"), max_bytes=1 << 20))
    main = kept(open_queue(accounts.url("indexer"), max_bytes=1 << 20))
    archive = kept(open_queue(accounts.url("indexer"), max_bytes=1 << 20, store="archive"))
    events = kept(EventQueue(accounts.url("indexer"), "events", 1 << 20, lambda event: batch_of(event, time.time_ns())))
    shipper.resume("")
    for queue in (shipper, main, archive, events):
        until(lambda: well(queue))  # noqa: B023
    until(lambda: shipper.life, "the shipper may not bind the queue to a way of its own")
    confirmed: list[int] = []
    batch = make(7)
    batch.sections[0].origin.fields["data_stream"] = {"stores": ["main", "archive"]}  # type: ignore[index]
    until(lambda: shipper.offer(batch, lambda: confirmed.append(1)))
    until(lambda: confirmed)
    accounts.publish("application", "events", "order.created")
    for queue in (main, archive, events):
        (delivery,) = queue.take(100, 60)
        assert delivery.batch.count == 1
        delivery.done()

    nobody_publishes_elsewhere(accounts)
    only_indexers_take_messages_or_make_queues(accounts)


def well(queue: Any) -> bool:
    try:
        queue.check()
    except QueueUnavailable:
        return False
    return True


def nobody_publishes_elsewhere(accounts: Accounts) -> None:
    for user, exchange in (("application", "towline"), ("application", ""), ("application", "towline.dead"),
                           ("shipper", "towline.dead"), ("shipper", ""), ("shipper", "events"), ("indexer", ""),
                           ("indexer", "events")):  # fmt: skip
        with pytest.raises(exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
            accounts.publish(user, exchange, "logs")


def only_indexers_take_messages_or_make_queues(accounts: Accounts) -> None:
    attempts: tuple[Callable[[Any], Any], ...] = (
        lambda channel: channel.basic_get("towline.logs"),
        lambda channel: channel.queue_declare("towline.logs.archive", durable=True),
        lambda channel: channel.queue_purge("towline.logs"),
    )
    for user in ("shipper", "application"):
        connection = pika.BlockingConnection(pika.URLParameters(accounts.url(user)))
        for attempt in attempts:
            with pytest.raises(exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
                attempt(connection.channel())
        connection.close()
