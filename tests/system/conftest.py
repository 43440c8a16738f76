"""Fixtures of the black-box tests: Towline, generators, a second engine that may be restarted, a small disk."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import docker
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # oracle and harness are no package: tests/ has no __init__.py

from harness import Generators, Up, wait_until


@pytest.fixture(params=["file", "api"])
def source(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def generators(engine: docker.DockerClient, prefix: str) -> Generators:
    return Generators(engine, prefix)


@pytest.fixture
def up(tmp_path: Path, engine_url: str, prefix: str) -> Iterator[Callable[..., Up]]:
    """Makes `towline up` that collects only containers of this test; all are killed afterwards."""
    made: list[Up] = []

    def make(
        *options: str,
        name: str = "data",
        engine: str = engine_url,
        include: str = prefix,
        data: Path | None = None,
        log: Path | None = None,
    ) -> Up:
        made.append(Up(data or tmp_path / name, *options, engine=engine, prefix=include, log=log))
        return made[-1]

    yield make
    for each in made:
        if each.running:
            each.kill()


class Engine:
    """A Docker engine of this test's own, ended and started by its process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"unix://{folder}/docker.sock"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        command = [
            "unshare", "--net", "--",  # in a shared namespace --bridge=none removes the first engine's docker0
            "dockerd", "--data-root", f"{self.folder}/root", "--exec-root", f"{self.folder}/exec",
            "--pidfile", f"{self.folder}/pid", "-H", self.url, "--bridge=none", "--iptables=false",
            *options]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_until(self.answers, 60, f"an engine of its own answers; see {self.folder}/log")

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            with socket.socket(socket.AF_UNIX) as probe:  # docker-py leaves a refused socket open
                probe.connect(self.url.removeprefix("unix://"))
                probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in probe.recv(100)
        except OSError:
            return False

    def client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.url)

    def stop(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(60)
        self.process = None
        # After a kill dockerd takes its containerd for alive as long as nobody has reaped it, and waits in vain.
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)


@pytest.fixture
def second_engine(
    engine_url: str,
    make_image: Callable[[str], None],
    tmp_path_factory: pytest.TempPathFactory,
    missing_part: Callable[[str], NoReturn],
) -> Iterator[Engine]:
    """Started without options; `stop` and `start("--live-restore")` it at will. Containers need network_mode none."""
    if os.geteuid() != 0:
        missing_part("a second engine needs root")
    folder = Path(tmp_path_factory.mktemp("e"))  # short: socket paths end at 107 bytes
    own = Engine(folder)
    own.start()
    make_image(own.url)
    yield own
    if own.process is None:
        own.start()
    client = own.client()
    for container in client.containers.list(all=True):
        container.remove(force=True)
    client.close()
    own.stop()
    subprocess.run(f"umount -l {folder}/root {folder}/exec/netns/* 2>/dev/null", shell=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def small_disk(tmp_path: Path, missing_part: Callable[[str], NoReturn]) -> Iterator[Path]:
    """A file system of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=False)
    if done.returncode != 0:
        missing_part("a small file system needs root and mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
