"""Containers that start, stop, restart, are renamed, fall ill and vanish on the real engine, which may be away."""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import pytest

from exporters.containers import Containers, ContainerSettings
from exporters.containers.described import of_inspect
from exporters.exposition import render
from exporters.scrape import Scrape
from towline.engine import Engine

pytestmark = pytest.mark.engine


@pytest.fixture
def run(engine: docker.DockerClient, prefix: str, test_image: str) -> Callable[..., Any]:
    """Starts a container of this test's; its name is `<prefix>-<name>`."""

    def start(name: str, command: list[str], **options: Any) -> Any:
        options = {"network_mode": "none", "stop_signal": "KILL", **options}
        return engine.containers.run(test_image, command, name=f"{prefix}-{name}", detach=True, **options)

    return start


def state_is(container: Any, state: str) -> Callable[[Any], bool]:
    return lambda found: found.of("container_state", name=container.name, state=state) == [1.0]


def test_a_life_is_told_as_it_happens(exporter: Any, run: Callable[..., Any]) -> None:
    container = run("life", ["sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done"], stop_signal="TERM")
    name = container.name
    found = exporter.until(lambda found: found.of("container_last_seen", name=name))
    assert found.one("container_state", name=name, state="running") == 1
    assert found.one("container_restarts_total", name=name) == 0
    assert not found.of("container_exit_code", name=name)
    started = found.one("container_start_time_seconds", name=name)

    container.pause()
    found = exporter.until(state_is(container, "paused"))
    assert found.one("container_state", name=name, state="running") == 0
    container.unpause()
    exporter.until(state_is(container, "running"))

    container.restart()
    found = exporter.until(lambda found: found.of("container_restarts_total", name=name) == [1.0])
    found = exporter.until(lambda found: found.of("container_start_time_seconds", name=name))
    assert found.one("container_start_time_seconds", name=name) > started
    assert found.one("container_exit_code", name=name) == 3

    container.stop()
    found = exporter.until(state_is(container, "exited"))
    assert found.one("container_exit_code", name=name) == 3
    assert found.one("container_finished_time_seconds", name=name) > started
    # Its end may have been told in the middle of that scrape.
    found = exporter.until(lambda found: not found.of("container_last_seen", name=name))
    assert not found.of("container_memory_usage_bytes", name=name)

    container.start()
    found = exporter.until(lambda found: found.of("container_restarts_total", name=name) == [2.0])
    exporter.until(lambda found: found.of("container_last_seen", name=name))


def test_a_container_is_called_by_its_new_name(exporter: Any, run: Callable[..., Any]) -> None:
    container = run("before", ["sleep", "3600"])
    before, after = container.name, container.name.replace("before", "after")
    exporter.until(lambda found: found.of("container_last_seen", name=before))
    container.rename(after)
    found = exporter.until(lambda found: found.of("container_last_seen", name=after) and not found.names(name=before))
    assert found.one("container_last_seen", name=after, service=after, id=f"/docker/{container.id}")


def test_one_that_is_gone_at_once_is_still_told_of(exporter: Any, run: Callable[..., Any]) -> None:
    container = run("short", ["sh", "-c", "exit 7"], auto_remove=True)
    found = exporter.until(state_is(container, "exited"))
    assert found.one("container_exit_code", name=container.name) == 7


def test_what_has_ended_is_told_of_for_a_while_only(run: Callable[..., Any], engine: docker.DockerClient) -> None:
    container = run("short", ["sh", "-c", "exit 7"])
    container.wait()
    ended = of_inspect(engine.api.inspect_container(container.id)).finished
    now = ended
    containers = Containers(ContainerSettings(keep=300), clock=lambda: now)
    containers.inventory.inspected(of_inspect(engine.api.inspect_container(container.id)))
    known = containers.inventory
    assert len(known.shown()) == 1
    now = ended + 299
    known.happened(container.id, "destroy", {}, now)
    assert len(known.shown()) == 1
    now = ended + 301
    assert not known.shown()


def test_health_is_told_where_there_is_a_check(exporter: Any, run: Callable[..., Any]) -> None:
    check = {"test": ["CMD-SHELL", "test -e /well"], "interval": 200_000_000, "retries": 1}
    container = run("health", ["sh", "-c", "touch /well; exec sleep 3600"], healthcheck=check)
    plain = run("plain", ["sleep", "3600"])
    status = {"name": container.name, "status": "healthy"}
    found = exporter.until(lambda found: found.of("container_health_status", **status) == [1.0])
    exporter.until(lambda found: found.of("container_last_seen", name=plain.name))
    assert not found.of("container_health_status", name=plain.name)
    container.exec_run(["sh", "-c", "rm /well"])
    found = exporter.until(lambda found: found.of("container_health_status", **status) == [0.0])
    assert found.one("container_health_status", name=container.name, status="unhealthy") == 1


def test_limits_follow_an_update(exporter: Any, run: Callable[..., Any]) -> None:
    container = run("limits", ["sleep", "3600"])
    name = container.name
    found = exporter.until(lambda found: found.of("container_spec_memory_limit_bytes", name=name))
    assert found.one("container_spec_memory_limit_bytes", name=name) == 0
    assert not found.of("container_spec_cpu_quota", name=name)
    container.update(mem_limit="32m", memswap_limit="64m", cpu_quota=30000)
    exporter.until(lambda found: found.of("container_spec_cpu_quota", name=name) == [30000.0])
    exporter.until(lambda found: found.of("container_spec_memory_limit_bytes", name=name) == [32 << 20])
    exporter.until(lambda found: found.of("container_cpu_cfs_periods_total", name=name))


def test_labels_are_those_of_the_log_fields_and_no_others(
    export: Callable[..., Any], run: Callable[..., Any], test_image: str
) -> None:
    odd = 'ba"ck\\slash\nline'
    compose = {"com.docker.compose.project": "shop", "com.docker.compose.service": "web", "ci.commit": "1", "team": odd}
    container = run("labels", ["sleep", "3600"], labels=compose)
    exporter = export(labels=("team", "te-am"))
    found = exporter.until(lambda found: found.of("container_last_seen", name=container.name))
    seen = [one for one in found.all if one.name == "container_last_seen"]
    (sample,) = (one for one in seen if one.labels.get("name") == container.name)
    assert sample.labels == {
        "id": f"/docker/{container.id}", "name": container.name, "image": test_image, "service": "web", "stack": "shop",
        "container_label_com_docker_compose_project": "shop", "container_label_com_docker_compose_service": "web",
        "container_label_team": odd,
    }  # fmt: skip


def test_a_group_that_ends_before_the_engine_says_so_costs_its_own_samples(
    engine_url: str, engine: docker.DockerClient, run: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    stays, ends = run("stays", ["sleep", "3600"]), run("ends", ["sleep", "3600"])
    containers = Containers(ContainerSettings(engine=engine_url))  # its watch doesn't run: no events
    for each in (stays, ends):
        containers.inventory.inspected(of_inspect(engine.api.inspect_container(each.id)))
    scrape = Scrape("container", containers.collectors[:2])
    assert render(scrape.families()).count(b"container_last_seen{") == 3
    ends.remove(force=True)
    text = wait_until(lambda: f'name="{ends.name}"' not in (text := render(scrape.families()).decode()) and text)
    assert f'name="{stays.name}"' in text
    assert 'container_scrape_collector_success{collector="cgroup"} 1' in text
    containers.close()


def test_the_engine_may_be_away_and_come_back(
    engine_url: str, tmp_path: Path, run: Callable[..., Any], wait_until: Callable[..., Any], export: Callable[..., Any]
) -> None:
    container = run("seen", ["sleep", "3600"])
    link = tmp_path / "docker.sock"
    link.symlink_to(engine_url.removeprefix("unix://"))
    exporter = export(engine=f"unix://{link}")
    exporter.until(lambda found: found.of("container_last_seen", name=container.name))

    link.unlink()
    exporter.containers._watch._stream.close()  # what an engine's end does to it
    found = exporter.until(lambda found: found.of("container_scrape_collector_success", collector="engine") == [0.0])
    assert found.of("container_last_seen", name=container.name)  # the kernel still tells
    container.remove(force=True)  # an event that nobody hears

    link.symlink_to(engine_url.removeprefix("unix://"))
    found = exporter.until(lambda found: found.of("container_scrape_collector_success", collector="engine") == [1.0])
    exporter.until(state_is(container, "exited"))


def test_no_scrape_asks_the_engine(exporter: Any, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    container = run("quiet", ["sleep", "3600"])
    exporter.until(lambda found: found.of("container_last_seen", name=container.name))
    asking: list[str] = []
    here = threading.get_ident()
    original = Engine._request

    def request(self: Engine, path: str, *rest: Any, **options: Any) -> Any:
        asking.extend([path] if threading.get_ident() == here else [])
        return original(self, path, *rest, **options)

    monkeypatch.setattr(Engine, "_request", request)
    for _ in range(3):
        assert exporter.scrape().of("container_last_seen", name=container.name)
    assert not asking


def test_files_are_let_go(exporter: Any, run: Callable[..., Any]) -> None:
    def held(container_id: str) -> int:
        found = 0
        for link in Path("/proc/self/fd").iterdir():
            with suppress(OSError):  # other threads close theirs meanwhile
                found += container_id in str(link.readlink())
        return found

    container = run("files", ["sleep", "3600"])
    exporter.until(lambda found: found.of("container_last_seen", name=container.name))
    assert held(container.id) > 5
    container.remove(force=True)
    exporter.until(state_is(container, "exited"))
    exporter.until(lambda _: held(container.id) == 0)  # its end may have been told in the middle of that scrape
