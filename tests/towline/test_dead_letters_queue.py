"""Dead letters on a real broker: shown without wearing them out, and replayed once they can be read."""

import os
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import orjson
import pika
import pytest
from click.testing import CliRunner, Result

from towline import dead_letters_queue
from towline.batch import Batch, Origin, Section
from towline.cli import cli
from towline.queues.amqp_message import dead_letter, properties

STAMP = "2026-11-23T10:00:00.000000000Z"
LOOKS = 25
"""More than a broker of version 4 delivers one message by default."""


class Broker:
    def __init__(self, base: str) -> None:
        self.name = f"letters{uuid.uuid4().hex[:8]}"
        self.url = f"{base}?name={self.name}"
        self.connection = pika.BlockingConnection(pika.URLParameters(base))
        self.channel = self.connection.channel()
        self.channel.exchange_declare(self.name, "topic", durable=True)
        for queue in (self.dead, self.logs):
            self.channel.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum"})
        self.channel.exchange_declare(self.dead, "fanout", durable=True)
        self.channel.queue_bind(self.logs, self.name, "logs")
        self.channel.queue_bind(self.dead, self.dead, "logs")
        self.channel.confirm_delivery()

    @property
    def dead(self) -> str:
        return f"{self.name}.dead"

    @property
    def logs(self) -> str:
        return f"{self.name}.logs"

    def bury(self, body: bytes, reason: str, lines: int = 1) -> None:
        found = dead_letter(properties(batch(lines), 1_790_000_000), reason, self.logs)
        self.channel.basic_publish("", self.dead, body, found, mandatory=True)

    def count(self, queue: str) -> int:
        return int(self.channel.queue_declare(queue, passive=True).method.message_count or 0)

    def close(self) -> None:
        for queue in (self.dead, self.logs):
            self.channel.queue_delete(queue)
        for exchange in (self.name, self.dead):
            self.channel.exchange_delete(exchange)
        self.connection.close()


@pytest.fixture
def broker(missing_part: Callable[[str], NoReturn], monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.setattr(dead_letters_queue, "BACK_WITHIN", 60.0)  # what a busy broker may take
    base = os.environ.get("TOWLINE_TEST_AMQP", "amqp://guest:guest@127.0.0.1:5680/")
    try:
        made = Broker(base)
    except pika.exceptions.AMQPConnectionError as error:
        missing_part(f"no RabbitMQ on {base.rpartition('@')[2]}: {error!r}")
    yield made
    made.close()


def batch(lines: int, service: str = "web") -> Batch:
    origin = Origin({"container": {"id": "c" * 64, "name": f"{service}.1"}, "host": {"name": "n"},
                     "service": {"name": service}})  # fmt: skip
    docs = b'{"create":{"_id":"x"}}\n{"@timestamp":"%b"\x1e}\n' % STAMP.encode()
    return Batch([Section(origin, docs * lines, lines, STAMP, STAMP)], node="node-1")


def run(*arguments: str) -> Result:
    return CliRunner(catch_exceptions=False).invoke(cli, ("dead-letters", *arguments))


def listed(broker: Broker, *arguments: str) -> list[dict[str, Any]]:
    done = run("list", "--json", "--queue", broker.url, *arguments)
    assert done.exit_code == 0, done.output
    return [orjson.loads(line) for line in done.stdout.splitlines()]


def test_messages_are_shown_with_their_reason_and_filtered(broker: Broker) -> None:
    broker.bury(b"garbage", "not a Towline batch")
    broker.bury(batch(3).encode(), "handed out 200 times, and never stored", 3)
    letters = {letter["reason"]: letter for letter in listed(broker)}
    assert letters["not a Towline batch"]["unreadable"]
    readable = letters["handed out 200 times, and never stored"]
    assert (readable["lines"], readable["services"], readable["node"]) == (3, ["web"], "node-1")
    assert readable["found_in"] == broker.logs
    assert len(listed(broker, "--service", "web")) == 1
    assert listed(broker, "--service", "db") == []
    shown = run("show", str(readable["id"]), "--queue", broker.url)
    assert orjson.loads(shown.stdout) == readable


def test_looking_often_wears_nothing_out(broker: Broker) -> None:
    broker.bury(b"garbage", "not a Towline batch")
    before = listed(broker)
    for _ in range(LOOKS):
        deadline = time.monotonic() + 60  # the broker takes a moment to have it back in the queue
        while (seen := listed(broker)) != before:
            assert seen == []
            assert time.monotonic() < deadline
    _, found, body = broker.channel.basic_get(broker.dead)
    assert body == b"garbage"
    assert found is not None
    assert (found.headers or {}).get("x-delivery-count", 0) < 20


def test_what_can_be_read_goes_back_and_the_rest_stays(broker: Broker) -> None:
    body = batch(3).encode()
    broker.bury(body, "handed out 200 times, and never stored", 3)
    broker.bury(b"garbage", "not a Towline batch")
    done = run("replay", "--dry-run", "--queue", broker.url)
    assert (done.exit_code, broker.count(broker.dead), broker.count(broker.logs)) == (0, 2, 0)
    done = run("replay", "--queue", broker.url)
    assert done.exit_code == 1
    assert "1 replayed, 1 refused again" in done.stdout
    _, found, again = broker.channel.basic_get(broker.logs, auto_ack=True)
    assert again == body
    assert found is not None
    assert set(found.headers or {}) - {"x-delivery-count"} == {"towline", "count", "node"}
    assert [letter["reason"] for letter in listed(broker)] == ["not a Towline batch"]
    assert "0 replayed, 1 refused again" in run("replay", "--queue", broker.url).stdout


def test_a_queue_that_is_not_there_keeps_the_message_and_says_so(broker: Broker) -> None:
    broker.bury(batch(1).encode(), "handed out 200 times, and never stored")
    broker.channel.queue_unbind(broker.logs, broker.name, "logs")
    done = run("replay", "--queue", broker.url)
    assert done.exit_code == 1
    assert f"queue '{broker.logs}' is not there" in done.stderr
    assert len(listed(broker)) == 1


def test_a_wrong_password_is_one_line_without_it(broker: Broker) -> None:
    done = run("list", "--queue", broker.url.replace("guest:guest", "guest:wr0ng"))
    assert done.exit_code == 1
    assert "refuses user 'guest'" in done.stderr
    assert "wr0ng" not in done.stderr
    assert done.stderr.count("\n") == 1
