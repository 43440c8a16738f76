"""The fluent forward protocol, by fluent-logger and byte by byte: all modes, acks, repeats, the handshake, TLS."""

import gzip
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import zstandard
from fluent.sender import FluentSender
from forward_client import Client, event_time, packed
from input_world import ANY, Start, World, until

AT = 1795393500
STAMP = "2026-11-23T00:25:00."


@pytest.fixture
def world(start: Start) -> World:
    return start(forward=ANY)


def texts(documents: list[dict[str, Any]]) -> list[str]:
    return [document["message"] for document in documents]


def test_what_fluent_logger_emits_is_a_line_with_its_fields(world: World) -> None:
    host, port = world.address("forward")
    sender = FluentSender("shop", host=host, port=port, nanosecond_precision=True)
    sender.emit_with_time("cart", AT + 0.25, {"message": "added", "level": "WARN", "user": {"id": 7}, "status": 200})
    sender.emit("cart", {"from": "a", "to": "b"})
    sender.close()
    first, second = world.lines(2)
    assert first["message"] == "added"
    assert first["@timestamp"] == STAMP + "250000000Z"
    assert first["service"]["name"] == first["container"]["name"] == "shop.cart"
    assert first["host"]["name"] == "here"
    assert first["log"]["level"] == "warn"
    assert first["http"]["response"]["status_code"] == 200
    assert first["fields"] == {"user.id": 7}
    assert second["message"] == '{"from":"a","to":"b"}'
    assert second["fields"] == {"from": "a", "to": "b"}
    assert second["container"]["id"] == first["container"]["id"]
    assert second["event"]["sequence"] == first["event"]["sequence"] + 1


def test_every_mode_of_the_protocol_is_understood(world: World) -> None:
    entries = [[event_time(AT, 5), {"message": "a"}], [AT, {"log": "b"}]]
    with Client(world.address("forward")) as client:
        client.send("t", event_time(AT, 1), {"message": "one"})
        client.send("t", AT, {"message": "two"}, {})
        client.send("t", entries)
        client.send("t", packed(*entries), {"size": 2})
        client.send("t", gzip.compress(packed(*entries)), {"compressed": "gzip"})
        client.send("t", gzip.compress(packed(entries[0])) + gzip.compress(packed(entries[1])), {"compressed": "gzip"})
        client.send("t", zstandard.compress(packed(*entries)), {"compressed": "zstd"})
        client.send("t", [[[event_time(AT, 6), {}], {"message": "with metadata"}]])
        documents = world.lines(13)
    assert texts(documents) == ["one", "two", *["a", "b"] * 5, "with metadata"]
    assert [document["@timestamp"] for document in documents[:3]] == [STAMP + f"00000000{n}Z" for n in (1, 0, 5)]


def test_an_ack_is_sent_only_once_the_queue_has_confirmed(world: World) -> None:
    with Client(world.address("forward")) as client:
        client.send("t", [[AT, {"message": "a"}], [AT, {"message": "b"}]], {"chunk": "c1"})
        deliveries = until(world.take)
        with pytest.raises(TimeoutError):
            client.receive(within=0.3)
        world.confirm(deliveries)
        assert client.receive() == {"ack": "c1"}
    assert texts(world.taken) == ["a", "b"]


def test_a_chunk_of_no_lines_is_acknowledged_and_so_is_a_sender_that_has_finished(world: World) -> None:
    with Client(world.address("forward")) as client:
        client.send("t", [], {"chunk": "none"})
        assert client.receive() == {"ack": "none"}
        client.send("t", AT, {"message": "last"}, {"chunk": b"bytes"})
        client.socket.shutdown(1)
        world.lines(1)
        assert client.receive() == {"ack": b"bytes"}
        assert client.receive() is None


def test_a_chunk_that_is_sent_again_has_the_same_identities(world: World) -> None:
    message = ["t", [[AT, {"message": "same"}], [AT, {"message": "same"}]]]
    for chunk in ("c1", "c1", "c2"):
        with Client(world.address("forward")) as client:
            client.send(*message, {"chunk": chunk})
            world.lines(len(world.taken) + 2)
            assert client.receive() == {"ack": chunk}
    ids = [document["_id"] for document in world.taken]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 4, "equal lines of one chunk, or of another, are no repeats"


def test_without_a_chunk_nothing_is_taken_for_a_repeat(world: World) -> None:
    with Client(world.address("forward")) as client:
        for _ in range(3):
            client.send("t", AT, {"message": "same"})
        assert len({document["_id"] for document in world.lines(3)}) == 3


def test_what_the_queue_does_not_take_is_acknowledged_from_the_spool(start: Start, tmp_path: Path) -> None:
    world = start(forward=ANY)
    world.queue.close()  # takes nothing
    with Client(world.address("forward")) as client:
        client.send("t", AT, {"message": "kept"}, {"chunk": "c"})
        assert client.receive() == {"ack": "c"}
    assert any(file.stat().st_size for file in (tmp_path / "state0" / "spool").iterdir())


def test_what_is_spooled_at_the_end_is_acknowledged_and_comes_out_after_a_restart(start: Start, tmp_path: Path) -> None:
    world = start(forward=ANY)
    with Client(world.address("forward")) as client:
        client.send("t", AT, {"message": "last words"}, {"chunk": "c"})
        until(world.take)  # and never confirmed
        world.shipper.stop()
        assert client.receive() == {"ack": "c"}
        assert client.receive() is None
    world.stop()
    again = World(tmp_path / "state0", world.shipper._settings.inputs)
    assert texts(again.lines(1)) == ["last words"]
    again.stop()


KEYS = {"shared_key": "s3cret", "user": "eve", "password": "pa55"}


@pytest.mark.parametrize(
    ("wanted", "given", "reason"),
    [
        ({"shared_key": "s3cret"}, ("s3cret", "", ""), ""),
        ({"shared_key": "s3cret"}, ("wrong", "", ""), "shared_key mismatch"),
        (KEYS, ("s3cret", "eve", "pa55"), ""),
        (KEYS, ("s3cret", "eve", "wrong"), "username/password mismatch"),
        (KEYS, ("s3cret", "bob", "pa55"), "username/password mismatch"),
        (KEYS, ("s3cret", "", ""), "username/password mismatch"),
    ],
)
def test_only_who_knows_the_secrets_is_heard(
    start: Start, wanted: dict[str, str], given: tuple[str, str, str], reason: str
) -> None:
    world = start(forward=ANY, **wanted)
    with Client(world.address("forward")) as client:
        pong = client.shake(*given, host="box-7")
        assert pong[:3] == ["PONG", not reason, reason]
        if reason:
            assert client.receive() is None
            return
        client.send("t", AT, {"message": "let in"})
        assert world.lines(1)[0]["host"]["name"] == "box-7"


def test_who_sends_lines_instead_of_a_handshake_is_not_heard(start: Start) -> None:
    world = start(forward=ANY, shared_key="s3cret")
    with Client(world.address("forward")) as client:
        assert client.receive()[0] == "HELO"
        client.send("t", AT, {"message": "let me in"})
        assert client.receive() is None
    assert not world.take()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    own, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", own],
        check=True, capture_output=True)  # fmt: skip
    return own, key


def refused(world: World, tls: ssl.SSLContext) -> bool:
    """Whether a sender without a certificate is turned away, which TLS 1.3 tells with the first read."""
    try:
        with Client(world.address("forward"), tls) as client:
            client.send("t", AT, {"message": "anonymous"})
            return client.receive() is None
    except (ssl.SSLError, ConnectionError):
        return True


def test_over_tls_with_a_certificate_of_the_sender(start: Start, certificate: tuple[Path, Path]) -> None:
    own, key = certificate
    world = start(forward=ANY, certificate=own, key=key, authorities=own)
    known = ssl.create_default_context(cafile=str(own))
    assert refused(world, known)
    known.load_cert_chain(own, key)
    with Client(world.address("forward"), known) as client:
        client.send("t", AT, {"message": "known"}, {"chunk": "c"})
        assert texts(world.lines(1)) == ["known"]
        assert client.receive() == {"ack": "c"}
