"""Families out of tables: one column is one metric, one row is one device."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from exporters.exposition import Family, family, labels

Value = float | int | None


@dataclass(frozen=True, slots=True)
class Column:
    """A metric without its samples. kind: "counter", "gauge" or "untyped"."""

    name: str
    kind: str
    help: str

    def family(self, samples: Iterable[tuple[str, float | int]]) -> Family:
        """samples: (label block, value)."""
        return family(self.name, self.kind, self.help, samples)

    def single(self, value: float | int) -> Family:
        return family(self.name, self.kind, self.help, (("", value),))


def families(columns: Sequence[Column], rows: Sequence[tuple[str, Sequence[Value]]]) -> Iterator[Family]:
    """rows: (label block, a value for each column). None, and what a short row lacks, is no sample."""
    for at, column in enumerate(columns):
        yield column.family((block, value) for block, row in rows if at < len(row) and (value := row[at]) is not None)


@lru_cache(maxsize=4096)
def block_of(*pairs: tuple[str, str]) -> str:
    """The label block of (name, value) pairs, remembered from scrape to scrape."""
    return labels(dict(pairs))


def device_block(device: str) -> str:
    return block_of(("device", device))


def cpu_block(cpu: str) -> str:
    return block_of(("cpu", cpu))
