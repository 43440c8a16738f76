"""compose/engine-proxy/haproxy.cfg before a real engine: what Towline asks goes through, streams too, nothing else."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import docker
import pytest
from docker.types import LogConfig
from ports import free_port

from towline.engine import Engine
from towline.errors import EngineUnavailable

CONFIG = Path(__file__).parents[2] / "compose" / "engine-proxy" / "haproxy.cfg"


@pytest.fixture
def proxy(tmp_path: Path, engine_url: str, missing_part: Callable[[str], NoReturn]) -> Iterator[str]:
    """The path of its socket; of the file only places are changed."""
    if not shutil.which("haproxy"):
        missing_part("no haproxy: make servers")
    port = free_port()
    text = CONFIG.read_text().replace("/run/engine/docker.sock", f"{tmp_path}/docker.sock")
    text = text.replace("/var/run/docker.sock", engine_url.removeprefix("unix://")).replace(":2375", f":{port}")
    (tmp_path / "haproxy.cfg").write_text(text)
    with subprocess.Popen(
        ["haproxy", "-db", "-f", str(tmp_path / "haproxy.cfg")], stderr=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: (tmp_path / "docker.sock").exists())
        yield f"{tmp_path}/docker.sock"
        process.terminate()


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def container(engine: docker.DockerClient, prefix: str, test_image: str) -> str:
    """Says a line, and another when there is a file /go."""
    script = "echo one; until [ -e /go ]; do sleep 0.1; done; echo two; sleep 600"
    made = engine.containers.run(test_image, ["sh", "-c", script], name=f"{prefix}-said", detach=True, init=True,
                                 network_mode="none", log_config=LogConfig(type="json-file"))  # fmt: skip
    return str(made.id)


class Asked:
    """One request over HTTP/1.0, as the reader of logs makes them: its status, and what comes of the body."""

    def __init__(self, path: str, request: str) -> None:
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.settimeout(60)
        self._connection.connect(path)
        self._connection.sendall(f"{request} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        self.body = b""
        while b"\r\n\r\n" not in self.body:
            self.more()
        self.head, _, self.body = self.body.partition(b"\r\n\r\n")
        self.status = int(self.head.split(b" ", 2)[1])

    def more(self) -> None:
        chunk = self._connection.recv(65536)
        assert chunk, self.body
        self.body += chunk

    def __enter__(self) -> "Asked":
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()


def status_of(path: str, request: str) -> int:
    with Asked(path, request) as asked:
        return asked.status


def test_all_that_towline_asks_of_an_engine_goes_through(proxy: str, container: str) -> None:
    engine = Engine(f"unix://{proxy}")
    assert engine.info().version
    assert container in [row["Id"] for row in engine.containers()]
    assert (engine.inspect(container) or {})["Id"] == container
    engine.close()
    assert status_of(proxy, "GET /v1.41/events?since=0") == 200
    for kind in ("services", "tasks", "nodes"):  # the engine's own answer: this one need not be in a Swarm
        assert status_of(proxy, f"GET /v1.41/{kind}") in (200, 503)


def test_a_log_that_is_followed_over_http_1_0_flows_unchunked(
    proxy: str, container: str, engine: docker.DockerClient
) -> None:
    with Asked(proxy, f"GET /containers/{container}/logs?follow=1&stdout=1&stderr=1") as followed:
        assert followed.status == 200
        assert b"chunked" not in followed.head.lower()
        while followed.body.count(b"\n") < 1:
            followed.more()
        assert engine.containers.get(container).exec_run(["sh", "-c", ": >/go"]).exit_code == 0
        while followed.body.count(b"\n") < 2:
            followed.more()
        assert followed.body == b"\x01\0\0\0\0\0\0\x04one\n\x01\0\0\0\0\0\0\x04two\n"


REFUSED = """
GET /v1.41/containers/{id}/export
GET /containers/{id}/archive?path=/etc
GET /containers/{id}/logs/../export
GET //containers/{id}/export
GET /containers/{id}/%65xport
GET /containers/{id}/attach/ws
GET /containers/{id}/json/../../../images/json
GET /v1.41/images/json
GET /v1.41/secrets
GET /configs
GET /v1.41/services/x
GET /containers/x/json
GET /swarm/unlockkey
GET /exec/x/json
HEAD /_ping
OPTIONS /version
POST /v1.41/containers/{id}/stop
POST /containers/{id}/logs
POST /containers/create
POST /session
PUT /containers/{id}/archive?path=/
DELETE /containers/{id}/json
"""


def test_everything_else_is_refused(proxy: str, container: str) -> None:
    requests = REFUSED.replace("{id}", container).split("\n")[1:-1]
    answers = {request: status_of(proxy, request) for request in requests}
    assert [request for request, status in answers.items() if status != 403] == []


def test_what_it_refuses_is_told_with_the_fix(proxy: str) -> None:
    engine = Engine(f"unix://{proxy}")
    with pytest.raises(EngineUnavailable, match="allow this path in the socket proxy"):
        engine._rows("/images/json", {})
    engine.close()
