"""The machine that the containers share: cAdvisor's machine_* metrics, and what other collectors ask /proc and /sys."""

import re
from collections.abc import Iterable
from pathlib import Path

from exporters.exposition import Family, family

_CPU = re.compile(rb"^cpu[0-9]", re.MULTILINE)
_BOOT = re.compile(rb"^btime ([0-9]+)", re.MULTILINE)


class Machine:
    """Collector "machine"."""

    name = "machine"

    def __init__(self, procfs: Path) -> None:
        self._procfs = procfs

    def collect(self) -> Iterable[Family]:
        cores = len(_CPU.findall((self._procfs / "stat").read_bytes()))
        memory, swap = meminfo(self._procfs, b"MemTotal", b"SwapTotal")
        yield family("machine_cpu_cores", "gauge", "Logical CPUs of the machine.", [("", cores)])
        yield family("machine_memory_bytes", "gauge", "Memory of the machine.", [("", memory)])
        yield family("machine_swap_bytes", "gauge", "Swap of the machine.", [("", swap)])


def boot_time(procfs: Path) -> int:
    """Seconds since 1970, from /proc/stat; 0 where it is not told."""
    found = _BOOT.search((procfs / "stat").read_bytes())
    return int(found[1]) if found else 0


def meminfo(procfs: Path, *names: bytes) -> list[int]:
    """Fields of /proc/meminfo in bytes; 0 for one that is not there."""
    words = (line.split() for line in (procfs / "meminfo").read_bytes().splitlines())
    found = {line[0].rstrip(b":"): int(line[1]) << 10 for line in words if len(line) > 1}
    return [found.get(name, 0) for name in names]


def device(sysfs: Path, numbers: bytes) -> bytes:
    """`/dev/sda` for b"8:0"; the numbers where the kernel names none."""
    try:
        text = (sysfs / "dev/block" / numbers.decode() / "uevent").read_bytes()
    except (OSError, UnicodeDecodeError):
        return numbers
    name = re.search(rb"^DEVNAME=([\w/!.-]+)", text, re.MULTILINE)
    return b"/dev/" + name[1] if name else numbers
