"""A container as the engine tells of it, in an answer of `inspect` or in an event."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from towline.identity import clean, name_of

STATES = ("created", "running", "paused", "restarting", "exited", "dead")
"""The engine's states, but one that is being removed counts as exited."""

HEALTH = ("starting", "healthy", "unhealthy")
ALIVE = frozenset({"running", "paused"})

_FRACTION = re.compile(r"\.[0-9]+")
_NOT_LABELS = frozenset({"name", "image", "oldName", "exitCode", "execDuration", "execID", "signal"})


@dataclass(frozen=True, slots=True)
class Described:
    """Times are seconds since 1970, 0 where there was none yet. `pid` 0: no process that is known. `health` "": it has
    no check. `network`: as in `docker run --network`. `upper`, `log_path`: as the engine sees them, "" where unknown.
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

    @property
    def owns_network(self) -> bool:
        """Whether its network namespace is its own: a shared one is counted once, the host's by the root series."""
        return not (self.network == "host" or self.network.startswith("container:"))


def of_inspect(row: Mapping[str, Any]) -> Described:
    """From the engine's ContainerInspect answer (API 1.24 and later)."""
    config, host, state = (_mapping(row.get(key)) for key in ("Config", "HostConfig", "State"))
    status = str(state.get("Status") or "created")
    finished = _seconds(state.get("FinishedAt"))
    return Described(
        id=clean(row.get("Id") or ""),
        name=name_of(row.get("Name")),
        image=clean(config.get("Image") or ""),
        labels=_labels(config.get("Labels")),
        state=status if status in STATES else "exited",
        pid=_whole(state.get("Pid")),
        started=_seconds(state.get("StartedAt")),
        finished=finished,
        exit_code=_whole(state.get("ExitCode")) if finished and status not in ALIVE else None,
        health=_health(_mapping(state.get("Health")).get("Status")),
        restarts=_whole(row.get("RestartCount")),
        oom_killed=bool(state.get("OOMKilled")),
        network=str(host.get("NetworkMode") or ""),
        upper=str(_mapping(_mapping(row.get("GraphDriver")).get("Data")).get("UpperDir") or ""),
        log_path=str(row.get("LogPath") or ""),
    )


def of_event(container_id: str, attributes: Mapping[str, Any]) -> Described:
    """As far as an event tells: it may be gone before anybody can ask."""
    found = {key: value for key, value in attributes.items() if key not in _NOT_LABELS}
    name, image = name_of(attributes.get("name")), clean(attributes.get("image") or "")
    return Described(container_id, name, image, _labels(found))


def _health(status: object) -> str:
    return status if isinstance(status, str) and status in HEALTH else ""


def _seconds(stamp: object) -> float:
    """RFC 3339 as seconds since 1970; 0 for the engine's year 1, which means never."""
    text = str(stamp or "")
    fraction = _FRACTION.search(text)
    try:
        moment = datetime.fromisoformat(_FRACTION.sub("", text)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return moment + float(fraction[0] if fraction else 0) if moment > 0 else 0.0


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _labels(value: Any) -> dict[str, str]:
    return {clean(key): clean(text) for key, text in _mapping(value).items()}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def rerooted(path: str, rootfs: Path) -> Path | None:
    """A path of the host as this process sees it; None for what is none."""
    return rootfs / path.lstrip("/") if path.startswith("/") and ".." not in Path(path).parts else None
