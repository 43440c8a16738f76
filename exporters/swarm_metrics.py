"""Metrics of a Swarm: services wanted against running, tasks by state, updates, nodes; and who this node is.

`service`, `stack` and `node` have the values of `service.name`, `orchestrator.namespace` and `host.name` in log lines.
Every manager tells of the whole Swarm: `max by (service)` makes one of what several say.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from exporters.containers.naming import shown_as
from exporters.exposition import Family, family, labels
from exporters.scrape import Incomplete
from exporters.swarm import JOBS, Node, Service, Swarm
from exporters.swarm_watch import SwarmWatch
from exporters.targets import found_targets
from towline.engine import EngineInfo
from towline.identity import node_labels

FAILED = frozenset({"failed", "rejected"})
ALWAYS = ("pending", "running", "failed")
"""States of tasks that are told of every service, also where no task has them; the others where one has."""

Samples = list[tuple[str, float | int]]


class Failures:
    """Counts each task that failed once; the engine itself forgets all but the last five of a slot."""

    def __init__(self) -> None:
        self._seen: set[str] | None = None
        self.counts: Counter[tuple[str, str]] = Counter()
        """By id of the service and state."""

    def look(self, swarm: Swarm) -> None:
        """What failed before the first look is not counted."""
        failed = {task.id: (task.service, task.state) for task in swarm.tasks if task.state in FAILED}
        if self._seen is not None:
            self.counts.update(failed[task] for task in failed.keys() - self._seen)
        self._seen = set(failed)
        for gone in [key for key in self.counts if key[0] not in swarm.services]:
            del self.counts[gone]


class SwarmCollector:
    """Collector "swarm": no families without a Swarm, only those about this node on a worker."""

    name = "swarm"

    def __init__(
        self, watch: SwarmWatch, failures: Failures, node: str | None = None, network: str = "",
        wanted: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """wanted: names of nodes' labels that are told."""
        self._watch = watch
        self._failures = failures
        self._node = node
        self._network = network
        self._wanted = wanted
        self._made: tuple[Swarm, list[Family]] | None = None

    def collect(self) -> Iterable[Family]:
        """Raises Incomplete where the engine, or the Swarm's majority, can't be asked: who this node is stays told."""
        problem, info, swarm = self._watch.problem, self._watch.info, self._watch.swarm
        here = list(self._of_this_node(info)) if info is not None and info.swarm_node else []
        if problem:
            raise Incomplete(problem, here)
        return here + (self._of_look(swarm) if swarm is not None else [])

    def _of_this_node(self, info: EngineInfo) -> Iterator[Family]:
        yield node_meta(info.swarm_node, self._node or info.name)
        if not self._watch.problem:
            yield _gauge("swarm_manager", "Whether this node manages the Swarm, and so tells of it.",
                         [("", int(info.swarm_manager))])  # fmt: skip

    def _of_look(self, swarm: Swarm) -> list[Family]:
        """Made once for each look, however often it is scraped."""
        if self._made is None or self._made[0] is not swarm:
            counts = self._failures.counts
            made = [*of_services(swarm, counts), *of_nodes(swarm), *of_node_labels(swarm, self._wanted)]
            made += self._of_targets(swarm)
            self._made = swarm, made
        return self._made[1]

    def _of_targets(self, swarm: Swarm) -> Iterator[Family]:
        targets, skipped = found_targets(swarm, self._network)
        yield _gauge("swarm_scrape_targets", "Targets that /sd/targets gives.", [("", len(targets))])
        told = [(labels({"service": name, "reason": why}), count) for (name, why), count in sorted(skipped.items())]
        yield _gauge("swarm_scrape_targets_skipped", "Tasks that asked to be scraped and can't be, by reason.", told)


def node_meta(node_id: str, name: str) -> Family:
    """As swarmprom's node exporter has it, so that dashboards join on `instance` to get a node's name."""
    block = labels({"node_id": node_id, "container_label_com_docker_swarm_node_id": node_id, "node_name": name})
    return _gauge("node_meta", "1; its labels name this node of the Swarm.", [(block, 1)])


def of_services(swarm: Swarm, failures: Mapping[tuple[str, str], int]) -> Iterator[Family]:
    services = sorted(swarm.services.values(), key=lambda service: service.name)
    wanted, running = swarm.wanted(), swarm.running()
    lasting = [service for service in services if service.mode not in JOBS]
    yield _gauge("swarm_service_info", "1; its labels describe a service.", [(_info(each), 1) for each in services])
    yield _gauge("swarm_service_replicas_desired", "Tasks that should run.",
                 [(_block(each), wanted[each.id]) for each in lasting])  # fmt: skip
    yield _gauge("swarm_service_replicas_running", "Tasks that run on nodes that answer.",
                 [(_block(each), running[each.id]) for each in lasting])  # fmt: skip
    yield _gauge("swarm_service_tasks", "Tasks by state, also ended ones as long as the engine remembers them.",
                 _tasks(swarm, services))  # fmt: skip
    yield _gauge("swarm_service_updated_timestamp_seconds", "Last change of the service.",
                 [(_block(each), each.updated) for each in services if each.updated])  # fmt: skip
    yield _gauge("swarm_service_update_status", "1 for the state of the last update.",
                 [(_block(each, state=each.update), 1) for each in services if each.update])  # fmt: skip
    told = [(_block(each, state=state), failures.get((each.id, state), 0)) for each in services for state in
            sorted(FAILED)]  # fmt: skip
    yield family("swarm_service_task_failures_total", "counter", "Tasks that failed or were rejected.", told)


def _tasks(swarm: Swarm, services: list[Service]) -> Samples:
    states: dict[str, Counter[str]] = {each.id: Counter(dict.fromkeys(ALWAYS, 0)) for each in services}
    for task in swarm.tasks:
        if task.service in states:
            states[task.service][task.state] += 1
    return [(_block(each, state=state), count) for each in services for state, count in sorted(states[each.id].items())]


def of_nodes(swarm: Swarm) -> Iterator[Family]:
    nodes = sorted(swarm.nodes.values(), key=lambda node: (node.name, node.id))
    kinds = Counter((node.role, node.state, node.availability) for node in nodes)
    running = Counter(task.node for task in swarm.tasks if task.runs)
    names = ("role", "state", "availability")
    counts = [(labels(dict(zip(names, kind, strict=True))), count) for kind, count in sorted(kinds.items())]
    yield _gauge("swarm_nodes", "Nodes by role, state and availability.", list(counts))
    yield _gauge("swarm_node_status", "1; its labels tell what a node is.", [(_status(node), 1) for node in nodes])
    yield _gauge("swarm_node_ready", "Whether a node answers.",
                 [(_named(node), int(node.state == "ready")) for node in nodes])  # fmt: skip
    yield _gauge("swarm_node_active", "Whether a node takes new tasks: 0 where it is drained or paused.",
                 [(_named(node), int(node.availability == "active")) for node in nodes])  # fmt: skip
    yield _gauge("swarm_node_leader", "Whether a node leads the managers.",
                 [(_named(node), int(node.leader)) for node in nodes if node.role == "manager"])  # fmt: skip
    yield _gauge("swarm_node_tasks_running", "Tasks that run on a node.",
                 [(_named(node), running[node.id]) for node in nodes])  # fmt: skip
    yield _gauge("swarm_node_cpus", "CPUs of a node.", [(_named(node), node.cpus) for node in nodes])
    yield _gauge("swarm_node_memory_bytes", "Memory of a node.", [(_named(node), node.memory) for node in nodes])


def _gauge(name: str, help: str, samples: Iterable[tuple[str, float | int]]) -> Family:
    return family(name, "gauge", help, samples)


def _block(service: Service, **more: str) -> str:
    return labels({"service": service.name, "stack": service.stack, **more})


def _info(service: Service) -> str:
    return _block(service, service_id=service.id, mode=service.mode, image=service.image)


def of_node_labels(swarm: Swarm, wanted: Sequence[str]) -> Iterator[Family]:
    """What `orchestrator.node.labels` is in log lines, for all nodes: only managers know it of any. To be joined by
    node_id with node_meta."""
    shown = shown_as("node_label_", wanted)
    rows = []
    for node in sorted(swarm.nodes.values(), key=lambda node: (node.name, node.id)):
        pairs = {"node": node.name, "node_id": node.id}
        for name, text in node_labels(node.labels, wanted).items():
            pairs.setdefault(shown[name], text)
        rows.append((labels(pairs), 1))
    if wanted:
        yield _gauge("swarm_node_labels", "1; its labels are those of a node that --node-label names.", list(rows))


def _named(node: Node) -> str:
    return labels({"node": node.name, "node_id": node.id})


def _status(node: Node) -> str:
    pairs = {"node": node.name, "node_id": node.id, "role": node.role, "state": node.state}
    return labels(pairs | {"availability": node.availability, "address": node.address, "version": node.version})
