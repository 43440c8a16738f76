"""Where cgroups are: version 1 or 2, and which folder is a container's, whatever driver and parent the engine uses.

cgroupfs driver: `/docker/<id>`; systemd driver: `/system.slice/docker-<id>.scope`; rootless, `--cgroup-parent` and
nested engines: anywhere. The kernel says where (`/proc/<pid>/cgroup`, cgroups(7)), unless this process is in a cgroup
namespace.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from towline.errors import TowlineError

CONTROLLERS = ("cpuacct", "cpu", "memory", "blkio", "pids")
PARENTS = ("docker", "system.slice")
_FIX = "mount the host's /sys here and name it by --sysfs"
DEEPEST = 6
"""Folders below the root that are searched for a container that is nowhere else."""


class NoCgroups(TowlineError):
    """There is no cgroup hierarchy where one was looked for, or none that is understood."""


@dataclass
class Layout:
    """`roots`: folder of each controller's hierarchy (version 1), or the only one under "" (version 2)."""

    version: int
    roots: Mapping[str, Path]
    procfs: Path
    _parents: list[str] = field(default_factory=lambda: list(PARENTS))

    @property
    def _home(self) -> Path:
        """The hierarchy that a container is looked for in."""
        return self.roots[""] if self.version == 2 else self.roots.get("memory") or next(iter(self.roots.values()))

    def find(self, container_id: str, pid: int, search: bool = True) -> str | None:
        """The container's folder below a root, as "docker/4f…"; None where there is none (yet).

        `search`: also walk the whole tree, where it is in no likely place."""
        candidates = [*self._told_by_kernel(container_id, pid), *self._guesses(container_id)]
        for path in candidates:
            if (self._home / path).is_dir():
                return self._learn(path)
        found = next(_walk(self._home, container_id, DEEPEST), None) if search else None
        return self._learn(found.relative_to(self._home).as_posix()) if found else None

    def _told_by_kernel(self, container_id: str, pid: int) -> Iterator[str]:
        try:
            lines = (self.procfs / str(pid) / "cgroup").read_text().splitlines() if pid else []
        except (OSError, UnicodeDecodeError):
            return
        for line in lines:
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            wanted = number == "0" if self.version == 2 else "memory" in controllers.split(",")
            if wanted and container_id in path and ".." not in path.split("/"):
                yield path.lstrip("/")

    def _guesses(self, container_id: str) -> Iterable[str]:
        return [
            f"{parent}/{name}" for parent in self._parents for name in (container_id, f"docker-{container_id}.scope")
        ]

    def _learn(self, path: str) -> str:
        parent = path.rpartition("/")[0]
        if parent not in self._parents and len(self._parents) < 16:
            self._parents.append(parent)
        return path


def detect(cgroupfs: Path, procfs: Path) -> Layout:
    """What is mounted at `cgroupfs`. Raises NoCgroups, saying what is missing."""
    if (cgroupfs / "cgroup.controllers").is_file():
        return Layout(2, {"": cgroupfs}, procfs)
    try:
        entries = sorted(path.name for path in cgroupfs.iterdir())
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise NoCgroups(f"no cgroups at {cgroupfs}: {reason}; {_FIX}") from error
    roots = {name: cgroupfs / entry for name in CONTROLLERS for entry in entries if name in entry.split(",")}
    if "memory" not in roots and "cpuacct" not in roots:
        shown = ", ".join(entries[:8]) or "an empty folder"
        raise NoCgroups(f"unknown cgroup layout at {cgroupfs} ({shown}): neither version 2 (cgroup.controllers) nor "
                        f"version 1 (memory, cpuacct); {_FIX}")  # fmt: skip
    return Layout(1, roots, procfs)


def _walk(folder: Path, container_id: str, depth: int) -> Iterator[Path]:
    try:
        below = [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for path in below:
        if container_id in path.name:
            yield path
            return
    if depth > 1:
        for path in below:
            yield from _walk(path, container_id, depth - 1)
