"""Forged, truncated and huge forward messages: what is a line is kept and marked, and others are served on."""

import gzip
import select
import socket
import struct
from contextlib import suppress
from typing import Any

import msgpack
import pytest
from forward_client import Client, packed
from input_world import ANY, Start, World, until

AT = 1795393500


@pytest.fixture
def world(start: Start) -> World:
    return start(forward=ANY, memory=4 << 20)


def served(world: World, count: int = 1) -> list[dict[str, Any]]:
    """That another connection is served as ever; all documents."""
    with Client(world.address("forward")) as client:
        client.send("after", AT, {"message": "still here"}, {"chunk": "after"})
        documents = world.lines(count)
        assert client.receive() == {"ack": "after"}
    assert "still here" in [document["message"] for document in documents]
    return documents


def ended(client: Client, data: bytes) -> bool:
    """Whether the connection is closed when this is sent."""
    with suppress(ConnectionError):
        client.socket.sendall(data)
    return client.receive() is None


DEEP = b"\x93\xa1t\x00" + b"\x81\xa1a" * 100_000
"""A record nested so deep that no reader goes there."""


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        b"\xc1" * 100,
        b"\xdd\xff\xff\xff\xff" + b"\xc0" * 10,
        b"\xdf\xff\xff\xff\xff",
        DEEP,
        b"\x92\xa1t\xdd\x00\x03\xff\xff" + b"\x91\x90" * (1 << 18),
        msgpack.packb(["t"]),
        msgpack.packb({"tag": "t"}),
        msgpack.packb([1, 2, 3]),
        msgpack.packb(["t", 5]),
        msgpack.packb(["t", [], "no map"]),
        msgpack.packb(["t", b"no gzip", {"compressed": "gzip", "chunk": "c"}]),
        msgpack.packb(["t", gzip.compress(packed([AT, {"message": "cut"}]))[:-9], {"compressed": "gzip"}]),
        msgpack.packb(["t", b"", {"compressed": "lzma"}]),
        msgpack.packb(["t", gzip.compress(b"\xc0" * (64 << 20)), {"compressed": "gzip", "chunk": "bomb"}]),
    ],
    ids=["http", "never-used", "array", "map", "deep", "containers", "short", "map-message", "tag", "time", "option",
         "gzip", "gzip-cut", "compression", "bomb"],
)  # fmt: skip
def test_what_is_no_message_ends_its_connection_and_nothing_else(world: World, data: bytes) -> None:
    errors = world.counted("input_errors_total", input="forward", kind="malformed")
    with Client(world.address("forward")) as client:
        assert ended(client, data)
    assert world.counted("input_errors_total", input="forward", kind="malformed") == errors + 1
    served(world)
    assert len(world.taken) == 1


def test_a_message_larger_than_memory_ends_its_connection(world: World) -> None:
    with Client(world.address("forward")) as client:
        assert ended(client, b"\x92\xa1t\xc6" + struct.pack(">I", 8 << 20) + bytes(8 << 20))
    served(world)


def test_unfinished_messages_of_all_connections_are_bounded_together(world: World) -> None:
    head = b"\x92\xa1t\xc6" + struct.pack(">I", 3 << 20)
    with Client(world.address("forward")) as first, Client(world.address("forward")) as second:
        first.socket.sendall(head + bytes(2 << 20))
        until(lambda: world.counted("input_connections", input="forward") == 2)
        with suppress(ConnectionError):
            second.socket.sendall(head + bytes((2 << 20) + 1))
        over = select.select([first.socket, second.socket], [], [], 60)[0]  # of whichever the last byte is read last
        assert [client.receive() for client in (first, second) if client.socket in over] == [None]
        served(world)


def test_entries_that_are_no_records_are_kept_and_marked(world: World) -> None:
    good = [AT, {"message": "good"}]
    with Client(world.address("forward")) as client:
        client.send("t", [good, [AT, "just text"], 7, [AT]], {"chunk": "c"})
        client.send("t", packed(good, good) + b"\x92\xce\x00\xff", {"chunk": "d"})
        documents = world.lines(7)
        assert [client.receive(), client.receive()] == [{"ack": "c"}, {"ack": "d"}]
    marked = {document["message"]: document["log"]["flags"] for document in documents if "log" in document}
    assert marked == {
        f'[{AT},"just text"]': ["unparsed"], "7": ["unparsed"], f"[{AT}]": ["unparsed"],
        "\\x92\\xce\0\\xff": ["damaged"]}  # fmt: skip
    assert [document["message"] for document in documents].count("good") == 3


@pytest.mark.parametrize("time", [-1, 1 << 62, 1 << 63, 1e300, float("nan"), None, "soon", True, {}])
def test_a_time_that_no_store_takes_is_that_of_its_arrival(world: World, time: Any) -> None:
    with Client(world.address("forward")) as client:
        client.send("t", [[time, {"message": "timeless"}]])
        assert world.lines(1)[0]["@timestamp"] > "2026"


def deep(levels: int) -> Any:
    record: Any = "bottom"
    for _ in range(levels):
        record = {"a": record}
    return record


@pytest.mark.parametrize(
    "record",
    [
        {"message": "m", "deep": deep(400)},
        {"message": "m", **{f"key{number}": number for number in range(10_000)}},
        {"message": "m", "large": "x" * 300_000},
        {"message": "m", "list": list(range(2000))},
    ],
    ids=["deep", "wide", "large", "list"],
)
def test_a_record_that_is_too_much_for_fields_is_kept_whole_as_text(world: World, record: dict[str, Any]) -> None:
    with Client(world.address("forward")) as client:
        client.socket.sendall(msgpack.packb(["t", AT, record]))
        document = world.lines(1)[0]
    assert '"message":"m"' in document["message"]
    assert len(document["message"]) >= len(msgpack.packb(record)) * 0.9 or "bottom" in document["message"]
    assert ("fields" in document) != (document.get("log", {}).get("flags") == ["unparsed"])


def test_whatever_is_in_a_record_is_kept(world: World) -> None:
    record = {
        "message": b"caf\xe9 \x00", "nul\0key": 1, 5: "number key", "": "no key", "big": (1 << 64) - 1,
        "nan": float("nan"), "bytes": b"\xff\xfe", "ext": msgpack.ExtType(7, b"x"), "list": [1, {"a": b"b"}],
        "time": msgpack.Timestamp(AT), "@timestamp": "forged", "host": {"name": "forged"}, "none": None,
    }  # fmt: skip
    with Client(world.address("forward")) as client:
        client.send("t", AT, record)
        document = world.lines(1)[0]
    assert document["message"] == "caf\ufffd \0"
    assert document["host"]["name"] == "here"
    found = document["fields"]
    assert {"nul\ufffdkey", "5", "big", "nan", "bytes", "ext", "list", "@timestamp", "host.name"} <= found.keys()
    assert (found["big"], found["nan"]) == (str((1 << 64) - 1), "nan")


def test_a_tag_may_be_anything(world: World) -> None:
    with Client(world.address("forward")) as client:
        for tag in ("", "x" * 5000, "a\nb", b"\xff\xfe", "\u202etag"):
            client.socket.sendall(msgpack.packb([tag, AT, {"message": "m"}]))
        documents = world.lines(5)
    assert documents[0]["service"]["name"] == "forward"
    assert max(len(document["service"]["name"]) for document in documents) == 255


def test_a_slow_queue_stops_the_sender_and_loses_nothing(start: Start) -> None:
    world = start(forward=ANY, memory=4 << 20, spool=0)
    line = "x" * 10_000
    with Client(world.address("forward")) as client:
        client.socket.settimeout(1)
        sent = 0
        message = bytearray()
        try:
            while True:
                message[:] = msgpack.packb(["t", AT, {"message": f"{sent} {line}"}])
                while message:
                    del message[: client.socket.send(message)]
                sent += 1
                assert sent < 20_000, "nothing has stopped it"
        except TimeoutError:
            pass
        client.socket.settimeout(60)
        while message:
            world.confirm(world.take())
            client.socket.setblocking(False)
            try:
                del message[: client.socket.send(message)]
            except BlockingIOError:
                continue
        documents = world.lines(sent + 1)
    assert [int(document["message"].split()[0]) for document in documents] == list(range(sent + 1))


def test_connections_beyond_the_most_are_refused_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shipper.inputs.streams.MOST", 2)
    clients = [socket.create_connection(world.address("forward"), timeout=30) for _ in range(3)]
    try:
        ended = []
        for client in clients[2:]:
            try:
                ended.append(client.recv(1))
            except ConnectionResetError:
                ended.append(b"")
        assert ended == [b""]
    finally:
        for client in clients:
            client.close()
