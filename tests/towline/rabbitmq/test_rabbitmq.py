"""Steady load through a real RabbitMQ while things go wrong with it: every batch arrives, every confirm comes once."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from rabbitmq_server import Load, Server, make, number_of, trouble, until

from towline.queues import Delivery, Queue, amqp_publisher

Open = Callable[..., Queue]


def all_arrived(load: Load) -> None:
    load.drain()
    until(lambda: set(load.stored) == set(range(load.offered)), "something is missing")
    assert sorted(load.confirmed) == list(range(load.offered)), "confirmed more than once"


def test_connections_closed_from_the_management_side(server: Server, loaded: Load) -> None:
    for _ in range(3):
        server.ctl("close_all_connections", "a test closes them")
        loaded.flows()
    all_arrived(loaded)


def test_the_broker_is_killed_and_comes_back(server: Server, loaded: Load, opened: Open) -> None:
    watched = opened()
    watched.check()
    server.kill()
    until(lambda: trouble(watched), "nobody is told that the broker is gone")
    assert not watched.offer(make(0), lambda: None), "the caller should keep it, its disk is safer"
    assert server.url.partition("@")[2].rstrip("/") in trouble(watched)
    assert "guest:guest" not in trouble(watched)
    server.start()
    loaded.flows()
    until(lambda: not trouble(watched))
    all_arrived(loaded)


def test_the_broker_freezes_for_longer_than_the_heartbeat(server: Server, loaded: Load, opened: Open) -> None:
    watched = opened(heartbeat=2)
    watched.check()
    server.signal(signal.SIGSTOP)
    try:
        until(lambda: trouble(watched))
    finally:
        server.signal(signal.SIGCONT)
    loaded.flows()
    all_arrived(loaded)


def test_the_queue_is_deleted(server: Server, loaded: Load, name: str) -> None:
    """What was in it is gone with it; what comes after arrives."""
    connection, channel = server.channel()
    channel.queue_delete(f"{name}.logs")
    connection.close()
    after = loaded.offered
    loaded.flows()
    loaded.drain()
    later = set(range(after + 1, loaded.offered))
    until(lambda: later <= set(loaded.stored), "what was offered later is missing")
    assert sorted(loaded.confirmed) == list(range(loaded.offered))


@pytest.mark.parametrize(
    ("of", "on", "off"),
    [
        ("memory", ["set_vm_memory_high_watermark", "absolute", "1MB"], ["set_vm_memory_high_watermark", "0.4"]),
        ("disk", ["set_disk_free_limit", "1000000GB"], ["set_disk_free_limit", "50MB"]),
    ],
)
def test_an_alarm_stops_publishing_and_not_acknowledging(
    server: Server, opened: Open, of: str, on: list[str], off: list[str]
) -> None:
    queue = opened()
    confirmed: list[int] = []
    for number in range(50):
        assert queue.offer(make(number), lambda number=number: confirmed.append(number))  # type: ignore[misc]
    until(lambda: len(confirmed) == 50)
    server.ctl(*on)
    try:
        offered = 50
        while queue.offer(make(offered), lambda number=offered: confirmed.append(number)):  # type: ignore[misc]
            offered += 1
            threading.Event().wait(0.01)
        assert f"takes nothing for now: low on {of}" in trouble(queue)
        left = set(range(50))
        while left:
            for delivery in queue.take(10, 1):
                left.discard(number_of(delivery))
                delivery.done()
    finally:
        server.ctl(*off)
    until(lambda: len(confirmed) == offered and not trouble(queue))
    assert sorted(confirmed) == list(range(offered))


def test_a_full_queue_refuses_and_takes_again(opened: Open) -> None:
    queue = opened(size="20K")
    confirmed: list[int] = []
    offered = 0

    def offer() -> bool:
        return queue.offer(make(offered, size=2000), lambda number=offered: confirmed.append(number))  # type: ignore[misc]

    while "is full" not in trouble(queue):
        if offer():
            offered += 1
    assert not offer()
    assert len(confirmed) < offered
    found: set[int] = set()
    while len(found) < offered:
        for delivery in queue.take(10, 1):
            found.add(number_of(delivery))
            delivery.done()
    until(lambda: len(confirmed) == offered and trouble(queue) == "")
    assert sorted(confirmed) == list(range(offered))


def test_the_window_is_bounded_while_nothing_is_confirmed(server: Server, opened: Open) -> None:
    queue = opened(max_bytes=100_000)
    queue.check()
    confirmed: list[int] = []
    server.signal(signal.SIGSTOP)
    try:
        offered = 0
        while queue.offer(make(offered, size=1000), lambda number=offered: confirmed.append(number)):  # type: ignore[misc]
            offered += 1
        assert 80 < offered <= 100
        assert 80_000 < queue.depth() <= 100_000
        assert confirmed == []
    finally:
        server.signal(signal.SIGCONT)
    until(lambda: sorted(confirmed) == list(range(offered)))
    until(lambda: queue.depth() == 0)


def test_a_queue_that_confirms_nothing(
    server: Server, opened: Open, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one does whose nodes have no majority, on a connection that is as well as ever."""
    for setting, seconds in (("LOOK_EVERY", 0.1), ("SLOW", 0.5), ("HUNG", 3.0)):
        monkeypatch.setattr(amqp_publisher, setting, seconds)
    queue = opened()
    confirmed: list[int] = []
    queue.offer(make(1), lambda: confirmed.append(1))
    until(lambda: confirmed == [1])
    server.ctl("eval", f"sys:suspend('%2F_{name}.logs').")
    try:
        queue.offer(make(2), lambda: confirmed.append(2))
        until(lambda: "has confirmed nothing for" in trouble(queue))
        assert confirmed == [1]
    finally:
        server.ctl("eval", f"sys:resume('%2F_{name}.logs').")
    until(lambda: {1, 2} <= set(confirmed) and not trouble(queue))
    assert len(confirmed) == len(set(confirmed))


PUBLISH = """
import sys
sys.path[:0] = [sys.argv[2], sys.argv[3]]
from rabbitmq_server import make
from towline.queues import open_queue
queue, number = open_queue(sys.argv[1], max_bytes=50_000), 0
while True:
    if queue.offer(make(number, size=500), lambda number=number: print(number, flush=True)):
        number += 1
"""


def test_a_publisher_killed_in_the_middle_of_its_window(server: Server, opened: Open, name: str) -> None:
    root, here = Path(__file__).parents[3], Path(__file__).parent
    command = [sys.executable, "-c", PUBLISH, f"{server.url}?name={name}", str(root), str(here)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(200)]
        child.kill()
        lines += child.stdout
    confirmed = {int(line) for line in lines if line.endswith("\n")}
    queue = opened()
    again = [number for number in range(max(confirmed) + 100) if number not in confirmed]
    for number in again:
        until(lambda number=number: queue.offer(make(number), lambda: None))  # type: ignore[misc]
    found: set[int] = set()

    def everything() -> bool:
        for delivery in queue.take(1000, 0.1):
            found.add(number_of(delivery))
            delivery.done()
        return found >= confirmed | set(again)

    until(everything, "something that was confirmed is missing")


def test_a_publisher_frozen_for_longer_than_the_heartbeat(server: Server, opened: Open, name: str) -> None:
    root, here = Path(__file__).parents[3], Path(__file__).parent
    command = [sys.executable, "-c", PUBLISH, f"{server.url}?name={name}&heartbeat=2", str(root), str(here)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(200)]
        child.send_signal(signal.SIGSTOP)
        try:
            until(lambda: not json.loads(server.ctl("list_connections", "pid", "--formatter", "json")), "not given up")
            child.send_signal(signal.SIGCONT)
            lines += [child.stdout.readline() for _ in range(1000)]  # more than it had in its window and its pipe
        finally:
            child.kill()
        lines += child.stdout
    confirmed = [int(line) for line in lines if line.endswith("\n")]
    assert len(confirmed) == len(set(confirmed)), "confirmed twice"
    queue, found = opened(), set[int]()

    def everything() -> bool:
        for delivery in queue.take(1000, 0.1):
            found.add(number_of(delivery))
            delivery.done()
        return found >= set(confirmed)

    until(everything, "something that was confirmed is missing")


def test_what_is_not_done_at_the_stop_goes_to_another_at_once(opened: Open) -> None:
    first, second = opened(), opened()
    for number in range(20):
        first.offer(make(number), lambda: None)
    taken = []
    while len(taken) < 20:
        taken += first.take(100, 1)
    for delivery in taken[:5] + taken[10:12]:
        delivery.done()
    first.close()
    found: list[int] = []
    until(lambda: bool(found.extend(number_of(each) for each in second.take(100, 0.1)) or len(found) >= 13))
    assert sorted(found) == [*range(5, 10), *range(12, 20)]


def held(server: Server, name: str) -> int:
    """Messages in the broker's queue, also those that it has handed out."""
    rows = json.loads(server.ctl("list_queues", "name", "messages", "--formatter", "json"))
    return int(next(row["messages"] for row in rows if row["name"] == f"{name}.logs"))


def test_a_delivery_kept_beyond_the_consumer_timeout(server: Server, opened: Open, name: str) -> None:
    before = server.ctl("eval", "application:get_env(rabbit, consumer_timeout).")
    server.ctl("eval", "application:set_env(rabbit, consumer_timeout, 1000).")
    server.ctl("eval", "application:set_env(rabbit, channel_tick_interval, 500).")
    try:
        queue = opened()
        queue.offer(make(7), lambda: None)
        kept = queue.take(10, 30)[0]
        again: list[Delivery] = []
        until(lambda: again.extend(queue.take(10, 0.1)) or again, "it is not handed out again")
        server.ctl("eval", "application:set_env(rabbit, consumer_timeout, 1800000).")
        kept.done()

        def settled() -> bool:
            """What comes once more was late in its turn: a second is short on a busy machine."""
            again.extend(queue.take(10, 0.1))
            for delivery in again:
                delivery.done()
            return held(server, name) == 0

        until(settled, "it stays in the queue")
        assert {number_of(delivery) for delivery in again} == {7}
        assert list(queue.take(10, 2)) == []
    finally:
        assert "ok,1800000" in before
        server.ctl("eval", "application:set_env(rabbit, consumer_timeout, 1800000).")
        server.ctl("eval", "application:set_env(rabbit, channel_tick_interval, 60000).")


@pytest.mark.parametrize(("size", "least", "most"), [(100, 200, 2000), (20_000, 8, 60)])
def test_the_prefetch_follows_what_memory_allows(
    server: Server, opened: Open, name: str, size: int, least: int, most: int
) -> None:
    queue, sender = opened(max_bytes=1 << 20), opened()
    confirmed: list[int] = []
    for number in range(3000 if size < 1000 else 300):
        until(lambda number=number: sender.offer(make(number, size), lambda: confirmed.append(number)))  # type: ignore[misc]
    until(lambda: len(confirmed) == number + 1)
    connection, channel = server.channel()

    def prefetched() -> int:
        ready = channel.queue_declare(f"{name}.logs", passive=True).method.message_count
        return number + 1 - int(ready)

    taken = []
    while len(taken) < 8:
        taken += queue.take(1, 5)
    until(lambda: least <= prefetched() <= most)
    connection.close()
