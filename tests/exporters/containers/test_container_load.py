"""Values under a known load, on the real engine: they agree with the engine's own stats and with the load."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest

from exporters.containers.layers import Layers

pytestmark = pytest.mark.engine

MIB = 1 << 20


@pytest.fixture
def run(engine: docker.DockerClient, prefix: str, test_image: str) -> Callable[..., Any]:
    """Starts a container of this test's with a shell script; its name is `<prefix>-<name>`."""

    def start(name: str, script: str, **options: Any) -> Any:
        options.setdefault("network_mode", "none")
        return engine.containers.run(
            test_image, ["sh", "-c", script], name=f"{prefix}-{name}", detach=True, stop_signal="KILL", **options
        )

    return start


def between(before: float, value: float, after: float) -> None:
    """A counter that was read between two other reads of it."""
    assert before <= value <= after


def test_a_cpu_burner_is_counted_and_throttled(exporter: Any, run: Callable[..., Any]) -> None:
    container = run("cpu", "while :; do :; done", cpu_quota=20000, cpu_period=100000, cpu_shares=512)
    name = container.name
    exporter.until(lambda found: sum(found.of("container_cpu_cfs_throttled_periods_total", name=name)) >= 5)
    before = container.stats(stream=False)["cpu_stats"]
    found = exporter.scrape()
    after = container.stats(stream=False)["cpu_stats"]
    usage = found.one("container_cpu_usage_seconds_total", name=name, cpu="total")
    between(before["cpu_usage"]["total_usage"] / 1e9, usage, after["cpu_usage"]["total_usage"] / 1e9)
    throttling = "container_cpu_cfs_", "throttling_data"
    for ours, theirs, unit in (
        ("periods_total", "periods", 1),
        ("throttled_periods_total", "throttled_periods", 1),
        ("throttled_seconds_total", "throttled_time", 1e9),
    ):
        value = found.one(throttling[0] + ours, name=name)
        between(before[throttling[1]][theirs] / unit, value, after[throttling[1]][theirs] / unit)
    parts = [found.one(f"container_cpu_{mode}_seconds_total", name=name) for mode in ("user", "system")]
    assert sum(parts) == pytest.approx(usage, rel=0.2, abs=0.1)
    assert found.one("container_spec_cpu_quota", name=name) == 20000
    assert found.one("container_spec_cpu_period", name=name) == 100000
    assert found.one("container_spec_cpu_shares", name=name) == 512
    assert usage < found.one("container_cpu_usage_seconds_total", id="/")


def test_a_memory_hog_is_seen_as_the_engine_sees_it(exporter: Any, run: Callable[..., Any]) -> None:
    script = "x=$(head -c 12000000 /dev/zero | tr '\\0' x); cat /bin/busybox >/dev/null; while :; do sleep 3600; done"
    container = run("hog", script, mem_limit="96m", mem_reservation="48m")
    name = container.name
    settled = exporter.until(lambda found: sum(found.of("container_memory_rss", name=name)) > 12e6)
    assert settled.one("container_memory_rss", name=name) < 96 * MIB

    def agree() -> bool:
        """The engine and we look one after the other: until nothing changed in between."""
        stats, found = container.stats(stream=False)["memory_stats"], exporter.scrape()
        return (
            stats["usage"] == found.one("container_memory_usage_bytes", name=name)
            and stats["stats"]["total_rss"] == found.one("container_memory_rss", name=name)
            and stats["stats"]["total_cache"] == found.one("container_memory_cache", name=name)
            and stats["stats"]["total_mapped_file"] == found.one("container_memory_mapped_file", name=name)
            and stats["usage"] - stats["stats"]["total_inactive_file"]
            == found.one("container_memory_working_set_bytes", name=name)
            and stats["max_usage"] == found.one("container_memory_max_usage_bytes", name=name)
        )

    exporter.until(lambda _: agree(), "agreement with the engine")
    found = exporter.scrape()
    assert found.one("container_spec_memory_limit_bytes", name=name) == 96 * MIB
    assert found.one("container_spec_memory_reservation_limit_bytes", name=name) == 48 * MIB
    assert found.one("container_memory_failures_total", name=name, failure_type="pgfault") > 1000


def test_traffic_is_counted_by_interface(exporter: Any, run: Callable[..., Any]) -> None:
    script = "gw=$(ip route | awk '/default/{print $3}'); ping -q -c 40 -i 0.02 -s 1000 $gw; sleep 3600"
    container = run("net", script, network_mode="bridge")
    labels = {"name": container.name, "interface": "eth0"}
    exporter.until(lambda found: sum(found.of("container_network_transmit_packets_total", **labels)) >= 40)
    before = container.stats(stream=False)["networks"]["eth0"]
    found = exporter.scrape()
    after = container.stats(stream=False)["networks"]["eth0"]
    for ours, theirs in {
        "receive_bytes": "rx_bytes", "receive_packets": "rx_packets", "receive_errors": "rx_errors",
        "receive_packets_dropped": "rx_dropped", "transmit_bytes": "tx_bytes", "transmit_packets": "tx_packets",
        "transmit_errors": "tx_errors", "transmit_packets_dropped": "tx_dropped",
    }.items():  # fmt: skip
        between(before[theirs], found.one(f"container_network_{ours}_total", **labels), after[theirs])
    assert found.one("container_network_transmit_bytes_total", **labels) > 40 * 1000
    assert not found.of("container_network_transmit_bytes_total", name=container.name, interface="lo")
    machine = {
        one.labels["interface"] for one in found.all if one.labels.get("id") == "/" and "interface" in one.labels
    }
    assert not {name for name in machine if name.startswith(("lo", "veth", "docker"))}


def test_a_shared_network_is_counted_once(exporter: Any, run: Callable[..., Any]) -> None:
    owner = run("owner", "sleep 3600", network_mode="bridge")
    guest = run("guest", "sleep 3600", network_mode=f"container:{owner.id}")
    host = run("host", "sleep 3600", network_mode="host")
    found = exporter.until(
        lambda found: all(found.of("container_last_seen", name=each.name) for each in (owner, guest, host))
    )
    metric = "container_network_receive_bytes_total"
    assert [len(found.of(metric, name=each.name)) for each in (owner, guest, host)] == [1, 0, 0]


def device_of(folder: Path) -> str:
    numbers = folder.stat().st_dev
    text = Path(f"/sys/dev/block/{os.major(numbers)}:{os.minor(numbers)}/uevent").read_text()
    return "/dev/" + next(line for line in text.splitlines() if line.startswith("DEVNAME=")).removeprefix("DEVNAME=")


def test_a_disk_writer_is_counted_by_device_and_on_disk(
    exporter: Any, run: Callable[..., Any], engine: docker.DockerClient
) -> None:
    write, read = "dd if=/dev/zero of=/f bs=1M count=8 oflag=direct", "dd if=/f of=/dev/null bs=1M iflag=direct"
    # Since Linux 6.10 version 1 counts IO only where a device has a throttle: one that holds nothing back.
    throttle = [{"Path": device_of(Path(engine.info()["DockerRootDir"])), "Rate": 1 << 40}]
    limits = {"device_write_bps": throttle, "device_read_bps": throttle}
    container = run("disk", f"{write}; {read}; sleep 3600", **limits)
    name = container.name
    enough = exporter.until(lambda found: sum(found.of("container_fs_reads_bytes_total", name=name)) >= 8 * MIB)
    devices = {one.labels["device"] for one in enough.all if one.name == "container_fs_writes_bytes_total"}
    assert all(device.startswith("/dev/") for device in devices)
    stats = container.stats(stream=False)["blkio_stats"]
    found = exporter.scrape()
    for ours, theirs in (("bytes_total", "io_service_bytes_recursive"), ("total", "io_serviced_recursive")):
        for verb, operation in (("reads", "Read"), ("writes", "Write")):
            told = sum(one["value"] for one in stats[theirs] if one["op"] == operation)
            assert told <= sum(found.of(f"container_fs_{verb}_{ours}", name=name)) <= told * 1.1 + 64
    assert sum(found.of("container_fs_writes_bytes_total", name=name)) >= 8 * MIB

    layers = next(each for each in exporter.containers.collectors if isinstance(each, Layers))
    layers.measure(next(known for known in exporter.containers.inventory.running() if known.told.id == container.id))
    found = exporter.scrape()
    assert 8 * MIB <= found.one("container_fs_usage_bytes", name=name) <= 9 * MIB
    assert found.one("container_fs_limit_bytes", name=name) > 100 * MIB


def test_an_oom_kill_counts_while_the_container_lives(exporter: Any, run: Callable[..., Any]) -> None:
    container = run("oom", "tail /dev/zero; tail /dev/zero; sleep 3600", mem_limit="16m")
    found = exporter.until(lambda found: found.of("container_oom_events_total", name=container.name) == [2.0])
    assert found.one("container_state", name=container.name, state="running") == 1
    exporter.until(lambda found: sum(found.of("container_memory_failcnt", name=container.name)) > 0)


def test_oom_kills_that_end_the_container_count_too(exporter: Any, run: Callable[..., Any]) -> None:
    policy = {"Name": "on-failure", "MaximumRetryCount": 2}
    container = run("oom", "exec tail /dev/zero", mem_limit="16m", memswap_limit="16m", restart_policy=policy)
    exporter.until(lambda found: found.of("container_restarts_total", name=container.name) == [2.0])
    exporter.until(lambda found: found.of("container_oom_events_total", name=container.name) == [3.0])
    found = exporter.until(lambda found: 1.0 in found.of("container_state", name=container.name, state="exited"))
    assert found.one("container_oom_events_total", name=container.name) == 3
    assert found.one("container_restarts_total", name=container.name) == 2
    assert found.one("container_exit_code", name=container.name) == 137


def test_tasks_are_counted(exporter: Any, run: Callable[..., Any]) -> None:
    container = run("tasks", "sleep 3600 & sleep 3600 & wait", pids_limit=50)
    found = exporter.until(lambda found: found.of("container_processes", name=container.name) == [3.0])
    assert found.one("container_threads", name=container.name) == 3
    assert found.one("container_threads_max", name=container.name) == 50
    assert sum(found.of("container_tasks_state", name=container.name)) == 3
    sleeping = exporter.until(
        lambda found: found.of("container_tasks_state", name=container.name, state="sleeping") == [3]
    )
    assert sleeping.one("container_tasks_state", name=container.name, state="running") == 0
