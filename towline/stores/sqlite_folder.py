"""The folder of partitions 000001.db, 000002.db, …: which there are, connections to them, moving damaged ones aside."""

import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from towline.errors import StoreUnavailable, UsageError
from towline.stores import sqlite_partition
from towline.stores.sqlite_partition import DamagedPartition, is_damage

log = logging.getLogger(__name__)

IDLE_READERS = 4
"""Connections kept open per partition between two searches."""

ENDINGS = ("", "-wal", "-shm")


class Gone(Exception):
    """The partition was removed by retention, or moved aside."""


class Folder:
    """Partitions on disk. Safe to call from several threads."""

    def __init__(self, path: Path, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._lock = threading.Lock()
        self._idle: dict[Path, list[tuple[int, sqlite3.Connection]]] = {}
        self._reported: set[tuple[Path, int]] = set()
        self._guard: int | None = None
        self.on_damage: Callable[[int], None] = lambda number: None

    def claim(self) -> None:
        """Make the folder and become its only writer; UsageError or StoreUnavailable where that can't be."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            guard = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(f"store {self.path}: there is a file in its place; name a folder") from error
        except OSError as error:
            raise StoreUnavailable(f"store {self.path}: {error.strerror}; check the folder and its rights") from error
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(guard)
            raise StoreUnavailable(
                f"store {self.path}: another process writes to it; stop that one, or give this one another folder"
            ) from error
        self._guard = guard

    def require(self) -> None:
        """UsageError where there is no such folder to read."""
        try:
            there = self.path.is_dir()
        except PermissionError as error:
            raise UsageError(f"store {self.path}: this user may not read it; run as its owner") from error
        if not there:
            raise UsageError(f"store {self.path}: no such folder; start `towline up` first, or give --data or --store")
        if not os.access(self.path, os.R_OK | os.X_OK):
            raise UsageError(f"store {self.path}: this user may not read it; run as its owner, or allow reading")

    def file(self, number: int) -> Path:
        return self.path / f"{number:06}.db"

    def numbers(self) -> list[int]:
        """Partitions on disk, oldest arrival first."""
        try:
            names = [file.name for file in self.path.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreUnavailable(f"store {self.path}: {error.strerror}") from error
        return sorted(int(name[:-3]) for name in names if name.endswith(".db") and name[:-3].isdecimal())

    def put_aside(self) -> int:
        """How many damaged partitions were ever moved aside here."""
        return sum(1 for _ in self.path.glob("*.db.corrupt-*Z"))

    def size(self, number: int) -> int:
        """Bytes on disk of one partition."""
        total = 0
        for ending in ENDINGS:
            with contextlib.suppress(OSError):
                total += Path(f"{self.file(number)}{ending}").stat().st_size
        return total

    @contextlib.contextmanager
    def reading(self, number: int) -> Iterator[sqlite3.Connection]:
        """A connection for one use. Raises Gone where the partition can't be read (any more); damage is dealt with."""
        path = self.file(number)
        try:
            inode = path.stat().st_ino
            connection = self._borrow(path, inode)
        except FileNotFoundError as error:
            raise Gone(str(path)) from error
        except DamagedPartition as error:
            self.damaged(number, str(error))
            raise Gone(str(path)) from error
        except (sqlite3.OperationalError, OSError) as error:
            if not path.exists():
                raise Gone(str(path)) from error
            raise self.unavailable(error) from error
        try:
            yield connection
        except sqlite3.DatabaseError as error:
            connection.close()
            if is_damage(error):
                self.damaged(number, str(error))
                raise Gone(str(path)) from error
            raise self.unavailable(error) from error
        except BaseException:
            connection.close()
            raise
        self._give_back(path, inode, connection)

    def _borrow(self, path: Path, inode: int) -> sqlite3.Connection:
        with self._lock:
            idle = self._idle.get(path, [])
            while idle:
                seen, connection = idle.pop()
                if seen == inode:
                    return connection
                connection.close()
            if (path, inode) in self._reported:
                raise FileNotFoundError(path)
        return sqlite_partition.open_reader(path)

    def _give_back(self, path: Path, inode: int, connection: sqlite3.Connection) -> None:
        with self._lock:
            idle = self._idle.setdefault(path, [])
            if len(idle) < IDLE_READERS and path.exists():
                idle.append((inode, connection))
                return
        connection.close()

    def forget(self, number: int) -> None:
        """Close the idle connections to a partition."""
        with self._lock:
            for _, connection in self._idle.pop(self.file(number), []):
                connection.close()

    def remove(self, number: int) -> None:
        """Unlink a partition; who reads it at this moment may finish."""
        self.forget(number)
        for ending in ENDINGS:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.file(number)}{ending}").unlink()

    def damaged(self, number: int, reason: str) -> None:
        """Move the partition aside and say so; who only reads leaves it and says that once."""
        path = self.file(number)
        self.forget(number)
        if self.read_only:
            self._leave(path, reason)
            return
        self.on_damage(number)
        aside = f"corrupt-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        try:
            path.rename(f"{path}.{aside}")
        except FileNotFoundError:
            return
        except OSError as error:
            raise self.unavailable(error) from error
        for ending in ENDINGS[1:]:
            with contextlib.suppress(OSError):
                Path(f"{path}{ending}").rename(f"{path}.{aside}{ending}")
        log.warning("store file %s can't be read (%s): moved aside to %s.%s; going on without it",
                    path, reason, path.name, aside)  # fmt: skip

    def _leave(self, path: Path, reason: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            inode = path.stat().st_ino
            if (path, inode) not in self._reported:
                self._reported.add((path, inode))
                log.warning("store file %s can't be read (%s): left out of this search", path, reason)

    def unavailable(self, error: Exception) -> StoreUnavailable:
        """What to tell people about an error of SQLite or of the file system."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) == 28 or self.full():
            return StoreUnavailable(
                f"store {self.path}: the disk is full; make room there, or keep less with --keep-size or --keep-age"
            )
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreUnavailable(f"store {self.path}: locked by another program; close what has it open")
        return StoreUnavailable(f"store {self.path}: {error}; check the disk and the rights of the folder")

    def full(self) -> bool:
        with contextlib.suppress(OSError):
            room = os.statvfs(self.path)
            return room.f_bavail * room.f_frsize < 64 << 10
        return False

    def close(self) -> None:
        with self._lock:
            for idle in self._idle.values():
                for _, connection in idle:
                    connection.close()
            self._idle.clear()
        if self._guard is not None:
            os.close(self._guard)
            self._guard = None
