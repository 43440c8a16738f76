"""Containers that come and go, a real `towline up` and `towline export` that measure them, and a real Prometheus."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from ports import free_port

ROOT = Path(__file__).parents[2]
TOWLINE = [sys.executable, "-c", "from towline.cli import main; main()"]
BUSY = "while true; do echo at work; dd if=/dev/zero of=/f bs=64k count=8 conv=fsync 2>/dev/null; sleep 0.5; done"
NODES = ("one", "two")
"""Two exporters on one engine: what a container uses must not be told twice."""
HUNGRY = "x=x; while true; do x=$x$x; done"


def until(ask: Callable[[], Any], what: Callable[[], str] = str, seconds: float = 120.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < deadline, f"it did not happen; {what()}"
        time.sleep(0.1)
    return found


class Run:
    """A process with its log, which is ended by `stop`."""

    def __init__(self, log: Path, *command: str) -> None:
        self.log = log
        clean = {name: text for name, text in os.environ.items() if not name.startswith("TOWLINE_")}
        with log.open("w") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file, env=clean, cwd=ROOT)

    def said(self) -> str:
        return self.log.read_text()[-2000:]

    @property
    def url(self) -> str:
        """Where a towline command serves."""
        found: str = until(lambda: "".join(re.findall(r"url=(\S+)/\s", self.said())[:1]), self.said)
        return found

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


class World:
    """Two nodes, as far as Prometheus can tell. `up` has lines in its store, and metrics to compare with; `page` serves
    that store, and Prometheus."""

    def __init__(self, folder: Path, engine: Any, engine_url: str, image: str, prefix: str) -> None:
        self.folder, self.engine, self.image, self.prefix = folder, engine, image, prefix
        at = ("--listen", "127.0.0.1:0")
        self.up = Run(folder / "up.log", *TOWLINE, "up", "--data", str(folder / "up"), *at, "--include", f"{prefix}*",
                      "--engine", engine_url)  # fmt: skip
        about = ("export", *at, "--engine", engine_url, "--node")
        self.exports = [Run(folder / f"{node}.log", *TOWLINE, *about, node) for node in NODES]
        self.port = free_port()
        targets = [each.url.removeprefix("http://") for each in self.exports]
        config = {"global": {"scrape_interval": "2s", "scrape_timeout": "2s"}, "scrape_configs": [
            {"job_name": "towline", "honor_labels": True, "static_configs": [{"targets": targets}]}]}  # fmt: skip
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        self.start_prometheus()
        assert self.up.url
        self.page = Run(folder / "page.log", *TOWLINE, "page", *at, "--store", f"sqlite://{folder}/up/store",
                        "--prometheus", f"http://127.0.0.1:{self.port}")  # fmt: skip

    def start_prometheus(self) -> None:
        self.prometheus = Run(
            self.folder / "prometheus.log", "prometheus", f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data", f"--web.listen-address=127.0.0.1:{self.port}")  # fmt: skip

    def run(self, name: str, *command: str, image: str = "", **options: Any) -> Any:
        labels = {"com.docker.compose.project": "shop", "com.docker.compose.service": f"{self.prefix}-{name}"}
        return self.engine.containers.run(
            image or self.image, list(command), name=f"{self.prefix}-{name}", detach=True, network_mode="none",
            labels=labels | options.pop("labels", {}), **options)  # fmt: skip

    def api(self, of: Run, query: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{of.url}/api/metrics?since=10m&{query}", timeout=60) as response:
            found: dict[str, Any] = orjson.loads(response.read())
        return found

    def happened(self, of: Run, query: str) -> list[tuple[str, str, str]]:
        """(container, what, about) of those that are ours."""
        told = [each for each in self.api(of, query)["happened"] if each["container"].startswith(self.prefix)]
        return [(each["container"].removeprefix(f"{self.prefix}-"), each["what"], each["about"]) for each in told]

    def close(self) -> None:
        running = (self.page, self.prometheus, *self.exports, self.up)
        for each in running:
            each.process.terminate()
        for each in running:
            each.stop()
