"""cgroup version 2, both drivers: a recorded tree, and a golden scrape compared whole.

The tree's formats are those of Documentation/admin-guide/cgroup-v2.rst and of Linux 6.1's mm/memcontrol.c (the order of
memory.stat), kernel/sched/core.c (cpu.stat) and block/blk-cgroup.c (io.stat, also its lines without fields); the
numbers are made up, so that no two are alike where they could be mistaken for each other.
"""

from collections.abc import Callable
from pathlib import Path
from shutil import rmtree, which
from subprocess import run
from typing import Any, NoReturn

import pytest

from exporters.containers.described import Described

ID = "4f" * 32
TOLD = Described(
    ID, "shop_web.1.abc", "shop/web:1.2",
    {
        "com.docker.stack.namespace": "shop", "com.docker.swarm.service.name": "shop_web",
        "com.docker.swarm.task.name": "shop_web.1.abc", "com.docker.swarm.task.id": "abc",
        "com.docker.swarm.node.id": "n0", "secret": "not in the allowlist",
    },
    state="running", pid=4242, started=1_699_999_000.5, restarts=1, health="healthy", network="shop_default",
)  # fmt: skip

GROUPS = {
    "cgroupfs": f"docker/{ID}",
    "systemd": f"system.slice/docker-{ID}.scope",
    "rootless": f"user.slice/user-1000.slice/user@1000.service/app.slice/docker-{ID}.scope",
    "a cgroup parent": f"mine/of/us/{ID}",
}


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
def test_the_golden_scrape_under_every_driver(
    group: str, make_tree: Callable[..., Path], offline: Callable[..., Any]
) -> None:
    text = offline(make_tree("v2.tree", group=group), TOLD).text()
    assert text == (Path(__file__).parent / "v2.prom").read_text()


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
def test_a_container_is_found_where_the_kernel_cant_be_asked(
    group: str, make_tree: Callable[..., Path], offline: Callable[..., Any]
) -> None:
    root = make_tree("v2.tree", group=group)
    (root / "proc/4242/cgroup").write_text(f"0::/../../{group}\n")  # as seen from a cgroup namespace
    assert offline(root, TOLD).text() == (Path(__file__).parent / "v2.prom").read_text()


def test_promtool_finds_nothing_to_say(
    make_tree: Callable[..., Path], offline: Callable[..., Any], missing_part: Callable[[str], NoReturn]
) -> None:
    if which("promtool") is None:
        missing_part("promtool is not installed (Debian package prometheus)")
    text = offline(make_tree("v2.tree", group=GROUPS["systemd"]), TOLD).text()
    done = run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_counters_move_and_a_limit_that_was_lifted_goes(
    make_tree: Callable[..., Path], offline: Callable[..., Any]
) -> None:
    root = make_tree("v2.tree", group=GROUPS["systemd"])
    group = root / "sys/fs/cgroup" / GROUPS["systemd"]
    exporter = offline(root, TOLD)
    assert exporter.scrape().one("container_cpu_usage_seconds_total", name=TOLD.name) == 30.693262
    (group / "cpu.stat").write_text("usage_usec 31000000\nuser_usec 21000000\nsystem_usec 10000000\n")
    (group / "cpu.max").write_text("max 100000\n")
    (group / "memory.max").write_text("max\n")
    exporter.containers.inventory.happened(ID, "update", {}, 1_700_000_000.0)
    found = exporter.scrape()
    assert found.one("container_cpu_usage_seconds_total", name=TOLD.name) == 31
    assert found.one("container_spec_memory_limit_bytes", name=TOLD.name) == 0
    assert not found.of("container_spec_cpu_quota", name=TOLD.name)
    assert not found.of("container_cpu_cfs_periods_total", name=TOLD.name)


def test_an_older_kernel_lacks_files_and_only_those_metrics(
    make_tree: Callable[..., Path], offline: Callable[..., Any]
) -> None:
    root = make_tree("v2.tree", group=GROUPS["systemd"])
    whole = offline(root, TOLD).scrape().names(name=TOLD.name)
    for name in ("memory.peak", "memory.swap.current", "io.stat"):
        (root / "sys/fs/cgroup" / GROUPS["systemd"] / name).unlink()
    lacking = whole - offline(root, TOLD).scrape().names(name=TOLD.name)
    assert lacking == {
        "container_memory_max_usage_bytes", "container_memory_swap", "container_fs_reads_bytes_total",
        "container_fs_writes_bytes_total", "container_fs_reads_total", "container_fs_writes_total",
    }  # fmt: skip


@pytest.mark.parametrize("held", [0, 4096], ids=["opened each time", "held open"])
def test_a_container_that_vanishes_between_two_scrapes(
    held: int, make_tree: Callable[..., Path], offline: Callable[..., Any]
) -> None:
    root = make_tree("v2.tree", group=GROUPS["systemd"])
    exporter = offline(root, TOLD, held_files=held)
    assert exporter.scrape().of("container_last_seen", name=TOLD.name)
    rmtree(root / "sys/fs/cgroup" / GROUPS["systemd"])
    rmtree(root / "proc/4242")
    exporter.containers.inventory.gone(ID)
    found = exporter.scrape()
    assert not found.of("container_last_seen", name=TOLD.name)
    assert found.one("container_state", name=TOLD.name, state="exited") == 1
    assert found.one("container_oom_events_total", name=TOLD.name) == 2  # of the run that has ended
    assert set(found.of("container_scrape_collector_success")) == {1.0}


def test_a_container_that_vanishes_before_the_engine_says_so(
    make_tree: Callable[..., Path], offline: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    root = make_tree("v2.tree", group=GROUPS["systemd"])
    exporter = offline(root, TOLD, held_files=0)
    exporter.scrape()
    rmtree(root / "sys/fs/cgroup" / GROUPS["systemd"])
    rmtree(root / "proc/4242")
    for _ in range(3):  # it may just be ending
        found = exporter.scrape()
        assert found.one("container_scrape_collector_success", collector="cgroup") == 1
        assert not found.of("container_last_seen", name=TOLD.name)
        assert found.of("container_last_seen", id="/")
    assert not caplog.records
    for _ in range(3):
        found = exporter.scrape()
    assert found.one("container_scrape_collector_success", collector="cgroup") == 0
    assert found.of("container_last_seen", id="/")
    assert [record.getMessage() for record in caplog.records] == [
        f"cgroup metrics are missing: no cgroup below {root}/sys/fs/cgroup for 1 running containers, as {ID[:12]}: "
        "is the engine on this machine, and its /sys what --sysfs names? (told once, until they are back)"
    ]
