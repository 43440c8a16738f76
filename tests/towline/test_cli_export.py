"""`towline export` as a process: with and without an engine, asked in all ways, and stopped."""

import gzip
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

import pytest

ROOT = Path(__file__).parent.parent.parent
RUN = [sys.executable, "-c", "from towline.cli import main; main()"]


def until(ask: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


class Export:
    def __init__(self, folder: Path, engine: str, *options: str) -> None:
        self.log = folder / "log"
        environment = {name: text for name, text in os.environ.items() if not name.startswith("TOWLINE_")}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*RUN, "export", "--listen", "127.0.0.1:0", "--engine", engine, *options], stderr=log, stdout=log,
                env=environment, cwd=ROOT)  # fmt: skip

    @property
    def url(self) -> str:
        return str(until(lambda: (found := re.search(r"url=(\S+)/\s", self.log.read_text())) and found[1]))

    def get(self, path: str, **headers: str) -> tuple[int, Any, bytes]:
        names = {name.replace("_", "-"): text for name, text in headers.items()}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, headers=names), timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()


@pytest.fixture
def export(tmp_path: Path) -> Iterator[Callable[..., Export]]:
    started: list[Export] = []

    def start(engine: str, *options: str) -> Export:
        started.append(Export(tmp_path, engine, *options))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


@pytest.mark.engine
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_in_both_formats_and_stops_cleanly(
    export: Callable[..., Export], engine_url: str, number: int
) -> None:
    running = export(engine_url)
    until(lambda: running.get("/readyz")[0] == 200)
    status, headers, text = running.get("/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    for name in (b"node_load1 ", b"container_cpu_usage_seconds_total{", b"towline_spool_bytes ", b"process_open_fds "):
        assert name in text
    _, headers, metrics = running.get("/metrics", Accept="application/openmetrics-text;version=1.0.0")
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    assert metrics.endswith(b"# EOF\n")
    assert metrics.count(b"# EOF") == 1
    _, headers, packed = running.get("/metrics", Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert b"node_load1 " in gzip.decompress(packed)
    running.process.send_signal(number)
    assert running.process.wait(60) == 0
    assert "Traceback" not in running.log.read_text()


def test_without_an_engine_the_node_is_measured_and_one_line_says_what_is_missing(
    export: Callable[..., Export], tmp_path: Path
) -> None:
    running = export(f"unix://{tmp_path}/none.sock")
    for _ in range(3):
        status, _, text = running.get("/metrics")
        assert status == 200
        assert b"node_load1 " in text
    assert b'container_scrape_collector_success{collector="engine"} 0\n' in text
    assert b'container_scrape_collector_success{collector="swarm"} 0\n' in text
    assert b'node_scrape_collector_success{collector="loadavg"} 1\n' in text
    assert running.get("/healthz")[0] == 200
    status, _, problem = running.get("/readyz")
    assert status == 503
    assert b"none.sock" in problem
    status, _, refusal = running.get("/sd/targets")
    assert status == 503
    assert b"none.sock" in refusal
    for name in ("engine", "swarm"):
        assert running.log.read_text().count(f"{name} metrics are missing") == 1
    running.process.terminate()
    assert running.process.wait(60) == 0


def test_node_collectors_can_be_added_and_left_out(export: Callable[..., Export], tmp_path: Path) -> None:
    running = export(f"unix://{tmp_path}/none.sock", "--collector", "processes", "--no-collector", "loadavg")
    _, _, text = running.get("/metrics")
    assert b"node_processes_pids " in text
    assert b"node_load1" not in text


def test_a_collector_that_is_none_is_wrong_usage(tmp_path: Path) -> None:
    done = subprocess.run([*RUN, "export", "--listen", "127.0.0.1:0", "--collector", "cpus"], cwd=ROOT,
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 2
    assert "no collector is called cpus; there are arp" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_listens_for_this_machine_only_unless_told() -> None:
    from towline.config import EXPORT_LISTEN

    assert EXPORT_LISTEN.default == "127.0.0.1:9514"
