"""What a line costs the indexer, part by part, and what the simplest client pays to send the same bytes.

python -m benchmarks.indexer_parts [BATCHES]. Needs no server: a sink of its own process answers as `_bulk` does. CPU of
this thread alone, the least of several rounds, since other load on the machine makes everything dearer.
"""

import multiprocessing
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson

from benchmarks.sink import Sink
from benchmarks.writers import pool
from towline import memory
from towline.batch import ORIGIN_MARK, Batch, Origin, Section, decode
from towline.stores import es_lane
from towline.stores.es_address import parse
from towline.stores.es_bulk import well_formed
from towline.stores.es_client import connect
from towline.stores.es_indices import Index
from towline.stores.es_write import Writer
from towline.times import format_time

ROUNDS, TOGETHER, LINES = 7, 5, 1800
"""How often each part is measured; batches in one write; lines in a batch."""
COMPOSE = {"com.docker.compose.project": "shop", "com.docker.compose.service": "bench4f2a11-backlog"}
FIELDS = {
    "container": {"id": "2d711642b726b044" * 4, "name": "bench4f2a11-backlog-0", "labels": COMPOSE,
                  "image": {"name": "towline-demo:local"}},
    "data_stream": {"type": "logs", "dataset": "docker", "namespace": "default"},
    "host": {"name": "vm"}, "service": {"name": "bench4f2a11-backlog"},
    "orchestrator": {"type": "compose", "namespace": "shop",
                     "resource": {"type": "service", "name": "bench4f2a11-backlog"}}}  # fmt: skip


def batch(texts: Sequence[bytes], first: int, start: int) -> Batch:
    """LINES lines as the shipper sends those of an access log; `start`: nanoseconds since the epoch."""
    numbers = range(first, first + LINES)
    stamps = [format_time(start + number * 10_007) for number in numbers]
    docs = [b'{"create":{"_id":"%b-q8Zk3xVwo"}}\n{"@timestamp":"%b","message":"%b","stream":"stdout",'
            b'"event":{"sequence":%d}%b}\n' % (stamp, stamp, texts[number % len(texts)], start // 1000 + number,
                                              ORIGIN_MARK)
            for number, stamp in zip(numbers, map(str.encode, stamps), strict=True)]  # fmt: skip
    return Batch([Section(Origin(FIELDS), b"".join(docs), LINES, stamps[0], stamps[-1])], node="vm")


def serve(told: Any) -> None:
    sink = Sink("http://127.0.0.1:1")
    told.send(sink.url)
    told.recv()


def measured(name: str, what: Callable[[Any], object], items: Sequence[Any], lines: int) -> None:
    found = []
    for _ in range(ROUNDS):
        began, wall = time.thread_time(), time.perf_counter()
        for item in items:
            what(item)
        found.append((time.thread_time() - began, time.perf_counter() - wall))
    best, wall = min(found)
    print(f"{name:<58} {best / lines * 1e6:5.2f} us/line  {lines / wall:9.0f} lines/s", flush=True)


def plainly(connection: socket.socket, host: str) -> Callable[[bytes], None]:
    """The simplest client: a head, the ready body, and the answer read and thrown away."""

    def send(body: bytes) -> None:
        head = f"POST /x/_bulk HTTP/1.1\r\nhost: {host}\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode())
        connection.sendall(body)
        answer = b""
        while not answer.endswith(b"]}"):
            answer = answer[-2:] + connection.recv(1 << 16)

    return send


def main(count: int) -> None:
    memory.reuse()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = ours.recv()
    now = time.time_ns()
    texts = [orjson.dumps(line[:-1].decode())[1:-1] for line in pool()]
    made = [batch(texts, number * LINES, now) for number in range(count)]
    frames = [batch.encode() for batch in made]
    lines = sum(batch.count for batch in made)
    groups = [frames[at : at + TOGETHER] for at in range(0, len(frames), TOGETHER)]
    size = sum(len(section.expand()) for section in made[0].sections) / made[0].count
    print(f"{lines} lines, {len(frames[0]) / made[0].count:.0f} bytes each in the queue, {size:.0f} expanded")
    measured("unpack, parse the header, count lines", decode, frames, lines)
    measured("prove the shape", lambda batch: list(map(well_formed, batch.sections)), made, lines)
    measured("expand", lambda batch: [section.expand() for section in batch.sections], made, lines)
    es_lane.generation = lambda *_: (Index("only", 0),)  # type: ignore[assignment]  # the sink has no indices
    address = parse(f"{url}/?namespace=parts", {})
    writer = Writer(connect(address), address, lambda: None)
    measured(f"all of it: {TOGETHER} batches a write, to the sink",
             lambda group: writer.write([decode(frame) for frame in group]), groups, lines)  # fmt: skip
    place = urlsplit(url)
    with socket.create_connection((str(place.hostname), int(place.port or 0))) as connection:
        bodies = [b"".join(section.expand() for section in batch.sections) for batch in made[:TOGETHER]]
        measured("for comparison: send ready bodies, in one sendall each", plainly(connection, place.netloc),
                 bodies, sum(batch.count for batch in made[:TOGETHER]))  # fmt: skip
    ours.send("end")
    server.join()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
