"""Temperatures and cooling: /sys/class/thermal."""

from collections.abc import Iterable, Iterator

from exporters.exposition import Family
from exporters.node.columns import Column, block_of
from exporters.node.host import Host, folders, read_number, read_value

_TEMPERATURE = Column("node_thermal_zone_temp", "gauge", "Zone temperature in Celsius")
_CURRENT = Column("node_cooling_device_cur_state", "gauge", "Current throttle state of the cooling device")
_MAXIMUM = Column("node_cooling_device_max_state", "gauge", "Maximum throttle state of the cooling device")


class Thermal:
    name = "thermal_zone"

    def __init__(self, host: Host) -> None:
        self._folder = host.sys("class/thermal")

    def collect(self) -> Iterable[Family]:
        names = folders(self._folder)
        zones = list(self._devices(names, "thermal_zone", "zone"))
        cooling = list(self._devices(names, "cooling_device", "name"))
        thousandths = _numbers(zones, "temp")
        yield _TEMPERATURE.family((block, value / 1000) for block, value in thousandths)
        yield _CURRENT.family(_numbers(cooling, "cur_state"))
        yield _MAXIMUM.family(_numbers(cooling, "max_state"))

    def _devices(self, names: list[str], kind: str, label: str) -> Iterator[tuple[str, str]]:
        """(label block, folder) of the devices of a kind."""
        for name in names:
            if name.startswith(kind):
                folder = f"{self._folder}/{name}"
                type = read_value(f"{folder}/type") or ""
                yield block_of((label, name.removeprefix(kind)), ("type", type)), folder


def _numbers(devices: list[tuple[str, str]], file: str) -> Iterator[tuple[str, int]]:
    for block, folder in devices:
        if (value := read_number(f"{folder}/{file}")) is not None:
            yield block, value
