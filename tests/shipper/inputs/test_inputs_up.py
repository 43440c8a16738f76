"""A whole `towline up` with all listeners: lines are stored once, also when they are sent again after a kill."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from forward_client import Client, packed
from input_world import until

from towline.audit_ledger import added_up

ROOT = Path(__file__).parents[3]
AT = 1795393500
NAMES = ("forward", "gelf", "syslog", "ndjson")


class Up:
    """A process. The shared key comes from a file."""

    def __init__(self, folder: Path) -> None:
        key = folder / "key"
        key.write_text("s3cret\n")
        own = {name: value for name, value in os.environ.items() if not name.startswith("TOWLINE_")}
        own |= {"TOWLINE_FORWARD_SHARED_KEY_FILE": str(key), "TOWLINE_LISTEN_GELF": "127.0.0.1:0"}
        command = [sys.executable, "-c", "from towline.cli import main; main()", "up", "--data", str(folder / "data"),
                   "--listen", "127.0.0.1:0", "--engine", f"unix://{folder}/none", "--node", "n1"]  # fmt: skip
        command += [part for name in NAMES if name != "gelf" for part in (f"--listen-{name}", "127.0.0.1:0")]
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=own, cwd=ROOT)
        self.url = until(lambda: (found := re.search(r" url=(\S+)/\s", self.log.read_text())) and found[1])

    def address(self, name: str) -> tuple[str, int]:
        found = until(lambda: re.search(rf"listening for lines .*\b{name}=127\.0\.0\.1:(\d+)", self.log.read_text()))
        return "127.0.0.1", int(found[1])

    def hits(self, count: int) -> list[dict[str, Any]]:
        """All lines, once there are so many."""

        def ask() -> Any:
            with urllib.request.urlopen(self.url + "/api/search?order=asc&limit=1000", timeout=30) as answer:
                found = orjson.loads(answer.read())["hits"]
            return found if len(found) >= count else None

        hits: list[dict[str, Any]] = until(ask)
        return hits

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(60)


@pytest.fixture
def ups(tmp_path: Path) -> Iterator[list[Up]]:
    started: list[Up] = []
    yield started
    for up in started:
        if up.process.poll() is None:
            up.end(signal.SIGKILL)


def send_chunk(up: Up) -> None:
    with Client(up.address("forward")) as client:
        assert client.shake("s3cret")[1] is True
        client.send("shop", packed([AT, {"message": "a"}], [AT, {"message": "b"}]), {"chunk": "c1", "size": 2})
        assert client.receive() == {"ack": "c1"}


def post(up: Up, body: bytes) -> Any:
    host, port = up.address("ndjson")
    request = urllib.request.Request(f"http://{host}:{port}/?service=web", body, {"Idempotency-Key": "k1"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return orjson.loads(answer.read())


def closed(up: Up) -> Any:
    """The ledger, once it adds up."""
    found = added_up([up.url + "/metrics"])
    return None if any(own.open or own.in_flight for own in found.values()) else found


def test_lines_of_all_listeners_are_stored_once_and_the_ledger_adds_up(ups: list[Up], tmp_path: Path) -> None:
    body = b'{"@timestamp":"2026-11-23T00:25:01Z","message":"posted"}\n'
    ups.append(Up(tmp_path))
    send_chunk(ups[0])
    assert post(ups[0], body) == {"lines": 1, "unparsed": 0}
    ups[0].end(signal.SIGKILL)  # what was acknowledged is there

    ups.append(up := Up(tmp_path))
    send_chunk(up)
    post(up, body)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(b'{"version":"1.1","host":"h","short_message":"by GELF","_service":"s"}', up.address("gelf"))
        udp.sendto(b"<13>1 2026-11-23T00:25:02Z h app - - - by syslog", up.address("syslog"))
    hits = up.hits(5)
    assert sorted(hit["message"] for hit in hits) == ["a", "b", "by GELF", "by syslog", "posted"]
    accounts = until(
        lambda: (found := added_up([up.url + "/metrics"])) and not any(a.open for a in found.values()) and found
    )
    assert {name: (own.read, own.indexed, own.duplicate) for name, own in accounts.items()} == {
        "shop": (2, 2, 2), "web": (1, 1, 1), "s": (1, 1, 0), "app": (1, 1, 0)}  # fmt: skip
    up.end()
    assert up.process.returncode == 0
    assert "s3cret" not in up.log.read_text()


def test_an_address_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        command = [sys.executable, "-c", "from towline.cli import main; main()", "up", "--data", str(tmp_path),
                   "--listen", "127.0.0.1:0", "--listen-forward", f"127.0.0.1:{other.getsockname()[1]}"]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "choose another with --listen-forward" in done.stderr.splitlines()[-1]
