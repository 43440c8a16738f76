"""What udev wrote down about disks: /run/udev/data/b<major>:<minor>, read once a minute."""

import time
from collections.abc import Callable, Iterator, Mapping

from exporters.exposition import Family, labels
from exporters.node.columns import Column
from exporters.node.host import Host, read_if_there

_INFO = Column("node_disk_info", "gauge", "Info of /sys/block/<block_device>.")
_FILESYSTEM = Column("node_disk_filesystem_info", "gauge", "Info about disk filesystem.")
_MAPPER = Column("node_disk_device_mapper_info", "gauge", "Info about disk device mapper.")
_INFO_LABELS = {"model": "ID_MODEL", "path": "ID_PATH", "revision": "ID_REVISION", "wwn": "ID_WWN"}
_FILESYSTEM_LABELS = {"type": "ID_FS_TYPE", "usage": "ID_FS_USAGE", "uuid": "ID_FS_UUID", "version": "ID_FS_VERSION"}
_MAPPER_LABELS = {
    "lv_layer": "DM_LV_LAYER",
    "lv_name": "DM_LV_NAME",
    "name": "DM_NAME",
    "uuid": "DM_UUID",
    "vg_name": "DM_VG_NAME",
}

Disks = Mapping[str, tuple[str, str]]


class Udev:
    """Info families of disks."""

    def __init__(self, host: Host, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = host.root("/run/udev/data")
        self._clock = clock
        self._known: list[Family] = []
        self._of: tuple[Disks, float] = ({}, -60.0)

    def families(self, disks: Disks) -> list[Family]:
        """disks: (major, minor) by device."""
        now = self._clock()
        if self._of[0] != disks or now - self._of[1] >= 60:
            self._of = (disks, now)
            self._known = list(info(disks, {name: self._properties(*number) for name, number in disks.items()}))
        return self._known

    def _properties(self, major: str, minor: str) -> dict[str, str]:
        return parse(read_if_there(f"{self._folder}/b{major}:{minor}") or b"")


def parse(raw: bytes) -> dict[str, str]:
    """Properties of a device: the lines `E:name=value`."""
    lines = raw.decode("utf-8", "replace").splitlines()
    return dict(line[2:].split("=", 1) for line in lines if line.startswith("E:") and "=" in line)


def info(disks: Disks, known: Mapping[str, Mapping[str, str]]) -> Iterator[Family]:
    """known: udev's properties by device."""
    blocks = []
    for name, (major, minor) in disks.items():
        found = known[name]
        serial = next(filter(None, map(found.get, ("SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"))), "")
        pairs = {"device": name, "major": major, "minor": minor, "serial": serial}
        blocks.append(labels(pairs | _chosen(found, _INFO_LABELS)))
    yield _INFO.family((block, 1) for block in blocks)
    for column, wanted, mark in (
        (_FILESYSTEM, _FILESYSTEM_LABELS, "ID_FS_TYPE"),
        (_MAPPER, _MAPPER_LABELS, "DM_NAME"),
    ):
        having = [name for name in disks if known[name].get(mark)]
        yield column.family((labels({"device": name} | _chosen(known[name], wanted)), 1) for name in having)


def _chosen(properties: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    return {label: properties.get(name, "") for label, name in wanted.items()}
