"""What the measurements stand on: containers, a RabbitMQ and an Elasticsearch of our own, made when needed."""

import http.client
import json
import os
import shutil
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import docker

from benchmarks.measuring import engine_processes, wait_for
from benchmarks.program import ROOT, Program, free_port, run
from benchmarks.writers import Writers

ENGINE = "unix:///var/run/docker.sock"


@dataclass(frozen=True)
class Sizes:
    """Lines, containers and seconds. The defaults take the whole run to about a quarter of an hour on two cores."""

    backlog: int = 1_000_000
    live: int = 400_000
    stored: int = 200_000
    rounds: int = 2
    speakers: int = 100
    quiet: int = 500
    idle: float = 8
    latency: float = 14
    embedded: int = 2_000_000
    growth: int = 200_000
    backlogs: tuple[int, ...] = (1_000, 100_000, 1_500_000)
    nodes: int = 100
    outage: int = 600
    saturation: float = 5
    exported: tuple[int, int] = (100, 500)


QUICK = Sizes(
    backlog=20_000, live=20_000, stored=10_000, rounds=1, speakers=5, quiet=8, idle=2, latency=3, embedded=100_000,
    growth=20_000, backlogs=(1_000, 20_000), nodes=10, outage=10, saturation=1,
    exported=(3, 6))  # fmt: skip


class Ground:
    """Everything below one temporary folder; `close` removes all that was started."""

    def __init__(self, sizes: Sizes, engine: str = ENGINE) -> None:
        self.sizes = sizes
        self.engine = engine
        self.folder = Path(tempfile.mkdtemp(prefix="towline-bench-"))
        self.prefix = f"bench{uuid.uuid4().hex[:6]}"
        self._broker = ""
        self._elastic: dict[str, str] = {}
        self._made = 0

    def close(self) -> None:
        if "writers" in self.__dict__:
            self.writers.close()
            self.client.close()
        if self._broker:
            self._script("rabbitmq.sh", "stop", self.folder / "rabbitmq")
        if self._elastic:
            self._script("elasticsearch.sh", "stop")
            shutil.rmtree(self._script("elasticsearch.sh", "folder"), ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def unique(self, name: str) -> str:
        self._made += 1
        return f"{name}{self._made}"

    # containers and the engine

    @cached_property
    def client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.engine, timeout=120, max_pool_size=8)

    @cached_property
    def writers(self) -> Writers:
        folder = self.folder / "pipes"
        folder.mkdir()
        return Writers(self.client, self.prefix, folder)

    @cached_property
    def engine_pids(self) -> list[int]:
        return engine_processes(self.engine)

    @cached_property
    def backlog(self) -> str:
        """A container with `sizes.backlog` lines in its log."""
        (name,) = self.writers.make("backlog")
        self.writers.burst([name], self.sizes.backlog)
        self.logged(name, self.sizes.backlog)
        return name

    def logged(self, name: str, lines: int) -> None:
        """Wait until the engine has written so many lines of a container."""
        path = Path(self.client.api.inspect_container(name)["LogPath"])
        found = Growing(path)
        wait_for(lambda: found.lines() >= lines, 300, f"{lines} lines in {path}")

    # servers

    @property
    def broker(self) -> str:
        """URL of our RabbitMQ."""
        if not self._broker:
            self._broker = self._script("rabbitmq.sh", "start", self.folder / "rabbitmq", free_port()).splitlines()[-1]
        return self._broker

    def queue(self, name: str) -> str:
        return f"{self.broker}?name={name}&heartbeat=600"

    def stop_broker(self) -> None:
        self._script("rabbitmq.sh", "stop", self.folder / "rabbitmq")

    def start_broker(self) -> None:
        self._script("rabbitmq.sh", "start", self.folder / "rabbitmq")

    @property
    def broker_pid(self) -> int:
        return int(self._script("rabbitmq.sh", "pid", self.folder / "rabbitmq"))

    @property
    def elastic(self) -> str:
        """URL of our Elasticsearch."""
        if not self._elastic:
            self._elastic = {"TOWLINE_ES_PORT": str(free_port()), "TOWLINE_ES_HEAP": "1g"}
            self._script("elasticsearch.sh", "start")
            health = "/_cluster/health?wait_for_status=yellow&timeout=60s"
            wait_for(lambda: self.ask("GET", health)["status"] != "red", 60, "a healthy Elasticsearch")
        return f"http://127.0.0.1:{self._elastic['TOWLINE_ES_PORT']}"

    @cached_property
    def elastic_pid(self) -> int:
        assert self.elastic
        return int((Path(self._script("elasticsearch.sh", "folder")) / "pid").read_text())

    def stream(self) -> str:
        """URL of a store in a data stream of its own, with Towline's templates in place."""
        url = f"{self.elastic}/?namespace={self.unique(self.prefix)}"
        run("setup", "--store", url)
        return url

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What Elasticsearch answers, parsed; RuntimeError where it refuses."""
        place = self.elastic.removeprefix("http://")
        connection = http.client.HTTPConnection(place, timeout=300)
        try:
            content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
            connection.request(method, path, content, {"content-type": "application/json"})
            answer = connection.getresponse()
            told = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {told[:300]!r}")
        return json.loads(told) if told else None

    # programs

    def ship(self, queue: str, *names: str, source: str = "file") -> Program:
        """`towline ship` with a state of its own, for containers whose name fits one of these globs."""
        state = self.folder / self.unique("state")
        chosen = [part for name in names for part in ("--include", name)]
        arguments = ["ship", "--queue", self.queue(queue), "--state", state, "--source", source]
        return Program(self.folder / "ship.log", *arguments, "--engine", self.engine, *chosen)

    def index(self, queue: str, store: str) -> Program:
        return Program(self.folder / "index.log", "index", "--queue", self.queue(queue), "--store", store)

    def up(self, *names: str, source: str = "file") -> Program:
        data = self.folder / self.unique("data")
        chosen = [part for name in names for part in ("--include", name)]
        arguments = ["up", "--data", data, "--source", source, "--engine", self.engine]
        return Program(self.folder / "up.log", *arguments, *chosen)

    def _script(self, name: str, *arguments: object) -> str:
        done = subprocess.run(
            [str(ROOT / "scripts" / name), *map(str, arguments)], capture_output=True, text=True, timeout=300,
            check=False, env={**os.environ, **self._elastic}, stdin=subprocess.DEVNULL)  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"scripts/{name} {arguments}: {done.stdout} {done.stderr}")
        return done.stdout.strip()


class Growing:
    """A file whose lines are counted as it grows."""

    def __init__(self, path: Path) -> None:
        self._path, self._at, self._lines = path, 0, 0

    def lines(self) -> int:
        with self._path.open("rb") as file:
            file.seek(self._at)
            while chunk := file.read(1 << 20):
                self._lines += chunk.count(b"\n")
                self._at += len(chunk)
        return self._lines
