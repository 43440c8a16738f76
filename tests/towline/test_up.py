import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

ROOT = Path(__file__).parent.parent.parent
RUN = [sys.executable, "-c", "from towline.cli import main; main()"]


def until(ask: Callable[[], Any], seconds: float = 60) -> Any:
    """What `ask` gives once that is something."""
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


class Up:
    """A `towline up` that runs, its log in a file."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.log = folder / "log"
        self.environment = {name: text for name, text in os.environ.items() if not name.startswith("TOWLINE_")}
        self.data = str(folder / "data")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*RUN, "up", "--data", self.data, "--listen", "127.0.0.1:0", *arguments], stderr=log, stdout=log,
                env=self.environment, cwd=ROOT)  # fmt: skip

    @property
    def url(self) -> str:
        return until(lambda: (found := re.search(r"url=(\S+)/\s", self.log.read_text())) and found[1]) or ""

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=60) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def messages(self) -> list[str]:
        return [hit["message"] for hit in orjson.loads(self.get("/api/search?order=asc&limit=1000")[1])["hits"]]

    def search(self, *arguments: str) -> list[Any]:
        command = [*RUN, "search", "--json", "--limit", "0", "--data", self.data, *arguments]
        done = subprocess.run(command, env=self.environment, cwd=ROOT, capture_output=True, timeout=60, check=True)
        return [orjson.loads(line) for line in done.stdout.splitlines()]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(*arguments: str) -> Up:
        started.append(Up(tmp_path, *arguments))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.mark.engine
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_lines_of_a_container_are_found_while_it_runs_and_after_a_clean_stop(
    up: Callable[..., Up], engine: Any, prefix: str, test_image: str, engine_url: str, number: int
) -> None:
    running = up("--include", f"{prefix}*", "--engine", engine_url)
    engine.containers.run(
        test_image, ["sh", "-c", "echo one; echo two >&2"], name=prefix, detach=True, network_mode="none"
    )
    assert sorted(until(lambda: len(found := running.messages()) == 2 and found) or []) == ["one", "two"]
    assert [hit["message"] for hit in running.search("--stream", "stderr")] == ["two"]
    until(lambda: running.get("/readyz") == (200, b"ready\n"))
    assert b"towline_lines_indexed_total" in running.get("/metrics")[1]
    assert running.stop(number) == 0
    assert "Traceback" not in running.log.read_text()
    assert sorted(hit["message"] for hit in running.search()) == ["one", "two"]


def test_without_an_engine_it_lives_and_says_what_is_missing(up: Callable[..., Up], tmp_path: Path) -> None:
    running = up("--engine", f"unix://{tmp_path}/none.sock")
    status, body = until(lambda: (answer := running.get("/readyz"))[0] == 503 and answer) or (0, b"")
    assert status == 503
    assert b"shipper: " in body
    assert b"none.sock" in body
    assert running.get("/healthz")[0] == 200
    assert running.stop() == 0


def test_a_second_one_on_the_same_data_is_refused_in_one_line(up: Callable[..., Up], tmp_path: Path) -> None:
    first = up("--engine", f"unix://{tmp_path}/none.sock")
    assert first.get("/healthz")[0] == 200
    (tmp_path / "second").mkdir()
    second = Up(tmp_path / "second", "--data", first.data, "--engine", f"unix://{tmp_path}/none.sock")
    assert second.process.wait(60) != 0
    last = second.log.read_text().splitlines()[-1]
    assert last.startswith("towline: ")
    assert first.data in last
    assert first.stop() == 0


@pytest.mark.engine
def test_it_tells_metrics_of_node_and_containers_and_keeps_some_of_them(
    up: Callable[..., Up], engine: Any, prefix: str, test_image: str, engine_url: str
) -> None:
    running = up("--include", f"{prefix}*", "--engine", engine_url)
    engine.containers.run(test_image, ["sleep", "600"], name=prefix, detach=True, network_mode="none")
    block = f'name="{prefix}",'.encode()
    until(lambda: re.search(rb"container_memory_working_set_bytes\{[^}]*" + block, running.get("/metrics")[1]))
    assert b"node_load1 " in running.get("/metrics")[1]

    def group() -> Any:
        groups = orjson.loads(running.get(f"/api/metrics?container={prefix}")[1])["groups"]
        return groups and groups[0]["series"]["memory"][-1] and groups[0]

    found = until(group) or {}
    assert found["service"] == prefix
    assert found["state"] == "running"

    def of_node() -> Any:
        groups = orjson.loads(running.get("/api/metrics?by=node")[1])["groups"]
        return groups and groups[0]["series"]["memory"][-1]

    assert until(of_node) > 0
    assert running.get("/sd/targets")[0] in (200, 503)
    assert running.get("/api/metrics?by=pod")[0] == 400
    assert running.stop() == 0
