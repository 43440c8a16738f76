"""What every outlet promises to a shipper, whatever is behind it: queues and the ways out of Towline alike."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "system"))  # the receiver is no package: tests/ has no __init__.py

from forward_receiver import Receiver

from towline import metrics
from towline.batch import Batch, Origin, Section
from towline.errors import QueueUnavailable
from towline.queues import Outlet, open_outlet, outgoing
from towline.queues.outgoing import Outgoing
from towline.queues.stdout import StdoutSink

BOUND = 10_000
SOON = 90.0
"""Seconds that a thing may take which should happen at once; only a failure waits so long."""


class Place:
    """An outlet, and what has come out at its other end."""

    def __init__(self, outlet: Outlet, arrived: Callable[[], list[int]]) -> None:
        self.outlet = outlet
        self.arrived = arrived


def batch(number: int, size: int = 100) -> Batch:
    origin = Origin({"container": {"id": "c", "name": "c"}, "host": {"name": "n"}, "service": {"name": "outlets"}})
    stamp = f"2026-11-23T00:00:00.{number:09}Z"
    docs = b'{"create":{"_id":"%b-xo"}}\n{"@timestamp":"%b","message":"%d %b","stream":"stdout",'
    docs += b'"event":{"sequence":%d}\x1e}\n'
    docs %= (stamp.encode(), stamp.encode(), number, b"x" * size, number + 1)
    return Batch([Section(origin, docs, 1, stamp, stamp)])


def numbers(lines: list[str]) -> list[int]:
    return [int(json.loads(line)["message"].split()[0]) for line in lines]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.005)


@pytest.fixture(params=["file", "stdout", "forward"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(outgoing, "PATIENCE", SOON)
    made = {"file": file_place, "stdout": stdout_place, "forward": forward_place}[request.param](tmp_path)
    yield from made


def file_place(folder: Path) -> Iterator[Place]:
    path = folder / "out.ndjson"
    outlet = open_outlet(f"file://{path}", max_bytes=BOUND)
    yield Place(outlet, lambda: numbers(path.read_text().splitlines()))
    outlet.close()


def stdout_place(folder: Path) -> Iterator[Place]:
    read, write = os.pipe()
    lines: list[str] = []

    def follow() -> None:
        with os.fdopen(read) as file:
            lines.extend(file)

    thread = threading.Thread(target=follow)
    thread.start()
    outlet = Outgoing(StdoutSink(write), BOUND)
    yield Place(outlet, lambda: numbers(list(lines)))
    outlet.close()
    os.close(write)
    thread.join(SOON)


def forward_place(folder: Path) -> Iterator[Place]:
    receiver = Receiver()
    outlet = open_outlet(f"forward://127.0.0.1:{receiver.port}", max_bytes=BOUND)
    yield Place(outlet, lambda: [int(record["message"].split()[0]) for record in list(receiver.records)])
    outlet.close()
    receiver.close()


def test_batches_arrive_in_the_order_of_their_offers_and_are_confirmed_once(place: Place) -> None:
    confirmed: list[int] = []
    for number in range(20):
        until(lambda n=number: place.outlet.offer(batch(n), lambda: confirmed.append(n)))  # type: ignore[misc]
    until(lambda: len(confirmed) == 20 and place.outlet.depth() == 0)
    until(lambda: place.arrived() == list(range(20)))
    assert confirmed == list(range(20))


def test_a_confirmed_batch_counts_as_indexed(place: Place) -> None:
    counter = metrics.of(metrics.LINES_INDEXED, "outlets")
    before = counter._value.get()
    assert place.outlet.offer(batch(1), lambda: None)
    until(lambda: place.outlet.depth() == 0)
    assert counter._value.get() == before + 1


def test_the_bound_holds_and_a_batch_beyond_it_passes_alone(place: Place) -> None:
    confirmed: list[int] = []
    assert place.outlet.offer(batch(1, size=2 * BOUND), lambda: confirmed.append(1))
    until(lambda: place.outlet.offer(batch(2), lambda: confirmed.append(2)))
    assert confirmed[:1] == [1], "the large one was through before the next was taken"
    until(lambda: confirmed == [1, 2])


def test_many_threads_offer_and_every_batch_is_confirmed_once(place: Place) -> None:
    confirmed: list[int] = []

    def produce(first: int) -> None:
        for number in range(first, first + 50):
            until(lambda n=number: place.outlet.offer(batch(n), lambda: confirmed.append(n)))  # type: ignore[misc]

    threads = [threading.Thread(target=produce, args=(first,)) for first in (0, 50, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    until(lambda: place.outlet.depth() == 0)
    assert sorted(confirmed) == list(range(150))
    until(lambda: sorted(place.arrived()) == list(range(150)))


def test_a_place_that_is_there_is_well(place: Place) -> None:
    place.outlet.check()
    place.outlet.resume("0123456789abcdef")
    assert (place.outlet.waiting(), place.outlet.life, place.outlet.lost) == (None, "", 0)


def test_after_close_nothing_passes(place: Place) -> None:
    place.outlet.close()
    place.outlet.close()
    assert not place.outlet.offer(batch(1), lambda: None)
    with pytest.raises(QueueUnavailable):
        place.outlet.check()
