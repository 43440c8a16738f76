"""One container as the shipper sees it: what goes into every line (origin), and how its log can be read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from towline.batch import Origin
from towline.identity import COMPOSE_PROJECT, COMPOSE_SERVICE, STACK, SWARM, clean, is_id, name_of, service_of

_LOCAL_SIZE = 20_000_000
"""What the `local` driver takes where nothing is said (moby, daemon/logger/local/config.go)."""
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
"""json-file counts in thousands (units.FromHumanSize), `local` in 1024s: the smaller is the safer here."""
_ADDRESSES = {
    "fluentd": ("fluentd-address", 24224, 24224),
    "gelf": ("gelf-address", None, None),
    "syslog": ("syslog-address", 514, None),
}
"""Drivers that send lines away: the option that says where to, the port of an address that has none, and the port where
there is no address (syslog then has the node's own socket)."""
_ACTION = re.compile(r"\{\{-?\s*\.(\w+)\s*-?\}\}")
VERSION = "org.opencontainers.image.version"
"""The label that says which version of the software an image holds (OCI image specification, annotations)."""
_MESOS = frozenset({"MESOS_TASK_ID", "MARATHON_APP_ID", "MARATHON_APP_VERSION"})
_NOT_LABELS = frozenset({"name", "image", "oldName", "exitCode", "execDuration", "execID", "signal"})


@dataclass(frozen=True)
class Container:
    """`log_path` is None where the log driver writes no json-file.

    rotates_at: bytes at which a file of the log is full and the next begun; None where it grows for ever.
    """

    id: str
    origin: Origin
    driver: str
    log_path: Path | None
    tty: bool
    running: bool
    rotates_at: int | None
    auto_remove: bool
    sends_to: int | None = None
    """The port that its log driver sends lines to, None where it sends none anywhere."""
    tag: str = ""
    """What its lines are called where they go by syslog, "" where they don't. Where that can't be told, the first
    twelve digits of its id, which are a part of most tags."""
    guessed: bool = False
    """It was gone before anybody could ask: its log driver and its options are not known."""

    @property
    def labels(self) -> Mapping[str, str]:
        labels: Mapping[str, str] = self.origin.fields["container"]["labels"]
        return labels


@dataclass(frozen=True)
class Node:
    """What all containers of one engine share. `engine_root` is where this process sees the engine's `data_root`."""

    name: str
    data_root: Path = field(default=Path("/var/lib/docker"))
    engine_root: Path | None = None
    driver: str = "json-file"
    cluster: str = ""

    def guess_log(self, container_id: str) -> Path | None:
        """Where the json-file log of a container is unless somebody moved it; None for what is no container id."""
        if not is_id(container_id):
            return None
        return (self.engine_root or self.data_root) / "containers" / container_id / f"{container_id}-json.log"

    def reroot(self, path: str) -> Path | None:
        """The engine's `path` as this process sees it; None where it lies outside of the engine's data folder."""
        if self.engine_root is None:
            return Path(path) if path.startswith("/") else None
        try:
            inside = Path(path).relative_to(self.data_root)
        except ValueError:
            return None
        return None if ".." in inside.parts else self.engine_root / inside


def labels_in(attributes: Mapping[str, str]) -> dict[str, str]:
    """The labels in a `start` event's attributes, where the engine mixes them with facts of its own."""
    return _labels({key: value for key, value in attributes.items() if key not in _NOT_LABELS})


def attributes_of(row: Mapping[str, Any]) -> dict[str, str]:
    """A row of the container list in the form of a `start` event's attributes."""
    names = sorted(map(name_of, row.get("Names") or [""]), key=lambda name: name.count("/"))
    # Others of its names are links: another container's name, a slash, an alias.
    return _labels(row.get("Labels")) | {"name": names[0], "image": clean(row.get("Image") or "")}


def described(row: Mapping[str, Any], node: Node) -> Container:
    """The container in an answer of `inspect`."""
    config, host, state = (_mapping(row.get(key)) for key in ("Config", "HostConfig", "State"))
    log = _mapping(host.get("LogConfig"))
    container_id = clean(row.get("Id") or "")
    driver = clean(log.get("Type") or node.driver)
    name = name_of(row.get("Name"))
    return Container(
        id=container_id,
        origin=_origin(
            container_id, name, clean(config.get("Image") or ""), _labels(config.get("Labels")), node, config.get("Env")
        ),
        driver=driver,
        log_path=_log_path(container_id, driver, clean(row.get("LogPath") or ""), node),
        tty=bool(config.get("Tty")),
        running=bool(state.get("Running")) and not state.get("Restarting"),
        rotates_at=_rotates_at(driver, _mapping(log.get("Config"))),
        auto_remove=bool(host.get("AutoRemove")),
        sends_to=_sends_to(driver, _mapping(log.get("Config"))),
        tag=_tag(_mapping(log.get("Config")), container_id, name, config) if driver == "syslog" else "",
    )


def provisional(container_id: str, attributes: Mapping[str, str], node: Node, *, running: bool) -> Container:
    """The container as far as an event tells: it was gone before anybody could ask."""
    name = name_of(attributes.get("name"))
    image = clean(attributes.get("image") or "")
    return Container(
        id=container_id,
        origin=_origin(container_id, name, image, labels_in(attributes), node),
        driver=node.driver,
        log_path=node.guess_log(container_id) if node.driver == "json-file" else None,
        tty=False,
        running=running,
        rotates_at=_LOCAL_SIZE,
        auto_remove=True,
        tag=container_id[:12],
        guessed=True,
    )


def _origin(
    container_id: str, name: str, image: str, labels: dict[str, str], node: Node, environment: Any = None
) -> Origin:
    mesos = _mesos(environment)
    tag = tag_of(image)
    deployed = mesos.pop("version", "")
    version = labels.get(VERSION) or deployed or (tag if tag != "latest" else "")
    orchestrator = _swarm(labels, node) or _compose(labels) or mesos
    return Origin(
        {
            "container": {
                "id": container_id,
                "name": name,
                "image": {"name": image, **({"tag": [tag]} if tag else {})},
                "labels": labels,
            },
            "host": {"name": clean(node.name)},
            "service": {"name": service_of(name, labels), **({"version": version} if version else {})},
            **({"orchestrator": orchestrator} if orchestrator else {}),
            "data_stream": {"type": "logs", "dataset": "docker", "namespace": "default"},
        }
    )


def with_node_labels(origin: Origin, labels: Mapping[str, str]) -> Origin:
    """The origin with labels of the Swarm's node that the container is on; the same one where there are none."""
    if not labels:
        return origin
    orchestrator = origin.fields.get("orchestrator", {})
    node = {**orchestrator.get("node", {}), "labels": dict(labels)}
    return Origin({**origin.fields, "orchestrator": {**orchestrator, "node": node}})


def _swarm(labels: Mapping[str, str], node: Node) -> dict[str, Any]:
    service = labels.get(SWARM + "service.name")
    if not service:
        return {}
    task = labels.get(SWARM + "task.name", "")
    return _known(
        {
            "type": "swarm",
            "cluster": _known({"id": node.cluster}),
            "namespace": labels.get(STACK),
            "resource": _known({"type": "service", "name": service, "id": labels.get(SWARM + "service.id")}),
            "task": _known({"id": labels.get(SWARM + "task.id"), "name": task, "slot": _slot(task)}),
            "node": _known({"id": labels.get(SWARM + "node.id")}),
        }
    )


def _slot(task: str) -> int | None:
    """The 3 in shop_web.3.x7k2…; a task of a global service has its node there instead."""
    parts = task.rsplit(".", 2)
    slot = parts[1] if len(parts) == 3 else ""
    return int(slot) if slot.isascii() and slot.isdecimal() and len(slot) < 10 else None


def _compose(labels: Mapping[str, str]) -> dict[str, Any]:
    service = labels.get(COMPOSE_SERVICE)
    if not service:
        return {}
    resource = {"type": "service", "name": service}
    return _known({"type": "compose", "namespace": labels.get(COMPOSE_PROJECT), "resource": resource})


def _mesos(environment: Any) -> dict[str, Any]:
    """The task that Mesos, and the application that Marathon, runs in this container; they tell in the environment."""
    pairs = [clean(each).partition("=") for each in environment or () if isinstance(each, str)]
    told = {name: value for name, _, value in pairs if name in _MESOS}
    if not told:
        return {}
    resource = _known({"type": "app", "name": told.get("MARATHON_APP_ID")})
    return _known(
        {
            "type": "marathon" if "MARATHON_APP_ID" in told else "mesos",
            "resource": resource if len(resource) > 1 else None,
            "task": _known({"id": told.get("MESOS_TASK_ID")}),
            "version": told.get("MARATHON_APP_VERSION"),
        }
    )


def tag_of(image: str) -> str:
    """The tag in an image's name as it was written, "" where there is none."""
    name = image.partition("@")[0].rpartition("/")[2]
    return "" if name.startswith("sha256:") else name.partition(":")[2]


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value not in (None, "", {})}


def _log_path(container_id: str, driver: str, path: str, node: Node) -> Path | None:
    if driver != "json-file":
        return None
    return node.reroot(path) if path else node.guess_log(container_id)


def _sends_to(driver: str, options: Mapping[str, Any]) -> int | None:
    """The port in `fluentd-address` and its like."""
    option, usual, default = _ADDRESSES.get(driver, ("", None, None))
    address = str(options.get(option) or "")
    if not address or address.startswith("unix"):
        return None if address else default
    port = re.search(r":(\d{1,5})/?$", address)
    return int(port[1]) if port else usual


def _tag(options: Mapping[str, Any], container_id: str, name: str, config: Mapping[str, Any]) -> str:
    """The syslog driver's tag (moby, daemon/logger/loginfo.go, loggerutils/log_tag.go)."""
    image = clean(config.get("Image") or "")
    known = {"ID": container_id[:12], "FullID": container_id, "Name": name, "ImageName": image, "DaemonName": "docker"}
    tag = _ACTION.sub(lambda match: known.get(match[1], match[0]), clean(options.get("tag") or "{{.ID}}"))
    return container_id[:12] if "{{" in tag else tag


def _rotates_at(driver: str, options: Mapping[str, Any]) -> int | None:
    """A json-file log grows for ever unless told; what the other drivers keep is like the `local` one's."""
    size = str(options.get("max-size") or "").lower()
    if not size or size.startswith("-"):
        return None if driver == "json-file" else _LOCAL_SIZE
    number = re.match(r"\d+", size)
    unit = re.search(r"[kmgtp]", size)
    return int(number[0]) * _UNITS[unit[0] if unit else ""] if number else _LOCAL_SIZE


def _labels(value: Any) -> dict[str, str]:
    """Labels as the store takes them: a `flattened` field refuses a key with a NUL."""
    return {clean(key).replace("\0", "\ufffd"): clean(text) for key, text in _mapping(value).items()}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
