"""A Swarm of one node: an engine in namespaces of its own (network, mounts, processes), which reaches nobody."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

ADDRESS = "10.231.7.1"
ROOT = Path(__file__).parents[2]
START = f"""
mount --make-rshared /
mount -t proc proc /proc
ip link set lo up
ip link add node0 type bridge
ip addr add {ADDRESS}/24 dev node0
ip link set node0 up
dockerd "$@" &
wait $!
"""
"""The script that is the node's first process: all others end with it. Mounts are shared with the engine's containers,
as they are on a machine that systemd has started."""


def wait_for(condition: Callable[[], bool], seconds: float, what: Callable[[], str]) -> None:
    """Poll until it holds; fails the test with `what` it waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.5)


class Node:
    """`start` runs the engine; `docker` is its client's command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--",
                   "sh", "-ec", START, "sh",
                   "--data-root", f"{self.folder}/root", "--exec-root", f"{self.folder}/exec",
                   "--pidfile", f"{self.folder}/pid", "-H", self.url]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_for(self._answers, 120, lambda: (self.folder / "log").read_text()[-3000:])

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()[-3000:]
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(f"{self.folder}/docker.sock")
                probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in probe.recv(100)
        except OSError:
            return False

    def run(self, *arguments: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "-H", self.url, *arguments], capture_output=True, text=True, check=False, timeout=200, cwd=ROOT,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder), **(environ or {})})  # fmt: skip

    def docker(self, *arguments: str, environ: dict[str, str] | None = None) -> str:
        """What the client says on stdout; fails the test where it fails."""
        done = self.run(*arguments, environ=environ)
        assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-3000:]}"
        return done.stdout

    def become_swarm(self) -> None:
        self.docker("swarm", "init", "--advertise-addr", ADDRESS, "--default-addr-pool", "10.232.0.0/16")
        self.docker("node", "update", "--label-add", "towline.data=1", self.docker("node", "ls", "-q").strip())

    def services(self) -> dict[str, str]:
        """Replicas of each service, as 1/1."""
        rows = self.docker("service", "ls", "--format", "{{.Name}} {{.Replicas}}").splitlines()
        return {row.split()[0]: row.split()[1] for row in rows}

    def complete(self) -> bool:
        """Every task that is wanted runs, and its health check says so."""
        return all(len(set(replicas.split("/"))) == 1 for replicas in self.services().values())

    def state(self) -> str:
        """Of all services, for the report of a failure."""
        told = [str(self.services())]
        for name in self.services():
            told += self.run("service", "ps", "--no-trunc", name, "--format",
                             "{{.Name}} {{.CurrentState}} {{.Error}}").stdout.splitlines()[:3]  # fmt: skip
        for row in self.docker("ps", "-a", "--format", "{{.ID}} {{.Names}}").splitlines()[:30]:
            done = self.run("logs", "--tail", "3", row.split()[0])
            told.append(f"{row}: {done.stdout[-600:]}{done.stderr[-600:]}")
        return "\n".join(told)

    def wait_complete(self, seconds: float) -> None:
        wait_for(self.complete, seconds, self.state)

    def task(self, service: str) -> str:
        """The id of a running container of the service."""
        return self.docker("ps", "-q", "-f", f"label=com.docker.swarm.service.name={service}").split()[0]

    def inside(self, service: str, *command: str) -> str:
        return self.docker("exec", self.task(service), *command)

    def documents(self, service: str) -> list[dict[str, Any]]:
        """All lines of a service, by `towline search` in the page's container: over TLS, as its user, who may read.

        None where the page or the store is not there yet.
        """
        tasks = self.docker("ps", "-q", "-f", "label=com.docker.swarm.service.name=towline_page").split()
        if not tasks:
            return []
        done = self.run("exec", tasks[0], "towline", "search", "--service", service, "--limit", "0", "--json")
        return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []

    def measured(self, query: str) -> list[dict[str, Any]]:
        """What Prometheus answers to a query."""
        url = f"http://localhost:9090/api/v1/query?query={quote(query)}"
        return list(json.loads(self.inside("towline_prometheus", "wget", "-q", "-O", "-", url))["data"]["result"])

    def stop(self) -> None:
        """As if its cable was pulled: nothing of it is needed any more."""
        if self._process is not None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            for first in children.read_text().split() if children.exists() else ():
                os.kill(int(first), signal.SIGKILL)
            self._process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)
