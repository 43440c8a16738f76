"""What every queue promises, whatever is behind it. A new backend adds its URL to `URLS`.

RabbitMQ is the one that TOWLINE_TEST_AMQP names; each test has names of its own there. Where none answers these tests
are skipped, but not in CI.
"""

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import NoReturn

import pika
import pytest

from towline.batch import Batch, Origin, Section
from towline.errors import QueueUnavailable, UsageError
from towline.queues import Delivery, Queue, open_queue
from towline.queues import rabbitmq as rabbitmq_queue

RABBITMQ = os.environ.get("TOWLINE_TEST_AMQP", "amqp://guest:guest@127.0.0.1:5672/")
URLS = ["memory://", "amqp://"]
BOUND = 10_000
SOON = 90.0
"""Seconds that a thing may take which should happen at once; only a failure waits so long."""


def batch(number: int, size: int = 100, lines: int = 1) -> Batch:
    origin = Origin({"container": {"id": "c", "name": "c"}, "host": {"name": "n"}, "service": {"name": "s"}})
    docs = (b'{"create":{}}\n%d %s\n' % (number, b"x" * size)) * lines
    return Batch([Section(origin, docs, lines, "2026-11-23T00:00:00.000000000Z", "2026-11-23T00:00:00.000000000Z")])


def number_of(delivery: Delivery) -> int:
    return int(delivery.batch.sections[0].docs.split(b"\n")[1].split()[0])


def ignore() -> None: ...


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.005)


@pytest.fixture(scope="session")
def rabbitmq(missing_part: Callable[[str], NoReturn]) -> str:
    try:
        pika.BlockingConnection(pika.URLParameters(RABBITMQ)).close()
    except pika.exceptions.AMQPError as error:
        missing_part(f"no RabbitMQ answers at TOWLINE_TEST_AMQP ({error!r}); try: scripts/rabbitmq.sh start DIR")
    return RABBITMQ


def forget(url: str, name: str) -> None:
    """Take from the broker what a test has declared there."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    for each in (f"{name}.logs", f"{name}.dead"):
        channel.queue_delete(each)
    for each in (name, f"{name}.dead"):
        channel.exchange_delete(each)
    connection.close()


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` waits for a broker on a busy machine."""
    monkeypatch.setattr(rabbitmq_queue, "PATIENCE", SOON)


@pytest.fixture(params=URLS)
def queue(request: pytest.FixtureRequest) -> Iterator[Queue]:
    if request.param == "memory://":
        queue = open_queue("memory://", max_bytes=BOUND)
        yield queue
        queue.close()
        return
    url, name = request.getfixturevalue("rabbitmq"), f"contract-{uuid.uuid4().hex[:8]}"
    queue = open_queue(f"{url}?name={name}", max_bytes=BOUND)
    yield queue
    queue.close()
    forget(url, name)


@pytest.fixture
def memory() -> Iterator[Queue]:
    queue = open_queue("memory://", max_bytes=BOUND)
    yield queue
    queue.close()


def take(queue: Queue, number: int, at_once: int = 1000) -> list[Delivery]:
    """So many batches, whenever they come."""
    taken: list[Delivery] = []
    until(lambda: bool(taken.extend(queue.take(at_once, 0.05)) or len(taken) >= number))
    assert len(taken) == number
    return taken


def take_all(queue: Queue) -> list[int]:
    found = []
    while taken := queue.take(10, 0):
        found += [number_of(delivery) for delivery in taken]
    return found


def test_batches_come_out_whole_and_in_the_order_of_their_offers(queue: Queue) -> None:
    batches = [batch(i, lines=3) for i in range(5)]
    for each in batches:
        assert queue.offer(each, ignore)
    taken = take(queue, 5)
    assert [delivery.batch for delivery in taken] == batches
    for delivery in taken:
        delivery.done()


def test_take_stops_at_about_the_lines_asked_for_but_gives_at_least_one(queue: Queue) -> None:
    for i in range(4):
        queue.offer(batch(i, lines=10, size=10), ignore)
    for delivery in take(queue, 4):
        delivery.retry()  # and now all of them wait
    assert len(queue.take(25, SOON)) == 2
    assert len(queue.take(1, SOON)) == 1


def test_take_from_an_empty_queue_gives_nothing(queue: Queue) -> None:
    assert list(queue.take(10, 0)) == []
    assert list(queue.take(10, 0.01)) == []


def test_a_batch_is_confirmed_once(queue: Queue) -> None:
    confirmed: list[int] = []
    for i in range(3):
        queue.offer(batch(i), lambda i=i: confirmed.append(i))  # type: ignore[misc]
    for delivery in take(queue, 3):
        delivery.done()
    until(lambda: len(confirmed) >= 3 and queue.depth() == 0)
    assert sorted(confirmed) == [0, 1, 2]


def test_a_batch_in_memory_is_confirmed_only_after_it_is_done(memory: Queue) -> None:
    queue = memory
    confirmed: list[int] = []
    for i in range(3):
        queue.offer(batch(i), lambda i=i: confirmed.append(i))  # type: ignore[misc]
    taken = queue.take(1000, SOON)
    assert confirmed == []
    taken[1].done()
    assert confirmed == [1]
    taken[0].done()
    taken[2].done()
    assert confirmed == [1, 0, 2]


def test_a_full_queue_in_memory_refuses_until_something_is_done(memory: Queue) -> None:
    queue = memory
    held = 0
    while queue.offer(batch(held, size=1000), ignore):
        held += 1
    assert 5 <= held <= 10
    assert queue.depth() <= BOUND
    taken = queue.take(1, SOON)
    assert not queue.offer(batch(99, size=1000), ignore), "what is being worked on counts"
    taken[0].done()
    assert queue.offer(batch(99, size=1000), ignore)


def test_a_batch_beyond_the_bound_passes(queue: Queue) -> None:
    for number in range(2):
        until(lambda number=number: queue.offer(batch(number, size=2 * BOUND), ignore))  # type: ignore[misc]
        taken = take(queue, 1)[0]
        assert number_of(taken) == number
        taken.done()
    until(lambda: queue.depth() == 0)


def test_a_batch_beyond_the_bound_passes_alone_in_memory(memory: Queue) -> None:
    queue = memory
    assert queue.offer(batch(0, size=2 * BOUND), ignore)
    assert not queue.offer(batch(1), ignore)
    queue.take(1, SOON)[0].done()
    assert queue.depth() == 0
    assert queue.offer(batch(1), ignore)
    assert not queue.offer(batch(2, size=2 * BOUND), ignore)


def test_depth_counts_what_is_in_work(queue: Queue) -> None:
    one, two = batch(1), batch(2, size=300)
    for each in (one, two):
        queue.offer(each, ignore)
    first, second = take(queue, 2)
    until(lambda: queue.depth() == one.size + two.size)
    first.done()
    assert queue.depth() == two.size
    second.done()
    assert queue.depth() == 0


def test_depth_counts_what_waits_in_memory(memory: Queue) -> None:
    queue = memory
    one, two = batch(1), batch(2, size=300)
    queue.offer(one, ignore)
    queue.offer(two, ignore)
    taken = queue.take(1, SOON)
    assert queue.depth() == one.size + two.size
    taken[0].done()
    assert queue.depth() == two.size


def test_a_retried_batch_comes_again_at_its_old_place_and_is_confirmed_once(queue: Queue) -> None:
    confirmed: list[int] = []
    for i in range(4):
        queue.offer(batch(i), lambda i=i: confirmed.append(i))  # type: ignore[misc]
    first, second, *others = take(queue, 4)
    for delivery in (second, first, *others):
        delivery.retry()
    taken = take(queue, 4, at_once=1)
    assert [number_of(delivery) for delivery in taken] == [0, 1, 2, 3]
    for delivery in taken:
        delivery.done()
    until(lambda: len(confirmed) >= 4 and queue.depth() == 0)
    assert confirmed == [0, 1, 2, 3]


def test_ending_a_delivery_twice_changes_nothing(queue: Queue) -> None:
    confirmed: list[str] = []
    queue.offer(batch(0), lambda: confirmed.append("first"))
    delivery = queue.take(1, SOON)[0]
    delivery.done()
    delivery.done()
    delivery.retry()
    until(lambda: bool(confirmed) and queue.depth() == 0)
    assert confirmed == ["first"]
    assert take_all(queue) == []


def test_an_offer_wakes_a_waiting_take(queue: Queue) -> None:
    found: list[int] = []
    waiting = threading.Event()

    def wait() -> None:
        waiting.set()
        found.extend(number_of(delivery) for delivery in queue.take(10, 2 * SOON))

    thread = in_thread(wait)
    assert waiting.wait(SOON)
    assert queue.offer(batch(7), ignore)
    thread.join(SOON)
    assert found == [7]


def test_close_wakes_every_waiter_and_then_nothing_passes(queue: Queue) -> None:
    found: list[int] = []
    threads = [in_thread(lambda: found.append(len(queue.take(10, 2 * SOON)))) for _ in range(3)]
    queue.check()
    queue.close()
    for thread in threads:
        thread.join(SOON)
    assert found == [0, 0, 0]
    assert not queue.offer(batch(0), ignore)
    assert list(queue.take(10, SOON)) == []
    with pytest.raises(QueueUnavailable):
        queue.check()
    queue.close()


def test_what_waits_in_memory_at_close_is_never_confirmed_but_what_is_done_is(memory: Queue) -> None:
    queue = memory
    confirmed: list[int] = []
    queue.offer(batch(0), lambda: confirmed.append(0))
    queue.offer(batch(1), lambda: confirmed.append(1))
    taken = queue.take(1, SOON)
    queue.close()
    taken[0].done()
    assert confirmed == [0]
    assert list(queue.take(10, 0)) == []


def test_many_threads_pass_every_batch_once(queue: Queue) -> None:
    each, producers, consumers = 200, 3, 3
    confirmed: list[int] = []
    stored: list[int] = []
    finished = threading.Event()

    def produce(first: int) -> None:
        for i in range(first, first + each):
            while not queue.offer(batch(i, size=500), lambda i=i: confirmed.append(i)):  # type: ignore[misc]
                time.sleep(0.001)

    def consume() -> None:
        while not finished.is_set():
            for delivery in queue.take(4, 0.01):
                if number_of(delivery) % 7 == 0 and number_of(delivery) not in seen:
                    seen.add(number_of(delivery))
                    delivery.retry()
                    continue
                stored.append(number_of(delivery))
                delivery.done()
            if len(confirmed) == len(stored) == each * producers:
                finished.set()

    seen: set[int] = set()
    threads = [in_thread(lambda n=n: produce(n * each)) for n in range(producers)]  # type: ignore[misc]
    threads += [in_thread(consume) for _ in range(consumers)]
    for thread in threads:
        thread.join(SOON)
    assert sorted(confirmed) == sorted(stored) == list(range(each * producers))
    until(lambda: queue.depth() == 0)


def test_an_unknown_scheme_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="carrier-pigeon") as told:
        open_queue("carrier-pigeon://me:secret@roof", max_bytes=1)
    assert "secret" not in str(told.value)


def test_who_offers_is_told_how_much_waits_before_it(queue: Queue) -> None:
    for number in range(5):
        assert queue.offer(batch(number), ignore)
    if queue.waiting() is None:
        return  # nothing that is offered there stands behind others for long
    until(lambda: queue.waiting() == 5)
    assert queue.take(100, SOON)
    until(lambda: queue.waiting() == 0)
