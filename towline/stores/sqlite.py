"""The embedded store: a folder of SQLite files, one per stretch of arrival, with a word index over every line.

Lines are kept in compressed blocks, because a row for each costs several times the time and room. Retention removes
whole files, so it never competes with writing. One process writes; any number may read, also while none writes.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from towline.batch import Batch
from towline.errors import StoreUnavailable, UsageError
from towline.query import Query
from towline.stores import Document, Retention, Verdict, sqlite_read, sqlite_search, sqlite_summary
from towline.stores.sqlite_folder import Folder
from towline.stores.sqlite_ingest import Ingest
from towline.stores.summary import Histogram, Known


class SqliteStore:
    """A `towline.stores.Store` in the folder `path`.

    Raises UsageError where `path` can't be such a folder (or, read-only, is not there), StoreUnavailable where another
    process writes to it, the disk is full, or a newer Towline wrote it.
    """

    def __init__(
        self, path: Path, *, retention: Retention = Retention(), read_only: bool = False,  # noqa: B008
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._folder = Folder(path, read_only)
        self._ingest: Ingest | None = None
        if read_only:
            self._folder.require()
            return
        self._folder.claim()
        try:
            self._ingest = Ingest(self._folder, retention, clock)
        except BaseException:
            self._folder.close()
            raise

    @property
    def damaged(self) -> int:
        return self._folder.put_aside()

    def write(self, batches: Sequence[Batch]) -> Sequence[Verdict]:
        return self._writing().write(batches)

    def search(self, query: Query) -> Iterator[Document]:
        return sqlite_search.search(self._folder, query)

    def context(self, hit: Document, before: int, after: int) -> tuple[list[Document], list[Document]]:
        return sqlite_read.around(self._folder, hit, before, after)

    def follow(self, cursor: str | None, query: Query, limit: int = 1000) -> tuple[list[Document], str]:
        return sqlite_read.follow(self._folder, cursor, query, limit)

    def identities(self, container_id: str, since: str | None, until: str | None) -> Iterator[tuple[str, str]]:
        return sqlite_read.identities(self._folder, container_id, since, until)

    def dead_letters(self, limit: int = 100) -> list[Document]:
        return sqlite_read.dead_letters(self._folder, limit)

    def forget(self, letters: Sequence[Document]) -> None:
        self._writing().forget(letters)

    def totals(self) -> dict[str, int]:
        return sqlite_read.totals(self._folder)

    def histogram(self, query: Query, step: int) -> Histogram:
        return sqlite_summary.tidied(sqlite_summary.histogram(self._folder, query, step))

    def containers(self, limit: int, name: str = "") -> tuple[list[Known], int]:
        return sqlite_summary.containers(self._folder, limit, name)

    def maintain(self) -> None:
        self._writing().maintain()

    def check(self) -> None:
        if self._ingest:
            self._ingest.check()
        else:
            raise StoreUnavailable(f"store {self._folder.path}: opened for reading only")

    def close(self) -> None:
        if self._ingest:
            self._ingest.close()
            self._ingest = None
        self._folder.close()

    def _writing(self) -> Ingest:
        if self._ingest is None:
            raise UsageError(f"store {self._folder.path}: opened for reading only, or closed; open it for writing")
        return self._ingest
