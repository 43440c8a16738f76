"""The engine's API at its edges: what is unreachable, hostile, hanging or gone becomes one line with a fix."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest
import requests
import urllib3

from towline.engine import Engine, Events
from towline.errors import EngineUnavailable, UsageError

Serve = Callable[[dict[str, tuple[int, bytes]]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start an HTTP server that gives these answers by path (without the API version); its URL. Status 0: only these
    bytes, and then the connection ends."""
    servers: list[ThreadingHTTPServer] = []

    def start(answers: dict[str, tuple[int, bytes]]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0].removeprefix("/v1.41")
                status, body = answers.get(path, (404, b"{}"))
                if not status:
                    self.wfile.write(body)
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return f"tcp://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


VERSION = (200, b'{"ApiVersion":"1.41"}')


@pytest.mark.parametrize(
    "url",
    [
        "", "unix://", "unix://relative/docker.sock", "unix:///", "unix:///" + 108 * "x", "unix:///run/\0x",
        "tcp://", "tcp://host:0", "tcp://host:99999", "tcp://host:port", "tcp://host:1/path", "tcp://[::1",
        "npipe:////./pipe/docker", "ssh://host", "/var/run/docker.sock", "amqp://host",
    ],
)  # fmt: skip
def test_a_url_that_cant_be_an_engine_is_wrong_usage(url: str) -> None:
    with pytest.raises(UsageError, match="engine URL") as caught:
        Engine(url)
    assert "unix:///var/run/docker.sock" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_socket_says_to_start_the_engine_or_mount_the_directory(tmp_path: Path) -> None:
    engine = Engine(f"unix://{tmp_path}/docker.sock")
    with pytest.raises(EngineUnavailable, match=r"no socket at .*docker\.sock: is the engine running\?.*directory"):
        engine.info()


def test_a_stale_socket_says_that_nothing_answers(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(f"{tmp_path}/docker.sock")
    with pytest.raises(EngineUnavailable, match=r"nothing answers .* is the engine running"):
        Engine(f"unix://{tmp_path}/docker.sock").containers()


def test_a_closed_port_says_that_nothing_answers() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(EngineUnavailable, match="nothing answers"):
            Engine(url).info()


def test_a_host_without_address_says_so() -> None:
    with pytest.raises(EngineUnavailable, match="has no address"):
        Engine("tcp://nosuchhost.invalid:2375").info()


def test_no_permission_names_the_group() -> None:
    hidden = requests.ConnectionError(
        urllib3.exceptions.ProtocolError("Connection aborted.", PermissionError(13, "no"))
    )
    hidden.__cause__ = hidden.args[0]
    assert "group docker" in str(Engine("unix:///run/docker.sock").unavailable(hidden))


def test_an_engine_that_is_too_old_is_refused_with_the_fix(serve: Serve) -> None:
    engine = Engine(serve({"/version": VERSION, "/info": (200, b'{"ServerVersion":"19.03.15-ce"}')}))
    with pytest.raises(
        EngineUnavailable, match=r"Docker engine 19\.03\.15-ce at tcp://.* is too old: upgrade it to 20\.10"
    ):
        engine.info()
    engine.close()


def test_an_engine_that_never_answers_is_given_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(f"{tmp_path}/docker.sock")
        hanging.listen()
        with pytest.raises(EngineUnavailable, match="does not answer in time"):
            Engine(f"unix://{tmp_path}/docker.sock", timeout=0.2).info()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"null", b"\xff\xfe"])
def test_another_kind_of_server_is_told_apart(serve: Serve, body: bytes) -> None:
    engine = Engine(serve({"/version": VERSION, "/info": (200, body)}))
    with pytest.raises(EngineUnavailable, match="check the URL"):
        engine.info()
    engine.close()


def test_a_proxy_that_forbids_is_named_with_the_path(serve: Serve) -> None:
    engine = Engine(serve({"/version": VERSION, "/events": (403, b"Forbidden")}))
    with pytest.raises(EngineUnavailable, match=r"403 to GET /v1.41/events: allow this path in the socket proxy"):
        engine.events()
    engine.close()


def test_the_engines_own_words_are_passed_on(serve: Serve) -> None:
    url = serve({"/version": VERSION, "/containers/json": (500, b'{"message":"layer does not exist"}')})
    engine = Engine(url)
    with pytest.raises(EngineUnavailable, match=r"500 .*layer does not exist"):
        engine.containers()
    engine.close()


@pytest.mark.parametrize("status", [404, 409])
def test_a_container_that_is_gone_or_going_is_none(serve: Serve, status: int) -> None:
    engine = Engine(serve({"/version": VERSION, f"/containers/{'a' * 64}/json": (status, b"{}")}))
    assert engine.inspect("a" * 64) is None
    engine.close()


def test_an_event_stream_that_the_engine_ends_just_ends(serve: Serve) -> None:
    engine = Engine(serve({"/version": VERSION, "/events": (200, b'{"Action":"start"}\n\n{"Action":"die"}\n')}))
    assert [event["Action"] for event in engine.events()] == ["start", "die"]
    engine.close()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("start", [b"", CHUNKED, CHUNKED + b'20\r\n{"Action":'], ids=["silent", "begun", "half"])
def test_an_answer_that_breaks_off_says_that_the_engine_may_have_been_stopped(serve: Serve, start: bytes) -> None:
    engine = Engine(serve({"/version": VERSION, "/events": (0, start)}))
    with pytest.raises(EngineUnavailable, match="broke off its answer: was it stopped or restarted"):
        list(engine.events())


def test_an_event_that_is_no_json_is_an_engine_that_cant_be_used(serve: Serve) -> None:
    engine = Engine(serve({"/version": VERSION, "/events": (200, b"garbage\n")}))
    with pytest.raises(EngineUnavailable):
        list(engine.events())
    engine.close()


@pytest.mark.engine
def test_the_engine_says_who_it_is(engine_url: str) -> None:
    engine = Engine(engine_url)
    info = engine.info()
    engine.close()
    with docker.APIClient(base_url=engine_url) as client:
        told = client.info()
    assert (info.name, str(info.data_root), info.version) == (
        told["Name"], told["DockerRootDir"], told["ServerVersion"])  # fmt: skip
    assert info.driver == told["LoggingDriver"]
    assert abs(info.clock / 1e9 - time.time()) < 3600


@pytest.mark.parametrize(
    ("stamp", "clock"),
    [
        ("2026-11-23T01:19:27.394379661Z", 1795396767394379661),
        ("2026-11-23T02:19:27.39+01:00", 1795396767390000000),
        ("2026-11-23T01:19:27Z", 1795396767000000000),
        ("", 0),
        ("yesterday", 0),
    ],
)
def test_the_engines_clock_keeps_its_nanoseconds(serve: Serve, stamp: str, clock: int) -> None:
    engine = Engine(serve({"/version": VERSION, "/info": (200, json.dumps({"SystemTime": stamp}).encode())}))
    assert engine.info().clock == clock
    engine.close()


@pytest.mark.engine
def test_a_waiting_event_stream_is_closed_from_another_thread(engine_url: str) -> None:
    engine = Engine(engine_url, timeout=60)
    stream = engine.events()
    reader, seen = _drain(stream)
    stream.close()
    reader.join(60)
    stream.close()
    engine.close()
    assert not reader.is_alive()
    assert "error" not in seen


@pytest.mark.engine
def test_quiet_is_no_time_out(engine_url: str, engine: docker.DockerClient, prefix: str, test_image: str) -> None:
    watched = Engine(engine_url, timeout=4)  # a busy engine takes a while to answer
    stream = watched.events()
    reader, seen = _drain(stream, prefix)
    reader.join(5)  # Longer than the time-out; a stream that died of it would not tell of the container.
    engine.containers.run(test_image, "true", name=f"{prefix}-quiet", network_mode="none")
    try:
        assert reader.is_alive() or "error" not in seen
        deadline = time.monotonic() + 60
        while not {"start", "die"} <= set(seen) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert {"start", "die"} <= set(seen)
        assert not {"create", "attach"} & set(seen), "events that nobody asked for cost for nothing"
    finally:
        stream.close()
        reader.join(60)
        watched.close()


def _drain(stream: Events, prefix: str = "") -> tuple[threading.Thread, list[str]]:
    seen: list[str] = []

    def read() -> None:
        try:
            for event in stream:
                if event["Actor"]["Attributes"].get("name", "").startswith(prefix):
                    seen.append(event["Action"])
        except EngineUnavailable:
            seen.append("error")

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    return reader, seen
