"""A Swarm of one node on an engine of its own, in a network namespace that nobody else is in."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

IMAGE = "towline-demo:local"
NETWORK = (
    "ip link set lo up; ip link add node0 type veth peer name node1; ip link set node1 up;"
    "ip addr add 10.77.0.1/24 dev node0; ip link set node0 up; exec "
)
PATIENCE = 120.0
"""Seconds that anything may take on a busy machine; only a failure waits so long."""
SERVE = "mkdir /w; echo 'asked 1' >/w/metrics; exec httpd -f -p {port} -h /w"


def until(ask: Callable[[], Any], seconds: float = 60, what: Callable[[], str] = lambda: "") -> Any:
    deadline = time.monotonic() + max(seconds, PATIENCE)
    while not (found := ask()):
        assert time.monotonic() < deadline, f"it did not happen; {what()}"
        time.sleep(0.2)
    return found


class Manager:
    """An engine that manages a Swarm, all in one network namespace that nobody else is in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, f"unix://{folder}/s"
        self.started: list[subprocess.Popen[bytes]] = []
        command = ["dockerd", "--data-root", f"{folder}/root", "--exec-root", f"{folder}/exec", "--pidfile",
                   f"{folder}/pid", "-H", self.url, "--bridge=none", "--iptables=false"]  # fmt: skip
        self.engine = self.process(["unshare", "--net", "--", "sh", "-c", NETWORK + " ".join(command)], "engine")
        until(lambda: self.docker("info", check=False).returncode == 0, 60, lambda: self.said("engine"))

    def process(self, command: list[str], name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.started.append(subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
        return self.started[-1]

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()[-3000:]

    def docker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = ["docker", "-H", self.url, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=check, timeout=120)

    def inside(self, pid: int, *command: str) -> list[str]:
        return ["nsenter", f"--net=/proc/{pid}/ns/net", *command]

    def get(self, pid: int, url: str) -> Any:
        """JSON or text of a URL as seen from the network of a process; None where it does not answer."""
        script = "import sys,urllib.request as r; print(r.urlopen(sys.argv[1], timeout=60).read().decode())"
        done = subprocess.run(
            self.inside(pid, sys.executable, "-c", script, url), capture_output=True, text=True, timeout=120,
            check=False)  # fmt: skip
        if done.returncode:
            return None
        return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout

    def service(self, name: str, port: int, *options: str) -> None:
        self.docker("service", "create", "-d", "--no-resolve-image", "--name", name, *options, IMAGE, "sh", "-c",
                    SERVE.format(port=port))  # fmt: skip

    def close(self) -> None:
        for name in self.docker("service", "ls", "-q", check=False).stdout.split():
            self.docker("service", "rm", name, check=False)
        for name in self.docker("ps", "-aq", check=False).stdout.split():
            self.docker("rm", "-f", name, check=False)
        for process in reversed(self.started):
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        subprocess.run(f"umount -l {self.folder}/root {self.folder}/exec/netns/* 2>/dev/null", shell=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
