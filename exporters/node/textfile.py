"""Metrics that others leave in files: `*.prom` in the folders that were named. A bad file costs itself only."""

import errno
import glob
import logging
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from exporters.exposition import Family
from exporters.node.columns import Column, block_of
from exporters.node.host import Host
from exporters.node.promtext import Malformed, Told, parse

log = logging.getLogger(__name__)

MAX_BYTES = 8 << 20  # of one file; all of it is held in memory and sent at each scrape
_MTIME = Column("node_textfile_mtime_seconds", "gauge", "Unixtime mtime of textfiles successfully read.")
_ERROR = Column("node_textfile_scrape_error", "gauge", "1 if there was an error opening or reading a file, 0 otherwise")


@dataclass(frozen=True, slots=True)
class Version:
    """What a file looked like when it was read: the same again, it is not read again."""

    inode: int
    size: int
    mtime_ns: int


@dataclass(slots=True)
class Merged:
    """A family of all files. samples: lines by name and labels. files: where it was told."""

    kind: str
    help: str | None
    samples: dict[str, str]
    files: list[str]


class TextFile:
    name = "textfile"

    def __init__(self, host: Host) -> None:
        self._folders = host.textfiles
        self._known: dict[str, tuple[Version, dict[str, Told]]] = {}
        self._merged: list[Family] = []
        self._told: set[str] = set()
        self._doubts: list[str] = []

    def collect(self) -> Iterable[Family]:
        before = self._known
        wrong: list[str] = []
        self._known = {}
        for path in self._paths(wrong):
            try:
                self._known[path] = _read(path, before.get(path))
            except (OSError, Malformed, UnicodeDecodeError) as error:
                wrong.append(f"{path} is left out: {getattr(error, 'strerror', None) or error}")
        if self._known != before:
            self._doubts = []
            self._merged = list(_families(self._known, self._doubts))
        self._tell(wrong + self._doubts)
        yield from self._merged
        yield _MTIME.family(
            (block_of(("file", path)), version.mtime_ns / 1e9) for path, (version, _) in self._known.items()
        )
        yield _ERROR.single(int(bool(wrong or self._doubts)))

    def _paths(self, wrong: list[str]) -> Iterator[str]:
        for pattern in self._folders:
            for folder in sorted(glob.glob(pattern)) or [pattern]:  # noqa: PTH207  # patterns may be absolute
                try:
                    names = sorted(os.listdir(folder))  # noqa: PTH208  # names are wanted
                except OSError as error:
                    wrong.append(f"{folder} can't be read: {error.strerror}")
                    continue
                yield from (f"{folder}/{name}" for name in names if name.endswith(".prom"))

    def _tell(self, wrong: list[str]) -> None:
        for message in wrong:
            if message not in self._told:
                log.warning("textfile: %s", message)
        self._told = set(wrong)


def _read(path: str, before: tuple[Version, dict[str, Told]] | None) -> tuple[Version, dict[str, Told]]:
    """A file's families. Never waits: a pipe that is called `*.prom` is refused."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:  # noqa: PTH123  # opened without waiting
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
            raise OSError(errno.EINVAL, f"not a file, or larger than {MAX_BYTES >> 20} MiB")
        version = Version(found.st_ino, found.st_size, found.st_mtime_ns)
        if before is not None and before[0] == version:
            return before
        return version, parse(file.read(MAX_BYTES).decode())


def _families(files: dict[str, tuple[Version, dict[str, Told]]], wrong: list[str]) -> Iterator[Family]:
    """The families of all files. wrong: takes what is told twice or in two ways; there the first one counts."""
    merged: dict[str, Merged] = {}
    for path, (_, families) in files.items():
        for name, told in families.items():
            into = merged.setdefault(name, Merged(told.kind, None, {}, []))
            if into.kind != told.kind:
                wrong.append(f"{name} is a {into.kind} in {into.files[0]} and a {told.kind} in {path}: left out there")
                continue
            twice = into.samples.keys() & told.samples.keys()
            if twice:
                wrong.append(f"{min(twice)} comes in {path} again, after {into.files[0]}: left out there")
            into.samples = told.samples | into.samples
            into.help = told.help if into.help is None else into.help
            into.files.append(path)
    for name, one in merged.items():
        body = "".join(f"{line}\n" for line in one.samples.values())
        yield Family(name, one.kind, one.help or f"Metric read from {', '.join(one.files)}", body.encode())
