"""Throttling and isolation of CPUs: /sys/devices/system/cpu."""

from collections.abc import Iterable, Iterator

from exporters.exposition import Family
from exporters.node.columns import Column, block_of, cpu_block
from exporters.node.host import Host, Seldom, folders, read_number, read_value

_CORE = Column("node_cpu_core_throttles_total", "counter", "Number of times this CPU core has been throttled.")
_PACKAGE = Column("node_cpu_package_throttles_total", "counter", "Number of times this CPU package has been throttled.")
_ISOLATED = Column(
    "node_cpu_isolated", "gauge", "Whether each core is isolated, information from /sys/devices/system/cpu/isolated."
)


class Cpu:
    name = "cpu"

    def __init__(self, host: Host) -> None:
        self._folder = host.sys("devices/system/cpu")
        self._counters = Seldom(self._find)
        self._isolated = Seldom(lambda: cpu_list(read_value(f"{self._folder}/isolated") or ""))

    def collect(self) -> Iterable[Family]:
        cores, packages = self._counters()
        yield _CORE.family(_read(cores))
        yield _PACKAGE.family(_read(packages))
        yield _ISOLATED.family((cpu_block(str(cpu)), 1) for cpu in self._isolated())

    def _find(self) -> tuple[dict[str, str], dict[str, str]]:
        """Files that count throttling, by label block: hyperthreads of a core share one, cores of a package too."""
        cores: dict[str, str] = {}
        packages: dict[str, str] = {}
        for cpu in cpu_folders(self._folder):
            package = read_number(f"{cpu}/topology/physical_package_id")
            core = read_number(f"{cpu}/topology/core_id")
            if package is None or core is None or read_number(f"{cpu}/thermal_throttle/core_throttle_count") is None:
                continue
            block = block_of(("core", str(core)), ("package", str(package)))
            cores.setdefault(block, f"{cpu}/thermal_throttle/core_throttle_count")
            packages.setdefault(block_of(("package", str(package))), f"{cpu}/thermal_throttle/package_throttle_count")
        return cores, packages


def _read(files: dict[str, str]) -> Iterator[tuple[str, int]]:
    for block, path in files.items():
        if (count := read_number(path)) is not None:
            yield block, count


def cpu_folders(folder: str) -> list[str]:
    """/sys/devices/system/cpu/cpu0 and so on."""
    return [f"{folder}/{name}" for name in folders(folder) if name[:3] == "cpu" and name[3:].isdigit()]


def cpu_list(text: str) -> list[int]:
    """The CPUs of a list like `1,3-5`."""
    cpus: list[int] = []
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return cpus
