"""Batches as messages of the broker: taken out once, then published again as often as a figure needs them."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pika
from pika.adapters.blocking_connection import BlockingChannel

from benchmarks.ground import Ground
from towline.batch import decode

LIMIT = 64 << 20


@dataclass(frozen=True)
class Frame:
    """One message: an encoded batch of `count` lines."""

    body: bytes
    properties: pika.BasicProperties
    count: int


def recorded(ground: Ground) -> list[Frame]:
    """The backlog's lines as the shipper publishes them."""
    if not hasattr(ground, "frames"):
        name, queue = ground.backlog, ground.unique("record")
        with ground.ship(queue, name) as ship, taken(ground, queue) as frames:
            ship.reach("towline_lines_confirmed_total", ground.sizes.backlog)
        forget(ground, queue)
        ground.frames = frames  # type: ignore[attr-defined]
    return ground.frames  # type: ignore[attr-defined,no-any-return]


def drained(ground: Ground, queue: str) -> list[Frame]:
    """All that is in a queue, which is then removed."""
    frames: list[Frame] = []
    take(ground, queue, frames, lambda: True)
    forget(ground, queue)
    return frames


@contextmanager
def taken(ground: Ground, queue: str) -> Iterator[list[Frame]]:
    """All that comes into a queue meanwhile, taken at once: from a deep queue the shipper holds old lines back."""
    frames: list[Frame] = []
    over = threading.Event()
    taking = threading.Thread(target=take, args=(ground, queue, frames, over.is_set), daemon=True)
    taking.start()
    try:
        yield frames
    finally:
        over.set()
        taking.join()


def take(ground: Ground, queue: str, frames: list[Frame], last: Callable[[], bool]) -> None:
    """Messages as they come, until a second without any once it is the `last`."""
    with pika.BlockingConnection(pika.URLParameters(ground.broker)) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=200)
        for method, properties, body in channel.consume(f"{queue}.logs", inactivity_timeout=1):
            if method is None or properties is None or body is None:
                if last():
                    break
                continue
            if count := (properties.headers or {}).get("count", 0):
                frames.append(Frame(body, properties, count))
            channel.basic_ack(method.delivery_tag or 0)
        channel.cancel()


def remove(channel: BlockingChannel, queue: str) -> None:
    for name in (f"{queue}.logs", f"{queue}.dead"):
        channel.queue_delete(name)


def forget(ground: Ground, queue: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(ground.broker)) as connection:
        remove(connection.channel(), queue)


def publish(ground: Ground, queue: str, frames: Iterable[Frame]) -> int:
    """Put these into a queue that is there, in batches of confirms; how many lines."""
    lines = 0
    with pika.BlockingConnection(pika.URLParameters(ground.broker)) as connection:
        channel = connection.channel()
        for frame in frames:
            channel.basic_publish("", f"{queue}.logs", frame.body, frame.properties)
            lines += frame.count
    return lines


def first(frames: Sequence[Frame], lines: int) -> list[Frame]:
    """So many of them as hold `lines`, again from the start where they are too few."""
    chosen: list[Frame] = []
    have = 0
    while have < lines:
        frame = frames[len(chosen) % len(frames)]
        chosen.append(frame)
        have += frame.count
    return chosen


def bodies(frames: Iterable[Frame]) -> list[tuple[bytes, int]]:
    """Bulk bodies of about LINES lines each, and how many lines that are."""
    return [
        (b"".join(section.expand() for section in batch.sections), batch.count)
        for batch in (decode(frame.body) for frame in frames)
    ]
