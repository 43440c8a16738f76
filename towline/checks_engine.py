"""What `towline check` finds out from the Docker engine: does it answer, and can its containers' logs be read."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from towline.engine import too_old
from towline.errors import EngineUnavailable
from towline.finding import Finding, Mark

READABLE = ("json-file", "local", "journald")
"""Drivers whose logs the engine gives back whole."""

TIMEOUT = 10
Inspected = Mapping[str, Any]
"""The engine's `/containers/ID/json`."""


class Info(Protocol):
    """What an engine says of itself."""

    @property
    def version(self) -> str: ...

    @property
    def data_root(self) -> Path: ...

    @property
    def swarm_manager(self) -> bool: ...

    @property
    def swarm_error(self) -> str: ...


class Engine(Protocol):
    """The part of an engine's API that is asked here (towline.engine has it)."""

    url: str

    def info(self) -> Info: ...

    def containers(self) -> list[dict[str, Any]]: ...

    def inspect(self, container_id: str) -> dict[str, Any] | None: ...

    def swarm(self, kind: Literal["services", "tasks", "nodes"]) -> list[dict[str, Any]]: ...


def findings(engine: Engine, source: str, root: Path | None) -> Iterator[Finding]:
    """The findings about the engine and its containers, one after another. `root` is --engine-root."""
    try:
        info = engine.info()
        yield Finding(Mark.GOOD, f"the engine answers at {engine.url}")
        yield version(info.version)
        yield reading(root or info.data_root, source)
        yield from swarm(engine, info)
        yield from containers(_inspected(engine))
    except EngineUnavailable as error:
        text, _, fix = str(error).partition(": ")
        yield Finding(Mark.BAD, text, fix)


def swarm(engine: Engine, info: Info) -> Iterator[Finding]:
    """Whether this node, where it is in a Swarm, can ask its managers, or is one that can be asked."""
    if info.swarm_error:
        fix = "look at the managers with `docker node ls` on one of them; they listen on TCP port 2377"
        yield Finding(Mark.BAD, f"this node does not reach a manager of its Swarm ({info.swarm_error})", fix)
    elif info.swarm_manager:
        try:
            yield Finding(Mark.GOOD, f"this node manages a Swarm of {_counted(engine.swarm('nodes'))}")
        except EngineUnavailable as error:
            why = str(error)
            yield Finding(Mark.BAD, f"this node manages a Swarm that does not answer ({why})", _bring_back(why))


def _bring_back(why: str) -> str:
    if "socket proxy" in why:
        return "allow /nodes, /services and /tasks in the socket proxy"
    return ("start more than half of its managers again; where they are lost for good: "
            "`docker swarm init --force-new-cluster` on this node")  # fmt: skip


def version(text: str) -> Finding:
    """Whether the engine is new enough."""
    if too_old(text):
        return Finding(Mark.BAD, f"Docker engine {text}", "upgrade it to 20.10 or newer")
    return Finding(Mark.GOOD, f"Docker engine {text}")


def reading(root: Path, source: str) -> Finding:
    """Whether json-file logs can be read in place, which is several times cheaper than asking the engine."""
    folder = root / "containers"
    if source == "api":
        return Finding(Mark.GOOD, "logs are read through the engine, as --source api asks")
    if os.access(folder, os.R_OK | os.X_OK):
        return Finding(Mark.GOOD, f"json-file logs can be read in {folder}")
    if source == "file":
        fix = "run as root, mount the folder and name it with --engine-root, or use --source auto"
        return Finding(Mark.BAD, f"{folder} can't be read, and --source is file", fix)
    fix = "cheaper: run as root, or mount that folder and name it with --engine-root"
    return Finding(Mark.HINT, f"{folder} can't be read; logs are read through the engine", fix)


def containers(found: Iterable[Inspected]) -> Iterator[Finding]:
    """One finding for all whose log can't be read, one for all whose log grows without bound."""
    rows = list(found)
    lost: dict[str, list[str]] = {}
    growing = []
    for row in rows:
        config = row["HostConfig"].get("LogConfig") or {}
        driver = str(config.get("Type", ""))
        if driver not in READABLE:
            lost.setdefault(driver, []).append(_name(row))
        if driver == "json-file" and "max-size" not in (config.get("Config") or {}):
            growing.append(_name(row))
    yield from (_unreadable(driver, names) for driver, names in sorted(lost.items()))
    if growing:
        fix = 'set "log-opts": {"max-size": "10m", "max-file": "3"} in daemon.json; it holds for new containers'
        yield Finding(Mark.HINT, f"{_many(growing, 'logs', 'log')} without rotation ({_some(growing)})", fix)
    readable = len(rows) - sum(map(len, lost.values()))
    yield Finding(Mark.GOOD, f"logs of {readable} of {len(rows)} containers can be read")


def _unreadable(driver: str, names: list[str]) -> Finding:
    text = f"{_many(names, 'uses', 'use')} log driver {driver or '?'} ({_some(names)})"
    fix = "start them with --log-driver json-file, or local"
    if driver == "none":
        return Finding(Mark.BAD, f"{text}: their output is kept nowhere", fix)
    return Finding(Mark.BAD, f"{text}: the engine keeps at most a small cache of it, which drops lines", fix)


def _inspected(engine: Engine) -> Iterator[Inspected]:
    for row in engine.containers():
        inspected = engine.inspect(str(row["Id"]))
        if inspected is not None:
            yield inspected


def _counted(nodes: list[dict[str, Any]]) -> str:
    return "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"


def _name(row: Inspected) -> str:
    return str(row["Name"]).removeprefix("/")


def _many(names: list[str], one: str, several: str) -> str:
    return f"1 container {one}" if len(names) == 1 else f"{len(names)} containers {several}"


def _some(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(sorted(names)[:most]) + more
