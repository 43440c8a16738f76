"""A container as the engine tells of it, in an answer of `inspect` or in an event."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exporters.answers import labels_of, mapping, seconds, whole
from towline.identity import clean, name_of

STATES = ("created", "running", "paused", "restarting", "exited", "dead")
"""The engine's states, but one that is being removed counts as exited."""

HEALTH = ("starting", "healthy", "unhealthy")
ALIVE = frozenset({"running", "paused"})

_NOT_LABELS = frozenset({"name", "image", "oldName", "exitCode", "execDuration", "execID", "signal"})


@dataclass(frozen=True, slots=True)
class Described:
    """Times are seconds since 1970, 0 where there was none yet. `pid` 0: no process that is known. `health` "": it has
    no check. `network`: as in `docker run --network`. `upper`, `log_path`: as the engine sees them, "" where unknown.
    `setup`: changes with environment and command, "" where unknown.
    """

    id: str
    name: str
    image: str
    labels: Mapping[str, str] = field(default_factory=dict)
    state: str = "created"
    pid: int = 0
    started: float = 0.0
    finished: float = 0.0
    exit_code: int | None = None
    health: str = ""
    restarts: int = 0
    oom_killed: bool = False
    network: str = ""
    upper: str = ""
    log_path: str = ""
    setup: str = ""

    @property
    def owns_network(self) -> bool:
        """Whether its network namespace is its own: a shared one is counted once, the host's by the root series."""
        return not (self.network == "host" or self.network.startswith("container:"))


def of_inspect(row: Mapping[str, Any]) -> Described:
    """From the engine's ContainerInspect answer (API 1.24 and later)."""
    config, host, state = (mapping(row.get(key)) for key in ("Config", "HostConfig", "State"))
    status = str(state.get("Status") or "created")
    finished = seconds(state.get("FinishedAt"))
    return Described(
        id=clean(row.get("Id") or ""),
        name=name_of(row.get("Name")),
        image=clean(config.get("Image") or ""),
        labels=labels_of(config.get("Labels")),
        state=status if status in STATES else "exited",
        pid=whole(state.get("Pid")),
        started=seconds(state.get("StartedAt")),
        finished=finished,
        exit_code=whole(state.get("ExitCode")) if finished and status not in ALIVE else None,
        health=_health(mapping(state.get("Health")).get("Status")),
        restarts=whole(row.get("RestartCount")),
        oom_killed=bool(state.get("OOMKilled")),
        network=str(host.get("NetworkMode") or ""),
        upper=str(mapping(mapping(row.get("GraphDriver")).get("Data")).get("UpperDir") or ""),
        log_path=str(row.get("LogPath") or ""),
        setup=_setup(config),
    )


def of_event(container_id: str, attributes: Mapping[str, Any]) -> Described:
    """As far as an event tells: it may be gone before anybody can ask."""
    found = {key: value for key, value in attributes.items() if key not in _NOT_LABELS}
    name, image = name_of(attributes.get("name")), clean(attributes.get("image") or "")
    return Described(container_id, name, image, labels_of(found))


def _setup(config: Mapping[str, Any]) -> str:
    """A digest: environments hold secrets, which nobody needs to keep here."""
    parts = [config.get(key) for key in ("Env", "Cmd", "Entrypoint")]
    return hashlib.sha256(repr(parts).encode("utf-8", "replace")).hexdigest()[:16]


def _health(status: object) -> str:
    return status if isinstance(status, str) and status in HEALTH else ""


def rerooted(path: str, rootfs: Path) -> Path | None:
    """A path of the host as this process sees it; None for what is none."""
    return rootfs / path.lstrip("/") if path.startswith("/") and ".." not in Path(path).parts else None
