"""What every queue promises, whatever is behind it. A new backend adds its URL to `URLS`."""

import threading
from collections.abc import Callable, Iterator

import pytest

from towline.batch import Batch, Origin, Section
from towline.errors import QueueUnavailable, UsageError
from towline.queues import Delivery, Queue, open_queue

URLS = ["memory://"]
BOUND = 10_000
SOON = 30.0
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


@pytest.fixture(params=URLS)
def queue(request: pytest.FixtureRequest) -> Iterator[Queue]:
    queue = open_queue(request.param, max_bytes=BOUND)
    yield queue
    queue.close()


def take_all(queue: Queue) -> list[int]:
    found = []
    while taken := queue.take(10, 0):
        found += [number_of(delivery) for delivery in taken]
    return found


def test_batches_come_out_whole_and_in_the_order_of_their_offers(queue: Queue) -> None:
    batches = [batch(i, lines=3) for i in range(5)]
    for each in batches:
        assert queue.offer(each, ignore)
    taken: list[Delivery] = []
    while len(taken) < 5:
        taken += queue.take(1000, SOON)
    assert [delivery.batch for delivery in taken] == batches
    for delivery in taken:
        delivery.done()


def test_take_stops_at_about_the_lines_asked_for_but_gives_at_least_one(queue: Queue) -> None:
    for i in range(4):
        queue.offer(batch(i, lines=10, size=10), ignore)
    assert len(queue.take(25, SOON)) == 2
    assert len(queue.take(1, SOON)) == 1


def test_take_from_an_empty_queue_gives_nothing(queue: Queue) -> None:
    assert list(queue.take(10, 0)) == []
    assert list(queue.take(10, 0.01)) == []


def test_a_batch_is_confirmed_once_and_only_after_it_is_done(queue: Queue) -> None:
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


def test_a_full_queue_refuses_until_something_is_done(queue: Queue) -> None:
    held = 0
    while queue.offer(batch(held, size=1000), ignore):
        held += 1
    assert 5 <= held <= 10
    assert queue.depth() <= BOUND
    taken = queue.take(1, SOON)
    assert not queue.offer(batch(99, size=1000), ignore), "what is being worked on counts"
    taken[0].done()
    assert queue.offer(batch(99, size=1000), ignore)


def test_a_batch_beyond_the_bound_passes_alone(queue: Queue) -> None:
    assert queue.offer(batch(0, size=2 * BOUND), ignore)
    assert not queue.offer(batch(1), ignore)
    queue.take(1, SOON)[0].done()
    assert queue.depth() == 0
    assert queue.offer(batch(1), ignore)
    assert not queue.offer(batch(2, size=2 * BOUND), ignore)


def test_depth_counts_what_waits_and_what_is_in_work(queue: Queue) -> None:
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
    first, second = queue.take(1, SOON)[0], queue.take(1, SOON)[0]
    second.retry()
    first.retry()
    taken: list[Delivery] = []
    while len(taken) < 4:
        taken += queue.take(1, SOON)
    assert [number_of(delivery) for delivery in taken] == [0, 1, 2, 3]
    for delivery in taken:
        delivery.done()
    assert confirmed == [0, 1, 2, 3]
    assert queue.depth() == 0


def test_ending_a_delivery_twice_changes_nothing(queue: Queue) -> None:
    confirmed: list[str] = []
    queue.offer(batch(0), lambda: confirmed.append("first"))
    delivery = queue.take(1, SOON)[0]
    delivery.done()
    delivery.done()
    delivery.retry()
    assert confirmed == ["first"]
    assert queue.depth() == 0
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


def test_what_waits_at_close_is_never_confirmed_but_what_is_done_is(queue: Queue) -> None:
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
                pass

    def consume() -> None:
        while not finished.is_set():
            for delivery in queue.take(4, 0.01):
                if number_of(delivery) % 7 == 0 and number_of(delivery) not in seen:
                    seen.add(number_of(delivery))
                    delivery.retry()
                    continue
                stored.append(number_of(delivery))
                delivery.done()
            if len(confirmed) == each * producers:
                finished.set()

    seen: set[int] = set()
    threads = [in_thread(lambda n=n: produce(n * each)) for n in range(producers)]  # type: ignore[misc]
    threads += [in_thread(consume) for _ in range(consumers)]
    for thread in threads:
        thread.join(SOON)
    assert sorted(confirmed) == sorted(stored) == list(range(each * producers))
    assert queue.depth() == 0


def test_an_unknown_scheme_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="carrier-pigeon"):
        open_queue("carrier-pigeon://", max_bytes=1)
