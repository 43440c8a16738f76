"""Packets that each CPU took from network cards: /proc/net/softnet_stat.

Format: softnet_seq_show() in the kernel's net/core/net-procfs.c; hexadecimal, a line for each CPU that is online.
"""

from collections.abc import Iterable

from exporters.exposition import Family
from exporters.node.columns import Column, Value, cpu_block, families
from exporters.node.host import Host, read

# By the number of the field. Later kernels have more of them.
_FIELDS = {
    0: Column("node_softnet_processed_total", "counter", "Number of processed packets"),
    1: Column("node_softnet_dropped_total", "counter", "Number of dropped packets"),
    2: Column("node_softnet_times_squeezed_total", "counter", "Number of times processing packets ran out of quota"),
    8: Column(
        "node_softnet_cpu_collision_total",
        "counter",
        "Number of collision occur while obtaining device lock while transmitting",
    ),
    9: Column("node_softnet_received_rps_total", "counter", "Number of times cpu woken up received_rps"),
    10: Column("node_softnet_flow_limit_count_total", "counter", "Number of times flow limit has been reached"),
    11: Column("node_softnet_backlog_len", "gauge", "Softnet backlog status"),
}
_CPU = 12


class SoftNet:
    name = "softnet"

    def __init__(self, host: Host) -> None:
        self._path = host.net("softnet_stat")

    def collect(self) -> Iterable[Family]:
        rows = [(cpu_block(str(cpu)), values) for cpu, values in parse(read(self._path)).items()]
        return families(list(_FIELDS.values()), rows)


def parse(raw: bytes) -> dict[int, list[Value]]:
    """A value for each column, by CPU. Kernels before 5.14 don't name the CPU: there it is the line's number."""
    found: dict[int, list[Value]] = {}
    for number, line in enumerate(raw.splitlines()):
        fields = [int(field, 16) for field in line.split()]
        cpu = fields[_CPU] if len(fields) > _CPU else number
        found[cpu] = [fields[at] if at < len(fields) else None for at in _FIELDS]
    return found
