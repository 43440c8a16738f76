"""compose/stack.yml as it is on a real Swarm of three nodes: what all of them say is in the store, and stays whole.

Each step ends with the oracle: every line of every generator once, in order, unchanged, and not a single gap.
Data is kept by the second node, so that the first manager can be replaced.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stack_swarm import NAMESPACE, ROOT, SERVICE, TASK, Document, Load, Stack
from swarm_nodes import IMAGE, Node, swarm_nodes, until

pytestmark = [pytest.mark.engine, pytest.mark.soak]

LOGGED = ("towline_elasticsearch", "towline_prometheus", "towline_alertmanager")
"""Services of the stack that say something at their start; Towline does not read itself."""
PARTITION = 120.0


@pytest.fixture(scope="module")
def stack(
    swarm_parts: None,
    test_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """The stack, ready, as one command has deployed it."""
    with swarm_nodes(Path(tmp_path_factory.mktemp("t")), alike=True) as nodes:
        nodes.load(IMAGE)
        made = Stack(nodes, nodes.nodes[1])
        made.prepare()
        made.deploy()
        made.wait_complete(600)
        yield made


@pytest.fixture
def load(stack: Stack) -> Load:
    """Generators on all nodes, whose lines come. They and the stack are as before, then."""
    stack.wait_complete(600)
    return Load(stack).start()


def test_every_container_of_every_node_is_in_the_store_with_its_names(stack: Stack, load: Load) -> None:
    missing: list[Any] = [None]

    def told() -> bool:
        missing[0] = untold(stack, load)
        return not missing[0]

    until(told, 180, lambda: f"{missing[0]} {stack.state()}")
    assert load.judged().keys() == {node.name for node in stack.swarm.nodes}


def untold(stack: Stack, load: Load) -> list[str]:
    """Containers that say something of which the store has no line, or one with other names than their engine's."""
    missing = []
    for service in [*LOGGED, *load.services]:
        one = {each["container"]["id"]: each for each in stack.documents("--service", service)}
        for node, container in stack.running(service):
            task = node.told("inspect", "-f", f'{{{{index .Config.Labels "{TASK}"}}}}', container)
            if (has := names(one.get(container))) != (node.name, service, service.partition("_")[0], task):
                missing.append(f"{service} on {node.name}: {has}")
    return missing


def names(document: Document | None) -> tuple[str, ...]:
    """Node, service, stack, task."""
    if document is None:
        return ()
    labels = document["container"]["labels"]
    assert labels[SERVICE] == document["service"]["name"]
    return document["host"]["name"], document["service"]["name"], labels[NAMESPACE], labels[TASK]


def measured_everywhere(stack: Stack) -> None:
    """Prometheus has each node's containers, itself, its shipper, and both indexers, as found through /sd/targets."""
    names = {node.name for node in stack.swarm.nodes}

    def told() -> dict[str, Any]:
        return {
            "containers": stack.by("node", "count by (node) (container_memory_working_set_bytes)").keys(),
            "nodes": stack.by("node", "count by (node) (node_memory_MemTotal_bytes)").keys(),
            "shippers": stack.by("node", "count by (node) (towline_lines_read_total)").keys(),
        }

    until(lambda: all(set(seen) == names for seen in told().values()), 120, told)
    until(lambda: len(stack.measured("towline_lines_indexed_total>0")) > 0, 120, lambda: stack.measured("up"))
    until(lambda: not stack.measured("up==0"), 120, lambda: stack.measured("up==0"))


def test_prometheus_measures_all_nodes_as_the_managers_list_them(stack: Stack) -> None:
    measured_everywhere(stack)
    kinds = stack.by("job", "count by (job) (up==1)")
    assert kinds.get("rabbitmq") == 1
    assert stack.measured('swarm_service_replicas_running{service="towline_shipper"}==3')
    assert stack.measured("swarm_node_ready==1")


def test_a_rolling_update_of_shipper_and_indexer_under_load(stack: Stack, load: Load) -> None:
    before = {service: set(stack.running(service)) for service in ("towline_shipper", "towline_indexer")}
    for service in before:
        stack.asked.docker("service", "update", "-d", "--force", service)
    for service, old in before.items():
        until(lambda service=service: completed(stack, service), 300, stack.state)
        assert not old & set(stack.running(service)), "each is another container"
    load.flows()
    judged_everywhere(stack, load)


def completed(stack: Stack, service: str) -> bool:
    status = stack.asked.told("service", "inspect", "-f", "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}", service)
    assert status not in {"paused", "rollback_started", "rollback_completed"}, stack.state()
    return status == "completed"


def judged_everywhere(stack: Stack, load: Load) -> None:
    assert load.judged().keys() >= {node.name for node in stack.swarm.nodes}


def test_a_node_that_is_cut_off_for_two_minutes(stack: Stack, load: Load) -> None:
    """Its containers go on writing; their tasks run elsewhere, too, once the Swarm has missed it."""
    node = stack.swarm.nodes[2]
    node.partition()
    try:
        until(lambda: state_of(stack, node) == "down", PARTITION, stack.state)
        end = time.monotonic() + PARTITION
        load.flows_from({other.name for other in stack.swarm.nodes if other is not node})
        while time.monotonic() < end:
            time.sleep(1)
    finally:
        node.heal()
    until(lambda: state_of(stack, node) == "ready", 120, stack.state)
    stack.wait_complete()
    load.flows()
    judged_everywhere(stack, load)
    measured_everywhere(stack)


def state_of(stack: Stack, node: Node) -> str:
    return stack.asked.told("node", "inspect", "-f", "{{.Status.State}}", node.id)


def test_a_node_is_drained_and_comes_back(stack: Stack, load: Load) -> None:
    """What its containers said after its shipper had ended waits in their logs, for the next shipper there."""
    node = stack.swarm.nodes[2]
    stack.asked.docker("node", "update", "--availability", "drain", node.id)
    until(lambda: not node.told("ps", "-q"), 180, stack.state)
    stack.wait_complete()
    load.flows()
    stack.asked.docker("node", "update", "--availability", "active", node.id)
    until(lambda: len(stack.running("towline_shipper")) == 3, 180, stack.state)
    stack.wait_complete()
    load.flows()
    judged_everywhere(stack, load)


def test_a_service_of_fifty_tasks(stack: Stack) -> None:
    stack.wait_complete(600)
    load = Load(stack, pause=5).start()
    _, some = load.services
    stack.asked.docker("service", "scale", "-d", f"{some}=50")
    until(lambda: len(stack.running(some)) == 50, 300, stack.state)
    load.flows(300)
    until(lambda: stack.by("", f'count(container_last_seen{{container_label_com_docker_swarm_service_name="{some}"}})')
          == {"": 50}, 120, stack.state)  # fmt: skip
    judged_everywhere(stack, load)


def test_the_manager_is_replaced(stack: Stack, load: Load) -> None:
    """Two more are made managers, the first one dies; it comes back as a worker, and with it what it had said."""
    first, data, third = stack.swarm.nodes
    for node in (data, third):  # one after the other: the second makes a majority of its own with the first
        promote(stack, node)
    stack.asked = third
    stack.wait_complete()
    first.kill()
    until(lambda: "Leader" in third.docker("node", "ls", check=False).stdout, 120)
    until(lambda: state_of(stack, first) == "down", 120, stack.state)
    measured_without(stack, first)
    first.start()
    first.wait()
    until(lambda: state_of(stack, first) == "ready", 120, stack.state)
    stack.asked.docker("node", "demote", first.id)
    until(lambda: first.told("info", "-f", "{{.Swarm.ControlAvailable}}") == "false", 120)
    stack.wait_complete()
    load.flows()
    judged_everywhere(stack, load)
    measured_everywhere(stack)


def promote(stack: Stack, node: Node) -> None:
    """Asked again while a majority is slow to answer; over when the others reach it, as docs/install-swarm.md says."""

    def reachable() -> bool:
        if stack.asked.docker("node", "promote", node.id, check=False).returncode:
            return False
        told = stack.asked.docker("node", "inspect", "-f", "{{.ManagerStatus.Reachability}}", node.id, check=False)
        return told.stdout.strip() == "reachable"

    until(reachable, 180, stack.state)
    until(lambda: node.told("info", "-f", "{{.Swarm.ControlAvailable}}") == "true", 120, stack.state)


def measured_without(stack: Stack, gone: Node) -> None:
    """The other managers' lists are asked: their exporters are up, and Prometheus asks no more for the lost node."""
    others = {node.name for node in stack.swarm.nodes if node is not gone}
    until(lambda: stack.by("node", "count by (node) (up==1)").keys() == others, 180, lambda: stack.measured("up"))


GROWN_BY_HAND = """
version: "3.9"
services:
  rabbitmq-2: {ulimits: {nofile: 10000}}
  rabbitmq-3: {ulimits: {nofile: 10000}}
configs:
  rabbitmq-grow: {name: towline_rabbitmq-grow_none, file: FILE}
"""
"""rabbitmq/grow.conf is for RabbitMQ 3.13 and later."""


@pytest.fixture
def three_brokers(stack: Stack) -> Stack:
    """The stack with rabbitmq-cluster.yml, its queues with three members."""
    for number, node in ((2, stack.swarm.nodes[0]), (3, stack.swarm.nodes[2])):
        stack.asked.docker("node", "update", "--label-add", f"towline.data={number}", node.id)
    nothing, over = stack.swarm.folder / "nothing.conf", stack.swarm.folder / "brokers.yml"
    nothing.write_text("# grown by hand\n")
    over.write_text(GROWN_BY_HAND.replace("FILE", str(nothing)))
    stack.deploy(ROOT / "compose/rabbitmq-cluster.yml", over)
    stack.wait_complete(600)
    until(lambda: grown(stack), 300, lambda: members(stack))
    return stack


def grown(stack: Stack) -> bool:
    """The command also ends well where a node can't be reached yet: so it is given until it has come true."""
    for number in (2, 3):
        stack.run_in("towline_rabbitmq", "rabbitmq-queues", "grow", f"rabbit@rabbitmq-{number}", "all")
    return members(stack) == {"towline.logs": 3, "towline.dead": 3}


def members(stack: Stack) -> dict[str, int]:
    """Members of each queue that are online."""
    said = stack.run_in("towline_rabbitmq", "rabbitmqctl", "-q", "list_queues", "name", "online", "--formatter", "json")
    return {row["name"]: len(row["online"]) for row in json.loads(said or "[]")}


def test_three_brokers_of_which_one_dies(three_brokers: Stack) -> None:
    """With its whole node; it comes back and takes part again."""
    stack, node = three_brokers, three_brokers.swarm.nodes[0]
    load = Load(stack).start()
    node.crash()
    until(lambda: state_of(stack, node) == "down", 120, stack.state)
    load.flows_from({other.name for other in stack.swarm.nodes if other is not node})
    node.start()
    node.wait()
    until(lambda: state_of(stack, node) == "ready", 120, stack.state)
    stack.wait_complete()
    load.flows()
    until(lambda: members(stack)["towline.logs"] == 3, 180, lambda: members(stack))
    judged_everywhere(stack, load)
