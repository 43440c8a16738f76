"""`forward://`: every line acknowledged by a receiver that speaks the protocol, or sent again; key, user, TLS."""

import http.server
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forward_receiver import Receiver
from made_batches import batch, until

from towline.batch import Batch
from towline.errors import QueueUnavailable, UsageError
from towline.queues import forward_message, forward_url
from towline.queues.forward import outlet
from towline.queues.outgoing import Outgoing

Make = Callable[..., Receiver]
Open = Callable[..., Outgoing]


@pytest.fixture
def opened() -> Iterator[Open]:
    """opened(receiver or port, options, scheme, user, **secrets)"""
    made: list[Outgoing] = []

    def open_one(*ports: int, options: str = "", scheme: str = "forward", user: str = "", key: str = "") -> Outgoing:
        places = ",".join(f"127.0.0.1:{port}" for port in ports)
        environ = {"TOWLINE_QUEUE_SHARED_KEY": key} if key else {}
        made.append(outlet(f"{scheme}://{user}{places}{options}", 1 << 20, environ))
        return made[-1]

    yield open_one
    for each in made:
        each.close()


def send(out: Outgoing, *batches: Batch) -> list[int]:
    """Offer them; the list grows with each confirm."""
    confirmed: list[int] = []
    for number, each in enumerate(batches):
        assert out.offer(each, lambda n=number: confirmed.append(n))  # type: ignore[misc]
    return confirmed


def messages(receiver: Receiver) -> list[str]:
    return [record["message"] for record in receiver.records]


def problem(out: Outgoing) -> str:
    with pytest.raises(QueueUnavailable) as told:
        out.check()
    return str(told.value)


@pytest.mark.parametrize("options", ["", "?compress=gzip"])
def test_lines_arrive_whole_with_time_tag_and_identity(receivers: Make, opened: Open, options: str) -> None:
    receiver = receivers()
    confirmed = send(opened(receiver.port, options=options), batch(["one", "ünï 🐳"]), batch(["three"], first=2))
    until(lambda: len(confirmed) == 2)
    assert messages(receiver) == ["one", "ünï 🐳", "three"]
    assert receiver.records[1] == {
        "@timestamp": "2026-11-23T10:00:00.000000001Z", "message": "ünï 🐳", "stream": "stdout",
        "event": {"sequence": 2, "id": "2026-11-23T10:00:00.000000001Z-webo"},
        "container": {"id": "c" * 64, "name": "web"}, "host": {"name": "node1"}, "service": {"name": "web"},
    }  # fmt: skip
    assert receiver.times == [(1795428000, 0), (1795428000, 1), (1795428000, 2)]
    assert {tag for tag, _, _ in receiver.messages} == {"towline"}
    assert sum(option["size"] for _, option, _ in receiver.messages) == 3


def test_a_tag_may_name_the_service(receivers: Make, opened: Open) -> None:
    receiver = receivers()
    out = opened(receiver.port, options="?tag=docker.{service}")
    confirmed = send(out, batch(["a"]), batch(["b"], service="db"))
    until(lambda: len(confirmed) == 2)
    assert sorted(tag for tag, _, _ in receiver.messages) == ["docker.db", "docker.web"]


def test_what_is_not_acknowledged_is_sent_again_under_the_same_chunk(receivers: Make, opened: Open) -> None:
    receiver = receivers()
    receiver.acknowledges = lambda number: number > 0
    confirmed = send(opened(receiver.port), batch(["one"]))
    until(lambda: receiver.messages)
    assert not confirmed
    receiver.hang_up()
    until(lambda: confirmed)
    assert messages(receiver) == ["one", "one"]
    assert receiver.messages[0][1]["chunk"] == receiver.messages[1][1]["chunk"]
    assert len({record["event"]["id"] for record in receiver.records}) == 1


def test_what_was_acknowledged_is_not_sent_again(
    receivers: Make, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward_message, "MESSAGE_BYTES", 2000)
    receiver = receivers()
    receiver.acknowledges = lambda number: number != 1
    out = opened(receiver.port)
    confirmed = send(out, batch([f"{number} {'x' * 100}" for number in range(20)]))
    until(lambda: len(receiver.records) >= 20 and len(out._sink._unanswered) == 1)  # type: ignore[attr-defined]
    receiver.hang_up()
    until(lambda: confirmed)
    count = receiver.messages[1][2]
    assert len(receiver.records) == 20 + count, "only the second message came twice"
    assert len({record["event"]["id"] for record in receiver.records}) == 20


def test_a_receiver_that_closes_idle_connections_is_no_problem(receivers: Make, opened: Open) -> None:
    receiver = receivers()
    out = opened(receiver.port)
    first = send(out, batch(["one"]))
    until(lambda: first)
    receiver.hang_up()
    second = send(out, batch(["two"], first=1))
    until(lambda: second)
    assert messages(receiver) == ["one", "two"]


def test_a_receiver_that_comes_back_gets_what_waited(receivers: Make, opened: Open) -> None:
    receiver = receivers()
    port = receiver.port
    receiver.close()
    out = opened(port)
    confirmed = send(out, batch(["one"]))
    until(lambda: not out.offer(batch(["two"]), lambda: None))
    assert f"forward://127.0.0.1:{port}: Connection refused: is the receiver up" in problem(out)
    again = receivers(port=port)
    until(lambda: confirmed)
    assert messages(again)[0] == "one"
    out.check()


def test_the_next_receiver_takes_over(receivers: Make, opened: Open) -> None:
    one, two = receivers(), receivers()
    out = opened(one.port, two.port)
    first = send(out, batch(["one"]))
    until(lambda: first)
    used, other = (one, two) if one.records else (two, one)
    used.close()
    second = send(out, batch(["two"], first=1))
    until(lambda: second)
    assert messages(other) == ["two"]


def test_a_shared_key_lets_in_those_who_know_it(receivers: Make, opened: Open) -> None:
    receiver = receivers(shared_key="s3cret")
    confirmed = send(opened(receiver.port, key="s3cret"), batch(["one"]))
    until(lambda: confirmed)
    text = problem(opened(receiver.port, key="wrong"))
    assert "refuses us (shared_key mismatch): correct the shared key" in text
    assert "wrong" not in text
    out = opened(receiver.port)
    send(out, batch(["two"]))
    until(lambda: not out.offer(batch(["three"]), lambda: None))
    assert "asks for a shared key: set TOWLINE_QUEUE_SHARED_KEY" in problem(out)
    assert messages(receiver) == ["one"]


def test_a_user_is_told_where_the_receiver_asks_for_one(receivers: Make, opened: Open) -> None:
    receiver = receivers(shared_key="s3cret", users={"towline": "pa:ss"})
    confirmed = send(opened(receiver.port, key="s3cret", user="towline:pa%3Ass@"), batch(["one"]))
    until(lambda: confirmed)
    text = problem(opened(receiver.port, key="s3cret", user="towline:hush@"))
    assert "username/password mismatch" in text
    assert "hush" not in text


def test_a_key_that_nobody_asks_for_is_told(receivers: Make, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("towline.queues.forward_wire.CONNECT_WITHIN", 0.2)
    assert "asks for no shared key" in problem(opened(receivers().port, key="s3cret"))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cert.pem for 127.0.0.1, its own authority, and key.pem."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=towline-test", "-days", "2"]
    files = ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *files], check=True, capture_output=True)
    return folder


def test_tls_is_verified(receivers: Make, opened: Open, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    receiver = receivers(tls=context, shared_key="s3cret")
    out = opened(receiver.port, options=f"?ca={certificate}/cert.pem", scheme="forwards", key="s3cret")
    for number in range(3):
        confirmed = send(out, batch([f"line {number}"], first=number))
        until(lambda confirmed=confirmed: confirmed)  # type: ignore[misc]
    assert messages(receiver) == ["line 0", "line 1", "line 2"]
    assert "certificate is refused" in problem(opened(receiver.port, scheme="forwards", key="s3cret"))


def test_what_does_not_speak_the_protocol_is_told(opened: Open) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        out = opened(server.server_port)
        send(out, batch(["one\n\n"]))
        until(lambda: not out.offer(batch(["two"]), lambda: None))
        assert "correct the port" in problem(out) or "closed the connection" in problem(out)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_close_ends_the_wait_for_an_answer(receivers: Make, opened: Open) -> None:
    receiver = receivers()
    receiver.acknowledges = lambda number: False
    out = opened(receiver.port)
    confirmed = send(out, batch(["one"]))
    until(lambda: receiver.records)
    out.close()
    assert not confirmed
    thread = out._thread
    assert thread is not None
    until(lambda: not thread.is_alive())


def test_times_before_1970_and_beyond_2106_stay_in_the_protocols_range() -> None:
    assert forward_message.event_time("1960-01-01T00:00:00.000000005Z") == b"\xd7\x00" + b"\0" * 4 + b"\0\0\0\5"
    assert forward_message.event_time("2200-01-01T00:00:00.000000000Z") == b"\xd7\x00" + b"\xff" * 4 + b"\0" * 4
    assert forward_message.event_time("no time") == b"\xd7\x00" + b"\0" * 8


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("forward://", "is not HOST or HOST:PORT"),
        ("forward://h:99999", "is not HOST or HOST:PORT"),
        ("forward://h/path", "nothing but options"),
        ("forward://h?shared_key=hush", "TOWLINE_QUEUE_SHARED_KEY"),
        ("forward://h?tag=a b", "tag='a b'"),
        ("forward://h?tag=", "tag=''"),
        ("forward://h?compress=zstd", "compress='zstd'"),
        ("forward://h?ca=/x", "for forwards://"),
        ("forwards://h?ca=/no/such.pem", "ca=/no/such.pem"),
        ("forward://me:hush@h", "told together with a shared key"),
        ("forward://[h", "can't be read"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_in_one_line(url: str, text: str) -> None:
    with pytest.raises(UsageError) as told:
        forward_url.parse(url, {})
    assert text in str(told.value)
    assert "hush" not in str(told.value)


def test_addresses_of_all_kinds_are_understood() -> None:
    receiver = forward_url.parse("forward://one,two:1234,[::1]?tag=x", {})
    assert receiver.addresses == (("one", 24224), ("two", 1234), ("::1", 24224))
    assert receiver.at(("::1", 24224)) == "forward://[::1]:24224"


def test_a_port_that_nobody_listens_on_is_told(opened: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    assert "Connection refused" in problem(opened(port))
