"""Cost of a scrape of containers: time, CPU at a scrape every 15 s, memory; beside Debian's node exporter.

    PYTHONPATH=. python benchmarks/exporter.py [REAL [MADE]]

Starts REAL (default 100) containers of towline-demo:local with a network, a CPU quota and a memory limit, and removes
them. Then MADE (default 500): cgroups, network namespaces and processes as an engine makes them, made by hand below
/towline-bench in the kernel's cgroup hierarchy, since so many containers are heavy. Run it as root on a machine with
cgroup v1 or v2. The process that is measured holds nothing but the exporter.
"""

import contextlib
import hashlib
import json
import logging
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker

from exporters.containers import Containers, ContainerSettings
from exporters.containers.described import Described
from exporters.containers.layout import detect
from exporters.exposition import compress, pieces
from exporters.scrape import Scrape
from towline.identity import STACK, SWARM

ENGINE = os.environ.get("TOWLINE_TEST_ENGINE", "unix:///var/run/docker.sock")
CGROUPS = Path("/sys/fs/cgroup")
PARENT = "towline-bench"
INTERVAL = 15.0
SCRAPES = 20
LIMITS = {"cpu.cfs_quota_us": "50000", "memory.limit_in_bytes": "64M", "cpu.max": "50000 100000", "memory.max": "64M"}
QUIET = 15.0
"""Seconds in which the background's own CPU time is measured."""


def main(real: int, made: int) -> None:
    node_exporter()
    with real_containers(real):
        measured(f"{real} containers", "real")
        whole_export()
    with made_containers(made) as described:
        measured(f"{made} made by hand", str(described))


def measured(title: str, what: str) -> None:
    """One child process that scrapes; what it tells is printed."""
    child = subprocess.run([sys.executable, __file__, "--child", what], stdout=subprocess.PIPE, text=True, check=True)
    figures = json.loads(child.stdout)
    scrape, background = figures["cpu"] / INTERVAL, figures["background"]
    print(
        f"{title:18} {figures['containers']} shown, {figures['samples']} samples, {figures['bytes'] >> 10} KiB"
        f" ({figures['gzip_bytes'] >> 10} KiB gzip)\n"
        f"{'':18} read {figures['read']:.1f} ms, render {figures['render']:.1f} ms, gzip {figures['gzip']:.1f} ms"
        f" (best of {SCRAPES})\n"
        f"{'':18} {100 * (scrape + background):.2f} % of a core at {INTERVAL:.0f} s"
        f" (of that between scrapes {100 * background:.2f} %), RSS {figures['rss'] >> 10} MiB"
    )


# --- the process that is measured


def child(what: str) -> None:
    logging.getLogger("exporters").setLevel("ERROR")  # without an engine, "engine" fails
    containers = Containers(ContainerSettings(engine=ENGINE))
    if what == "real":
        follow(containers)
    else:
        for row in json.loads(Path(what).read_text()):
            containers.inventory.inspected(Described(**row))
    print(json.dumps(figures(containers)))
    containers.stop()


def follow(containers: Containers) -> None:
    threading.Thread(target=containers.run, daemon=True).start()
    deadline = time.monotonic() + 60
    while containers.problem and time.monotonic() < deadline:
        time.sleep(0.05)


def figures(containers: Containers) -> dict[str, float]:
    scrape = Scrape("container", containers.collectors)
    before = scrape.families()
    samples = sum(found.body.count(b"\n") for found in before)
    size = sum(map(len, pieces(before)))
    time.sleep(1)  # what the start left to do is no part of a steady state
    background = cpu()
    time.sleep(QUIET)
    background = (cpu() - background) / QUIET
    begin, times = cpu(), [one(scrape) for _ in range(SCRAPES)]
    spent = (cpu() - begin) / SCRAPES
    read, rendered, zipped = (min(column) * 1000 for column in zip(*times, strict=True))
    return {
        "containers": len(containers.inventory.running()), "samples": samples,
        "bytes": size, "gzip_bytes": len(compress(pieces(before))), "read": read, "render": rendered, "gzip": zipped,
        "cpu": spent, "background": background, "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }  # fmt: skip


def one(scrape: Scrape) -> tuple[float, float, float]:
    """Seconds for reading, rendering, packing; the last two alternate, family by family."""
    start = time.perf_counter()
    families = scrape.families()
    read = time.perf_counter()
    spans: list[float] = []
    compress(timed(pieces(families), spans))
    rendering = sum(spans)
    return read - start, rendering, time.perf_counter() - read - rendering


def timed(parts: Iterator[bytes], spans: list[float]) -> Iterator[bytes]:
    """The same parts; how long each took goes to `spans`."""
    start = time.perf_counter()
    for part in parts:
        spans.append(time.perf_counter() - start)
        yield part
        start = time.perf_counter()


def cpu() -> float:
    return time.process_time()


# --- what is scraped


@contextlib.contextmanager
def real_containers(count: int) -> Iterator[None]:
    client = docker.DockerClient(base_url=ENGINE)
    prefix = f"bench{uuid.uuid4().hex[:6]}"
    options = {"detach": True, "mem_limit": "64m", "cpu_quota": 50000, "stop_signal": "KILL"}
    try:
        for number in range(count):
            client.containers.run("towline-demo:local", ["sleep", "3600"], name=f"{prefix}-{number}", **options)
        yield
    finally:
        for row in client.api.containers(all=True, filters={"name": prefix}):
            client.api.remove_container(row["Id"], force=True)
        client.close()


@contextlib.contextmanager
def made_containers(count: int) -> Iterator[Path]:
    """A file that describes them. Each has its groups, its namespace with two interfaces, and one process."""
    layout = detect(CGROUPS, Path("/proc"))
    parents = {root / PARENT for root in layout.roots.values()}
    folder = Path(f"/tmp/towline-bench-{os.getpid()}")
    folder.mkdir()
    processes: list[subprocess.Popen[bytes]] = []
    try:
        rows = []
        for number in range(count):
            container_id = hashlib.sha256(str(number).encode()).hexdigest()
            processes.append(made(container_id, parents))
            rows.append(described(container_id, number, processes[-1].pid))
        (folder / "rows.json").write_text(json.dumps(rows))
        time.sleep(5)  # the last ones make their interfaces
        yield folder / "rows.json"
    finally:
        remove(processes, parents)
        shutil.rmtree(folder)


def made(container_id: str, parents: set[Path]) -> subprocess.Popen[bytes]:
    link = "ip link add eth0 type veth peer name eth1; exec sleep 3600"
    process = subprocess.Popen(["unshare", "--net", "sh", "-c", link])
    for parent in parents:
        group = parent / container_id
        group.mkdir(parents=True)
        (group / "cgroup.procs").write_text(str(process.pid))
        for name, limit in LIMITS.items():
            if (group / name).exists():
                (group / name).write_text(limit)
    return process


def described(container_id: str, number: int, pid: int) -> dict[str, object]:
    """As a Swarm's containers are: with all the labels that are shown."""
    service, task = f"shop_service{number % 50}", hashlib.sha256(str(-number).encode()).hexdigest()[:25]
    name = f"{service}.{number // 50}.{task}"
    labels = {
        STACK: "shop", SWARM + "service.name": service, SWARM + "task.name": name, SWARM + "task.id": task,
        SWARM + "node.id": "node0123456789abcdefghijk",
    }  # fmt: skip
    return {"id": container_id, "name": name, "image": f"registry.example.com/shop/{service}:1.2.3", "labels": labels,
            "state": "running", "pid": pid, "started": time.time(), "network": "shop_default"}  # fmt: skip


def remove(processes: list[subprocess.Popen[bytes]], parents: set[Path]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()
    for parent in parents:
        for group in [*(path for path in parent.iterdir() if path.is_dir()), parent]:
            removed(group)


def removed(group: Path) -> None:
    """The kernel lets go of a group a moment after its last process."""
    for _ in range(100):
        try:
            return group.rmdir()
        except OSError:
            time.sleep(0.02)
    return print(f"left behind: {group}")


# --- whole programs, over HTTP


def node_exporter() -> None:
    path = shutil.which("prometheus-node-exporter")
    if path is None:
        print("prometheus-node-exporter is not installed: nothing to compare with")
        return
    program("node exporter", "http://127.0.0.1:19100", [path, "--web.listen-address=127.0.0.1:19100"])


def whole_export() -> None:
    command = [sys.executable, "-c", "from towline.cli import main; main()", "export", "--listen", "127.0.0.1:19101"]
    program("towline export", "http://127.0.0.1:19101", [*command, "--engine", ENGINE])


def program(title: str, url: str, command: list[str]) -> None:
    """Start it, ask it SCRAPES times as Prometheus does, print what that took, and end it."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        fetch(url)
        time.sleep(3)  # it learns of the containers
        background = ticks(process.pid)
        time.sleep(QUIET)
        begin = ticks(process.pid)
        background = (begin - background) / QUIET
        times = [fetch(url) for _ in range(SCRAPES)]
        spent = (ticks(process.pid) - begin) / SCRAPES / INTERVAL + background
        status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        rss = int(next(line for line in status if line.startswith("VmHWM")).split()[1])
        print(f"{title:18} whole, over HTTP with gzip: {min(times) * 1000:.1f} ms (best of {SCRAPES}),"
              f" {100 * spent:.2f} % of a core at {INTERVAL:.0f} s, RSS at most {rss >> 10} MiB")  # fmt: skip
    finally:
        process.kill()
        process.wait()


def fetch(url: str) -> float:
    """Seconds from the question to the whole answer, once somebody answers."""
    deadline = time.monotonic() + 20
    request = urllib.request.Request(f"{url}/metrics", headers={"Accept-Encoding": "gzip"})
    while True:
        start = time.perf_counter()
        try:
            with urllib.request.urlopen(request) as answer:
                answer.read()
            return time.perf_counter() - start
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def ticks(pid: int) -> float:
    """CPU seconds of a process so far."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
    else:
        counts = [int(text) for text in sys.argv[1:3]]
        main(*counts, *(100, 500)[len(counts) :])
