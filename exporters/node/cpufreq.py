"""Frequencies of CPUs: /sys/devices/system/cpu/cpu*/cpufreq, in kHz there, in Hz here."""

from collections.abc import Iterable

from exporters.exposition import Family
from exporters.node.columns import Column, block_of, cpu_block, families
from exporters.node.cpu import cpu_folders
from exporters.node.host import Host, Seldom, read_number, read_value

_NOW = {
    "cpuinfo_cur_freq": Column("node_cpu_frequency_hertz", "gauge", "Current CPU thread frequency in hertz."),
    "scaling_cur_freq": Column(
        "node_cpu_scaling_frequency_hertz", "gauge", "Current scaled CPU thread frequency in hertz."
    ),
}
_LIMITS = {
    "cpuinfo_min_freq": Column("node_cpu_frequency_min_hertz", "gauge", "Minimum CPU thread frequency in hertz."),
    "cpuinfo_max_freq": Column("node_cpu_frequency_max_hertz", "gauge", "Maximum CPU thread frequency in hertz."),
    "scaling_min_freq": Column(
        "node_cpu_scaling_frequency_min_hertz", "gauge", "Minimum scaled CPU thread frequency in hertz."
    ),
    "scaling_max_freq": Column(
        "node_cpu_scaling_frequency_max_hertz", "gauge", "Maximum scaled CPU thread frequency in hertz."
    ),
}
_GOVERNOR = Column("node_cpu_scaling_governor", "gauge", "Current enabled CPU frequency governor.")


class CpuFrequency:
    name = "cpufreq"

    def __init__(self, host: Host) -> None:
        self._folder = host.sys("devices/system/cpu")
        self._cpus = Seldom(self._find)
        self._seldom = Seldom(self._read_limits)

    def collect(self) -> Iterable[Family]:
        yield from families(list(_NOW.values()), [(block, _hertz(cpu, _NOW)) for block, cpu in self._cpus()])
        yield from self._seldom()

    def _find(self) -> list[tuple[str, str]]:
        cpus = cpu_folders(self._folder)
        folders = [(cpu.rpartition("cpu")[2], f"{cpu}/cpufreq") for cpu in cpus]
        return [(cpu_block(cpu), folder) for cpu, folder in folders if read_value(f"{folder}/scaling_max_freq")]

    def _read_limits(self) -> list[Family]:
        rows = [(block, _hertz(folder, _LIMITS)) for block, folder in self._cpus()]
        governors = [pair for _, folder in self._cpus() for pair in _governors(folder)]
        return [*families(list(_LIMITS.values()), rows), _GOVERNOR.family(governors)]


def _hertz(folder: str, files: Iterable[str]) -> list[int | None]:
    return [kilo if kilo is None else kilo * 1000 for kilo in (read_number(f"{folder}/{name}") for name in files)]


def _governors(folder: str) -> list[tuple[str, int]]:
    cpu = folder.removesuffix("/cpufreq").rpartition("cpu")[2]
    now = read_value(f"{folder}/scaling_governor")
    available = (read_value(f"{folder}/scaling_available_governors") or "").split()
    return [(block_of(("cpu", cpu), ("governor", name)), int(name == now)) for name in available]
