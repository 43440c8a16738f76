"""State and settings of network interfaces: /sys/class/net.

Format: https://www.kernel.org/doc/Documentation/ABI/testing/sysfs-class-net. One file a value: what changes while a
host runs is read at each scrape, the rest once a minute.
"""

import re
import time
from collections.abc import Callable, Iterable

from exporters.exposition import Family, labels
from exporters.node.columns import Column, Value, device_block, families
from exporters.node.host import Host, HostUnreadable, folders, read_number, read_value


def _property(name: str, kind: str = "gauge") -> Column:
    return Column(f"node_network_{name}", kind, f"Network device property: {name}")


_CARRIER = _property("carrier")
_CHANGES = {
    "carrier_changes": _property("carrier_changes_total", "counter"),
    "carrier_up_count": _property("carrier_up_changes_total", "counter"),
    "carrier_down_count": _property("carrier_down_changes_total", "counter"),
}
_SELDOM = {
    "addr_assign_type": _property("address_assign_type"),
    "dev_id": _property("device_id"),
    "dormant": _property("dormant"),
    "flags": _property("flags"),
    "ifindex": _property("iface_id"),
    "iflink": _property("iface_link"),
    "link_mode": _property("iface_link_mode"),
    "mtu": _property("mtu_bytes"),
    "name_assign_type": _property("name_assign_type"),
    "netdev_group": _property("net_dev_group"),
    "tx_queue_len": _property("transmit_queue_length"),
    "type": _property("protocol_type"),
}
_TEXTS = ("address", "broadcast", "duplex", "ifalias")
_UP = Column("node_network_up", "gauge", "Value is 1 if operstate is 'up', 0 otherwise.")
_INFO = Column("node_network_info", "gauge", "Non-numeric data from /sys/class/net/<iface>, value is always 1.")
_SPEED = _property("speed_bytes")


class NetClass:
    name = "netclass"

    def __init__(self, host: Host, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = host.sys("class/net")
        self._ignored = re.compile(host.ignored_interfaces)
        self._clock = clock
        self._read_at = clock()
        self._seldom: dict[str, tuple[dict[str, str], list[Value]]] = {}
        self._changes: dict[str, list[Value]] = {}

    def collect(self) -> Iterable[Family]:
        names = [name for name in folders(self._folder) if self._is_interface(name)]
        if not names:
            raise HostUnreadable(f"{self._folder} holds no network interface; is the host's /sys mounted there?")
        self._forget()
        states = {name: read_value(f"{self._folder}/{name}/operstate") or "" for name in names}
        self._seldom = {name: self._seldom.get(name) or self._properties(name) for name in names}
        yield _UP.family((device_block(name), int(state == "up")) for name, state in states.items())
        yield _INFO.family((self._info(name, state), 1) for name, state in states.items())
        now = [(device_block(name), self._now(name)) for name in names]
        yield from families([_CARRIER, _SPEED, *_CHANGES.values()], now)
        yield from families(list(_SELDOM.values()), [(device_block(name), self._seldom[name][1]) for name in names])

    def _is_interface(self, name: str) -> bool:
        return name != "bonding_masters" and not self._ignored.search(name)

    def _forget(self) -> None:
        now = self._clock()
        if now - self._read_at >= 60:
            self._read_at = now
            self._seldom = {}
            self._changes = {}

    def _properties(self, name: str) -> tuple[dict[str, str], list[Value]]:
        folder = f"{self._folder}/{name}"
        texts = {text: read_value(f"{folder}/{text}") or "" for text in _TEXTS}
        return texts, [read_number(f"{folder}/{field}", 0) for field in _SELDOM]

    def _info(self, name: str, state: str) -> str:
        return labels({"device": name, **self._seldom[name][0], "operstate": state})

    def _now(self, name: str) -> list[Value]:
        folder = f"{self._folder}/{name}"
        megabits = read_number(f"{folder}/speed")
        speed = None if megabits is None else megabits * 125_000
        return [read_number(f"{folder}/carrier"), speed, *self._carrier_changes(name)]

    def _carrier_changes(self, name: str) -> list[Value]:
        """How often the carrier came and went; the sum of both says whether they are worth reading."""
        changes, *files = (f"{self._folder}/{name}/{file}" for file in _CHANGES)
        count = read_number(changes)
        known = self._changes.get(name, [])
        if known[:1] != [count]:
            known = [count, *map(read_number, files)]
            self._changes[name] = known
        return known
