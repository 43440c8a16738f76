"""Cluster: what 100 shippers send, replayed at one broker; how much that takes in, and how much one indexer."""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pika

from benchmarks.figure import Figure, at_least
from benchmarks.ground import Ground
from benchmarks.indexer import to_sink
from benchmarks.measuring import Spent
from benchmarks.replay import Frame, first, forget, recorded
from towline.batch import Batch, Section, decode

GROUP = "cluster"
TICKS = 20
"""A shipper sends at most so many small batches a second (shipper.schedule.TICK)."""
PROCESSES = 2
SMALL = 50
"""Lines in a batch of a node that reads 1,000 lines a second."""


def figures(ground: Ground) -> Iterator[Figure]:
    full = recorded(ground)
    small = cut(full, SMALL, 400)
    nodes = ground.sizes.nodes
    for what, frames in (("full batches", full), (f"batches of {SMALL} lines", small)):
        taken, lines, used = replayed(ground, frames, nodes)
        yield Figure(GROUP, f"broker, {nodes} shippers at full speed, {what}", lines, "lines/s")
        yield Figure(GROUP, f"broker, {nodes} shippers at full speed, {what}", taken, "messages/s",
                     f"{nodes} nodes at {TICKS} a second", nodes * TICKS, at_least(nodes * TICKS))  # fmt: skip
        yield Figure(GROUP, f"broker's CPU, {what}", used, "µs/message")
    for what, frames in (("full batches", full), (f"batches of {SMALL} lines", small)):
        run = to_sink(ground, first(frames, ground.sizes.backlog // (1 if frames is full else 4)))
        yield Figure(GROUP, f"one indexer, {what}, to a store that takes all at once", run.rate, "lines/s")
        yield Figure(GROUP, f"one indexer's CPU, {what}", run.each, "µs/line")


def cut(frames: Sequence[Frame], lines: int, count: int) -> list[Frame]:
    """`count` batches of so many lines each, as nodes send that are not in a hurry."""
    small: list[Frame] = []
    for frame in frames:
        batch = decode(frame.body)
        for section in batch.sections:
            rows = section.docs.split(b"\n")[:-1]
            for start in range(0, len(rows) - 2 * lines + 1, 2 * lines):
                small.append(framed(section, rows[start : start + 2 * lines], frame, batch.node))
                if len(small) == count:
                    return small
    return small


def framed(section: Section, rows: list[bytes], frame: Frame, node: str) -> Frame:
    part = replace(section, docs=b"\n".join(rows) + b"\n", count=len(rows) // 2)
    headers = {**(frame.properties.headers or {}), "count": part.count}
    properties = pika.BasicProperties(content_type=frame.properties.content_type, headers=headers, delivery_mode=2,
                                      content_encoding=frame.properties.content_encoding)  # fmt: skip
    return Frame(Batch([part], node=node).encode(), properties, part.count)


def replayed(ground: Ground, frames: Sequence[Frame], nodes: int) -> tuple[float, float, float]:
    """Messages and lines a second that the broker has taken, and its CPU for each message in microseconds."""
    queue = ground.unique("cluster")
    declared(ground, queue)
    broker, seconds = Spent([ground.broker_pid]), ground.sizes.saturation
    spawn = multiprocessing.get_context("spawn")
    sample = [(frame.body, frame.count) for frame in frames[:200]]
    told = (ground.broker, queue, sample, nodes // PROCESSES, seconds)
    workers = [spawn.Process(target=flood, args=told, daemon=True) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    while not waiting(ground, queue):
        time.sleep(0.05)
    broker, before = Spent([ground.broker_pid]), waiting(ground, queue)
    for worker in workers:
        worker.join()
    taken = waiting(ground, queue) - before
    rate, used = taken / broker.wall, 1e6 * broker.cpu / taken
    forget(ground, queue)
    return rate, rate * sum(count for _, count in sample) / len(sample), used


def declared(ground: Ground, queue: str) -> None:
    """The queue as Towline has it: a start of the shipper declares it."""
    with ground.ship(queue, f"{ground.prefix}-nobody"):
        pass


def waiting(ground: Ground, queue: str) -> int:
    with pika.BlockingConnection(pika.URLParameters(ground.broker)) as connection:
        return int(connection.channel().queue_declare(f"{queue}.logs", passive=True).method.message_count or 0)


def flood(url: str, queue: str, sample: list[tuple[bytes, int]], nodes: int, seconds: float) -> None:
    """So many shippers' connections in one process, each with messages in flight until it hears of the last."""
    parameters = pika.URLParameters(url)
    parameters.heartbeat = 600
    connections = [pika.BlockingConnection(parameters) for _ in range(nodes)]
    channels = [connection.channel() for connection in connections]
    properties = pika.BasicProperties(delivery_mode=2)
    deadline, at = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        for channel in channels:
            body, _ = sample[at % len(sample)]
            channel.basic_publish("", f"{queue}.logs", body, properties)
            at += 1
    for connection in connections:
        connection.close()  # answered once the broker has read all that was sent
