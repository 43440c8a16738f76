"""The store: the contract, and the one table that picks a backend by URL scheme."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from towline.batch import Batch
from towline.errors import UsageError
from towline.query import Query
from towline.stores.summary import Histogram, Known

Document = dict[str, Any]
"""One log line as stored: nested ECS fields, `@timestamp` as RFC 3339 text with nine digits."""


@dataclass(frozen=True)
class Rejected:
    """One line that the store will never take as it is: it goes to the dead letters."""

    identity: str
    reason: str
    original: str


@dataclass(frozen=True)
class Verdict:
    """What became of each line of one batch, per section in its order. stored + duplicate + rejected = count."""

    stored: Sequence[int]
    duplicate: Sequence[int]
    rejected: Sequence[Sequence[Rejected]]


class Store(Protocol):
    """Where lines end up. Safe to call from several threads; one process writes, any number of processes read."""

    @property
    def damaged(self) -> int:
        """How often stored lines were lost to damage, ever; the logs are then read again, which may bring them back."""

    def write(self, batches: Sequence[Batch]) -> Sequence[Verdict]:
        """Store the batches, durably, all in one step; a line whose `_id` is already there is a duplicate.

        Rejected lines are kept as dead letters by the store before this returns.
        Raises StoreUnavailable where nothing was decided; nothing is stored then, or a retry finds duplicates.
        """

    def search(self, query: Query) -> Iterator[Document]:
        """The matching documents. `query.limit` picks the newest (order desc) or oldest (asc) of them; they come in
        that order. Raises StoreUnavailable, or UsageError where the query can't be run."""

    def context(self, hit: Document, before: int, after: int) -> tuple[list[Document], list[Document]]:
        """The lines of the hit's container around it, by `event.sequence`; both lists in log order."""

    def follow(self, cursor: str | None, query: Query, limit: int = 1000) -> tuple[list[Document], str]:
        """Documents that arrived after `cursor` (None: from now on) and match, in order of arrival, and the cursor to
        ask with next. Never misses or repeats one; answers at once, with [] where nothing is new."""

    def identities(self, container_id: str, since: str | None, until: str | None) -> Iterator[tuple[str, str]]:
        """(`_id`, `@timestamp`) of every stored line of a container with since <= @timestamp < until; for the audit."""

    def dead_letters(self, limit: int = 100) -> list[Document]:
        """The newest rejected lines (limit 0: all): identity, reason, original, `@timestamp` of the rejection, and
        `place`, which means something to this store only. `cut` is true where the original was too long to be kept.
        """

    def forget(self, letters: Sequence[Document]) -> None:
        """Remove these dead letters (as `dead_letters` gave them); one that is gone already is fine.

        Raises StoreUnavailable where not all could be removed.
        """

    def totals(self) -> dict[str, int]:
        """Lines stored by service."""

    def histogram(self, query: Query, step: int) -> Histogram:
        """How many lines match, in buckets of `step` milliseconds that begin at multiples of it since 1970. Order and
        limit of the query mean nothing. Levels go by `log.level`, else by words as the
        store's index cuts them (towline.levels)."""

    def containers(self, limit: int, name: str = "") -> tuple[list[Known], int]:
        """The containers that spoke last (0: as many as the store can tell), and how many there are in all, about.
        Those that were removed long ago are among them. Elasticsearch tells times to the millisecond. `name`: only
        those that have it in the name of container, service, stack or node, whatever its case (Elasticsearch: of a
        stack's name only the beginning, case included)."""

    def maintain(self) -> None:
        """Retention and housekeeping, cheap to call every few seconds, beside writes."""

    def check(self) -> None:
        """Raise StoreUnavailable, with the reason, where the store can't be written right now."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class Retention:
    """What may be forgotten: lines older than `age` seconds, the oldest beyond `size` bytes on disk. 0: no bound.

    `default`: nobody has asked for it; a store that remembers what it was told goes by that.
    """

    age: float = 0
    size: int = 0
    default: bool = False


def open_store(url: str, *, retention: Retention | None = Retention(), read_only: bool = False) -> Store:
    """The store behind `url`. `retention` None leaves that of the store as it is.

    Raises UsageError for a scheme that nobody serves or a path that can't be one.
    """
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        from towline.stores.sqlite import SqliteStore

        path = unquote(parts.path)
        if parts.netloc or not path.strip("/"):
            raise UsageError(f"store URL {url!r}: write sqlite:///absolute/directory")
        return SqliteStore(Path(path), retention=retention or Retention(), read_only=read_only)
    if parts.scheme in ("http", "https"):
        from towline.stores.elasticsearch import ElasticsearchStore

        return ElasticsearchStore(url, retention=retention, read_only=read_only)
    raise UsageError(f"store URL {url!r}: unknown scheme {parts.scheme!r}; use sqlite:///DIR or https://HOST:9200")
