"""What Prometheus should scrape in a Swarm: service labels -> one target per task, at an address that reaches it.

Answered as https://prometheus.io/docs/prometheus/latest/http_sd/ asks. A service says `prometheus.io/scrape=true` and
`prometheus.io/port`; also path, scheme, interval, timeout, job, network. `com.df.*` of Docker Flow Monitor
(https://monitor.dockerflow.com/usage/) is understood where `com.df.scrapePort` is set, and the others win over it.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from exporters.swarm import Node, Service, Swarm, Task

Group = dict[str, Any]
Skipped = Counter[tuple[str, str]]
"""Tasks that can't be scraped, by name of their service and reason."""

PREFIX, FLOW = "prometheus.io/", "com.df."
_FLOW_NAMES = {
    "port": "scrapePort", "path": "metricsPath", "interval": "scrapeInterval", "timeout": "scrapeTimeout",
    "network": "scrapeNetwork"}  # fmt: skip
_DURATION = re.compile(r"(?=.)((\d+)h)?((\d+)m)?((\d+)s)?((\d+)ms)?")
_NOT_A_NAME = re.compile(r"[^a-zA-Z0-9_]")
_FACTORS = (3600.0, 60.0, 1.0, 0.001)


@dataclass(frozen=True, slots=True)
class Wish:
    """How a service wants to be scraped. `labels`: what Prometheus takes for the settings of a target."""

    ports: tuple[int, ...]
    network: str
    labels: Mapping[str, str]


class Unusable(ValueError):
    """A label that can't be used; its text is a reason that a metric's label may hold."""


def found_targets(swarm: Swarm, network: str = "") -> tuple[list[Group], Skipped]:
    """The groups of /sd/targets, one per task and port, and what had to be left out.

    network: whose addresses Prometheus can reach, where tasks have several and the service doesn't say.
    """
    groups: list[Group] = []
    skipped: Skipped = Counter()
    wishes = {service.id: wish for service in swarm.services.values() if (wish := _wish(service, skipped))}
    for task in swarm.tasks:
        if task.service in wishes and task.runs:
            try:
                groups += _of_task(swarm, task, wishes[task.service], network)
            except Unusable as error:
                skipped[swarm.services[task.service].name, str(error)] += 1
    return sorted(groups, key=lambda group: (group["labels"]["job"], group["targets"])), skipped


def _wish(service: Service, skipped: Skipped) -> Wish | None:
    try:
        return wished(service)
    except Unusable as error:
        skipped[service.name, str(error)] += 1
        return None


def wished(service: Service) -> Wish | None:
    """What the labels of a service ask for, None where they ask for nothing; raises Unusable."""
    said = _said(service.labels)
    if said is None:
        return None
    labels = {"job": said.get("job") or service.name}
    if path := said.get("path"):
        labels["__metrics_path__"] = path if path.startswith("/") else f"/{path}"
    if scheme := said.get("scheme"):
        labels["__scheme__"] = _one_of(scheme.lower(), ("http", "https"))
    interval, timeout = said.get("interval", ""), said.get("timeout", "")
    if interval:
        labels["__scrape_interval__"] = _duration(interval)
    if timeout:
        labels["__scrape_timeout__"] = _duration(timeout)
    if interval and timeout and seconds(_duration(timeout)) > seconds(_duration(interval)):
        raise Unusable("timeout longer than interval")
    return Wish(_ports(said.get("port", "")), said.get("network", ""), labels)


def _said(labels: Mapping[str, str]) -> dict[str, str] | None:
    """The settings by their short names."""
    own = {key.removeprefix(PREFIX): text.strip() for key, text in labels.items() if key.startswith(PREFIX)}
    flow = {name: labels[FLOW + old].strip() for name, old in _FLOW_NAMES.items() if FLOW + old in labels}
    asked = own.get("scrape", "").lower()
    of_flow = "port" in flow and labels.get(FLOW + "notify", "true").lower() == "true"
    if asked == "false" or not (asked == "true" or of_flow):
        return None
    return (flow if of_flow else {}) | own


def _ports(text: str) -> tuple[int, ...]:
    if not text:
        raise Unusable("no port")
    ports = tuple(int(part) if part.isascii() and part.isdecimal() and len(part) < 6 else 0
                  for part in map(str.strip, text.split(",")))  # fmt: skip
    if not all(0 < port < 65536 for port in ports):
        raise Unusable("port is no number from 1 to 65535")
    return ports


def _one_of(text: str, known: tuple[str, ...]) -> str:
    if text not in known:
        raise Unusable("scheme is not http or https")
    return text


def _duration(text: str) -> str:
    """As Prometheus writes it; a bare number is of seconds, as in Docker Flow."""
    text = f"{text}s" if text.isascii() and text.isdecimal() else text
    if not _DURATION.fullmatch(text) or seconds(text) <= 0:
        raise Unusable("interval or timeout is no duration such as 15s")
    return text


def seconds(text: str) -> float:
    """A duration of Prometheus in seconds."""
    found = _DURATION.fullmatch(text)
    parts = found.groups()[1::2] if found else ()
    return sum(int(part or 0) * factor for part, factor in zip(parts, _FACTORS, strict=bool(parts)))


def _of_task(swarm: Swarm, task: Task, wish: Wish, network: str) -> Iterator[Group]:
    service, node = swarm.services[task.service], swarm.nodes.get(task.node)
    for port in wish.ports:
        used, address = _address(task, node, port, wish.network, network)
        yield {"targets": [address], "labels": {**wish.labels, **_about(swarm, task, service, node, used)}}


def _address(task: Task, node: Node | None, port: int, wanted: str, usual: str) -> tuple[str, str]:
    """Network and HOST:PORT: on the network that the service names, else on the usual one, else, where there is none,
    on its first; else by the node. Raises Unusable."""
    if wanted or usual:
        name = next((name for name in task.addresses if _is(name, wanted or usual)), "")
    else:
        name = min(task.addresses, default="")
    if name:
        return name, _joined(task.addresses[name], port)
    if wanted and wanted != "host":
        raise Unusable("not on the network that it names")
    if node is None or not node.address:
        raise Unusable("its node has no known address")
    if task.on_host:
        return "host", _joined(node.address, port)
    if port not in task.published:
        raise Unusable("not on a network to reach it by, nor is the port published in host mode")
    return "host", _joined(node.address, task.published[port])


def _is(network: str, wanted: str) -> bool:
    """Whether a network has this name, or has it within its stack."""
    return network == wanted or network.endswith(f"_{wanted}")


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _about(swarm: Swarm, task: Task, service: Service, node: Node | None, network: str) -> dict[str, str]:
    """Labels for relabelling; Prometheus forgets them afterwards."""
    told = {
        "service": service.name, "service_id": service.id, "stack": service.stack, "network": network,
        "task": swarm.task_name(task), "task_id": task.id, "task_slot": str(task.slot or ""),
        "node": node.name if node else "", "node_id": task.node}  # fmt: skip
    about = {f"__meta_towline_{name}": text for name, text in told.items()}
    for name, text in service.labels.items():
        about[f"__meta_towline_service_label_{_NOT_A_NAME.sub('_', name)}"] = text
    return about
