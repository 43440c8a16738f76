"""How much containers have written to disk: the writable layer and the log, counted by a slow walk in the background.

The kernel keeps no such count, and walking costs. So one thread walks them one by one and rests RESTS times as long as
each walk took: it uses half a percent of a core at most, and large layers are looked at less often.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from exporters.containers.described import Described, rerooted
from exporters.containers.inventory import Inventory, Known
from exporters.containers.machine import device
from exporters.containers.table import Column, Row, families
from exporters.exposition import Family
from exporters.scrape import Incomplete

COLUMNS = (
    Column("container_fs_usage_bytes", "gauge", "Bytes on disk: writable layer and log, as last counted."),
    Column("container_fs_limit_bytes", "gauge", "Size of the file system that they are on."),
)
RESTS = 200
EVERY = 60.0
"""Seconds between two walks of the same container, at least."""

IDLE = 5.0
"""Seconds until the next look where no container runs, or none is known yet."""

MOST = 200_000
"""Files of one container that are counted; one with more shows no usage."""


class Layers:
    """Collector "layers"; `start` it, and `stop` it at the end."""

    name = "layers"

    def __init__(self, inventory: Inventory, rootfs: Path, sysfs: Path = Path("/sys"), every: float = EVERY) -> None:
        self._inventory = inventory
        self._rootfs = rootfs
        self._sysfs = sysfs
        self._every = every
        self._found: dict[str, tuple[bytes, bytes, bytes]] = {}  # device label, usage, limit; replaced as a whole
        self._denied: PermissionError | None = None
        self._stopping = threading.Event()

    def collect(self) -> Iterable[Family]:
        """Raises Incomplete where this user may not look into layers."""
        rows: list[Row] = []
        for known in self._inventory.running():
            found = self._found.get(known.told.id)
            if found:
                rows.append((known.block + found[0], found[1:]))
        if (denied := self._denied) is not None:
            why = f"can't look into {denied.filename}: {denied.strerror}"
            raise Incomplete(f"{why}; run as root (userns-remap: with DAC_READ_SEARCH)", families(COLUMNS, rows))
        return families(COLUMNS, rows)

    def start(self) -> None:
        threading.Thread(target=self._keep_walking, name="writable layers", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def _keep_walking(self) -> None:
        while not self._stopping.is_set():
            begin = time.monotonic()
            running = self._inventory.running()
            self._found = {known.told.id: found for known in running if (found := self._found.get(known.told.id))}
            for known in running:
                spent = self.measure(known)
                if self._stopping.wait(max(0.02, spent * RESTS)):
                    return
            self._stopping.wait(max(1.0, self._every - (time.monotonic() - begin)) if running else IDLE)

    def measure(self, known: Known) -> float:
        """Walk one container now; the CPU seconds that it took."""
        begin = time.thread_time()
        told = known.told
        found = None
        try:
            found = self._measured(told)
            self._denied = None
        except PermissionError as error:
            self._denied = error
        except OSError:
            pass  # it has just ended
        if found:
            self._found = {**self._found, told.id: found}
        else:
            self._found.pop(told.id, None)
        return time.thread_time() - begin

    def _measured(self, told: Described) -> tuple[bytes, bytes, bytes] | None:
        upper = rerooted(told.upper, self._rootfs)
        if upper is None:
            return None
        status = os.statvfs(upper)
        numbers = upper.stat().st_dev
        label = device(self._sysfs, b"%d:%d" % (os.major(numbers), os.minor(numbers)))
        log = rerooted(told.log_path, self._rootfs)
        usage = used(upper, self._stopping.is_set)
        if usage is None:
            return None
        usage += (used(log.parent, self._stopping.is_set) or 0) if log else 0
        return b',device="%s"' % label, b"%d" % usage, b"%d" % (status.f_blocks * status.f_frsize)


def used(folder: Path, stopped: Callable[[], bool] = lambda: False) -> int | None:
    """Bytes on disk below `folder`, a file with several names once; None above MOST files or when `stopped`.

    Raises OSError where `folder` itself can't be read; what vanishes meanwhile is left out.
    """
    total, count = 0, 0
    linked: set[int] = set()
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except OSError:
            if not count and not total:
                raise
            continue
        with entries:
            for entry in entries:
                count += 1
                if count > MOST or stopped():
                    return None
                try:
                    found = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                except OSError:
                    continue
                if found.st_nlink > 1 and not entry.is_dir(follow_symlinks=False):
                    if found.st_ino in linked:
                        continue
                    linked.add(found.st_ino)
                total += found.st_blocks * 512
    return total
