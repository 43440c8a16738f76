"""cgroup version 2 as this kernel has it: a real group, named as the systemd driver names it, and its process.

On a machine with version 1 the controllers belong to that one, but CPU time is counted in every version 2 hierarchy.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest

from exporters.containers.described import Described

ID = "5e" * 32
WORK = "import time\nwhile time.process_time() < 1: pass\nprint(flush=True)\ntime.sleep(600)"
ALWAYS = {"container_cpu_usage_seconds_total", "container_cpu_user_seconds_total", "container_cpu_system_seconds_total",
          "container_processes", "container_last_seen", "container_start_time_seconds", "container_state"}  # fmt: skip
OF_CONTROLLERS = {"memory": "container_memory_usage_bytes", "pids": "container_threads"}


@pytest.fixture
def hierarchy(missing_part: Callable[[str], NoReturn]) -> Path:
    """Where version 2 is mounted."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    found = [Path(words[1]) for words in mounts if words[2] == "cgroup2"]
    if not found or not os.access(found[0], os.W_OK):
        missing_part("no cgroup2 file system that this user may write to")
    return found[0]


@pytest.fixture
def worker(hierarchy: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, after a second of CPU time."""
    slice_ = hierarchy / f"towlinetest{os.getpid()}.slice"
    group = slice_ / f"docker-{ID}.scope"
    group.mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-c", f"input()\n{WORK}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        (group / "cgroup.procs").write_text(str(process.pid))
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()
        for folder in (group, slice_):
            for _ in range(500):  # the kernel lets go of a group a moment after its last process
                with suppress(OSError):
                    folder.rmdir()
                    break
                time.sleep(0.02)


def test_a_real_group_is_found_and_its_cpu_time_is_the_processes_own(
    hierarchy: Path, worker: subprocess.Popen[bytes], tmp_path: Path, offline: Callable[..., Any]
) -> None:
    for name, place in (("sys/fs/cgroup", hierarchy), ("proc", Path("/proc"))):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(place)
    told = Described(ID, "worker", "python", state="running", pid=worker.pid, started=1.0)
    found = offline(tmp_path, told).scrape()
    words = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(map(int, words[11:13])) / os.sysconf("SC_CLK_TCK")
    used = found.one("container_cpu_usage_seconds_total", name="worker", id=f"/docker/{ID}", cpu="total")
    parts = [found.one(f"container_cpu_{part}_seconds_total", name="worker") for part in ("user", "system")]
    assert used == pytest.approx(own, abs=0.2)
    assert used >= 0.9
    assert sum(parts) == pytest.approx(used, abs=1e-4)
    assert found.one("container_processes", name="worker") == 1
    assert found.one("container_scrape_collector_success", collector="cgroup") == 1
    names = found.names(name="worker")
    assert names >= ALWAYS
    here = (hierarchy / "cgroup.subtree_control").read_text().split()
    assert {name for name in OF_CONTROLLERS.values() if name in names} <= {OF_CONTROLLERS.get(each) for each in here}
