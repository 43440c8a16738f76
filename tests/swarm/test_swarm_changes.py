"""What the exporters of three nodes tell while the Swarm changes: updates, nodes that go and come, other managers."""

from collections.abc import Callable
from pathlib import Path

import pytest
from node_programs import Export, Prometheus, Scrape
from swarm_nodes import IMAGE, Node, SwarmNodes, until

pytestmark = [pytest.mark.engine, pytest.mark.soak]

CONFIGS = Path(__file__).parents[2] / "compose/prometheus"
SERVE = "mkdir -p /w; echo 'here 1' >/w/metrics; exec httpd -f -p 8000 -h /w"
WANTS = ("--label", "prometheus.io/scrape=true", "--label", "prometheus.io/port=8000", "--network", "monitor")
STATUS = "swarm_service_update_status"
SUCCESS = "container_scrape_collector_success"


@pytest.fixture(scope="module")
def exports(swarm: SwarmNodes) -> list[Export]:
    """On each node; service web has three tasks, agent one on each node."""
    swarm.first.docker("network", "create", "-d", "overlay", "--attachable", "monitor")
    create(swarm.first, "web", "--replicas", "3", *WANTS)
    create(swarm.first, "agent", "--mode", "global", *WANTS)
    started = [Export(node, "--sd-network", "monitor") for node in swarm.nodes]
    started[0].until(settled)
    return started


def create(node: Node, name: str, *options: str, script: str = SERVE) -> None:
    node.docker("service", "create", "-d", "--no-resolve-image", "--name", name, "--stop-grace-period", "1s", *options,
                IMAGE, "sh", "-c", script)  # fmt: skip


def settled(seen: Scrape, nodes: int = 3) -> bool:
    """Everything runs as wanted, on this many nodes."""
    running = {name: seen.value("swarm_service_replicas_running", service=name) for name in ("web", "agent")}
    wanted = seen.value("swarm_service_replicas_desired", service="agent")
    return running == {"web": 3, "agent": nodes} and wanted == nodes and len(ready(seen)) == nodes


def ready(seen: Scrape) -> set[str]:
    return {labels["node"] for labels in seen.labels("swarm_node_ready")}


def tells_nothing(seen: Scrape) -> bool:
    """Only about the node itself."""
    return seen.names("swarm_") <= {"swarm_manager"} and bool(seen.of("node_meta"))


# --- updates


def test_an_update_is_seen_in_progress_and_completed(exports: list[Export], swarm: SwarmNodes) -> None:
    manager = exports[0]
    create(swarm.first, "roll", "--replicas", "3", "--update-delay", "6s")
    before = manager.until(lambda seen: seen.value("swarm_service_replicas_running", service="roll") == 3)
    assert before.value(STATUS, service="roll") is None
    swarm.first.docker("service", "update", "-d", "--force", "roll")
    middle = manager.until(lambda seen: seen.value(STATUS, service="roll", state="updating") == 1)
    assert middle.value("swarm_service_replicas_desired", service="roll") == 3
    assert 1 <= (middle.value("swarm_service_replicas_running", service="roll") or 0) <= 3
    after = manager.until(lambda seen: seen.value(STATUS, service="roll", state="completed") == 1)
    assert after.value(STATUS, service="roll") == 1, "one state at a time"
    told = "swarm_service_updated_timestamp_seconds"
    assert (after.value(told, service="roll") or 0) > (before.value(told, service="roll") or 0)
    swarm.first.docker("service", "rm", "roll")
    manager.until(lambda seen: not seen.of("swarm_service_info", service="roll"))


def test_an_update_that_fails_is_paused_and_its_failures_counted(exports: list[Export], swarm: SwarmNodes) -> None:
    manager = exports[0]
    create(swarm.first, "fails", "--replicas", "2", "--update-monitor", "5s", "--restart-delay", "1s")
    manager.until(lambda seen: seen.value("swarm_service_replicas_running", service="fails") == 2)
    swarm.first.docker("service", "update", "-d", "--no-resolve-image", "--args", "false", "fails")
    paused = manager.until(lambda seen: seen.value(STATUS, service="fails", state="paused") == 1)
    assert paused.value("swarm_service_replicas_desired", service="fails") == 2
    manager.until(lambda seen: (seen.value("swarm_service_task_failures_total", service="fails", state="failed") or 0)
                  >= 1)  # fmt: skip
    swarm.first.docker("service", "rollback", "-d", "fails")
    manager.until(lambda seen: seen.value(STATUS, service="fails", state="rollback_completed") == 1)
    manager.until(lambda seen: seen.value("swarm_service_replicas_running", service="fails") == 2)
    swarm.first.docker("service", "rm", "fails")


# --- nodes


def test_a_node_that_is_drained_keeps_no_task_and_no_target(exports: list[Export], swarm: SwarmNodes) -> None:
    manager, node = exports[0], swarm.nodes[2]
    swarm.first.docker("node", "update", "--availability", "drain", node.name)
    seen = manager.until(lambda seen: seen.value("swarm_node_active", node=node.name) == 0 and seen.value(
        "swarm_node_tasks_running", node=node.name) == 0 and settled_without(seen))  # fmt: skip
    assert seen.value("swarm_nodes", role="worker", state="ready", availability="drain") == 1
    assert seen.value("swarm_node_ready", node=node.name) == 1
    assert {labels["__meta_towline_node"] for labels in (manager.targets() or {}).values()} == {
        swarm.nodes[0].name, swarm.nodes[1].name}  # fmt: skip
    swarm.first.docker("node", "update", "--availability", "active", node.name)
    manager.until(settled)


def settled_without(seen: Scrape) -> bool:
    """Three of web, two of agent."""
    return [seen.value(f"swarm_service_replicas_{told}", service=name) for name in ("web", "agent")
            for told in ("desired", "running")] == [3, 3, 2, 2]  # fmt: skip


def test_a_node_that_is_paused_keeps_its_tasks(exports: list[Export], swarm: SwarmNodes) -> None:
    manager, node = exports[0], swarm.nodes[2]
    swarm.first.docker("node", "update", "--availability", "pause", node.name)
    seen = manager.until(lambda seen: seen.value("swarm_nodes", availability="pause") == 1)
    assert seen.value("swarm_node_active", node=node.name) == 0
    assert seen.value("swarm_service_replicas_running", service="agent") == 3
    swarm.first.docker("node", "update", "--availability", "active", node.name)
    manager.until(settled)


def test_a_node_that_is_lost_is_down_and_its_tasks_do_not_run(exports: list[Export], swarm: SwarmNodes) -> None:
    manager, node = exports[0], swarm.nodes[2]
    node.partition()
    try:
        seen = manager.until(lambda seen: seen.value("swarm_node_ready", node=node.name) == 0, 120)
        assert seen.value("swarm_nodes", role="worker", state="down") == 1
        manager.until(settled_without, 120)
        targets = until(lambda: len(found := manager.targets() or {}) == 5 and found, 60, manager.targets)
        assert node.name not in {labels["__meta_towline_node"] for labels in targets.values()}
        alone = exports[2].scrape()
        assert (alone.value("swarm_manager"), alone.value("node_load1") is not None) == (0, True)
    finally:
        node.heal()
    manager.until(settled, 120)


def test_an_engine_that_was_killed_and_started_again(exports: list[Export], swarm: SwarmNodes) -> None:
    manager, node = exports[0], swarm.nodes[1]
    node.kill()
    exports[1].until(lambda seen: seen.value(SUCCESS, collector="swarm") == 0)
    seen = exports[1].scrape()
    assert tells_nothing(seen)
    assert seen.labels("node_meta", node_name=node.name, node_id=node.id)
    manager.until(lambda seen: node.name not in ready(seen), 120)
    node.start()
    node.wait()
    manager.until(settled, 180)
    exports[1].until(lambda seen: seen.value(SUCCESS, collector="swarm") == 1)


# --- managers


def test_who_is_promoted_tells_of_the_swarm_and_who_is_demoted_stops(exports: list[Export], swarm: SwarmNodes) -> None:
    node, export = swarm.nodes[1], exports[1]
    assert tells_nothing(export.until(lambda seen: seen.value("swarm_manager") == 0))
    swarm.first.docker("node", "promote", node.name)
    seen = export.until(lambda seen: seen.value("swarm_manager") == 1 and settled(seen))
    assert seen.value("swarm_nodes", role="manager") == 2
    assert len(export.targets() or {}) == 6
    assert "manages the Swarm from now on" in node.said("export", 100_000)
    swarm.first.docker("node", "demote", node.name)
    seen = export.until(lambda seen: seen.value("swarm_manager") == 0)
    assert tells_nothing(seen)
    assert seen.value(SUCCESS, collector="swarm") == 1, "it is no fault to be a worker"
    assert export.targets() is None
    assert "manages no Swarm; ask one that does" in export.refusal()
    assert node.said("export", 100_000).count("manages no Swarm any more") == 1
    assert "swarm metrics are missing" not in node.said("export", 100_000).partition("from now on")[2]
    exports[0].until(lambda seen: seen.value("swarm_nodes", role="manager") == 1)


@pytest.fixture
def three_managers(exports: list[Export], swarm: SwarmNodes) -> list[Export]:
    for node in swarm.nodes[1:]:
        swarm.first.docker("node", "promote", node.name)
    for export in exports:
        export.until(lambda seen: seen.value("swarm_nodes", role="manager") == 3)
    return exports


def test_managers_agree_and_one_that_lacks_the_majority_says_so(
    three_managers: list[Export], swarm: SwarmNodes, prometheus: Callable[..., Prometheus]
) -> None:
    """And Prometheus, which asks all three for targets, loses none while a manager is cut off."""
    told = [export.until(settled).only("swarm_service_replicas", "swarm_node_ready", "swarm_node_leader") for export in
            three_managers]  # fmt: skip
    assert len(set(told)) == 1
    scraping = prometheus(swarm.nodes[1])
    until(lambda: len(scraping.query("up==1")) == 6, 90, lambda: scraping.query("up"))
    old, lonely = swarm.first, three_managers[0]
    old.partition()
    try:
        seen = lonely.until(lambda seen: seen.value(SUCCESS, collector="swarm") == 0, 120)
        assert tells_nothing(seen)
        assert seen.value("swarm_manager") is None
        assert lonely.refusal().startswith("503 ")
        assert "leader" in old.said("export", 100_000)
        others = three_managers[1].until(lambda seen: old.name not in ready(seen) and settled_without(seen), 120)
        assert [labels["node"] for labels in others.labels("swarm_node_leader")] != [old.name]
        assert len(others.labels("swarm_node_leader")) == 1
        until(lambda: len(scraping.query("up==1")) == 5, 120, lambda: scraping.query("up"))
    finally:
        old.heal()
    lonely.until(lambda seen: settled(seen) and seen.value("swarm_manager") == 1, 180)
    until(lambda: len(scraping.query("up==1")) == 6, 120, lambda: scraping.query("up"))


def test_the_leader_is_demoted(three_managers: list[Export], swarm: SwarmNodes) -> None:
    leader = three_managers[0].scrape().labels("swarm_node_leader")[0]["node"]
    place = next(place for place, node in enumerate(swarm.nodes) if node.name == leader)
    other = (place + 1) % 3
    swarm.nodes[other].docker("node", "demote", leader)
    assert tells_nothing(three_managers[place].until(lambda seen: seen.value("swarm_manager") == 0, 120))
    seen = three_managers[other].until(lambda seen: len(seen.labels("swarm_node_leader")) == 1 and seen.labels(
        "swarm_node_leader")[0]["node"] != leader, 120)  # fmt: skip
    assert seen.value("swarm_nodes", role="manager") == 2
    swarm.nodes[other].docker("node", "promote", leader)
    three_managers[place].until(lambda seen: seen.value("swarm_manager") == 1)


@pytest.fixture
def prometheus(swarm: SwarmNodes) -> Callable[[Node], Prometheus]:
    """On the overlay, with all nodes as those to ask for targets."""

    def start(node: Node) -> Prometheus:
        text = (CONFIGS / "http-sd.yml").read_text()
        one = "      - url: http://tasks.export:9514/sd/targets\n        refresh_interval: 15s\n"
        assert one in text
        text = text.replace(one, "".join(one.replace("tasks.export", node.address) for node in swarm.nodes))
        node.docker("run", "-d", "--name", "prometheus", "--network", "monitor", IMAGE, "sleep", "3600")
        return Prometheus(node, "prometheus", "prometheus", text)

    return start


def test_a_node_that_leaves_tells_only_of_itself(exports: list[Export], swarm: SwarmNodes) -> None:
    """The last of this module: the node does not come back."""
    node = swarm.nodes[2]
    manager = swarm.nodes[1]
    manager.docker("node", "demote", node.name)
    exports[2].until(lambda seen: seen.value("swarm_manager") == 0)
    node.docker("swarm", "leave")
    seen = exports[2].until(lambda seen: seen.value("swarm_manager") is None)
    assert not seen.names("swarm_")
    assert not seen.of("node_meta")
    assert seen.value(SUCCESS, collector="swarm") == 1
    exports[1].until(lambda seen: seen.value("swarm_nodes", state="down") == 1, 120)
    manager.docker("node", "rm", "--force", node.name)
    exports[1].until(lambda seen: not seen.of("swarm_node_status", node=node.name))
