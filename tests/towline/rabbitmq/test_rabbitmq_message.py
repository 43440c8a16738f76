"""The message as towline/queues/amqp_message.py and towline/batch.py document it, read and written by other code."""

import json
import re
from collections.abc import Callable

import pika
import zstandard
from rabbitmq_server import Server, until

from towline.batch import ORIGIN_MARK, Batch, Origin, Section
from towline.queues import Queue

Open = Callable[..., Queue]

ORIGIN = {"container": {"id": "c1", "name": "web-1"}, "host": {"name": "n1"}, "service": {"name": "web"}}
STAMPS = [f"2026-11-23T00:25:00.12345678{digit}Z" for digit in range(3)]


def test_another_program_reads_what_we_publish(server: Server, opened: Open, name: str) -> None:
    queue, confirmed = opened(), list[int]()
    docs = b"".join(
        b'{"create":{"_id":"%d"}}\n{"@timestamp":"%s","message":"gr\\u00fcn %d","stream":"stdout"\x1e}\n'
        % (number, stamp.encode(), number)
        for number, stamp in enumerate(STAMPS)
    )
    assert ORIGIN_MARK == b"\x1e"
    sections = [Section(Origin(ORIGIN), docs, 3, STAMPS[0], STAMPS[2]), Section(Origin(ORIGIN), b"", 0, "", "")]
    assert queue.offer(Batch(sections, node="n1"), lambda: confirmed.append(1))
    until(lambda: confirmed)
    connection, channel = server.channel()
    method, found, body = channel.basic_get(f"{name}.logs", auto_ack=True)
    connection.close()
    assert (method.exchange, method.routing_key) == (name, "logs")
    assert found.content_type == "application/vnd.towline.batch"
    assert found.content_encoding == "zstd"
    assert found.headers.items() >= {"towline": 1, "count": 3, "node": "n1"}.items()
    assert (found.delivery_mode, found.app_id) == (2, "towline")
    assert re.fullmatch("[0-9a-f]{16}", found.message_id)
    assert documents(body) == [
        ({"create": {"_id": str(number)}},
         {"@timestamp": stamp, "message": f"grün {number}", "stream": "stdout", **ORIGIN})
        for number, stamp in enumerate(STAMPS)
    ]  # fmt: skip


def documents(body: bytes) -> list[tuple[object, object]]:
    """Written after the two docstrings, with nothing of Towline's."""
    parameters = zstandard.get_frame_parameters(body)
    assert parameters.has_checksum
    assert parameters.content_size > 0
    head, _, docs = zstandard.decompress(body).partition(b"\n")
    header = json.loads(head)
    assert header["towline"] == 1
    assert header["count"] == sum(section["count"] for section in header["sections"])
    found, start = [], 0
    for section in header["sections"]:
        rows = docs[start : start + section["bytes"]].split(b"\n")[:-1]
        start += section["bytes"]
        assert len(rows) == 2 * section["count"]
        origin = b"," + json.dumps(section["origin"])[1:-1].encode()
        pairs = zip(rows[::2], rows[1::2], strict=True)
        found += [(json.loads(action), json.loads(row.replace(b"\x1e", origin))) for action, row in pairs]
    assert start == len(docs)
    return found


def test_we_read_what_another_program_publishes(server: Server, opened: Open, name: str) -> None:
    queue = opened()
    queue.check()
    row = json.dumps({"@timestamp": STAMPS[0], "message": "from elsewhere", "stream": "stdout"})[:-1] + "\x1e}"
    docs = f'{{"create":{{"_id":"theirs-1"}}}}\n{row}\n'.encode()
    section = {"origin": ORIGIN, "count": 1, "bytes": len(docs), "first": STAMPS[0], "last": STAMPS[0]}
    header = {"towline": 1, "node": "n1", "count": 1, "sections": [section]}
    body = zstandard.ZstdCompressor(write_checksum=True).compress(json.dumps(header).encode() + b"\n" + docs)
    connection, channel = server.channel()
    channel.basic_publish(name, "logs", body, pika.BasicProperties())  # the headers are a convenience
    connection.close()
    delivery = queue.take(1, 30)[0]
    assert [json.loads(line) for line in delivery.batch.sections[0].expand().splitlines()] == [
        {"create": {"_id": "theirs-1"}},
        {"@timestamp": STAMPS[0], "message": "from elsewhere", "stream": "stdout", **ORIGIN},
    ]
    delivery.done()
    until(lambda: queue.depth() == 0)
