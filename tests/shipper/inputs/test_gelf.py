"""GELF over UDP and TCP: chunks in any order, compressed or not, and what is none of it."""

import gzip
import os
import random
import socket
import time
import zlib
from typing import Any

import docker
import orjson
import pytest
from input_world import ANY, Start, World, until

from shipper.inputs.gelf_chunks import MAGIC, MOST_BYTES, TIMEOUT, Chunks
from shipper.inputs.line import BadInput

MESSAGE = {"version": "1.1", "host": "web-1", "short_message": "disk full", "timestamp": 1795393500.25, "level": 3,
           "_service": "shop", "_user_id": 7}  # fmt: skip


def message(**more: Any) -> bytes:
    return orjson.dumps({**MESSAGE, **more})


def chunks(data: bytes, size: int = 100, key: bytes = b"") -> list[bytes]:
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    key = key or os.urandom(8)
    return [MAGIC + key + bytes((number, len(parts))) + part for number, part in enumerate(parts)]


@pytest.fixture
def world(start: Start) -> World:
    return start(gelf=ANY)


def send(world: World, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for datagram in datagrams:
            udp.sendto(datagram, world.address("gelf"))


def test_a_message_is_a_line_of_its_service_and_host(world: World) -> None:
    send(world, message(full_message="disk full\non /dev/sda"))
    line = world.lines(1)[0]
    assert line["message"] == "disk full\non /dev/sda"
    assert line["@timestamp"] == "2026-11-23T00:25:00.250000000Z"
    assert (line["service"]["name"], line["host"]["name"], line["log"]["level"]) == ("shop", "web-1", "error")
    assert line["fields"] == {"service": "shop", "user_id": 7}


def test_compressed_and_chunked_messages_are_put_together_in_any_order(world: World) -> None:
    long = message(short_message="".join(random.choices("abcdefgh", k=3000)))
    for packed in (long, zlib.compress(long), gzip.compress(long)):
        parts = chunks(packed)
        random.shuffle(parts)
        send(world, *parts, parts[0])
    lines = world.lines(3)
    assert {line["message"] for line in lines} == {orjson.loads(long)["short_message"]}


def test_messages_over_tcp_end_in_nul(world: World) -> None:
    with socket.create_connection(world.address("gelf")) as tcp:
        data = message(short_message="a") + b"\0" + message(short_message="b") + b"\0" + message(short_message="c")
        for start in range(0, len(data), 50):
            tcp.sendall(data[start : start + 50])
    assert [line["message"] for line in world.lines(3)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "datagram",
    [MAGIC, MAGIC + b"12345678", MAGIC + b"12345678\x05\x05x", MAGIC + b"12345678\x00\x00x",
     MAGIC + b"12345678\x00\xffx", b"\x78\x9cnot zlib", gzip.compress(b"{}")[:-4],
     zlib.compress(bytes(MOST_BYTES + 1))],
    ids=["magic", "short", "number", "none", "many", "zlib", "cut", "bomb"],
)  # fmt: skip
def test_a_datagram_of_which_no_line_can_be_had_is_counted(world: World, datagram: bytes) -> None:
    before = world.counted("lines_dropped_total", service="gelf", reason="malformed")
    send(world, datagram, message(short_message="next"))
    assert [line["message"] for line in world.lines(1)] == ["next"]
    assert world.counted("lines_dropped_total", service="gelf", reason="malformed") == before + 1


@pytest.mark.parametrize("text", ["not JSON \x00\x1b", "[1,2]", '{"short_message": ', '{"a":' * 2000, "5"])
def test_a_message_that_is_no_gelf_is_kept_and_marked(world: World, text: str) -> None:
    send(world, text.encode())
    line = world.lines(1)[0]
    assert (line["message"], line["log"]["flags"], line["service"]["name"]) == (text, ["unparsed"], "gelf")


def test_chunks_that_never_become_whole_are_forgotten_and_bounded() -> None:
    own = Chunks()
    for number in range(20_000):
        own.add(MAGIC + number.to_bytes(8, "big") + b"\0\2" + bytes(1000), "host", 1.0)
        own.expired(1.0)
        assert own._size <= MOST_BYTES
    assert own.expired(1.0 + TIMEOUT) > 100
    assert own._size == 0
    assert own.add(MAGIC + b"12345678\0\2a", "host", 9.0) is None
    with pytest.raises(BadInput, match="disagree"):
        own.add(MAGIC + b"12345678\1\3b", "host", 9.0)
    assert own.add(MAGIC + b"12345678\1\2b", "another", 9.0) is None
    assert own.add(MAGIC + b"12345678\1\2b", "host", 9.0) == b"ab"


def test_datagrams_without_room_are_dropped_and_the_ledger_says_so(start: Start) -> None:
    world = start(gelf=ANY, memory=1 << 20, spool=0)
    read = world.counted("lines_read_total", service="gelf")
    dropped = world.counted("lines_dropped_total", service="gelf", reason="input_full")
    before = world.counted("lines_read_total", service="flood")
    sent = 0

    def full() -> bool:
        nonlocal sent
        send(world, message(short_message="x" * 5_000, _service="flood"))
        sent += 1
        time.sleep(0.001)
        return world.counted("lines_dropped_total", service="gelf", reason="input_full") > dropped

    until(full)
    ends = 0

    def through() -> bool:
        """What is sent last has come: nothing waits in the socket any more."""
        nonlocal ends
        send(world, message(short_message="end", _service="end"))
        ends += 1
        world.confirm(world.take())
        return any(line["message"] == "end" for line in world.taken)

    until(through)
    until(lambda: world.confirm(world.take()) or world.counted("input_bytes") == 0)
    lost = world.counted("lines_dropped_total", service="gelf", reason="input_full") - dropped
    assert world.counted("lines_read_total", service="gelf") - read == lost
    flood = [line for line in world.taken if line["message"] != "end"]
    assert 100 < len(flood) <= sent + ends - lost
    assert world.counted("lines_read_total", service="flood") - before == len(flood)


@pytest.mark.engine
def test_a_real_container_with_the_gelf_driver(start: Start, engine: docker.DockerClient, test_image: str) -> None:
    world = start(gelf=ANY)
    host, port = world.address("gelf")
    container = engine.containers.run(
        test_image, ["sh", "-c", "echo out; echo err >&2"], detach=True, network_mode="none",
        log_config=docker.types.LogConfig(type="gelf", config={"gelf-address": f"udp://{host}:{port}"}))  # fmt: skip
    try:
        lines = {line["message"]: line for line in world.lines(2)}
    finally:
        container.remove(force=True)
    assert (lines["out"]["stream"], lines["err"]["stream"]) == ("stdout", "stderr")
    assert lines["out"]["container"]["id"] == container.id
    assert lines["out"]["service"]["name"] == container.name
