"""Towline from outside: its console script as a process, its commands and its HTTP; and containers that write lines."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container
from docker.types import LogConfig
from oracle import GENERATOR, Report, Written, judge
from ports import free_port

TOWLINE = Path(sys.executable).parent / "towline"
IMAGE = "towline-demo:local"
Document = dict[str, Any]
PATIENCE = 60.0
"""Seconds that anything may take on a busy machine; only a failure waits so long."""


def wait_until(condition: Callable[[], Any], seconds: float, what: str | Callable[[], str], every: float = 0.1) -> Any:
    """The first true answer of `condition`; fails the test with `what` when `seconds`, or PATIENCE, are over."""
    seconds = max(seconds, PATIENCE)
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(every)


def run(*arguments: object, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """One `towline` command to its end."""
    return subprocess.run(
        [str(TOWLINE), *map(str, arguments)], capture_output=True, text=True, timeout=timeout, check=False,
        env=clean_environment() | environment)  # fmt: skip


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("TOWLINE_")}


class Up:
    """`towline up` on a data folder of its own; may be started, killed and started again."""

    host = "127.0.0.1"

    def __init__(self, data: Path, *options: str, engine: str, prefix: str, log: Path | None = None) -> None:
        self.data = data
        self.port = free_port()
        self.options = [*options, "--engine", engine, *(["--include", f"{prefix}*"] if prefix else [])]
        self.process: subprocess.Popen[bytes] | None = None
        self.log = log or data.parent / f"{data.name}.log"

    def start(self, *options: str, wait: bool = True) -> "Up":
        command = [str(TOWLINE), "up", "--data", str(self.data), "--listen", f"127.0.0.1:{self.port}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.options, *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=clean_environment())  # fmt: skip
        if wait:
            wait_until(self._ready_or_ended, 60, lambda: f"ready; log:\n{self.tail()}")
            assert self.process.poll() is None, f"towline up ended at once:\n{self.tail()}"
        return self

    def _ready_or_ended(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None or self.status("/readyz") == 200

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.said().splitlines()[-lines:])

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 60) -> int:
        """Ask it to end; its exit code."""
        return self._end(number, seconds)

    def _end(self, number: int, seconds: float = 60) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(seconds)
        self.process = None
        return code

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def status(self, path: str) -> int:
        """HTTP status, or 0 where nobody answers."""
        try:
            return self.get(path)[0]
        except (OSError, http.client.HTTPException):
            return 0

    def ledger(self) -> dict[str, dict[str, float]]:
        """Per service the sum of each towline_lines_* counter, by its short name."""
        rows: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for name, labels, value in re.findall(
            r"(?m)^towline_lines_(\w+)_total\{([^}]*)\} (\S+)$", self.get("/metrics")[1]
        ):
            service = re.search(r'service="([^"]*)"', labels)
            if service:
                rows[service[1]][name] += float(value)
        return rows

    def metric(self, name: str) -> float:
        """Sum of a metric over all its labels."""
        found = re.findall(rf"(?m)^{name}(?:\{{[^}}]*\}})? (\S+)$", self.get("/metrics")[1])
        return sum(map(float, found))

    def quiet(self, seconds: float = 60) -> None:
        """Wait until everything read has its verdict and nothing more comes."""
        last: list[Any] = [None, 0]

        def settled() -> bool:
            rows = {service: dict(row) for service, row in self.ledger().items()}
            closed = all(not open_lines(row) for row in rows.values())
            last[1] = last[1] + 1 if closed and rows == last[0] else 0
            last[0] = rows
            return bool(last[1] >= 6)

        wait_until(settled, seconds, lambda: f"quiet; ledger {last[0]}; log:\n{self.tail()}", every=0.3)

    def search(self, *arguments: object) -> list[Document]:
        return search(self.data, *arguments)

    def collect(self, count: int, seconds: float = 2 * PATIENCE) -> list[Document]:
        """All documents, once there are at least `count` (or after `seconds`, whatever there is)."""
        deadline = time.monotonic() + seconds
        rows: list[Document] = []
        while time.monotonic() < deadline:
            rows = self.search()
            if len(rows) >= count:
                break
            time.sleep(0.5)
        return rows


def search(data: Path, *arguments: object) -> list[Document]:
    done = run("search", "--data", data, "--json", "--limit", 0, *arguments)
    assert done.returncode == 0, f"towline search: {done.stderr}"
    return [json.loads(row) for row in done.stdout.splitlines()]


def open_lines(row: dict[str, float]) -> float:
    """Lines of one service that have been read and have no verdict yet."""
    verdicts = row.get("indexed", 0) + row.get("dead_lettered", 0) + row.get("dropped", 0)
    return row.get("read", 0) - verdicts


@dataclass
class Generators:
    """Starts containers that write numbered lines, and keeps the accounts of what they wrote."""

    client: docker.DockerClient
    prefix: str
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    accounts: list[Written] = field(default_factory=list)
    containers: list[Container] = field(default_factory=list)

    def start(
        self,
        name: str,
        count: int,
        *,
        burst: int = 0,
        pause: float = 0.1,
        hold: float = 0,
        streams: Sequence[str] = ("stdout",),
        log: dict[str, str] | None = None,
        account: bool = True,
        **options: Any,
    ) -> Container:
        """A container that writes `count` lines to each stream (at each start), `burst` at a time, `pause` s apart;
        after its first line it waits `hold` s."""
        full = f"{self.prefix}-{name}"
        container = self.client.containers.create(
            IMAGE,
            ["sh", "-c", GENERATOR],
            name=full,
            network_mode="none",
            log_config=LogConfig(type="json-file", config=log or {}),
            environment={
                "RUN": self.run,
                "NAME": full,
                "COUNT": str(count),
                "BURST": str(burst),
                "PAUSE": str(pause),
                "HOLD": str(hold or ""),
                "STREAMS": " ".join(streams),
            },
            **options,
        )
        if account:
            self.note(container, count, streams)
        container.start()
        self.containers.append(container)
        return container

    def note(self, container: Container, count: int, streams: Sequence[str] = ("stdout",)) -> None:
        name = str(container.name)
        self.accounts += [Written(self.run, name, stream, count, str(container.id)) for stream in streams]

    def shell(self, name: str, script: str, **options: Any) -> Container:
        """A container that runs any script, outside of the accounts."""
        options.setdefault("log_config", LogConfig(type="json-file"))
        return self.client.containers.run(
            IMAGE, ["sh", "-c", script], name=f"{self.prefix}-{name}", network_mode="none", detach=True,
            **options)  # fmt: skip

    @property
    def total(self) -> int:
        return sum(account.count for account in self.accounts)

    def judge(self, documents: list[Document]) -> Report:
        return judge(documents, self.accounts)


def finished(container: Container, seconds: float = 60) -> None:
    container.wait(timeout=max(seconds, 3 * PATIENCE))


def logged(container: Container) -> list[str]:
    """The engine's own account: what `docker logs` of stdout says."""
    return container.logs(stdout=True, stderr=False).decode(errors="replace").splitlines()
