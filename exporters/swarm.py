"""A Swarm as a manager tells of it: services, their tasks, the nodes. Parsing only; no I/O.

Fields: https://docs.docker.com/engine/api/v1.41/ (ServiceList, TaskList, NodeList).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from exporters.answers import labels_of, mapping, seconds, whole
from towline.engine import Row
from towline.identity import STACK, clean

JOBS = frozenset({"replicated-job", "global-job"})
HOST_NETWORK = "host"
RULES = ("towline.", "co.elastic.logs/")
"""How labels begin that shippers understand."""

_MODES = {"Replicated": "replicated", "Global": "global", "ReplicatedJob": "replicated-job", "GlobalJob": "global-job"}


@dataclass(frozen=True, slots=True)
class Service:
    """`replicas`: wanted tasks, None where each node has one. `labels`: those of the service over those of its
    containers. `rules`: what its own labels tell whoever reads its logs. `updated`: seconds since 1970; `update`: state
    of the last update, "" where there was none."""

    id: str
    name: str
    mode: str
    replicas: int | None
    image: str
    labels: Mapping[str, str]
    rules: Mapping[str, str]
    updated: float
    update: str

    @property
    def stack(self) -> str:
        return self.labels.get(STACK, "")


@dataclass(frozen=True, slots=True)
class Node:
    """`address`: where other nodes reach it, "" where nobody knows. memory: bytes. `labels`: docker node update's."""

    id: str
    name: str
    address: str
    role: str
    state: str
    availability: str
    leader: bool
    cpus: float
    memory: int
    version: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """`addresses`: by name of network, without the ingress; `published`: port of the node by port of the task, only in
    host mode. `on_host`: it shares the network of its node."""

    id: str
    service: str
    node: str
    slot: int
    state: str
    desired: str
    addresses: Mapping[str, str]
    published: Mapping[int, int]
    on_host: bool

    @property
    def runs(self) -> bool:
        return self.state == "running" and self.desired == "running"


@dataclass(frozen=True, slots=True)
class Swarm:
    """One look at it. `name`s of two services never are the same."""

    services: Mapping[str, Service] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(default_factory=dict)
    tasks: tuple[Task, ...] = ()

    def task_name(self, task: Task) -> str:
        """As the engine names it: shop_web.3.<id>, of a global service with the node's id in the slot's place."""
        name = self.services[task.service].name if task.service in self.services else task.service
        return f"{name}.{task.slot or task.node}.{task.id}"

    def wanted(self) -> dict[str, int]:
        """How many tasks should run now, by id of the service."""
        everywhere = Counter(task.service for task in self.tasks if task.desired == "running")
        return {
            found.id: everywhere[found.id] if found.replicas is None else found.replicas
            for found in self.services.values()
        }

    def running(self) -> Counter[str]:
        """How many tasks run on nodes that answer, by id of the service: what a lost node said last of its tasks is
        not known to be so."""
        ready = {node.id for node in self.nodes.values() if node.state == "ready"}
        return Counter(task.service for task in self.tasks if task.runs and task.node in ready)


def read(services: Iterable[Row], tasks: Iterable[Row], nodes: Iterable[Row]) -> Swarm:
    """From the answers of /services, /tasks and /nodes."""
    return Swarm(
        {found.id: found for found in map(_service, services)},
        {found.id: found for found in map(_node, nodes)},
        tuple(map(_task, tasks)),
    )


def _service(row: Row) -> Service:
    spec = mapping(row.get("Spec"))
    container = mapping(mapping(spec.get("TaskTemplate")).get("ContainerSpec"))
    mode = mapping(spec.get("Mode"))
    replicas = mapping(mode.get("Replicated")).get("Replicas")
    own = labels_of(spec.get("Labels"))
    return Service(
        id=clean(row.get("ID") or ""),
        name=clean(spec.get("Name") or ""),
        mode=next((_MODES[name] for name in mode if name in _MODES), "replicated"),
        replicas=replicas if isinstance(replicas, int) else None,
        image=clean(container.get("Image") or "").partition("@")[0],
        labels=labels_of(container.get("Labels")) | own,
        rules={name: text for name, text in own.items() if name.startswith(RULES)},
        updated=seconds(row.get("UpdatedAt")),
        update=clean(mapping(row.get("UpdateStatus")).get("State") or ""),
    )


def _node(row: Row) -> Node:
    spec, status, manager = (mapping(row.get(key)) for key in ("Spec", "Status", "ManagerStatus"))
    about = mapping(row.get("Description"))
    resources = mapping(about.get("Resources"))
    address = clean(status.get("Addr") or "")
    if address in ("", "0.0.0.0", "::", "127.0.0.1"):  # what managers of some versions say of themselves
        address = clean(manager.get("Addr") or "").rpartition(":")[0].strip("[]")
    return Node(
        id=clean(row.get("ID") or ""),
        name=clean(about.get("Hostname") or ""),
        address=address,
        role=clean(spec.get("Role") or ""),
        state=clean(status.get("State") or "unknown"),
        availability=clean(spec.get("Availability") or ""),
        leader=manager.get("Leader") is True,
        cpus=whole(resources.get("NanoCPUs")) / 1e9,
        memory=whole(resources.get("MemoryBytes")),
        version=clean(mapping(about.get("Engine")).get("EngineVersion") or ""),
        labels=labels_of(spec.get("Labels")),
    )


def _task(row: Row) -> Task:
    status = mapping(row.get("Status"))
    networks = [mapping(each) for each in row.get("NetworksAttachments") or ()]
    named = [(_network(each), each) for each in networks]
    ports = [mapping(port) for port in mapping(status.get("PortStatus")).get("Ports") or ()]
    return Task(
        id=clean(row.get("ID") or ""),
        service=clean(row.get("ServiceID") or ""),
        node=clean(row.get("NodeID") or ""),
        slot=whole(row.get("Slot")),
        state=clean(status.get("State") or ""),
        desired=clean(row.get("DesiredState") or ""),
        addresses={name: found for name, each in named if name and (found := _address(each))},
        published={whole(port.get("TargetPort")): whole(port.get("PublishedPort")) for port in ports if _on_node(port)},
        on_host=any(name == HOST_NETWORK for name, _ in named),
    )


def _ports(port: Mapping[str, Any]) -> tuple[int, int]:
    return whole(port.get("TargetPort")), whole(port.get("PublishedPort"))


def _on_node(port: Mapping[str, Any]) -> bool:
    """Whether it leads to this very task, not to any of its service as the ingress does."""
    return port.get("PublishMode") == "host" and port.get("Protocol") == "tcp"


def _network(attachment: Mapping[str, Any]) -> str:
    """Name of the network; "" for the ingress, over which no single task can be reached."""
    spec = mapping(mapping(attachment.get("Network")).get("Spec"))
    return "" if spec.get("Ingress") is True else clean(spec.get("Name") or "")


def _address(attachment: Mapping[str, Any]) -> str:
    addresses = attachment.get("Addresses") or ()
    return clean(addresses[0]).partition("/")[0] if addresses else ""
