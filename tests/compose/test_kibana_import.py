"""compose/kibana/import.py before a server that answers as Kibana does: not yet, yes, or no. (It can't be had here.)"""

import base64
import email
import importlib.util
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
OBJECTS = (ROOT / "dashboards/kibana/towline.ndjson").read_bytes()
Serve = Callable[..., str]


@pytest.fixture
def job() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kibana_import", ROOT / "compose/kibana/import.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def asked() -> list[BaseHTTPRequestHandler]:
    return []


@pytest.fixture
def serve(asked: list[BaseHTTPRequestHandler]) -> Iterator[Serve]:
    """serve(status, …): a server's URL; it answers these, one after the other."""
    servers = []

    def start(*statuses: int) -> str:
        left = list(statuses)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.body = self.rfile.read(int(self.headers["Content-Length"]))
                asked.append(self)
                said = json.dumps({"success": True, "successCount": 7, "message": "as you say"}).encode()
                self.send_response(left.pop(0))
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, format: str, *args: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_it_waits_for_kibana_and_sends_the_objects_as_a_form(
    job: ModuleType, serve: Serve, asked: list[BaseHTTPRequestHandler]
) -> None:
    assert job.wait(serve(503, 503, 200), "admin", "hush", OBJECTS, pause=0.01)["successCount"] == 7
    assert len(asked) == 3
    request = asked[-1]
    assert request.path == "/api/saved_objects/_import?overwrite=true"
    assert request.headers["kbn-xsrf"]
    assert base64.b64decode(request.headers["Authorization"].split()[1]) == b"admin:hush"
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    (part,) = email.message_from_bytes(head + request.body).get_payload()  # type: ignore[attr-defined]
    assert part.get_filename() == "towline.ndjson"
    assert part.get_payload(decode=True).strip() == OBJECTS.strip()


def test_what_kibana_refuses_ends_it_with_the_answer(job: ModuleType, serve: Serve) -> None:
    with pytest.raises(SystemExit, match=r"answered 401.*as you say"):
        job.wait(serve(401), "admin", "hush", OBJECTS, pause=0.01)


def test_a_kibana_that_never_gets_ready_ends_it(job: ModuleType) -> None:
    with pytest.raises(SystemExit, match="not ready after 0 s"):
        job.wait("http://127.0.0.1:9", "admin", "hush", OBJECTS, patience=0, pause=0.01)
