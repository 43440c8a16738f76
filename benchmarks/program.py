"""Towline's programs as processes, seen through their metrics."""

import http.client
import re
import socket
import subprocess
import sys
from pathlib import Path

from benchmarks.measuring import cpu, memory, wait_for

ROOT = Path(__file__).parent.parent
STARTER = [sys.executable, "-c", "from towline.cli import main; main()"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(*arguments: object) -> None:
    """One `towline` command to its end; RuntimeError where it fails."""
    done = subprocess.run([*STARTER, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"towline {arguments}: {done.stderr}")


class Program:
    """`towline ARGUMENTS --listen …`, ready for work; used as a context manager, which ends it."""

    def __init__(self, log: Path, *arguments: object) -> None:
        self.port = free_port()
        self._log = log.open("ab")
        listen = ["--listen", f"127.0.0.1:{self.port}", "--log-level", "warning"]
        self.process = subprocess.Popen(
            [*STARTER, *map(str, arguments), *listen], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=self._log,
            stderr=self._log)  # fmt: skip
        self.pid = self.process.pid
        self._what = f"`towline {' '.join(map(str, arguments))}` ready; its log: {log}"

    def __enter__(self) -> "Program":
        try:
            wait_for(self._ready, 60, self._what, every=0.2)
        except TimeoutError:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Stopped in order, within half a minute."""
        if self.process.poll() is None:
            end(self.process, 30)
        self._log.close()

    @property
    def cpu(self) -> float:
        return cpu(self.pid)

    @property
    def memory(self) -> float:
        return memory(self.pid)

    @property
    def peak(self) -> float:
        return memory(self.pid, "VmHWM")

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def metric(self, name: str, service: str = "") -> float:
        """Sum of a metric over all its labels, or those of one service."""
        text = self.get("/metrics")[1].decode()
        labels = rf'\{{[^}}]*service="{service}"[^}}]*\}}' if service else r"(?:\{[^}]*\})?"
        return sum(map(float, re.findall(rf"(?m)^{name}{labels} (\S+)$", text)))

    def reach(self, name: str, count: float, seconds: float = 300, every: float = 0.5) -> None:
        """Wait until a metric has come this far."""
        wait_for(lambda: self.metric(name) >= count, seconds, f"{name} {count:.0f} of {self._what}", every)

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"ended at once: {self._what}")
        try:
            return self.get("/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False


def end(process: "subprocess.Popen[bytes]", within: float) -> None:
    """Stop it in order, or by force after so many seconds."""
    process.terminate()
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
