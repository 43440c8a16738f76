"""Metrics of the host under node_exporter's names, from /proc, /sys and statfs.

Each collector is one small module: a parser that takes bytes and does no I/O, and a class that reads the files.
Where a kernel lacks what a collector reads (sensors in a virtual machine), it yields nothing and has not failed.
"""

from collections.abc import Callable, Iterable

from exporters.node.arp import Arp
from exporters.node.clock import Time
from exporters.node.conntrack import ConnTrack
from exporters.node.cpu import Cpu
from exporters.node.cpufreq import CpuFrequency
from exporters.node.diskstats import DiskStats
from exporters.node.facts import Build, Dmi, OsRelease, Uname
from exporters.node.filesystem import FileSystem
from exporters.node.host import Host, HostUnreadable
from exporters.node.hwmon import HwMon
from exporters.node.interrupts import Interrupts
from exporters.node.kernel import Entropy, FileHandles, HungTasks
from exporters.node.loadavg import LoadAverage
from exporters.node.meminfo import MemoryInfo
from exporters.node.netclass import NetClass
from exporters.node.netdev import NetDev
from exporters.node.netstat import NetStat
from exporters.node.powersupply import PowerSupply
from exporters.node.pressure import Pressure
from exporters.node.processes import Processes
from exporters.node.schedstat import SchedStat
from exporters.node.sockstat import SockStat
from exporters.node.softnet import SoftNet
from exporters.node.stat import Stat
from exporters.node.tcpstat import TcpStates
from exporters.node.textfile import TextFile
from exporters.node.thermal import Thermal
from exporters.node.timex import TimeKeeping
from exporters.node.udpqueues import UdpQueues
from exporters.node.vmstat import VmStat
from exporters.scrape import Collector
from towline.errors import UsageError

__all__ = ["COLLECTORS", "OPTIONAL", "Host", "HostUnreadable", "collectors"]

COLLECTORS: dict[str, Callable[[Host], Collector]] = {
    "arp": Arp,
    "build": Build,
    "conntrack": ConnTrack,
    "cpu": Cpu,
    "cpufreq": CpuFrequency,
    "diskstats": DiskStats,
    "dmi": Dmi,
    "entropy": Entropy,
    "filefd": FileHandles,
    "filesystem": FileSystem,
    "hwmon": HwMon,
    "kernel_hung": HungTasks,
    "loadavg": LoadAverage,
    "meminfo": MemoryInfo,
    "netclass": NetClass,
    "netdev": NetDev,
    "netstat": NetStat,
    "os": OsRelease,
    "powersupplyclass": PowerSupply,
    "pressure": Pressure,
    "schedstat": SchedStat,
    "sockstat": SockStat,
    "softnet": SoftNet,
    "stat": Stat,
    "textfile": TextFile,
    "thermal_zone": Thermal,
    "time": Time,
    "timex": TimeKeeping,
    "udp_queues": UdpQueues,
    "uname": Uname,
    "vmstat": VmStat,
}

# What costs more than the rest together on a busy host; node_exporter leaves these out by default, too.
OPTIONAL: dict[str, Callable[[Host], Collector]] = {
    "interrupts": Interrupts,
    "processes": Processes,
    "tcpstat": TcpStates,
}


def collectors(host: Host, also: Iterable[str] = (), without: Iterable[str] = ()) -> list[Collector]:
    """The collectors of a host: all of COLLECTORS, those of OPTIONAL that `also` names, none of `without`.

    Raises UsageError for a name that no collector has.
    """
    known = COLLECTORS | OPTIONAL
    also, without = set(also), set(without)
    if unknown := (also | without) - known.keys():
        raise UsageError(f"no collector is called {min(unknown)}; there are {', '.join(sorted(known))}")
    chosen = (COLLECTORS.keys() | also) - without
    return [known[name](host) for name in sorted(chosen)]
