"""One service to several stores over a real broker: each line once in each store that its label names.

The default store is on Elasticsearch, the other one on disk; both are fed by `towline index`, as it is run.
"""

import logging
import os
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NoReturn

import orjson
import pika
import pytest
import requests

from indexer.index import Indexer
from indexer.ledger import count
from towline import metrics
from towline.batch import ORIGIN_MARK, Batch, Origin, Section
from towline.checks_stores import findings
from towline.data_streams import DEFAULT
from towline.dead_letters import Filters
from towline.dead_letters_queue import DeadQueue
from towline.query import Query
from towline.queues import Delivery, Queue, open_queue
from towline.stores import Store, open_store

AMQP = os.environ.get("TOWLINE_TEST_AMQP", "amqp://guest:guest@127.0.0.1:5680/")
ELASTICSEARCH = os.environ.get("TOWLINE_TEST_ELASTICSEARCH", "http://127.0.0.1:9200")
STAMP = "2026-11-23T10:{:02}:{:02}.{:09}Z"
NAMED = {"plain": (), "both": ("main", "archive"), "only": ("archive",)}
"""Services, and the stores that their labels name."""
SOON = 150.0
"""Seconds that a server of many tests may take on a busy machine; only a failure waits so long."""


def until(condition: Callable[[], Any], what: str = "it does not come true") -> None:
    deadline = monotonic() + SOON
    while not condition():
        assert monotonic() < deadline, what
        sleep(0.02)


class Broker:
    """Names of one test on the shared broker."""

    def __init__(self) -> None:
        self.name = f"stores-{uuid.uuid4().hex[:8]}"
        self.url = f"{AMQP}?name={self.name}"
        self.connection = pika.BlockingConnection(pika.URLParameters(AMQP))
        self.channel = self.connection.channel()
        self._parts = ExitStack()

    def open(self, store: str = "main") -> Queue:
        queue = open_queue(self.url, max_bytes=8 << 20, store=store)
        self._parts.callback(queue.close)
        return queue

    def declared(self, store: str) -> None:
        """The store's queue, as the first start of its indexer leaves it."""
        queue = self.open(store)
        until(lambda: not problem(queue), "the broker does not answer")
        queue.close()

    def waiting(self, queue: str) -> int:
        found = self.channel.queue_declare(f"{self.name}.{queue}", passive=True)
        return int(found.method.message_count or 0)

    def service(self, kind: str) -> str:
        return f"{self.name}-{kind}"

    def close(self) -> None:
        self._parts.close()
        for each in ("logs", "logs.archive", "dead"):
            self.channel.queue_delete(f"{self.name}.{each}")
        for each in (self.name, f"{self.name}.dead"):
            self.channel.exchange_delete(each)
        self.connection.close()


@pytest.fixture
def broker(missing_part: Callable[[str], NoReturn]) -> Iterator[Broker]:
    try:
        made = Broker()
    except pika.exceptions.AMQPConnectionError as error:
        missing_part(f"no RabbitMQ on {AMQP.rpartition('@')[2]}: {error!r}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def elastic(missing_part: Callable[[str], NoReturn]) -> Iterator[Store]:
    namespace = f"stores.{os.getpid()}"
    try:
        requests.get(f"{ELASTICSEARCH}/_cluster/health", timeout=30)
    except requests.ConnectionError as error:
        missing_part(f"no Elasticsearch on {ELASTICSEARCH}: {error}")
    store = open_store(f"{ELASTICSEARCH}/?namespace={namespace}&refresh=now")
    yield store
    store.close()
    for stream in (f"logs-docker-{namespace}", f"logs-towline.deadletter-{namespace}"):
        emptied(stream)


def emptied(stream: str) -> None:
    """The last index of a data stream can't be removed, and on this server no data stream can."""
    if requests.post(f"{ELASTICSEARCH}/{stream}/_rollover", timeout=60).ok:
        for index in sorted(requests.get(f"{ELASTICSEARCH}/{stream}/_settings", timeout=60).json())[:-1]:
            requests.delete(f"{ELASTICSEARCH}/{index}", timeout=60)


def section(broker: Broker, kind: str, number: int, lines: int = 4, stores: Sequence[str] | None = None) -> Section:
    """The lines number * lines … of the service of this kind."""
    service, named = broker.service(kind), NAMED[kind] if stores is None else stores
    asked: dict[str, Any] = {**DEFAULT, "stores": list(named)} if named else {**DEFAULT}
    origin = Origin({"container": {"id": service, "name": service}, "host": {"name": "n"},
                     "service": {"name": service}, "data_stream": asked})  # fmt: skip
    docs, stamps = b"", []
    for at in range(number * lines, (number + 1) * lines):
        stamps.append(STAMP.format(at // 60 % 60, at % 60, at))
        row = {"@timestamp": stamps[-1], "message": f"m{at}", "stream": "stdout", "event": {"sequence": at}}
        docs += orjson.dumps({"create": {"_id": f"{stamps[-1]}-{service}"}}) + b"\n"
        docs += orjson.dumps(row)[:-1] + ORIGIN_MARK + b"}\n"
    return Section(origin, docs, lines, stamps[0], stamps[-1])


def batch(broker: Broker, number: int, *kinds: str) -> Batch:
    return Batch([section(broker, kind, number) for kind in kinds or NAMED], node="n")


def offer(queue: Queue, batches: Sequence[Batch]) -> None:
    """Until all of them are confirmed."""
    confirmed: list[bool] = []
    for each in batches:
        until(lambda: queue.offer(each, lambda: confirmed.append(True)), "the queue takes nothing")  # noqa: B023
    until(lambda: len(confirmed) == len(batches), "not all is confirmed")


def stored(store: Store, service: str) -> Counter[str]:
    return Counter(str(row["message"]) for row in store.search(Query(service=(service,), limit=0)))


def numbered(count: int) -> Counter[str]:
    return Counter(f"m{at}" for at in range(count))


def value(metric: Any, *labels: str) -> float:
    return float(metric.labels(*labels)._value.get())


@contextmanager
def indexing(queue: Queue, store: Store, name: str = "main") -> Iterator[None]:
    indexer = Indexer(queue, store, count=partial(count, store=name))
    thread = threading.Thread(target=indexer.run)
    thread.start()
    try:
        yield
    finally:
        indexer.stop()
        thread.join()


@contextmanager
def archiving(broker: Broker, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`towline index --store-name archive`, killed at the end where it still runs."""
    command = [sys.executable, "-c", "from towline.cli import main; main()", "index", "--listen", "127.0.0.1:0",
               "--queue", broker.url, "--store", f"sqlite://{folder}", "--store-name", "archive"]  # fmt: skip
    with (folder.parent / "said").open("ab") as said, subprocess.Popen(command, stderr=said) as running:
        try:
            yield running
        finally:
            running.kill()


def in_archive(folder: Path, service: str) -> Counter[str]:
    if not list(folder.glob("*.db")):
        return Counter()
    reader = open_store(f"sqlite://{folder}", read_only=True)
    try:
        return stored(reader, service)
    finally:
        reader.close()


def test_each_line_is_once_in_each_store_that_its_label_names_though_an_indexer_is_killed(
    broker: Broker, elastic: Store, tmp_path: Path
) -> None:
    half, whole = 60, 120
    folder = tmp_path / "archive"
    both, only, plain = (broker.service(kind) for kind in ("both", "only", "plain"))
    broker.declared("archive")
    shipper = broker.open()
    with indexing(broker.open(), elastic):
        with archiving(broker, folder) as running:
            offer(shipper, [batch(broker, number) for number in range(half)])
            until(lambda: in_archive(folder, only) or running.poll() is not None, "the archive gets nothing")
            assert running.poll() is None, (tmp_path / "said").read_text()
            running.kill()  # SIGKILL, with what it had taken not acknowledged
            running.wait()
        again = broker.open("archive")
        taken: list[Delivery] = []
        offer(shipper, [batch(broker, number) for number in range(half, whole)])
        until(lambda: bool(taken.extend(again.take(100, 0.1))) or taken, "nothing comes again")
        archive = open_store(f"sqlite://{folder}")
        archive.write([delivery.batch for delivery in taken])  # stored, and gone before the broker heard of it
        archive.close()
        again.close()
        with archiving(broker, folder) as running:
            until(lambda: in_archive(folder, both) == numbered(4 * whole), "the archive lacks lines")
            until(lambda: in_archive(folder, only) == numbered(4 * whole), "the archive lacks lines")
            until(lambda: broker.waiting("logs.archive") == 0)
            running.terminate()
            assert running.wait(60) == 0
        until(lambda: value(metrics.STORE_INDEXED, both, "main") == 4 * whole, "the default store lacks lines")
        until(lambda: value(metrics.LINES_INDEXED, plain) == 4 * whole, "the default store lacks lines")
    assert in_archive(folder, both) == in_archive(folder, only) == numbered(4 * whole)
    assert in_archive(folder, plain) == Counter()
    assert stored(elastic, both) == stored(elastic, plain) == numbered(4 * whole)
    assert stored(elastic, only) == Counter()
    asked = {(service, store): value(metrics.STORE_CONFIRMED, service, store)
             for service in (both, only, plain) for store in ("main", "archive")}  # fmt: skip
    assert asked == {(both, "main"): 4 * whole, (both, "archive"): 4 * whole, (only, "main"): 0,
                     (only, "archive"): 4 * whole, (plain, "main"): 0, (plain, "archive"): 0}  # fmt: skip
    assert value(metrics.STORE_UNSERVED, both, "archive") == 0


def test_lines_for_a_store_that_nobody_serves_are_told_and_in_the_default_store_until_somebody_does(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both, only = broker.service("both"), broker.service("only")
    main, archive = open_store(f"sqlite://{tmp_path}/main"), open_store(f"sqlite://{tmp_path}/archive")
    shipper = broker.open()
    with indexing(broker.open(), main), caplog.at_level(logging.WARNING, "towline.unserved"):
        offer(shipper, [batch(broker, 0), batch(broker, 1)])
        until(lambda: stored(main, only) == stored(main, both) == numbered(8))
        assert shipper.depth() == 0, "what is confirmed takes no room"
        assert [value(metrics.STORE_UNSERVED, service, "archive") for service in (both, only)] == [8, 8]
        assert [value(metrics.STORE_CONFIRMED, only, store) for store in ("main", "archive")] == [8, 0]
        until(lambda: value(metrics.LINES_INDEXED, only) == 8)
        told = [record.getMessage() for record in caplog.records]
        assert sorted(told) == sorted(
            f"label towline.store of service {service}: nobody serves store 'archive'; `main` gets its lines: run "
            "`towline index --store-name` with this name, or mend the label" for service in (both, only))  # fmt: skip
        mend = "run `towline index --store-name archive`, or mend the label"
        until(lambda: checked(broker, only) == [("BAD", mend)], "check does not tell")
        feeding = broker.open("archive")
        until(lambda: not problem(feeding), "its queue is not there, and bound")
        with indexing(feeding, archive, "archive"):
            until(lambda: checked(broker, only) == [("GOOD", "")], "check does not tell")
            offer(shipper, [batch(broker, 2)])
            until(lambda: stored(archive, only) == stored(archive, both) == numbered(12) - numbered(8))
        until(lambda: stored(main, both) == numbered(12))
    assert stored(main, only) == numbered(8)
    assert value(metrics.LINES_INDEXED, only) == 12, "the ledger has each line once"
    assert value(metrics.LINES_INDEXED, both) == 12
    main.close()
    archive.close()


def checked(broker: Broker, service: str) -> list[tuple[str, str]]:
    """Mark and fix of what `towline check` says."""
    found = findings({"archive": [service], "main": [service]}, broker.url, {})
    return [(finding.mark.name, finding.fix) for finding in found]


def test_a_message_that_the_archive_can_not_read_goes_back_to_it_when_it_is_replayed(broker: Broker) -> None:
    broker.declared("main")
    queue = broker.open("archive")
    until(lambda: not problem(queue), "the broker does not answer")
    garbage = b"no batch"
    broker.channel.basic_publish(broker.name, "store.archive", garbage, pika.BasicProperties(message_id="g"))
    broker.channel.basic_publish(
        broker.name, "store.archive", batch(broker, 0, "only").encode(), pika.BasicProperties(message_id="b")
    )
    (delivery,) = queue.take(100, 60)
    delivery.done()
    until(lambda: broker.waiting("dead") == 1)
    found, body = broker.channel.basic_get(f"{broker.name}.dead", auto_ack=True)[1:]
    assert found is not None
    assert (body, (found.headers or {})["towline-queue"]) == (garbage, f"{broker.name}.logs.archive")
    queue.close()
    told = {"towline-reason": "a program of before could not", "towline-queue": f"{broker.name}.logs.archive"}
    broker.channel.basic_publish("", f"{broker.name}.dead", batch(broker, 1, "only").encode(),
                                 pika.BasicProperties(message_id="r", headers=told))  # fmt: skip
    until(lambda: broker.waiting("dead") == 1)
    with DeadQueue(broker.url) as dead:
        assert dead.replay(Filters(), 0, lambda _: None).replayed == 1
    until(lambda: broker.waiting("logs.archive") == 1)
    assert broker.waiting("logs") == 0


def test_what_a_store_refuses_is_a_dead_letter_there_alone(broker: Broker, elastic: Store, tmp_path: Path) -> None:
    both = broker.service("both")
    bad = section(broker, "both", 0, lines=1)
    bad.docs = bad.docs.replace(b'"@timestamp":"2026', b'"@timestamp":"none', 1)
    archive = open_store(f"sqlite://{tmp_path}/archive")
    broker.declared("archive")
    with indexing(broker.open(), elastic), indexing(broker.open("archive"), archive, "archive"):
        offer(broker.open(), [Batch([bad, section(broker, "both", 1, lines=1)], node="n")])
        until(lambda: value(metrics.STORE_DEAD_LETTERED, both, "main") == 1)
        until(lambda: value(metrics.STORE_INDEXED, both, "archive") + value(
            metrics.STORE_DEAD_LETTERED, both, "archive") == 2)  # fmt: skip
    for store, name in ((elastic, "main"), (archive, "archive")):
        letters = [letter for letter in store.dead_letters(0) if letter["service"]["name"] == both]
        assert len(letters) == value(metrics.STORE_DEAD_LETTERED, both, name)
    assert stored(elastic, both) == Counter({"m1": 1})
    assert value(metrics.LINES_DEAD_LETTERED, both) == 1
    archive.close()


def test_a_full_archive_holds_up_what_follows_and_is_named_until_its_queue_is_deleted(broker: Broker) -> None:
    broker.declared("main")
    archive = f"{broker.name}.logs.archive"
    small = {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length-bytes": 2048}
    broker.channel.queue_declare(archive, durable=True, arguments=small)
    broker.channel.queue_bind(archive, broker.name, "store.archive")
    shipper = broker.open()
    confirmed: list[int] = []
    offered = 0

    def refused() -> bool:
        nonlocal offered
        offered += shipper.offer(batch(broker, offered, "only"), lambda: confirmed.append(1))
        return any(f"{archive}' takes nothing" in told for told in problem(shipper))

    until(refused, "the queue takes all")
    assert broker.waiting("logs.archive") > 0
    broker.channel.queue_delete(archive)  # nobody is to have it any more
    until(lambda: len(confirmed) == offered, "what was held up is stuck")
    until(lambda: not problem(shipper), "it is still said to be full")
    until(lambda: broker.waiting("logs") > 0)
    offer(shipper, [batch(broker, 900, "plain")])
    assert shipper.depth() == 0


def problem(queue: Queue) -> list[str]:
    try:
        queue.check()
    except Exception as error:
        return [str(error)]
    return []
