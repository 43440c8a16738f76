"""An engine that answers only in part: one that hangs over a container can't be had on demand, so it is made here."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from exporters.containers.inventory import Inventory
from exporters.containers.naming import Naming
from exporters.containers.watch import EngineWatch
from towline.engine import Engine

GOOD, BAD = "a" * 64, "b" * 64


def row(container_id: str) -> dict[str, Any]:
    return {"Id": container_id, "Name": "/good", "State": {"Status": "running", "Pid": 5}, "Config": {"Image": "i"}}


@pytest.fixture
def half_broken() -> Iterator[str]:
    """The URL of an engine that lists two containers and knows nothing of one of them but an error."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0].removeprefix("/v1.41")
            if path == "/events":
                self.send_response(200)
                self.end_headers()
                self.wfile.flush()
                over.wait()
                return
            listing = [{"Id": each, "State": "running"} for each in (BAD, GOOD)]
            answers: dict[str, Any] = {
                "/version": {"ApiVersion": "1.41"}, "/info": {"Name": "n1"}, "/containers/json": listing,
                f"/containers/{GOOD}/json": row(GOOD),
            }  # fmt: skip
            body = json.dumps(answers.get(path, {"message": "stuck"})).encode()
            self.send_response(200 if path in answers else 500)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"tcp://127.0.0.1:{server.server_port}"
    over.set()
    server.shutdown()
    server.server_close()


def test_a_container_that_the_engine_fails_over_costs_no_other(
    half_broken: str, wait_until: Callable[..., Any]
) -> None:
    inventory = Inventory(Naming())
    watch = EngineWatch(Engine(half_broken), inventory)
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        wait_until(lambda: [known.told.id for known in inventory.running()] == [GOOD])
        wait_until(lambda: "stuck" in watch.problem)
        assert inventory.node == "n1"
    finally:
        watch.stop()
        thread.join(60)
    assert not thread.is_alive()
