"""What containers use, read from their cgroups: CPU, memory, IO, tasks; and the same of the whole machine as id="/"."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from exporters.containers.cgroup_v1 import GroupV1
from exporters.containers.cgroup_v2 import GroupV2
from exporters.containers.files import Gone, Holder
from exporters.containers.inventory import Inventory, Known
from exporters.containers.layout import Layout, detect
from exporters.containers.machine import boot_time, device, meminfo
from exporters.containers.naming import ROOT
from exporters.containers.readings import COLUMNS, IO, SPEC, Reader, less
from exporters.containers.table import Column, Row, Value, families
from exporters.containers.tasks import STATES, below, states
from exporters.exposition import Family
from exporters.scrape import Incomplete

START = Column("container_start_time_seconds", "gauge", "When it started, seconds since 1970.")
SEEN = (Column("container_last_seen", "gauge", "When it was last seen running, seconds since 1970."),)
TASKS = tuple(Column("container_tasks_state", "gauge", "Processes by state.", f',state="{state}"') for state in STATES)
PATIENCE = 2
"""Scrapes for which a running container may be without a cgroup: it may just be ending."""

_MEMORY_USED, _WORKING_SET = 6, 7
_SWAP = 11
_NO_LIMITS = (None, None, None, b"0", b"0", b"0", None)
"""SPEC of the machine; dashboards want to see that its memory has no limit."""


class _Group:
    """One container's reader, and what of it stays the same between two changes."""

    def __init__(self, known: Known, reader: Reader) -> None:
        self.known = known
        self.changes = known.changes
        self.block = known.block
        self.reader = reader
        self.fixed: list[Value] = [*reader.spec, b"%.3f" % known.told.started]
        self.io_blocks: dict[bytes, bytes] = {}


class CgroupUsage:
    """Collector "cgroup". `doubt` is called with the id of a container that the engine calls running and that is gone.

    Not safe for use from several threads at a time; Scrape sees to that.
    """

    name = "cgroup"

    def __init__(
        self,
        inventory: Inventory,
        cgroupfs: Path,
        procfs: Path,
        sysfs: Path,
        holder: Holder,
        doubt: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._inventory = inventory
        self._cgroupfs = cgroupfs
        self._procfs = procfs
        self._sysfs = sysfs
        self._holder = holder
        self._doubt = doubt
        self._clock = clock
        self._layout: Layout | None = None
        self._root: Reader | None = None
        self._groups: dict[str, _Group] = {}
        self._missing: dict[str, int] = {}
        self._changes = -1
        self._devices: dict[bytes, bytes] = {}

    def collect(self) -> Iterable[Family]:
        layout = self._layout = self._layout or detect(self._cgroupfs, self._procfs)
        self._look_for_groups(layout)
        errors: list[Exception] = []
        rows, io, tasks = _Rows(), _Rows(), _Rows()
        self._read_root(layout, rows, io, errors)
        for group in list(self._groups.values()):
            self._read(group, rows, io, tasks, errors)
        found = list(self._families(rows, io, tasks))
        if errors:
            raise Incomplete(_told(errors), found)
        if lost := [key for key, tries in self._missing.items() if tries > PATIENCE]:
            raise Incomplete(f"no cgroup below {self._cgroupfs} for {len(lost)} running containers, as {lost[0][:12]}: "
                             "is the engine on this machine, and its /sys what --sysfs names?", found)  # fmt: skip
        return found

    def close(self) -> None:
        """Let go of all files; a later scrape opens them again."""
        for reader in (self._root, *(group.reader for group in self._groups.values())):
            if reader is not None:
                reader.close()
        self._groups, self._changes = {}, -1

    def _families(self, rows: "_Rows", io: "_Rows", tasks: "_Rows") -> Iterator[Family]:
        now = (b"%d" % self._clock(),)
        yield from families((*COLUMNS, *SPEC, START), rows)
        yield from families(SEEN, [(block, now) for block, _ in rows])
        yield from families(IO, io)
        yield from families(TASKS, tasks)

    # --- which groups there are

    def _look_for_groups(self, layout: Layout) -> None:
        """Open readers for what has started, close those of what has ended or changed."""
        if self._inventory.changes == self._changes and not self._missing:
            return
        self._changes = self._inventory.changes
        running = {known.told.id: known for known in self._inventory.running()}
        for key in [key for key, group in self._groups.items() if _over(group, running.get(key))]:
            self._groups.pop(key).reader.close()
        self._missing = {key: tries for key, tries in self._missing.items() if key in running}
        for key, known in running.items():
            if key not in self._groups:
                self._open(layout, known)

    def _open(self, layout: Layout, known: Known) -> None:
        key = known.told.id
        tries = self._missing.get(key, 0)
        path = layout.find(key, known.told.pid, search=tries <= PATIENCE or tries % 20 == 0)
        if path is None:
            self._missing[key] = tries + 1
            return
        self._missing.pop(key, None)
        self._groups[key] = _Group(known, self._reader(layout, path))

    def _reader(self, layout: Layout, path: str) -> Reader:
        group = GroupV2 if layout.version == 2 else GroupV1
        return group(layout.roots, path, self._holder)

    # --- reading

    def _read(self, group: _Group, rows: "_Rows", io: "_Rows", tasks: "_Rows", errors: list[Exception]) -> None:
        try:
            values, counts, oom_kills, pids = group.reader.read()
        except (Gone, FileNotFoundError):
            self._ended(group)
            return
        except (OSError, ValueError) as error:
            errors.append(error)
            return
        if not pids or b"0" in pids:  # version 1 hides and version 2 calls 0 who is not in the reader's pid namespace
            pids = below(self._procfs, group.known.told.pid)
            values = values if values[-1] != b"0" else [*values[:-1], b"%d" % len(pids) if pids else None]
        rows.append((group.block, [*values, *group.fixed]))
        io += [(self._io_block(group, numbers), found) for numbers, found in counts]
        if pids and (tally := states(self._procfs, pids)):
            tasks.append((group.block, tally))
        if oom_kills:
            self._inventory.saw_oom_kills(group.known, oom_kills)

    def _ended(self, group: _Group) -> None:
        key = group.known.told.id
        group.reader.close()
        del self._groups[key]
        self._missing[key] = 0
        self._doubt(key)

    def _read_root(self, layout: Layout, rows: "_Rows", io: "_Rows", errors: list[Exception]) -> None:
        try:
            self._root = self._root or self._reader(layout, "")
            values, found, _, _ = self._root.read()
            whole = _of_machine(values, self._procfs)
            rows.append((ROOT, [*whole, *_NO_LIMITS, b"%d" % boot_time(self._procfs)]))
        except (Gone, OSError, ValueError) as error:
            errors.append(error)
            return
        io += [(ROOT + self._device(numbers), counts) for numbers, counts in found]

    def _io_block(self, group: _Group, numbers: bytes) -> bytes:
        block = group.io_blocks.get(numbers)
        if block is None:
            block = group.io_blocks[numbers] = group.block + self._device(numbers)
        return block

    def _device(self, numbers: bytes) -> bytes:
        """`,device="/dev/sda"` for major:minor."""
        label = self._devices.get(numbers)
        if label is None:
            label = self._devices[numbers] = b',device="%s"' % device(self._sysfs, numbers)
        return label


_Rows = list[Row]


def _over(group: _Group, known: Known | None) -> bool:
    return known is not group.known or known.changes != group.changes


def _of_machine(found: Sequence[Value], procfs: Path) -> list[Value]:
    """Version 2 has no memory.current at its root: MemTotal - MemFree, as cAdvisor; processes are node metrics."""
    values = list(found[:-2])
    if values[_MEMORY_USED] is None:
        inactive, total, free, swap, swap_free = meminfo(
            procfs, b"Inactive(file)", b"MemTotal", b"MemFree", b"SwapTotal", b"SwapFree"
        )
        values[_MEMORY_USED] = used = b"%d" % (total - free)
        values[_WORKING_SET] = less(used, b"%d" % inactive)
        values[_SWAP] = b"%d" % (swap - swap_free)
    return [*values, None, None]


def _told(errors: Sequence[Exception]) -> str:
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    if isinstance(first, OSError):
        return f"can't read {first.filename}: {first.strerror}{more}; run as root on the engine's machine"
    return f"a cgroup file is not as the kernel writes it: {first}{more}; is --sysfs the host's /sys?"
