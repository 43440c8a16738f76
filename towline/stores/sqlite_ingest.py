"""The writing half of the SQLite store: which lines are new, which partition takes them, what is forgotten."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from towline.batch import Batch
from towline.errors import StoreUnavailable
from towline.stores import Document, Retention, Verdict
from towline.stores.sqlite_blocks import JsonProbe
from towline.stores.sqlite_folder import Folder, Gone
from towline.stores.sqlite_intake import Intake, joined
from towline.stores.sqlite_partition import DamagedPartition, create, is_damage
from towline.stores.sqlite_write import PartitionWriter, known_events, stored_ids
from towline.times import format_time

log = logging.getLogger(__name__)

MAX_PARTITION = 1 << 30
MIN_PARTITION = 512 << 10
MAX_PARTITION_AGE = 86400.0
SHARE = 20
"""A partition holds about 1/SHARE of what may be kept, because retention removes whole partitions."""


@dataclass(frozen=True)
class _Sealed:
    """A partition that takes no more lines: its largest timestamp in nanoseconds, and when it was closed in seconds."""

    latest: int
    closed: float


class Ingest:
    """Used by SqliteStore; safe to call from several threads."""

    def __init__(self, folder: Folder, retention: Retention, clock: Callable[[], float]) -> None:
        self._folder, self._retention, self._clock = folder, retention, clock
        self._lock = threading.RLock()
        self._probe = JsonProbe()
        self._writer: PartitionWriter | None = None
        self._active = 0
        self._sealed: dict[int, _Sealed] = {}
        self._failure: StoreUnavailable | None = None
        folder.on_damage = self._lost
        self._resume()

    def _resume(self) -> None:
        for number in self._folder.numbers():
            self._learn(number)
        left = self._folder.numbers()
        if left:
            self._open(left[-1])
            self._sealed.pop(left[-1], None)

    def _learn(self, number: int) -> None:
        try:
            with self._folder.reading(number) as connection:
                row = connection.execute("SELECT max(last_ns), (SELECT closed FROM partition) FROM sources").fetchone()
                # Not closed in order (a kill between two steps): its file's own date is as good.
                closed = row[1] if row[1] is not None else self._folder.file(number).stat().st_mtime
                self._sealed[number] = _Sealed(row[0] or 0, closed)
        except Gone:
            self._sealed.pop(number, None)

    def _open(self, number: int) -> None:
        try:
            self._writer = PartitionWriter(self._folder.file(number))
        except DamagedPartition as error:
            self._folder.damaged(number, str(error))
            return
        except (sqlite3.Error, OSError) as error:
            raise self._folder.unavailable(error) from error
        self._active = number

    def _ready(self) -> PartitionWriter:
        """The active partition's writer; a new partition where there is none, or where its file was taken away."""
        if self._writer and not self._in_place(self._writer):
            log.warning("store file %s was removed by somebody: starting another one", self._writer.path)
            self._drop()
        if self._writer is None:
            number = max([*self._folder.numbers(), self._active], default=0) + 1
            self._folder.path.mkdir(parents=True, exist_ok=True)
            create(self._folder.file(number), self._clock())
            self._open(number)
        if self._writer is None:
            raise StoreUnavailable(f"store {self._folder.path}: a new file could not be read back; check the disk")
        return self._writer

    @staticmethod
    def _in_place(writer: PartitionWriter) -> bool:
        try:
            return writer.path.stat().st_ino == writer.inode
        except OSError:
            return False

    def _drop(self) -> None:
        if self._writer:
            self._writer.close()
        self._writer = None

    def _lost(self, number: int) -> None:
        with self._lock:
            self._sealed.pop(number, None)
            if number == self._active:
                self._drop()

    def write(self, batches: Sequence[Batch]) -> list[Verdict]:
        with self._lock:
            try:
                verdicts = self._write(batches)
            except StoreUnavailable as error:
                self._failure = error
                raise
            except (sqlite3.Error, OSError) as error:
                self._failure = self._folder.unavailable(error)
                raise self._failure from error
            self._failure = None
            return verdicts

    def _write(self, batches: Sequence[Batch]) -> list[Verdict]:
        for _ in range(2):
            self._roll_if_full()
            writer = self._ready()
            try:
                intake = Intake(
                    partial(self._stored, writer), partial(self._known, writer), self._probe,
                    format_time(int(self._clock() * 1e6) * 1000))  # fmt: skip
                verdicts = [intake.add(batch) for batch in batches]
                writer.write(joined(intake.blocks), intake.letters)
                return verdicts
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._folder.damaged(self._active, str(error))
        raise StoreUnavailable(f"store {self._folder.path}: files are damaged as they are written; check the disk")

    def forget(self, letters: Sequence[Document]) -> None:
        """Remove dead letters, whichever partition they are in."""
        places: dict[int, list[int]] = {}
        for letter in letters:
            at, _, key = str(letter["place"]).partition(":")
            places.setdefault(int(at), []).append(int(key))
        with self._lock:
            try:
                for number in sorted(places.keys() & set(self._folder.numbers())):
                    self._forget(number, places[number])
            except (sqlite3.Error, OSError) as error:
                raise self._folder.unavailable(error) from error

    def _forget(self, number: int, keys: Sequence[int]) -> None:
        if self._writer and number == self._active:
            self._writer.forget(keys)
            return
        self._folder.forget(number)
        other = PartitionWriter(self._folder.file(number))
        try:
            other.forget(keys)
        finally:
            other.seal(None)

    def _stored(self, writer: PartitionWriter, container: str, first: int, last: int) -> set[bytes]:
        """The ids of the container's lines, in any partition, whose blocks overlap that time."""
        known = stored_ids(writer.connection, container, first, last)
        for number in [number for number, sealed in self._sealed.items() if sealed.latest >= first]:
            try:
                with self._folder.reading(number) as connection:
                    known |= stored_ids(connection, container, first, last)
            except Gone:
                self._sealed.pop(number, None)
        return known

    def _known(self, writer: PartitionWriter, keys: Sequence[str]) -> set[str]:
        """Those of these events that any partition holds."""
        known = known_events(writer.connection, keys)
        for number in list(self._sealed):
            try:
                with self._folder.reading(number) as connection:
                    known |= known_events(connection, keys)
            except Gone:
                self._sealed.pop(number, None)
        return known

    def _limits(self) -> tuple[int, float]:
        size = min(MAX_PARTITION, max(MIN_PARTITION, self._retention.size // SHARE or MAX_PARTITION))
        return size, min(MAX_PARTITION_AGE, self._retention.age / SHARE or MAX_PARTITION_AGE)

    def _roll_if_full(self) -> None:
        size, age = self._limits()
        if self._writer is None or self._writer.empty():
            return
        if self._folder.size(self._active) > size or self._clock() - self._writer.created > age:
            self._roll()

    def _roll(self) -> None:
        writer, self._writer = self._writer, None
        if writer:
            self._folder.forget(self._active)
            writer.seal(self._clock())
            self._learn(self._active)

    def maintain(self) -> None:
        """Forget what retention says. The lock is held only where the active partition is closed."""
        if self._lock.acquire(blocking=False):
            try:
                self._roll_if_full()
            finally:
                self._lock.release()
        for number in self._expired():
            self._sealed.pop(number, None)
            self._folder.remove(number)
            log.info("retention removed store file %s", self._folder.file(number))

    def _expired(self) -> Iterator[int]:
        numbers = [number for number in self._folder.numbers() if number != self._active or self._writer is None]
        sizes = {number: self._folder.size(number) for number in self._folder.numbers()}
        total = sum(sizes.values())
        for number in numbers:
            sealed = self._sealed.get(number)
            old = self._retention.age and sealed and sealed.closed < self._clock() - self._retention.age
            large = self._retention.size and total > self._retention.size
            if not old and not large:
                return
            total -= sizes.get(number, 0)
            yield number

    def check(self) -> None:
        """Raise StoreUnavailable where a write would fail; a write under way counts as proof that it works."""
        if (self._failure is None and self._writer is not None) or not self._lock.acquire(blocking=False):
            return
        try:
            self._ready().write([], [])
            if self._failure and self._folder.full():
                raise self._failure
        except (sqlite3.Error, OSError) as error:
            raise self._folder.unavailable(error) from error
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            if self._writer:
                self._folder.forget(self._active)
                self._writer.seal(None)
            self._writer = None
            self._probe.close()
