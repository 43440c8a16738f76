"""Mounts and their sizes, also of mounts that don't answer."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from exporters.exposition import Family
from exporters.node import Host
from exporters.node.filesystem import FileSystem, Mount, parse
from exporters.node.statfs import Size, StatFs

Put = Callable[[str, str], None]
Read = Callable[[Iterable[Family]], dict[str, dict[str, float]]]

DEAD_MOUNT = Path(__file__).parent / "dead_mount.py"


class Hanging:
    """A statfs that does not return for paths with `dead` in them, until they are let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.asked: list[str] = []

    def __call__(self, path: str) -> Size:
        self.asked.append(Path(path).name)
        if "dead" in Path(path).name:
            self.let_go.wait()
        if "broken" in Path(path).name:
            raise OSError(5, "Input/output error")
        return os.statvfs("/")


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    statfs = Hanging()
    yield statfs
    statfs.let_go.set()


def test_names_in_mounts_are_decoded_and_the_folder_of_the_host_is_taken_off() -> None:
    raw = (
        b"nfs:/a\\040b /host/mnt/a\\040b nfs4 rw,relatime 0 0\n/dev/sda /host ext4 ro,noatime 0 0\nx /hosts y rw 0 0\n"
    )
    assert list(parse(raw, "/host")) == [
        Mount("nfs:/a b", "/mnt/a b", "nfs4", False),
        Mount("/dev/sda", "/", "ext4", True),
        Mount("x", "/hosts", "y", False),
    ]


def test_sizes_of_the_hosts_filesystems(host: Host, put: Put, samples: Read, tmp_path: Path) -> None:
    (tmp_path / "root/data").mkdir()
    mounts = ["/dev/sda / ext4 rw", "/dev/sdb /data ext4 ro", "/dev/sdb /data ext4 rw", "/dev/sdc /gone ext4 rw"]
    mounts += ["proc /proc proc rw", "overlay /x overlay rw", "shm /var/lib/docker/containers/a/mounts/shm tmpfs rw"]
    put("proc/1/mounts", "".join(f"{mount} 0 0\n" for mount in mounts))
    found = samples(FileSystem(host).collect())

    root, data, gone = (
        f'{{device="/dev/sd{disk}",fstype="ext4",mountpoint="{point}"}}'
        for disk, point in (("a", "/"), ("b", "/data"), ("c", "/gone"))
    )
    size = os.statvfs(tmp_path)
    assert found["node_filesystem_size_bytes"] == dict.fromkeys([root, data], size.f_blocks * size.f_frsize)
    assert set(found["node_filesystem_avail_bytes"]) == {root, data}
    assert found["node_filesystem_device_error"] == {root: 0, data: 0, gone: 1}
    assert set(found["node_filesystem_readonly"]) == {root, data, gone}


def test_dead_mounts_are_errors_do_not_hold_up_the_others_and_are_not_asked_again(
    host: Host, put: Put, samples: Read, hanging: Hanging, caplog: pytest.LogCaptureFixture
) -> None:
    points = [f"/dead{number}" for number in range(4)] + ["/ok", "/z-broken", "/z-ok"]
    put("proc/1/mounts", "".join(f"d {point} ext4 rw 0 0\n" for point in points))
    collector = FileSystem(host, StatFs(timeout=6.0, patience=0.01, statfs=hanging))

    def errors() -> dict[str, float]:
        found = samples(collector.collect())["node_filesystem_device_error"]
        return {block.split('mountpoint="')[1].rstrip('"}'): value for block, value in found.items()}

    expected = {point: float("dead" in point or "broken" in point) for point in points}
    assert errors() == expected
    assert errors() == expected
    assert errors() == expected
    dead = [path for path in hanging.asked if "dead" in path]
    assert len(dead) == len(set(dead)) == 4, "asked once each"
    assert len([path for path in hanging.asked if path == "ok"]) == 3
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == 5, "each told once"

    hanging.let_go.set()
    deadline = time.monotonic() + 60
    while any(errors()[point] for point in points if "dead" in point):
        assert time.monotonic() < deadline, "mounts that answer again are told again"


def test_a_scrape_ends_by_its_deadline_though_nothing_answers(hanging: Hanging) -> None:
    statfs = StatFs(timeout=0.2, patience=0.01, statfs=hanging)
    begin = time.monotonic()
    assert statfs([f"/dead{number}" for number in range(100)]) == {}
    assert time.monotonic() - begin < 60, "not a hundred times the patience of a kernel"
    hanging.let_go.set()
    deadline = time.monotonic() + 60
    while len(statfs(["/a", "/b"])) < 2:
        assert time.monotonic() < deadline


def test_threads_do_not_pile_up_once_mounts_answer_again(hanging: Hanging) -> None:
    def workers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "statfs" and thread not in before]

    before = threading.enumerate()
    statfs = StatFs(timeout=3.0, patience=0.01, statfs=hanging)
    statfs([f"/dead{number}" for number in range(5)])
    assert len(workers()) > 1
    hanging.let_go.set()
    deadline = time.monotonic() + 60
    while len(workers()) > 1:
        assert time.monotonic() < deadline
        statfs(["/ok"])
    for _ in range(20):
        assert statfs(["/ok"])
    assert len(workers()) == 1


def test_a_real_mount_whose_server_never_answers(missing_part: Callable[[str], NoReturn]) -> None:
    if os.geteuid() != 0 or not os.access("/dev/fuse", os.W_OK):
        missing_part("mounting needs root and /dev/fuse")
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", sys.executable, str(DEAD_MOUNT)]
    root = Path(__file__).parents[3]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "dead 1 other 0",
        "dead 1 other 0",
        "unanswered calls 1",
        "dead again 1 other 0",
    ]


def test_mounts_of_this_process_stand_in_where_those_of_process_1_are_hidden(
    host: Host, put: Put, samples: Read, tmp_path: Path
) -> None:
    put("proc/self/mounts", f"/dev/sda {tmp_path}/root ext4 rw 0 0\n")
    found = samples(FileSystem(replace(host, statfs_timeout=20)).collect())
    assert set(found["node_filesystem_size_bytes"]) == {'{device="/dev/sda",fstype="ext4",mountpoint="/"}'}
