"""Hardware sensors: /sys/class/hwmon.

Format: https://docs.kernel.org/hwmon/sysfs-interface.html. A sensor is a file `<type><number>_<element>`, such as
`temp1_crit`; a chip is named by the device that it belongs to, as that name stays the same from boot to boot.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from exporters.exposition import Family, labels
from exporters.node.columns import Column, block_of
from exporters.node.host import Host, Seldom, folders, read_value
from exporters.node.hwmon_names import column_of

_CHIP = Column("node_hwmon_chip_names", "gauge", "Annotation metric for human-readable chip names")
_LABEL = Column("node_hwmon_sensor_label", "gauge", "Label for given chip and sensor")
_FILE = re.compile(
    r"^(?P<type>in|cpu|fan|pwm|temp|curr|power|energy|humidity|intrusion|freq|vrm|beep_enable|update_interval)"
    r"(?P<number>\d*)(?:_(?P<element>\w+))?$"
)
_NOT_NAME = re.compile(r"[^a-z0-9:_]")


@dataclass(frozen=True, slots=True)
class Sensor:
    """One file with a value. scale: what the value is divided by."""

    column: Column
    scale: float
    block: str
    path: str


class HwMon:
    """Which sensors there are is looked up once a minute; their values at each scrape."""

    name = "hwmon"

    def __init__(self, host: Host) -> None:
        self._folder = host.sys("class/hwmon")
        self._found = Seldom(self._find)

    def collect(self) -> Iterable[Family]:
        names, sensors = self._found()
        samples: dict[Column, list[tuple[str, float]]] = {}
        for sensor in sensors:
            value = _number(read_value(sensor.path))
            if value is not None:
                samples.setdefault(sensor.column, []).append((sensor.block, value / sensor.scale))
        return [*names, *(column.family(found) for column, found in samples.items())]

    def _find(self) -> tuple[list[Family], list[Sensor]]:
        chips = self._chips()
        named = [(chip, read_value(f"{folder}/name")) for chip, folder in chips.items()]
        names = [(labels({"chip": chip, "chip_name": clean(name)}), 1) for chip, name in named if name]
        files = [(chip, *found) for chip, folder in chips.items() for found in _files(folder)]
        told = [
            (labels({"chip": chip, "label": read_value(path) or "", "sensor": sensor}), 1)
            for chip, sensor, element, path in files
            if element == "label"
        ]
        return [_CHIP.family(names), _LABEL.family(told)], list(_sensors(files))

    def _chips(self) -> dict[str, str]:
        """Folders by the chip's name. Chips of one device are told apart by what they call themselves."""
        folders_of = [f"{self._folder}/{name}" for name in folders(self._folder)]
        names = [chip_name(folder) for folder in folders_of]
        twice = Counter(names)
        own = [clean(read_value(f"{folder}/name") or "") for folder in folders_of]
        full = [f"{name}_{extra}" if twice[name] > 1 else name for name, extra in zip(names, own, strict=True)]
        twice = Counter(full)
        return {
            f"{name}_{os.path.basename(folder)}" if twice[name] > 1 else name: folder  # noqa: PTH119
            for name, folder in zip(full, folders_of, strict=True)
        }


def chip_name(folder: str) -> str:
    """`<bus>_<device>` of the chip's device, else what the chip calls itself, else `hwmon<number>`."""
    if os.path.exists(f"{folder}/device"):  # noqa: PTH110  # this package reads many small files: no Path for each
        *_, bus, device = os.path.realpath(f"{folder}/device").split("/")
        name = "_".join(filter(None, (clean(bus), clean(device))))
        if name:
            return name
    return clean(read_value(f"{folder}/name") or "") or clean(folder.rpartition("/")[2])


def clean(name: str) -> str:
    return _NOT_NAME.sub("_", name.lower()).strip("_")


def _files(folder: str) -> Iterator[tuple[str, str, str]]:
    """(sensor, element, path) of a chip's files, which old drivers keep in the device's folder."""
    for place in (folder, f"{folder}/device"):
        for name in folders(place):
            match = _FILE.match(name)
            if match:
                yield f"{match['type']}{int(match['number'] or 0)}", match["element"] or "", f"{place}/{name}"


def _sensors(files: list[tuple[str, str, str, str]]) -> Iterator[Sensor]:
    bare = {(chip, sensor) for chip, sensor, element, _ in files if not element}
    told = {(chip, sensor): path for chip, sensor, element, path in files if element == "label"}
    seen: set[tuple[str, str, str]] = set()
    for chip, sensor, element, path in files:
        type = sensor.rstrip("0123456789")
        if element == "label" or (chip, sensor, element) in seen:
            continue
        seen.add((chip, sensor, element))
        named = sensor
        if (type, element) == ("freq", "input"):  # told by what it is the frequency of
            named = clean(read_value(told.get((chip, sensor), "")) or sensor)
        column, scale = column_of(type, element, (chip, sensor) in bare)
        yield Sensor(column, scale, block_of(("chip", chip), ("sensor", named)), path)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
