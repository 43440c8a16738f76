"""`towline export` in a container, with the engine's socket and the host's /proc, /sys and / mounted elsewhere.

It says of the node and of every container what one on the host says.
"""

import re
import site
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
IMAGE = "towline-demo:local"
PORT = 9514
RUN = (sys.executable, "-c", "from towline.cli import main; main()")
GET = ("busybox", "wget", "-q", "-O", "-", f"http://127.0.0.1:{PORT}/metrics")
HOST = ("--procfs", "/host/proc", "--sysfs", "/host/sys", "--rootfs", "/host")
HARDENED = ("--read-only", "--network=none", "--security-opt=no-new-privileges", "--cap-drop=ALL")
BUSY = """
mkdir -p /w; while :; do dd if=/dev/zero of=/w/file bs=64k count=16 conv=fsync 2>/dev/null; dd if=/w/file of=/dev/null
timeout 1 wget -q -O /dev/null http://192.0.2.1/; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; done 2>/dev/null
"""
SELDOM = ("container_fs_usage_bytes", "container_fs_limit_bytes")
"""Counted once in a while, not in a scrape."""

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


def until(ask: Callable[[], Any], what: Callable[[], object]) -> Any:
    deadline = time.monotonic() + 90
    while not (found := ask()):
        assert time.monotonic() < deadline, f"it did not happen; {what()}"
        time.sleep(0.2)
    return found


def parsed(text: str) -> Samples:
    """Values by name and labels."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def python_of_the_host() -> Iterator[str]:
    """Options that bring this Python, with what it needs, to where it is here."""
    wanted = {"/usr", "/lib", "/lib64", sys.prefix, sys.base_prefix, *site.getsitepackages(), str(ROOT)}
    for path in sorted(path for path in wanted if Path(path).exists()):
        yield f"--volume={Path(path).resolve()}:{path}:ro"


class Inside:
    """The exporter in a container."""

    def __init__(self, engine: docker.DockerClient, name: str, engine_url: str, *options: str) -> None:
        socket = Path(engine_url.removeprefix("unix://"))
        self.engine, self.name = engine, name
        command = [
            *("docker", "--host", engine_url, "run", "-d", "--name", name, "--hostname=a-container", *options),
            *("--volume=/:/host:ro", "--volume=/proc:/host/proc:ro", "--volume=/sys:/host/sys:ro"),
            f"--volume={socket.parent}:/engine:ro", *python_of_the_host(), f"--env=PYTHONPATH={ROOT}",
            *("--entrypoint", RUN[0], IMAGE, *RUN[1:], "export", "--engine", f"unix:///engine/{socket.name}", *HOST),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr

    def text(self) -> str:
        done = self.engine.containers.get(self.name).exec_run(list(GET))
        return str(done.output.decode()) if done.exit_code == 0 else ""

    def log(self) -> str:
        return str(self.engine.containers.get(self.name).logs().decode())


class Outside:
    """The exporter on the host."""

    def __init__(self, folder: Path, engine_url: str) -> None:
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([*RUN, "export", "--listen", "127.0.0.1:0", "--engine", engine_url],
                                            stdout=log, stderr=log, cwd=ROOT)  # fmt: skip
        found = until(lambda: re.search(r"url=http://(\S+)/\s", self.log()), self.log)
        self._url = f"http://{found[1]}/metrics"

    def text(self) -> str:
        with urllib.request.urlopen(self._url, timeout=60) as answer:
            return str(answer.read().decode())

    def log(self) -> str:
        return self._log.read_text()


@pytest.fixture
def busy(engine: docker.DockerClient, prefix: str) -> str:
    """The id of a container with limits, which computes, writes, reads and sends."""
    found = engine.containers.run(
        IMAGE, ["sh", "-c", BUSY], name=f"{prefix}-busy", detach=True, network_mode="bridge", mem_limit="64m",
        cpu_period=100_000, cpu_quota=20_000, cpu_shares=512, labels={"com.docker.compose.service": "busy"},
        stop_signal="KILL")  # fmt: skip
    return str(found.id)


@pytest.fixture
def outside(tmp_path: Path, engine_url: str) -> Iterator[Outside]:
    running = Outside(tmp_path, engine_url)
    yield running
    running.process.terminate()
    assert running.process.wait(60) == 0


def knows(text: str, container: str) -> bool:
    """Whether a scrape tells all about that container."""
    named = [line for line in text.splitlines() if container in line]
    wanted = ("container_cpu_usage_seconds_total", "container_network_transmit_bytes_total",
              "container_fs_writes_bytes_total", "container_state")  # fmt: skip
    return all(any(line.startswith(name) for line in named) for name in wanted)


def test_it_says_inside_what_it_says_outside(
    engine: docker.DockerClient, engine_url: str, prefix: str, busy: str, outside: Outside
) -> None:
    """Without capabilities, network or a writable file. What grows is, inside, between two answers from outside."""
    inside = Inside(engine, f"{prefix}-{uuid.uuid4().hex[:4]}", engine_url, *HARDENED)
    until(lambda: knows(inside.text(), busy), inside.log)
    until(lambda: knows(outside.text(), busy), outside.log)
    one = ("id", f"/docker/{busy}")

    def look() -> tuple[Samples, ...] | None:
        """Unless a device was used for the first time in between."""
        found = tuple(parsed(each.text()) for each in (outside, inside, outside))
        return found if only(found[0], one).keys() == only(found[1], one).keys() else None

    before, told, after = until(look, lambda: "other series inside than outside")
    assert broken(inside.text()) == [], inside.log()
    of_container(before, told, after, busy)
    of_node(before, told, after)


def test_who_may_not_look_into_layers_is_told_so_and_all_the_rest_is_there(
    engine: docker.DockerClient, engine_url: str, prefix: str, busy: str
) -> None:
    """As nobody, in the group of the engine's socket."""
    group = Path(engine_url.removeprefix("unix://")).stat().st_gid
    inside = Inside(engine, f"{prefix}-{uuid.uuid4().hex[:4]}", engine_url, *HARDENED, "--user=65534:65534",
                    f"--group-add={group}")  # fmt: skip
    until(lambda: knows(inside.text(), busy) and broken(inside.text()) == ["layers"], inside.log)
    advice = "run as root (userns-remap: with DAC_READ_SEARCH)"
    until(lambda: advice in inside.log(), inside.log)
    assert inside.log().count(advice) == 1
    assert "Traceback" not in inside.log()


def broken(text: str) -> list[str]:
    """The collectors that failed."""
    return re.findall(r'^\w+_scrape_collector_success{collector="(\w+)"} 0$', text, re.MULTILINE)


def of_container(before: Samples, told: Samples, after: Samples, container: str) -> None:
    here, there = (only(samples, ("id", f"/docker/{container}")) for samples in (before, told))
    assert here.keys() == there.keys()
    assert len({name for name, _ in here}) > 40
    label = dict(next(labels for name, labels in there if name == "container_last_seen"))
    assert (label["service"], label["image"], label["name"]) == ("busy", IMAGE, label["name"])
    then = only(after, ("id", f"/docker/{container}"))
    for key, value in there.items():
        if key[0].endswith("_total"):
            assert here[key] <= value <= then[key], key
        elif "spec" in key[0] or key[0] in ("container_start_time_seconds", "container_state"):
            assert value == here[key], key
    moved = {name for (name, labels), value in there.items() if value > 0}
    assert moved >= {"container_cpu_usage_seconds_total", "container_memory_usage_bytes", "container_threads",
                     "container_fs_writes_bytes_total", "container_network_transmit_packets_total"}  # fmt: skip
    assert value_of(there, "container_spec_memory_limit_bytes") == 64 * 2**20
    assert value_of(there, "container_processes") >= 1


def value_of(found: dict[Any, float], wanted: str) -> float:
    """Of the only sample of this name."""
    (value,) = [value for (name, _), value in found.items() if name == wanted]
    return value


def only(samples: Samples, label: tuple[str, str]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Of the samples of cgroups and the engine, those with this label."""
    return {(name, labels): value for name, found in samples.items() for labels, value in found.items()
            if label in labels and name not in SELDOM}  # fmt: skip


STEADY = ("node_memory_MemTotal_bytes", "node_boot_time_seconds", "node_os_info", "machine_memory_bytes",
          "machine_cpu_cores", "node_filesystem_size_bytes", "node_network_mtu_bytes", "node_disk_info")  # fmt: skip
GROWING = ("node_cpu_seconds_total", "node_context_switches_total", "node_forks_total", "node_disk_written_bytes_total",
           "node_network_receive_bytes_total", "node_vmstat_pgfault", "node_netstat_Tcp_OutSegs")  # fmt: skip


def of_node(before: Samples, told: Samples, after: Samples) -> None:
    for name in STEADY:
        lasting = before[name].keys() & after[name].keys()
        assert lasting, name
        assert {labels: told[name].get(labels) for labels in lasting} == {
            labels: before[name][labels] for labels in lasting}, name  # fmt: skip
    for name in GROWING:
        lasting = before[name].keys() & after[name].keys()
        assert lasting, name
        for labels in lasting:
            # The kernel's idle and iowait go back a little; each exporter hides that by itself.
            slack = 0.1 if dict(labels).get("mode") in ("idle", "iowait") else 0
            assert before[name][labels] - slack <= told[name][labels] <= after[name][labels] + slack, (name, labels)
    root = {name for name, labels in only(told, ("id", "/"))}
    assert root == {name for name, labels in only(before, ("id", "/"))}
    low, cpu, high = (value_of(only(each, ("id", "/")), "container_cpu_usage_seconds_total")
                      for each in (before, told, after))  # fmt: skip
    assert low <= cpu <= high
    (uname,) = told["node_uname_info"]
    assert dict(uname)["nodename"] != "a-container"
