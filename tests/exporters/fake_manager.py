"""A server that answers about its Swarm as a real engine did (tests/swarm has three real ones, and takes minutes)."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REFUSED = {"message": "This node is not a swarm manager."}
NO_LEADER = {"message": "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few "
                        "managers are online. Make sure more than half of the managers are online."}  # fmt: skip

NO_ROUTE = "rpc error: code = Unavailable desc = connection error: dial tcp 10.0.0.1:2377: connect: no route to host"


class Node:
    """An engine's answers by path; change them at will."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[str] = []

    def is_manager(self, state: str = "active") -> None:
        self.answers = {"/info": (200, self._info(state, True)), **{f"/{kind}": (200, []) for kind in KINDS}}

    def is_worker(self) -> None:
        self.answers = {"/info": (200, self._info("active", False)), **{f"/{kind}": (503, REFUSED) for kind in KINDS}}

    def is_useless(self, state: str) -> None:
        """An engine that waits for `docker swarm unlock` does not know its id."""
        told = {"Name": "one", "Swarm": {"LocalNodeState": state, "NodeID": "", "ControlAvailable": False}}
        self.answers = {"/info": (200, told), **{f"/{kind}": (503, REFUSED) for kind in KINDS}}

    def has_left(self) -> None:
        self.answers = {"/info": (200, {"Name": "one", "Swarm": {"LocalNodeState": "inactive", "NodeID": ""}})}

    def lacks_majority(self) -> None:
        self.answers = {"/info": (200, self._info("active", True)), **{f"/{kind}": (503, NO_LEADER) for kind in KINDS}}

    def reaches_no_manager(self) -> None:
        self.answers = {"/info": (200, self._info("active", False, NO_ROUTE))}

    @staticmethod
    def _info(state: str, manager: bool, error: str = "") -> dict[str, Any]:
        told = {"NodeID": "n1", "LocalNodeState": state, "ControlAvailable": manager, "Error": error}
        return {"Name": "one", "ServerVersion": "20.10.24", "Swarm": told}


KINDS = ("services", "tasks", "nodes")


@contextlib.contextmanager
def serving() -> Iterator[tuple[Node, str]]:
    """It, and its URL."""
    made, ended = Node(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0].removeprefix("/v1.41")
            made.asked.append(path)
            if path == "/events":
                self.hold()
                return
            status, body = (200, {"ApiVersion": "1.41"}) if path == "/version" else made.answers.get(path, (200, []))
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def hold(self) -> None:
            """A stream on which nothing happens."""
            self.send_response(200)
            self.end_headers()
            ended.wait(60)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield made, f"tcp://127.0.0.1:{server.server_port}"
    ended.set()
    server.shutdown()
    server.server_close()
