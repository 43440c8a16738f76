"""Bad input on recorded trees: what can't be read costs itself, one clear message, and a success metric at 0."""

import logging
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from exporters.containers.described import Described

ID, OTHER = "4f" * 32, "b0" * 32
GROUP = f"docker/{ID}"
TOLD = Described(ID, "web", "web:1", state="running", pid=4242, started=1_699_999_000.0, network="bridge")
NEIGHBOUR = Described(OTHER, "other", "web:1", state="running", pid=0)


def failures(found: Any) -> set[str]:
    name = "container_scrape_collector_success"
    return {one.labels["collector"] for one in found.all if one.name == name and not one.value}


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_version_1_with_joined_controllers(make_tree: Callable[..., Path], offline: Callable[..., Any]) -> None:
    found = offline(make_tree("v1.tree", group=GROUP), TOLD).scrape()
    assert not failures(found)
    expected = {
        "container_cpu_usage_seconds_total": 30.693262123, "container_cpu_user_seconds_total": 20.0,
        "container_cpu_system_seconds_total": 10.69, "container_cpu_cfs_throttled_seconds_total": 1.500000001,
        "container_spec_cpu_shares": 512, "container_spec_cpu_quota": 50000, "container_memory_usage_bytes": 4000000,
        "container_memory_working_set_bytes": 0, "container_memory_rss": 49152, "container_memory_cache": 1855488,
        "container_memory_mapped_file": 1351680, "container_memory_max_usage_bytes": 5000000,
        "container_memory_failcnt": 12, "container_spec_memory_limit_bytes": 67108864,
        "container_spec_memory_reservation_limit_bytes": 0, "container_oom_events_total": 3, "container_threads": 1,
        "container_threads_max": 0, "container_fs_reads_bytes_total": 8388608, "container_fs_writes_total": 16,
    }  # fmt: skip
    assert {name: found.one(name, name="web") for name in expected} == expected
    assert not found.of("container_memory_swap", name="web")  # the kernel was started without swap accounting
    assert found.one("container_tasks_state", name="web", state="uninterruptible") == 1
    assert found.one("container_cpu_usage_seconds_total", id="/") == 7e-9


def test_no_cgroup_mount(
    make_tree: Callable[..., Path], offline: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    root = make_tree("v1.tree", group=GROUP)
    rmtree(root / "sys/fs")
    exporter = offline(root, TOLD)
    for _ in range(3):
        found = exporter.scrape()
    assert failures(found) == {"cgroup"}
    assert found.one("container_state", name="web", state="running") == 1
    assert found.one("machine_cpu_cores") == 1
    assert messages(caplog) == [
        f"cgroup metrics are missing: no cgroups at {root}/sys/fs/cgroup: No such file or directory; mount the host's "
        "/sys here and name it by --sysfs (told once, until they are back)"
    ]
    make_tree("v1.tree", group=GROUP)
    assert not failures(exporter.scrape())


def test_an_unknown_layout(
    make_tree: Callable[..., Path], offline: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    root = make_tree("v1.tree", group=GROUP)
    rmtree(root / "sys/fs/cgroup")
    (root / "sys/fs/cgroup/openrc").mkdir(parents=True)
    found = offline(root, TOLD).scrape()
    assert failures(found) == {"cgroup"}
    (message,) = messages(caplog)
    assert (
        f"unknown cgroup layout at {root}/sys/fs/cgroup (openrc): neither version 2 (cgroup.controllers) nor" in message
    )


def test_a_file_that_cant_be_read_costs_its_container(
    make_tree: Callable[..., Path], offline: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    make_tree("v1.tree", group=f"docker/{OTHER}")
    root = make_tree("v1.tree", group=GROUP)
    stat = root / f"sys/fs/cgroup/memory/docker/{OTHER}/memory.stat"
    stat.unlink()
    stat.mkdir()  # root can read whatever has no read permission
    exporter = offline(root, TOLD, Described(OTHER, "other", "web:1", state="running", pid=4242))
    for _ in range(2):
        found = exporter.scrape()
    assert failures(found) == {"cgroup"}
    assert found.of("container_memory_rss", name="web")
    assert found.of("container_memory_rss", id="/")
    assert not found.of("container_memory_rss", name="other")
    (message,) = messages(caplog)
    assert f"can't read {stat}: Is a directory; run as root on the engine's machine" in message
    stat.rmdir()
    stat.write_text("total_rss 5\n")
    assert exporter.scrape().of("container_memory_rss", name="other") == [5.0]


@pytest.mark.parametrize(
    "text",
    ["", "\n", "total_rss", "total_rss x y", "oom_kill 1.5", "\x00" * 5000, "total_rss 1\n" * 3000],
    ids=range(7),
)
def test_a_file_of_garbage_stops_nothing(
    text: str, make_tree: Callable[..., Path], offline: Callable[..., Any]
) -> None:
    root = make_tree("v1.tree", group=GROUP)
    for name in ("memory.stat", "memory.oom_control"):
        (root / "sys/fs/cgroup/memory" / GROUP / name).write_text(text)
    (root / "sys/fs/cgroup/blkio" / GROUP / "blkio.throttle.io_serviced").write_text(text)
    (root / "sys/fs/cgroup/memory/memory.usage_in_bytes").write_text("much\n")
    (root / "proc/4242/net/dev").write_text("a\nb\neth0: 1 2 3 4 x 6 7 8 9 10 11 12\neth1: x x x x x x x x x x x x\n")
    found = offline(root, TOLD).scrape()
    assert found.one("container_state", name="web", state="running") == 1
    assert found.one("container_network_receive_bytes_total", name="web") == 1


def test_a_machine_without_the_files_of_the_machine(
    make_tree: Callable[..., Path], offline: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    root = make_tree("v1.tree", group=GROUP)
    (root / "proc/meminfo").unlink()
    found = offline(root, TOLD).scrape()
    assert failures(found) == {"machine"}
    assert found.of("container_memory_rss", name="web")
    assert "meminfo" in messages(caplog)[0]


@pytest.mark.parametrize(("told", "number"), [("", 3), ("0\n0\n0\n0\n", 4)], ids=["hidden", "without number"])
def test_processes_of_another_pid_namespace_are_found_below_the_first(
    make_tree: Callable[..., Path], offline: Callable[..., Any], told: str, number: int
) -> None:
    """As in a container without the host's pid namespace; who was put there by `docker exec` has no state then."""
    root = make_tree("v1.tree", group=GROUP)
    (root / "sys/fs/cgroup/pids" / GROUP / "cgroup.procs").write_text(told)
    for pid, thread, children, state in ((4242, 4242, "4250", "S"), (4242, 4243, "4251 ", "S"), (4250, 4250, "", "R"),
                                         (4251, 4251, "", "S")):  # fmt: skip
        folder = root / f"proc/{pid}/task/{thread}"
        folder.mkdir(parents=True)
        (folder / "children").write_text(children)
        (root / f"proc/{pid}/stat").write_text(f"{pid} (a) b) {state} 1 1")
    found = offline(root, TOLD).scrape()
    assert found.one("container_processes", name="web") == number
    assert found.one("container_tasks_state", name="web", state="sleeping") == 2
    assert found.one("container_tasks_state", name="web", state="running") == 1


def test_a_container_without_processes_that_can_be_seen_is_not_said_to_have_none(
    make_tree: Callable[..., Path], offline: Callable[..., Any]
) -> None:
    root = make_tree("v1.tree", group=GROUP)
    (root / "sys/fs/cgroup/pids" / GROUP / "cgroup.procs").write_text("")
    rmtree(root / "proc/4242")
    found = offline(root, TOLD).scrape()
    assert not found.of("container_processes", name="web")
    assert not found.of("container_tasks_state", name="web")


def test_many_interfaces_are_all_read(make_tree: Callable[..., Path], offline: Callable[..., Any]) -> None:
    root = make_tree("v1.tree", group=GROUP)
    heads = (root / "proc/1/net/dev").read_text()
    lines = [f"eth{n:05}: " + " ".join(str(n) for _ in range(16)) + "\n" for n in range(1000)]
    (root / "proc/4242/net/dev").write_text(heads + "".join(lines))
    found = offline(root, TOLD).scrape()
    assert sorted(found.of("container_network_transmit_bytes_total", name="web")) == list(range(1000))


def test_labels_that_look_alike_after_cleaning_are_told_once(
    make_tree: Callable[..., Path], offline: Callable[..., Any]
) -> None:
    root = make_tree("v1.tree", group=GROUP)
    told = Described(ID, "web", "web:1", {"a.b": "1", "a_b": "2", "a-b": "x" * 1000}, "running", 4242)
    found = offline(root, told, labels=("a.b", "a_b", "a-b")).scrape()
    (sample,) = (one for one in found.all if one.name == "container_threads")
    assert sample.labels["container_label_a_b"] == "1"
