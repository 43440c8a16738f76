"""Container metrics: cAdvisor's names, labels and values, without cAdvisor's cost.

A scrape reads cgroups and /proc only. What containers are called, and what state they are in, the engine's events tell.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from exporters.containers.files import Holder
from exporters.containers.inventory import Inventory
from exporters.containers.layers import Layers
from exporters.containers.machine import Machine
from exporters.containers.naming import Naming
from exporters.containers.network import Network
from exporters.containers.state import State
from exporters.containers.usage import CgroupUsage
from exporters.containers.watch import EngineWatch
from exporters.exposition import Family
from exporters.scrape import Collector
from towline.engine import Engine
from towline.errors import EngineUnavailable

__all__ = ["ContainerSettings", "Containers"]


@dataclass(frozen=True)
class ContainerSettings:
    """engine: URL. node: this node's name, default the engine's own. procfs, sysfs, rootfs: where the host's are seen.
    keep: seconds for which an ended container is still told of. labels: engine labels to show beside
    naming.ALLOWED. held_files: how many kernel files may be kept open.
    """

    engine: str = "unix:///var/run/docker.sock"
    node: str | None = None
    procfs: Path = Path("/proc")
    sysfs: Path = Path("/sys")
    rootfs: Path = Path("/")
    keep: float = 300.0
    labels: tuple[str, ...] = ()
    held_files: int = 8192

    @property
    def cgroupfs(self) -> Path:
        return self.sysfs / "fs/cgroup"


class Containers:
    """`collectors` for a Scrape of the namespace "container"; `run` follows the engine meanwhile, until `stop`.

    Raises UsageError for an engine URL that can't be one.
    """

    def __init__(self, settings: ContainerSettings, clock: Callable[[], float] = time.time) -> None:
        procfs, sysfs = settings.procfs, settings.sysfs
        holder = Holder(settings.held_files)
        self.inventory = Inventory(Naming(settings.labels), settings.keep, clock)
        self._watch = EngineWatch(Engine(settings.engine), self.inventory, settings.node)
        self._layers = Layers(self.inventory, settings.rootfs, sysfs)
        self._usage = CgroupUsage(self.inventory, settings.cgroupfs, procfs, sysfs, holder, self._watch.inspect, clock)
        self._network = Network(self.inventory, procfs, holder)
        self.collectors: tuple[Collector, ...] = (
            self._usage,
            self._network,
            State(self.inventory),
            self._layers,
            Machine(procfs),
            _EngineCheck(self._watch),
        )

    def run(self) -> None:
        """Follow the engine, which may be away at any time; measure writable layers beside."""
        self._layers.start()
        self._watch.run()
        self._layers.stop()

    def stop(self) -> None:
        """End `run` soon. From any thread, any number of times."""
        self._layers.stop()
        self._watch.stop()

    def close(self) -> None:
        """Let go of the kernel's files, after the last scrape."""
        self._usage.close()
        self._network.close()

    @property
    def problem(self) -> str:
        """Why names and states may be out of date, "" where they are not."""
        return self._watch.problem


class _EngineCheck:
    """Collector "engine": no families; it succeeds while the engine tells of its containers."""

    name = "engine"

    def __init__(self, watch: EngineWatch) -> None:
        self._watch = watch

    def collect(self) -> Iterable[Family]:
        if self._watch.problem:
            raise EngineUnavailable(self._watch.problem)
        return ()
