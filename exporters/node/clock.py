"""The time of day, its zone, and the hardware that counts it."""

import time
from collections.abc import Callable, Iterable

from exporters.exposition import Family
from exporters.node.columns import Column, block_of
from exporters.node.host import Host, Seldom, folders, read_value

_NOW = Column("node_time_seconds", "gauge", "System time in seconds since epoch (1970).")
_ZONE = Column("node_time_zone_offset_seconds", "gauge", "System time zone offset in seconds.")
_FOLDER = "devices/system/clocksource"
_AVAILABLE = Column(
    "node_time_clocksource_available_info", "gauge", f"Available clocksources read from '/sys/{_FOLDER}'."
)
_CURRENT = Column("node_time_clocksource_current_info", "gauge", f"Current clocksource read from '/sys/{_FOLDER}'.")


class Time:
    name = "time"

    def __init__(self, host: Host, now: Callable[[], float] = time.time) -> None:
        self._folder = host.sys(_FOLDER)
        self._now = now
        self._sources = Seldom(self._read)

    def collect(self) -> Iterable[Family]:
        now = self._now()
        local = time.localtime(now)
        yield _NOW.single(now)
        yield _ZONE.family([(block_of(("time_zone", local.tm_zone)), local.tm_gmtoff)])
        yield from self._sources()

    def _read(self) -> list[Family]:
        available: list[tuple[str, int]] = []
        current: list[tuple[str, int]] = []
        for name in (name for name in folders(self._folder) if name.startswith("clocksource")):
            device = ("device", name.removeprefix("clocksource"))
            sources = (read_value(f"{self._folder}/{name}/available_clocksource") or "").split()
            available += [(block_of(device, ("clocksource", source)), 1) for source in sources]
            if source := read_value(f"{self._folder}/{name}/current_clocksource"):
                current.append((block_of(device, ("clocksource", source)), 1))
        return [_AVAILABLE.family(available), _CURRENT.family(current)]
