"""Mains, batteries: /sys/class/power_supply.

Format: https://www.kernel.org/doc/Documentation/ABI/testing/sysfs-class-power; micro-units and tenths of degrees.
"""

from collections.abc import Iterable

from exporters.exposition import Family, labels
from exporters.node.columns import Column, block_of
from exporters.node.host import Host, folders, read_number, read_value

# File: (name of the metric, divided by).
_FIELDS = {
    "online": ("online", 1),
    "present": ("present", 1),
    "capacity": ("capacity", 1),
    "cycle_count": ("cyclecount", 1),
    "time_to_empty_now": ("time_to_empty_seconds", 1),
    "time_to_full_now": ("time_to_full_seconds", 1),
    "charge_full": ("charge_full", 1_000_000),
    "charge_full_design": ("charge_full_design", 1_000_000),
    "charge_now": ("charge_ampere", 1_000_000),
    "current_now": ("current_ampere", 1_000_000),
    "energy_full": ("energy_full", 1_000_000),
    "energy_full_design": ("energy_full_design", 1_000_000),
    "energy_now": ("energy_watthour", 1_000_000),
    "power_now": ("power_watt", 1_000_000),
    "voltage_min_design": ("voltage_min_design", 1_000_000),
    "voltage_now": ("voltage_volt", 1_000_000),
    "temp": ("temp_celsius", 10),
}
_TEXTS = ("capacity_level", "charge_type", "health", "manufacturer", "model_name", "scope", "serial_number", "status")
_MORE_TEXTS = ("technology", "type", "usb_type")
_INFO = Column("node_power_supply_info", "gauge", "info of /sys/class/power_supply/<power_supply>.")


class PowerSupply:
    name = "powersupplyclass"

    def __init__(self, host: Host) -> None:
        self._folder = host.sys("class/power_supply")

    def collect(self) -> Iterable[Family]:
        supplies = folders(self._folder)
        for file, (name, scale) in _FIELDS.items():
            help = f"{name} value of /sys/class/power_supply/<power_supply>."
            values = [(supply, read_number(f"{self._folder}/{supply}/{file}")) for supply in supplies]
            yield Column(f"node_power_supply_{name}", "gauge", help).family(
                (block_of(("power_supply", supply)), value / scale) for supply, value in values if value is not None
            )
        yield _INFO.family((self._info(supply), 1) for supply in supplies)

    def _info(self, supply: str) -> str:
        texts = {text: read_value(f"{self._folder}/{supply}/{text}") for text in (*_TEXTS, *_MORE_TEXTS)}
        return labels({"power_supply": supply} | {text: value for text, value in texts.items() if value})
