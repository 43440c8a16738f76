"""Inside a container, with the host's /proc, /sys and / mounted elsewhere: the host is told, not the container."""

import os
import site
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from exporters.exposition import Family
from exporters.node import Host, collectors
from exporters.scrape import Scrape

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from exporters.exposition import render
from exporters.node import Host, collectors
from exporters.scrape import Scrape
host = Host("/host/proc", "/host/sys", "/host", statfs_timeout=20)
sys.stdout.buffer.write(render(Scrape("node", collectors(host, also=["processes", "tcpstat"])).families()))
"""
Samples = dict[str, dict[str, float]]


def python_of_the_host() -> Iterator[str]:
    """Options that bring this Python, with what it needs, to where it is here."""
    wanted = {"/usr", "/lib", "/lib64", sys.prefix, sys.base_prefix, *site.getsitepackages(), str(ROOT)}
    for path in sorted(path for path in wanted if Path(path).exists()):
        yield f"--volume={Path(path).resolve()}:{path}:ro"


@pytest.fixture(scope="module")
def inside(engine_url: str, make_image: Callable[[str], None]) -> str:
    """A scrape by a container with its own process, network, mount and name spaces."""
    make_image(engine_url)
    command = [
        *("docker", "--host", engine_url, "run", "--rm", "--network=none", "--hostname=a-container"),
        f"--name=towline-test-node-{uuid.uuid4().hex[:8]}",
        *("--volume=/:/host:ro", "--volume=/proc:/host/proc:ro", "--volume=/sys:/host/sys:ro"),
        *python_of_the_host(),
        f"--env=PYTHONPATH={ROOT}",
        *("--entrypoint", sys.executable, "towline-demo:local", "-c", PROGRAM),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def here(samples: Callable[[Iterable[Family]], Samples]) -> Samples:
    return samples(Scrape("node", collectors(Host(), also=["processes", "tcpstat"])).families())


@pytest.fixture
def told(inside: str, read_text: Callable[[str], Samples]) -> Samples:
    return read_text(inside)


def test_every_collector_succeeds(told: Samples) -> None:
    assert {block for block, value in told["node_scrape_collector_success"].items() if value != 1} == set()


def test_interfaces_are_those_of_the_host(told: Samples, here: Samples) -> None:
    for name in ("node_network_receive_bytes_total", "node_network_up", "node_network_mtu_bytes"):
        assert len(told[name]) > 1, "a container without a network has lo only"
    lasting = told["node_network_receive_bytes_total"].keys() & here["node_network_receive_bytes_total"].keys()
    assert lasting <= told["node_network_receive_nohandler_total"].keys()
    assert told["node_network_receive_bytes_total"]['{device="lo"}'] > 0


def test_filesystems_are_those_of_the_host_with_its_names_and_sizes(told: Samples, here: Samples) -> None:
    sizes = told["node_filesystem_size_bytes"]
    lasting = sizes.keys() & here["node_filesystem_size_bytes"].keys()  # other tests mount, too
    assert {block: sizes[block] for block in lasting} == {
        block: here["node_filesystem_size_bytes"][block] for block in lasting}  # fmt: skip
    assert any('mountpoint="/"' in block for block in lasting)
    assert not any('mountpoint="/host' in block for block in sizes)
    assert {told["node_filesystem_device_error"][block] for block in lasting} == {0}


def test_the_name_is_that_of_the_host(told: Samples) -> None:
    (block,) = told["node_uname_info"]
    assert f'release="{os.uname().release}"' in block
    assert "a-container" not in block


def test_memory_processes_and_disks_are_those_of_the_host(told: Samples, here: Samples) -> None:
    for name in ("node_memory_MemTotal_bytes", "node_boot_time_seconds", "node_processes_max_threads", "node_os_info"):
        assert told[name] == here[name]
    assert told["node_processes_pids"][""] > 10, "a container has one"
    assert told["node_disk_read_bytes_total"].keys() == here["node_disk_read_bytes_total"].keys()
    assert sum(told["node_tcp_connection_states"].values()) > 0
