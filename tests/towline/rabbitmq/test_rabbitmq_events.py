"""Domain events from a real broker into both stores: each once, whatever is delivered twice, and nothing stuck."""

import os
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pika
import pika.data  # type: ignore[import-untyped]
import pytest
import requests
from pika import BasicProperties
from rabbitmq_server import Server, until

from indexer.events import batch_of
from indexer.index import Indexer
from indexer.ledger import count_events
from towline import metrics
from towline.batch import Batch
from towline.dead_letters import Filters
from towline.dead_letters_queue import DeadQueue
from towline.errors import BatchError, QueueUnavailable
from towline.query import Query, parse
from towline.queues.amqp_events import Event, EventQueue
from towline.stores import Store, open_store

ELASTICSEARCH = os.environ.get("TOWLINE_TEST_ELASTICSEARCH", "http://127.0.0.1:9200")


def made(event: Event) -> Batch:
    if b"poison" in event.body:
        raise BatchError("it is poison")
    if b"bug" in event.body:
        raise KeyError("a bug of ours")
    return batch_of(event, time.time_ns())


class Broker:
    """Names of one test on the broker, and who publishes there."""

    def __init__(self, server: Server, name: str) -> None:
        self.server, self.name, self.exchange = server, name, f"{name}-events"
        self.url = f"{server.url}?name={name}"
        self.connection, self.channel = server.channel()
        self.queues: list[EventQueue] = []

    def open(self, url: str = "") -> EventQueue:
        self.queues.append(EventQueue(url or self.url, self.exchange, 8 << 20, made))
        return self.queues[-1]

    def declared(self) -> EventQueue:
        queue = self.open()
        queue.check()
        return queue

    def publish(self, body: Any, key: str = "order.created", **properties: Any) -> None:
        self.channel.confirm_delivery()
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        self.channel.basic_publish(self.exchange, key, raw, BasicProperties(**properties), mandatory=True)

    def waiting(self, queue: str) -> int:
        found = self.channel.queue_declare(f"{self.name}.{queue}", passive=True)
        return int(found.method.message_count or 0)

    def dead(self) -> tuple[BasicProperties, bytes]:
        until(lambda: self.waiting("dead") > 0)
        _, found, body = self.channel.basic_get(f"{self.name}.dead", auto_ack=True)
        assert found is not None
        assert isinstance(body, bytes)
        return found, body

    def close(self) -> None:
        for queue in self.queues:
            queue.close()
        for each in ("logs", "dead", "events"):
            self.channel.queue_delete(f"{self.name}.{each}")
        for each in (self.name, f"{self.name}.dead", self.exchange):
            self.channel.exchange_delete(each)
        self.connection.close()


@pytest.fixture
def broker(server: Server, name: str) -> Iterator[Broker]:
    one = Broker(server, name)
    yield one
    one.close()


@pytest.fixture(params=["sqlite", "elasticsearch"])
def store(request: pytest.FixtureRequest, tmp_path: Path, missing_part: Callable[[str], NoReturn]) -> Iterator[Store]:
    url = f"sqlite://{tmp_path}/store"
    namespace = f"events.{os.getpid()}"
    if request.param == "elasticsearch":
        try:
            requests.get(f"{ELASTICSEARCH}/_cluster/health", timeout=10)
        except requests.ConnectionError as error:
            missing_part(f"no Elasticsearch on {ELASTICSEARCH}: {error}")
        url = f"{ELASTICSEARCH}/?namespace={namespace}&refresh=now"
    opened = open_store(url)
    yield opened
    opened.close()


@contextmanager
def indexing(queue: EventQueue, store: Store) -> Iterator[Indexer]:
    indexer = Indexer(queue, store, count=count_events)
    thread = threading.Thread(target=indexer.run)
    thread.start()
    try:
        yield indexer
    finally:
        indexer.stop()
        thread.join()


def counted(metric: Any, service: str) -> float:
    return float(metric.labels(service)._value.get())


def test_each_event_is_stored_once_however_often_it_is_delivered(broker: Broker, store: Store) -> None:
    service = f"orders-{uuid.uuid4().hex[:8]}"
    first = broker.declared()
    for number in range(20):
        broker.publish({"order": number}, type="order.created", message_id=f"{service}-{number}", app_id=service,
                       correlation_id=f"request-{number}", headers={"tenant": "acme"})  # fmt: skip
    taken: list[Any] = []
    until(lambda: bool(taken.extend(first.take(100, 0.1))) or len(taken) == 20)
    store.write([delivery.batch for delivery in taken[:15]])  # stored, and killed before the broker heard of it
    first.close()
    with indexing(broker.open(), store):
        for number in (3, 7):  # a publisher that got no confirm: the same message, at another time
            broker.publish({"order": number}, type="order.created", message_id=f"{service}-{number}", app_id=service,
                           timestamp=1_790_000_000 + number)  # fmt: skip
        broker.publish("no id", key="order.noted", app_id=service)
        broker.publish("no id", key="order.noted", app_id=service)
        until(lambda: counted(metrics.EVENTS_STORED, service) == 24)
        until(lambda: broker.waiting("events") == 0)
        until(lambda: counted(metrics.EVENTS_DUPLICATE, service) == 15 + 2 + 1)
    asked = Query(service=(service,), where=parse("data_stream.dataset:events.order.created"), limit=0)
    documents = list(store.search(asked))
    assert sorted(document["event"]["id"] for document in documents) == sorted(f"{service}-{n}" for n in range(20))
    assert len(list(store.search(Query(service=(service,), limit=0)))) == 21
    (one,) = store.search(Query(where=parse(f"trace.id:request-5 fields.order:5 rabbitmq.headers.tenant:acme"
                                            f" rabbitmq.routing_key:order.* service:{service}")))  # fmt: skip
    assert (one["message"], one["rabbitmq"]["routing_key"]) == ('{"order":5}', "order.created")
    assert [row["event"]["id"] for row in store.search(Query(where=parse(f'event.id:"{service}-7"')))] == [
        f"{service}-7"
    ]
    reopened = [delivery.batch for delivery in taken]
    (*_, last) = store.write(reopened)
    assert list(last.duplicate) == [1]
    assert service not in {known.service for known in store.containers(0)[0]}, "an event is no container's line"


def test_poison_goes_to_the_dead_letters_and_holds_up_nothing(broker: Broker, tmp_path: Path) -> None:
    queue, store = broker.declared(), open_store(f"sqlite://{tmp_path}/store")
    broker.publish(
        b"poison", key="bad.one", type="t", app_id="a", correlation_id="c", user_id="guest", message_id="p-1"
    )
    broker.publish(b"a bug of ours", key="bad.two", headers={"h": 1})
    broker.publish({"well": 1}, message_id="w-1")
    with indexing(queue, store):
        until(lambda: any(row["event"]["id"] == "w-1" for row in store.search(Query())))
        until(lambda: broker.waiting("dead") == 2)
        until(lambda: broker.waiting("events") == 0)
    found, body = broker.dead()
    assert body == b"poison"
    assert (found.type, found.app_id, found.correlation_id, found.message_id) == ("t", "a", "c", "p-1")
    headers = {name: value for name, value in (found.headers or {}).items() if name != "x-delivery-count"}
    assert headers == {"towline-reason": "it is poison", "towline-queue": f"{broker.name}.events",
                             "towline-exchange": broker.exchange, "towline-routing-key": "bad.one",
                             "towline-user": "guest"}  # fmt: skip
    found, _ = broker.dead()
    assert (found.headers or {})["towline-reason"] == "KeyError: 'a bug of ours'"
    assert (found.headers or {})["h"] == 1
    store.close()


def test_headers_that_a_library_stumbles_over_cost_no_connection(broker: Broker) -> None:
    queue = broker.declared()
    raw = pika.data.encode_value

    def encode(pieces: list[bytes], value: Any) -> int:
        odd = {"milliseconds": b"T" + (1_790_000_000_000).to_bytes(8, "big"), "share": b"d" + struct.pack(">d", 0.25)}
        if not isinstance(value, str) or value not in odd:
            return int(raw(pieces, value))
        pieces.append(odd[value])
        return len(pieces[-1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pika.data, "encode_value", encode)
        for body in (b"poison", b"{}"):
            broker.publish(body, headers={"when": "milliseconds", "share": "share", "in": {"a": [1, None, "share"]}})
    (delivery,) = queue.take(1, 30)
    document = orjson.loads(delivery.batch.sections[0].expand().splitlines()[1])
    assert document["rabbitmq"]["headers"] == {"when": "1790000000000", "share": 0.25, "in": {"a": [1, None, 0.25]}}
    delivery.done()
    found, _ = broker.dead()
    assert (found.headers or {})["in"] == {"a": [1, None, "0.25"]}


@pytest.mark.parametrize("kind", ["fanout", "headers"])
def test_an_exchange_of_the_applications_is_taken_as_it_is(broker: Broker, kind: Any) -> None:
    broker.channel.exchange_declare(broker.exchange, kind)
    queue = broker.declared()
    broker.publish({"order": 1}, message_id="m")
    (delivery,) = queue.take(1, 30)
    assert delivery.batch.count == 1
    delivery.done()
    until(lambda: broker.waiting("events") == 0)


def test_an_account_that_may_not_declare_checks_what_is_there(server: Server, broker: Broker) -> None:
    user = f"reader-{broker.name}"
    server.ctl("add_user", user, "secret")
    server.ctl("set_permissions", user, "^$", f"^{broker.name}", f"^{broker.name}")
    url = server.url.replace("guest:guest", f"{user}:secret") + f"?name={broker.name}"
    try:
        early = broker.open(url)
        with pytest.raises(QueueUnavailable, match="may not declare it"):
            early.check()
        # It tries again for ever: left open, it would consume beside the next one, and take what that one waits for.
        early.close()
        broker.declared().close()
        queue = broker.open(url)
        queue.check()
        broker.publish({"order": 1}, message_id="m")
        (delivery,) = queue.take(1, 30)
        delivery.done()
    finally:
        server.ctl("delete_user", user)


def test_the_queue_is_bounded_and_refuses(broker: Broker) -> None:
    queue = broker.open(f"{broker.url}&size=10K")
    queue.check()
    queue.close()

    def refused() -> bool:
        try:
            broker.publish(b"x" * 1000)
        except pika.exceptions.NackError:
            return True
        return False

    until(refused, "the queue takes all")


def test_a_dead_event_is_replayed_under_its_own_name(broker: Broker) -> None:
    queue = broker.declared()
    broker.publish(b"poison", key="bad.one", type="t", message_id="p-1", headers={"h": 1})
    assert queue.take(1, 5) == []
    until(lambda: broker.waiting("dead") == 1)
    queue.close()
    with DeadQueue(broker.url) as dead:
        (letter,) = dead.letters(Filters())
        assert (letter.reason, letter.lines, letter.services) == ("it is poison", 1, [])
        assert dead.replay(Filters(), 0, lambda _: None).replayed == 1
    seen: list[Event] = []

    def keep(event: Event) -> Batch:
        seen.append(event)
        return batch_of(event, time.time_ns())

    mended = EventQueue(broker.url, broker.exchange, 8 << 20, keep)
    broker.queues.append(mended)
    (delivery,) = mended.take(1, 30)
    delivery.done()
    (event,) = seen
    assert (event.key, event.exchange, event.type, event.id) == ("bad.one", broker.exchange, "t", "p-1")
    assert event.headers == {"h": 1}
    until(lambda: broker.waiting("dead") == 0)


def test_index_stores_events_beside_lines_until_it_is_told_to_stop(broker: Broker, tmp_path: Path) -> None:
    broker.declared().close()
    broker.publish({"order": 1}, message_id="m-1", app_id="shop")
    store = f"sqlite://{tmp_path}/store"
    command = [
        sys.executable,
        "-c",
        "from towline.cli import main; main()",
        "index",
        "--listen",
        "127.0.0.1:0",
        "--queue",
        broker.url,
        "--store",
        store,
    ]
    with subprocess.Popen([*command, "--events", broker.exchange], stderr=subprocess.PIPE) as running:
        try:

            def stored() -> bool:
                assert running.poll() is None, "index has ended"
                if not list(tmp_path.glob("store/*.db")):
                    return False
                reader = open_store(store, read_only=True)
                documents = list(reader.search(Query(service=("shop",))))
                reader.close()
                return [document["fields"] for document in documents] == [{"order": 1}]

            until(stored)
            until(lambda: broker.waiting("events") == 0)
        finally:
            running.terminate()
        assert running.wait(60) == 0
