"""Containers that cost nothing but what is measured: cgroups, namespaces and processes as an engine makes them.

They are made by hand below PARENT in the kernel's own cgroup hierarchies (version 1 or 2; needs root), and an engine
of a few lines tells of them as Docker's API does (1.41), so that a whole `towline export` finds and reads them.
"""

import contextlib
import hashlib
import json
import os
import socketserver
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.measuring import wait_for
from exporters.containers.layout import detect
from towline.identity import STACK, SWARM

CGROUPS = Path("/sys/fs/cgroup")
PARENT = "towline-bench"
LIMITS = {"cpu.cfs_quota_us": "50000", "memory.limit_in_bytes": "64M", "cpu.max": "50000 100000", "memory.max": "64M"}
FILES = 20
"""In the writable layer that all of them have."""
MADE = "2026-01-02T03:04:05.123456789Z"
_PROCESS = "ip link add eth0 type veth peer name eth1; exec sleep 3600"
Row = dict[str, Any]


class Made:
    """`count` containers, as long as the block lasts; `folder` is made for what belongs to them."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self._count = count
        roots = detect(CGROUPS, Path("/proc")).roots.values()
        self._parents = sorted({root / f"{PARENT}-{os.getpid()}" for root in roots})
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Made":
        layer = self._folder / "layer"
        layer.mkdir(parents=True)
        for number in range(FILES):
            (layer / str(number)).write_bytes(b"x" * 5000)
        try:
            for number in range(self._count):
                self._processes.append(_made(_id(number), self._parents))
            wait_for(lambda: all(map(_ready, self._processes)), 60, "the interfaces of all containers")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        _remove(self._processes, self._parents)

    @contextlib.contextmanager
    def engine(self, count: int) -> Iterator[str]:
        """URL of an engine that tells of the first `count` of them."""
        socket = self._folder / "engine.sock"
        pids = [process.pid for process in self._processes[:count]]
        rows = [_inspected(number, pid, self._folder) for number, pid in enumerate(pids)]
        with _engine(socket, rows):
            yield f"unix://{socket}"


def _made(container_id: str, parents: Sequence[Path]) -> subprocess.Popen[bytes]:
    """A process in a network namespace and cgroups of its own, with a limit of memory and one of CPU."""
    command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", _PROCESS]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    for parent in parents:
        group = parent / container_id
        group.mkdir(parents=True)
        (group / "cgroup.procs").write_text(str(process.pid))
        for name, limit in LIMITS.items():
            if (group / name).exists():
                (group / name).write_text(limit)
    return process


def _ready(process: subprocess.Popen[bytes]) -> bool:
    return "sleep" in Path(f"/proc/{process.pid}/comm").read_text()


def _remove(processes: Sequence[subprocess.Popen[bytes]], parents: Sequence[Path]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()
    for parent in parents:
        for group in [*(path for path in parent.iterdir() if path.is_dir()), parent]:
            wait_for(lambda group=group: _removed(group), 10, f"{group} to be removable", every=0.02)  # type: ignore[misc]


def _removed(group: Path) -> bool:
    """The kernel lets go of a group a moment after its last process."""
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


# --- what the engine tells


def _id(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def _inspected(number: int, pid: int, folder: Path) -> Row:
    """As a Swarm's containers are: with all the labels that are shown."""
    service, task = f"shop_service{number % 50}", hashlib.sha256(str(-number).encode()).hexdigest()[:25]
    name = f"{service}.{number // 50}.{task}"
    labels = {
        STACK: "shop", SWARM + "service.name": service, SWARM + "task.name": name, SWARM + "task.id": task,
        SWARM + "node.id": "node0123456789abcdefghijk",
    }  # fmt: skip
    started = datetime.now(UTC).isoformat()
    return {
        "Id": _id(number), "Name": f"/{name}", "Created": started, "RestartCount": 0, "Path": "sleep",
        "Config": {"Image": f"registry.example.com/shop/{service}:1.2.3", "Labels": labels},
        "HostConfig": {"NetworkMode": "shop_default", "NanoCpus": 500000000, "Memory": 64 << 20},
        "GraphDriver": {"Name": "overlay2", "Data": {"UpperDir": f"{folder}/layer"}},
        "State": {"Status": "running", "Running": True, "Pid": pid, "StartedAt": started, "ExitCode": 0},
    }  # fmt: skip


def _listed(row: Row) -> Row:
    return {"Id": row["Id"], "Names": [row["Name"]], "Image": row["Config"]["Image"], "State": "running",
            "Labels": row["Config"]["Labels"]}  # fmt: skip


def _answers(rows: Sequence[Row]) -> dict[str, object]:
    """What is at which path, behind the version."""
    about = {"Name": "bench", "ServerVersion": "20.10.24", "DockerRootDir": "/var/lib/docker", "SystemTime": MADE,
             "LoggingDriver": "json-file", "Swarm": {"LocalNodeState": "inactive"}}  # fmt: skip
    whole: dict[str, object] = {"/version": {"ApiVersion": "1.41", "MinAPIVersion": "1.12"}, "/info": about}
    whole["/containers/json"] = [_listed(row) for row in rows]
    return whole | {f"/containers/{row['Id']}/json": row for row in rows}


@contextlib.contextmanager
def _engine(socket: Path, rows: Sequence[Row]) -> Iterator[None]:
    with _Server(str(socket), _Answer) as server:
        server.answers, server.over = _answers(rows), threading.Event()
        serving = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
        serving.start()
        try:
            yield
        finally:
            server.over.set()
            server.shutdown()
            serving.join()
            socket.unlink()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    answers: Mapping[str, object]
    over: threading.Event


class _Answer(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        path = path if path == "/version" else "/" + path.split("/", 2)[2]
        if path == "/events":
            self._events()
            return
        found = self.server.answers.get(path)
        body = json.dumps({"message": "there is no such thing"} if found is None else found).encode()
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _events(self) -> None:
        """Nothing ever happens."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.server.over.wait()
        self.close_connection = True

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass
