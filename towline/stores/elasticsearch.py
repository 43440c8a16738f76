"""The Elasticsearch store: data streams of lines and one of dead letters, written in bulk, read at points in time."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from towline.batch import Batch
from towline.data_streams import Route
from towline.errors import StoreUnavailable, UsageError
from towline.query import Query
from towline.stores import Document, Retention, Verdict, es_letters, es_summary
from towline.stores.es_address import Address, parse
from towline.stores.es_client import check_version, connect
from towline.stores.es_errors import translated
from towline.stores.es_follow import Follower
from towline.stores.es_lane import PATIENCE
from towline.stores.es_read import Reader
from towline.stores.es_routed import install_routed
from towline.stores.es_template import install
from towline.stores.es_write import Writer
from towline.stores.summary import Histogram, Known


class ElasticsearchStore:
    """A `towline.stores.Store`. Any number of processes may write to the same cluster.

    `url` as in towline.stores.es_address; secrets come from `environ`. Opened for writing it puts the index templates
    in place; where the cluster is away at that time, it does so before the first write.
    Raises UsageError where the URL or a certificate is of no use, StoreUnavailable where the server refuses our
    credentials, or is none we can work with.
    """

    def __init__(
        self, url: str, *, retention: Retention | None = Retention(), read_only: bool = False,  # noqa: B008
        environ: Mapping[str, str] = os.environ, patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._address: Address = parse(url, environ)
        self._retention, self._read_only = retention, read_only
        self._client = connect(self._address)
        self._prepared = False
        self._writer = Writer(
            self._client, self._address, self._unprepare, self._routed, patience=patience, clock=clock
        )
        self._reader = Reader(self._client, self._address)
        self._follower = Follower(self._client, self._address, self._reader.translation)
        try:
            self._open()
        except BaseException:
            self._client.close()
            raise

    def _open(self) -> None:
        check_version(self._client, self._address)
        if not self._read_only:
            self._prepare()

    def _prepare(self) -> None:
        if not self._prepared:
            install(self._client, self._address, self._retention)
            self._prepared = True

    def _unprepare(self) -> None:
        self._prepared = False

    def _routed(self, route: Route) -> bool:
        return install_routed(self._client, self._address, route, self._retention)

    @property
    def damaged(self) -> int:
        """Always 0: a cluster that has lost lines says so itself, by its health."""
        return 0

    def write(self, batches: Sequence[Batch]) -> Sequence[Verdict]:
        if self._read_only:
            raise UsageError(f"store {self._address.shown}: opened for reading only; open it for writing")
        self._prepare()
        return self._writer.write(batches)

    def search(self, query: Query) -> Iterator[Document]:
        return self._reader.search(query)

    def context(self, hit: Document, before: int, after: int) -> tuple[list[Document], list[Document]]:
        return self._reader.context(hit, before, after)

    def follow(self, cursor: str | None, query: Query, limit: int = 1000) -> tuple[list[Document], str]:
        return self._follower.follow(cursor, query, limit)

    def identities(self, container_id: str, since: str | None, until: str | None) -> Iterator[tuple[str, str]]:
        return self._reader.identities(container_id, since, until)

    def dead_letters(self, limit: int = 100) -> list[Document]:
        with translated(self._address.shown):
            return es_letters.newest(self._client, self._address, limit)

    def forget(self, letters: Sequence[Document]) -> None:
        if self._read_only:
            raise UsageError(f"store {self._address.shown}: opened for reading only; open it for writing")
        with translated(self._address.shown):
            es_letters.forget(self._client, self._address, letters)

    def totals(self) -> dict[str, int]:
        return self._reader.totals()

    def histogram(self, query: Query, step: int) -> Histogram:
        with translated(self._address.shown):
            return es_summary.histogram(self._client, self._address, self._reader.translation(query), query, step)

    def containers(self, limit: int, name: str = "") -> tuple[list[Known], int]:
        with translated(self._address.shown):
            return es_summary.containers(self._client, self._address, limit, name)

    def maintain(self) -> None:
        """Remove what a rollover has doubled; what is old is forgotten by the server's data stream lifecycle."""
        self._writer.settle()

    def check(self) -> None:
        if self._read_only:
            raise StoreUnavailable(f"store {self._address.shown}: opened for reading only")
        if self._writer.failure is not None:
            raise self._writer.failure
        with translated(self._address.shown):
            self._client.indices.exists_index_template(name=f"towline-{self._address.layout.stream}")

    def close(self) -> None:
        """Ends waiting writes; calling it twice is fine."""
        self._writer.stop_waiting()
        self._client.close()
