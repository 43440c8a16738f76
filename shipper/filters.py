"""Who is collected: labels first, then globs on the container's and the service's name. Towline never reads itself."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from towline.errors import UsageError
from towline.identity import service_of

ENABLE = "towline.enable"
COMPONENT = "towline.component"

_FALSE = frozenset({"false", "0", "no", "off"})
_TRUE = frozenset({"true", "1", "yes", "on"})

_IN_CGROUP = re.compile(r"(?:^|[/-])([0-9a-f]{64})(?=\.scope|/|$)")
_IN_MOUNT = re.compile(r"/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf)$")
_SET = re.compile(r"\[!?+(\]?+[^\]]*)\]")
_OWN_MOUNTS = frozenset({"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"})


@dataclass(frozen=True)
class Filters:
    """Decides per container; `own` are the ids of the containers that this process runs in. `enabled` says what all
    labels say of `towline.enable`, by service and the container's own labels."""

    include: tuple[re.Pattern[str], ...] = ()
    exclude: tuple[re.Pattern[str], ...] = ()
    own: frozenset[str] = frozenset()
    enabled: Callable[[str, Mapping[str, str]], str] = lambda service, labels: labels.get(ENABLE, "")

    @classmethod
    def of(cls, include: Iterable[str] = (), exclude: Iterable[str] = (), own: Iterable[str] = ()) -> "Filters":
        """Filters from globs (`*`, `?`, `[abc]`); raises UsageError for text that can't be one."""
        return cls(
            tuple(glob(text, "--include") for text in include),
            tuple(glob(text, "--exclude") for text in exclude),
            frozenset(own),
        )

    def wants(self, container_id: str, name: str, labels: Mapping[str, str]) -> bool:
        """Whether this container's lines are collected.

        Towline's own never; then `towline.enable` where it says yes or no; then --exclude; then --include, if any.
        """
        if container_id in self.own or COMPONENT in labels:
            return False
        service = service_of(name, labels)
        enable = self.enabled(service, labels).strip().lower()
        if enable in _FALSE or enable in _TRUE:
            return enable in _TRUE
        names = (name, service)
        if _any(self.exclude, names):
            return False
        return not self.include or _any(self.include, names)


def own_containers(proc: Path = Path("/proc/self")) -> frozenset[str]:
    """Ids of the containers that this process runs in, innermost and outer ones; empty on a plain host.

    The cgroup says it reliably, but is hidden by cgroup v2's private namespaces. The files that the engine mounts at
    /etc/hostname and beside it say it then (they are another container's only under `--network container:…`).
    A host name proves nothing: anybody may set it.
    """
    cgroup = (line.split(":", 2)[-1] for line in _lines(proc / "cgroup"))
    ids = frozenset(match for path in cgroup for match in _IN_CGROUP.findall(path))
    mounts = [line.split(" ") for line in _lines(proc / "mountinfo")]
    if not ids:
        # cgroup v1 within a cgroup namespace of the host: the mounts' roots still tell.
        roots = (row[3] for row in mounts if len(row) > 4 and row[4].startswith("/sys/fs/cgroup"))
        ids = frozenset(match for root in roots for match in _IN_CGROUP.findall(root))
    return ids or frozenset(_mounted(mounts))


def _mounted(mounts: Iterable[list[str]]) -> Iterable[str]:
    for row in mounts:
        if len(row) > 4 and row[4] in _OWN_MOUNTS and (match := _IN_MOUNT.search(row[3])):
            yield match[1]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _any(patterns: Iterable[re.Pattern[str]], names: Iterable[str]) -> bool:
    return any(pattern.match(name) for pattern in patterns for name in names)


def glob(text: str, option: str) -> re.Pattern[str]:
    """A compiled glob; raises UsageError, naming `option`, for text that can't be one."""
    if problem := _problem(text):
        raise UsageError(f"{option} {text!r}: {problem}; write a glob as web*, db-? or job[0-9]")
    return re.compile(fnmatch.translate(text))


def _problem(text: str) -> str:
    if not text.strip():
        return "it is empty"
    if not text.isprintable() or len(text) > 1000:
        return "it is too long or holds control characters"
    if "/" in text:
        return "names of containers and services hold no slash"
    if "[" in _SET.sub("", text):
        return "its bracket is never closed"
    for inside in _SET.findall(text):
        for low, high in re.findall(r"(.)-(.)", inside):
            if low > high:
                return f"its range {low}-{high} is backwards"
    return ""
