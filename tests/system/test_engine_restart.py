"""The engine goes away and comes back, with and without live-restore; Towline waits, and nothing is lost or doubled."""

import signal
import time
from collections.abc import Callable
from typing import Any

import docker
import pytest
from harness import Generators, Up, finished, wait_until

pytestmark = pytest.mark.engine
Make = Callable[..., Up]


def test_restart_without_live_restore(source: str, up: Make, second_engine: Any, prefix: str) -> None:
    """Containers die with the engine; those with a restart policy come back with it."""
    towline = up("--source", source, engine=second_engine.url).start()
    client = second_engine.client()
    generators = Generators(client, prefix)
    generators.start("once", 500)
    container = generators.start("again", 5000, burst=10, pause=0.1, account=False, restart_policy={"Name": "always"})
    wait_until(lambda: len(towline.search()) > 600, 30, "lines of both")
    client.close()
    second_engine.stop()
    second_engine.start()
    client = second_engine.client()
    Generators(client, prefix, run=generators.run, accounts=generators.accounts).start("late", 300)
    wait_until(lambda: len(towline.search("--container", f"{prefix}-late")) == 300, 60, "lines after the restart")
    container = client.containers.get(container.id)
    container.stop(timeout=1)
    expect_as_logged(towline, client, prefix)
    client.close()


def test_restart_with_live_restore(source: str, up: Make, second_engine: Any, prefix: str) -> None:
    """Containers go on writing while the engine is away."""
    second_engine.stop()
    second_engine.start("--live-restore")
    client = second_engine.client()
    generators = Generators(client, prefix)
    towline = up("--source", source, engine=second_engine.url).start()
    container = generators.start("living", 3000, burst=20, pause=0.1)
    wait_until(lambda: len(towline.search()) > 200, 30, "lines")
    client.close()
    second_engine.stop()
    second_engine.start("--live-restore")
    client = second_engine.client()
    finished(client.containers.get(container.id), 120)
    expect_as_logged(towline, client, prefix)
    client.close()


def test_killed_engine(source: str, up: Make, second_engine: Any, prefix: str) -> None:
    client = second_engine.client()
    generators = Generators(client, prefix)
    towline = up("--source", source, engine=second_engine.url).start()
    generators.start("before", 500)
    wait_until(lambda: len(towline.search()) == 500, 30, "lines")
    client.close()
    second_engine.stop(signal.SIGKILL)
    wait_until(lambda: towline.status("/healthz") == 200, 10, "alive without an engine")
    second_engine.start()
    client = second_engine.client()
    Generators(client, prefix, run=generators.run, accounts=generators.accounts).start("after", 500)
    assert generators.judge(towline.collect(1000)).faults == {}
    client.close()


def test_started_before_its_engine(up: Make, second_engine: Any, prefix: str) -> None:
    second_engine.stop()
    towline = up(engine=second_engine.url).start(wait=False)
    wait_until(lambda: towline.status("/healthz") == 200, 30, lambda: f"alive without an engine; {towline.tail()}")
    wait_until(lambda: towline.status("/readyz") == 503, 10, "not ready without an engine")
    assert "docker.sock" in towline.said()
    assert "Traceback" not in towline.said()
    second_engine.start()
    client = second_engine.client()
    generators = Generators(client, prefix)
    generators.start("first", 100)
    assert generators.judge(towline.collect(100)).faults == {}
    client.close()


def expect_as_logged(towline: Up, client: docker.DockerClient, prefix: str) -> None:
    """Each container's documents are what the engine itself has of it, in that order."""
    for container in client.containers.list(all=True, filters={"name": prefix}):
        name = str(container.name)
        expected = container.logs().decode().splitlines()
        deadline = time.monotonic() + 60
        while len(rows := towline.search("--container", name)) < len(expected) and time.monotonic() < deadline:
            time.sleep(0.5)
        said = [row["message"] for row in sorted(rows, key=lambda row: row["event"]["sequence"])]
        assert said == expected, towline.tail()
