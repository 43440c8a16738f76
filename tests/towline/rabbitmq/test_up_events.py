"""`towline up --events`: what applications publish lands in its store beside the lines, once."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from pika import BasicProperties
from rabbitmq_server import Server, until

from indexer.events import batch_of
from towline.cli_run import events_broker
from towline.errors import UsageError
from towline.query import Query
from towline.queues.amqp_events import EventQueue
from towline.stores import open_store

RUN = [sys.executable, "-c", "from towline.cli import main; main()", "up", "--listen", "127.0.0.1:0"]


@pytest.fixture
def exchange(server: Server, name: str) -> Iterator[str]:
    """An exchange for events, with our queue bound to it."""
    queue = EventQueue(f"{server.url}?name={name}", f"{name}-events", 1 << 20, lambda event: batch_of(event, 1))
    queue.check()
    queue.close()
    yield f"{name}-events"
    connection, channel = server.channel()
    for each in ("dead", "events"):
        channel.queue_delete(f"{name}.{each}")
    for each in (name, f"{name}.dead", f"{name}-events"):
        channel.exchange_delete(each)
    connection.close()


def publish(server: Server, exchange: str, *identities: str) -> None:
    connection, channel = server.channel()
    channel.confirm_delivery()
    for identity in identities:
        properties = BasicProperties(message_id=identity, app_id="shop", correlation_id="request-1")
        channel.basic_publish(exchange, "order.created", orjson.dumps({"order": 1}), properties, mandatory=True)
    connection.close()


def stored(store: Path) -> list[Any]:
    if not list(store.glob("*.db")):
        return []
    reader = open_store(f"sqlite://{store}", read_only=True)
    try:
        return list(reader.search(Query(service=("shop",))))
    finally:
        reader.close()


def test_up_stores_events_beside_lines_until_it_is_told_to_stop(
    server: Server, name: str, exchange: str, tmp_path: Path
) -> None:
    publish(server, exchange, "m-1", "m-1", "m-2")
    log = tmp_path / "log"
    options = ["--data", str(tmp_path), "--engine", f"unix://{tmp_path}/none", "--events", exchange]
    environment = {**os.environ, "TOWLINE_QUEUE": f"{server.url}?name={name}"}
    connection, channel = server.channel()
    with log.open("w") as said, subprocess.Popen([*RUN, *options], stderr=said, env=environment) as running:
        try:

            def both() -> bool:
                assert running.poll() is None, log.read_text()
                return len(stored(tmp_path / "store")) == 2

            until(both)
            until(lambda: channel.queue_declare(f"{name}.events", passive=True).method.message_count == 0)
        finally:
            running.terminate()
        assert running.wait(60) == 0
    connection.close()
    found = stored(tmp_path / "store")
    assert {event["event"]["id"] for event in found} == {"m-1", "m-2"}
    assert found[0]["data_stream"]["dataset"] == "events.order"
    assert found[0]["trace"]["id"] == "request-1"
    password = server.url.partition("://")[2].partition("@")[0]
    assert password not in log.read_text()


@pytest.mark.parametrize("queue", [None, "memory://", "file:///tmp/x"])
def test_events_need_a_broker(queue: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOWLINE_QUEUE", raising=False)
    with pytest.raises(UsageError, match="up --events needs --queue amqp://HOST"):
        events_broker("events", queue)
    assert events_broker(None, queue) == ""
    assert events_broker("events", "amqps://broker/") == "amqps://broker/"
