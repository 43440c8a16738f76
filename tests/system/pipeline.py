"""`towline ship` and `towline index` as processes of their own, a real RabbitMQ between, a real Elasticsearch behind.

One server of each serves the whole session; each test has names of its own there. The store is read over HTTP, without
any code of ours.
"""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import TOWLINE, Document, Generators, Up, clean_environment, free_port, wait_until
from oracle import Report
from proxy import Proxy

ROOT = Path(__file__).parents[2]
HEARTBEAT = 2
"""Seconds. The broker gives up a silent connection after twice that; our client (pika) looks after five seconds more,
so it finds a silent broker after 7 to 14."""
STOPPED, BROKER_STOPPED = 6.0, 15.0


def script(name: str, *arguments: object, **environment: str) -> str:
    """What a script of ours printed; fails the test where it fails."""
    done = subprocess.run(
        [str(ROOT / "scripts" / name), *map(str, arguments)], capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, **environment}, stdin=subprocess.DEVNULL)  # fmt: skip
    assert done.returncode == 0, f"{name} {arguments}: {done.stdout} {done.stderr}"
    return done.stdout.strip()


class Broker:
    """A RabbitMQ of our own below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._port = free_port()

    def start(self) -> None:
        script("rabbitmq.sh", "start", self.folder, self._port)

    def url(self, name: str) -> str:
        base = script("rabbitmq.sh", "url", self.folder)
        return f"{base}?name={name}&heartbeat={HEARTBEAT}"

    def stop(self) -> None:
        script("rabbitmq.sh", "stop", self.folder)

    def kill(self) -> None:
        script("rabbitmq.sh", "kill", self.folder)

    def ctl(self, *arguments: object) -> str:
        return script("rabbitmq.sh", "ctl", self.folder, *arguments)

    @property
    def pid(self) -> int:
        return int(script("rabbitmq.sh", "pid", self.folder))


class Elastic:
    """An Elasticsearch of our own on a free port; its data is removed by `remove`."""

    def __init__(self) -> None:
        self.port = free_port()
        self._environment = {
            "TOWLINE_ES_PORT": str(self.port),
            "TOWLINE_ES_KEEP": "1",
            "TOWLINE_ES_SETTINGS": "cluster.routing.allocation.disk.threshold_enabled: false",
        }
        self._folder = Path(script("elasticsearch.sh", "folder", **self._environment))

    def start(self) -> None:
        script("elasticsearch.sh", "start", **self._environment)
        wait_until(self._healthy, 60, "a healthy Elasticsearch")

    def stop(self) -> None:
        script("elasticsearch.sh", "stop", **self._environment)

    def kill(self) -> None:
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not running(pid), 30, "the end of Elasticsearch")

    @property
    def pid(self) -> int:
        return int((self._folder / "pid").read_text())

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def backing(self, stream: str) -> list[str]:
        """The data stream's indices, the one that takes writes last."""
        return sorted(self.ask("GET", f"/{stream}/_settings?expand_wildcards=all&filter_path=*.settings.index.uuid"))

    def _healthy(self) -> bool:
        try:
            return bool(self.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=5s")["status"] != "red")
        except (OSError, http.client.HTTPException, AssertionError):
            return False

    def ask(self, method: str, path: str, body: Any = None, timeout: float = 60) -> Any:
        """The answer, parsed; AssertionError where it is an error."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, path, content, {"content-type": "application/json"})
            response = connection.getresponse()
            told = response.read()
        finally:
            connection.close()
        assert response.status < 300, f"{method} {path}: {response.status} {told[:500]!r}"
        return json.loads(told) if told else None

    def count(self, stream: str, until: str = "") -> int:
        """Documents that can be found, of all times or up to a moment; -1 where the server can't say."""
        query = {"query": {"range": {"@timestamp": {"lte": until}}}} if until else None
        try:
            self.ask("POST", f"/{stream}/_refresh", timeout=5)
            return int(self.ask("POST", f"/{stream}/_count", query, timeout=5)["count"])
        except (OSError, http.client.HTTPException, AssertionError):
            return -1

    def documents(self, stream: str) -> list[Document]:
        """All of them, duplicates in older backing indices too."""
        wanted = ["message", "stream", "event", "container.id", "container.name"]
        self.ask("POST", f"/{stream}/_refresh")
        page = self.ask("POST", f"/{stream}/_search?scroll=1m", {"size": 10_000, "sort": "_doc", "_source": wanted})
        rows: list[Document] = []
        while hits := page["hits"]["hits"]:
            rows += [hit["_source"] for hit in hits]
            page = self.ask("POST", "/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})
        self.ask("DELETE", "/_search/scroll", {"scroll_id": page["_scroll_id"]})
        return rows


def running(pid: int) -> bool:
    """Whether the process lives; a dead one that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """SIGSTOP, and SIGCONT in the end."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class Part(Up):
    """One process of the pipeline: `towline ship …` or `towline index …`."""

    def __init__(self, folder: Path, name: str, command: str, *options: str) -> None:
        self.port = free_port()
        self.command = [str(TOWLINE), command, "--listen", f"127.0.0.1:{self.port}", *options]
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, wait: bool = True) -> "Part":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=clean_environment())  # fmt: skip
        if wait:
            wait_until(self._ready_or_ended, 60, lambda: f"ready; log:\n{self.tail()}")
            assert self.running, f"{self.command[1]} ended at once:\n{self.tail()}"
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


@dataclass
class Servers:
    broker: Broker
    elastic: Elastic


@dataclass
class Row:
    """What one fault did. `recovery`: seconds from its end until all that was written before could be found."""

    fault: str
    lines: int
    lost: int
    in_gaps: int
    duplicated: int
    recovery: float


class Pipeline:
    """Containers, shipper, queue, indexer, data stream: all with names of this test's own.

    `state`: folder of the shipper; `scale` makes the faults last so many times longer.
    """

    def __init__(
        self, folder: Path, servers: Servers, generators: Generators, engine: str, *, state: Path | None = None,
        scale: float = 1.0,
    ) -> None:  # fmt: skip
        self.servers, self.generators, self.scale = servers, generators, scale
        self.broker, self.elastic = servers.broker, servers.elastic
        self.name = generators.prefix
        self.stream, self.dead = f"logs-docker-{self.name}", f"logs-towline.deadletter-{self.name}"
        self.folder, self.state, self.engine = folder, state or folder / "state", engine
        self.proxy = Proxy(self.elastic.port)
        self.parts: list[Part] = []

    def start(self, *shipping: str, proxied: bool = False) -> "Pipeline":
        self.shipper = self.ship(self.state, self.name, *shipping).start()
        self.indexer = self.index(proxied=proxied).start()
        return self

    def ship(self, state: Path, queue: str, *options: str) -> Part:
        return self._part(
            "ship", "--queue", self.broker.url(queue), "--state", str(state), "--engine", self.engine,
            "--include", f"{self.generators.prefix}*", *options)  # fmt: skip

    def index(self, *, proxied: bool = False) -> Part:
        port = self.proxy.port if proxied else self.elastic.port
        store = f"http://127.0.0.1:{port}?namespace={self.name}&refresh=1s&timeout=10"
        return self._part("index", "--queue", self.broker.url(self.name), "--store", store)

    def _part(self, command: str, *options: str) -> Part:
        part = Part(self.folder, f"{command}{len(self.parts)}", command, *options)
        self.parts.append(part)
        return part

    def load(self, seconds: float, **log: str) -> None:
        """Containers that write about 1,200 lines a second for so long: two streams, bursts, rotation."""
        ticks = max(1, int(seconds / 0.11))
        self.generators.start("plain", 40 * ticks, burst=40)
        self.generators.start("two", 20 * ticks, burst=20, streams=("stdout", "stderr"))
        self.generators.start("rotating", 50 * ticks, burst=50, log=log or {"max-size": "200k", "max-file": "50"})

    def flowing(self, lines: int = 500) -> None:
        before = max(self.count(), 0)
        wait_until(lambda: self.count() >= before + lines, 60, lambda: f"lines that flow; {self.said()}")

    def hold(self, seconds: float) -> None:
        """How long a fault lasts."""
        time.sleep(seconds * self.scale)

    def count(self, until: str = "") -> int:
        return self.elastic.count(self.stream, until)

    def drained(self, patience: float = 40) -> list[tuple[float, int]]:
        """Wait until the containers have ended and all lines are there, or for `patience` seconds no more came.

        What was seen: seconds since the call, and how many of the lines written before it could be found by then.
        """
        over = time.time()
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(over)) + f".{int(over % 1 * 1e9):09d}Z"
        samples: list[tuple[float, int]] = []
        last, news = -1, over
        while time.time() < news + patience:
            samples.append((time.time() - over, self.count(moment)))
            found = self.count()
            if found >= self.generators.total:
                break
            if found != last or any(map(_runs, self.generators.containers)):
                last, news = found, time.time()
            time.sleep(0.3)
        return [*samples, (time.time() - over, self.count(moment))]

    def judge(self, fault: str, table: list[Row]) -> Report:
        """Drain, and let the oracle judge; one more row for the table."""
        samples = self.drained()
        report = self.generators.judge(self.elastic.documents(self.stream))
        recovery = next(seconds for seconds, found in samples if found >= samples[-1][1])
        lines, lost, gaps = self.generators.total, lines_in(report.lost), lines_in(report.gaps)
        table.append(Row(fault, lines, lost, gaps, len(report.duplicate), round(recovery, 1)))
        print(f"\n{table[-1]}")
        return report

    def expect_all(self, fault: str, table: list[Row], *, gaps: bool = False) -> None:
        """Every line once; nothing in the dead letters; no program that stumbled."""
        report = self.judge(fault, table)
        assert report.faults == {}, f"{report.faults}\n{self.said()}"
        assert gaps or report.gaps == [], f"{report.gaps}\n{self.said()}"
        letters = self.elastic.count(self.dead)
        assert letters <= 0, f"{letters} dead letters: {self.elastic.documents(self.dead)[:3]}"
        for part in self.parts:
            assert "Traceback" not in part.said(), f"{part.log.name}:\n{traceback_in(part.said())}"

    def said(self) -> str:
        return "\n".join(f"--- {part.log.name}\n{part.tail(12)}" for part in self.parts[:6])

    def close(self) -> None:
        for part in self.parts:
            if part.running:
                part.kill()
        self.proxy.close()


def _runs(container: Any) -> bool:
    container.reload()
    return bool(container.status == "running")


def lines_in(ranges: list[str]) -> int:
    """How many lines the oracle's ranges (`web stdout lines 3-7`) hold."""
    return sum(int(last) - int(first) + 1 for first, last in re.findall(r" lines (\d+)-(\d+)", "\n".join(ranges)))


def traceback_in(text: str) -> str:
    at = text.index("Traceback")
    return text[max(0, at - 500) : at + 4000]
