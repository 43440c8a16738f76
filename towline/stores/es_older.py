"""Which older backing indices may hold a line: those with a line of the same container that is not older than it.

This compares stamps of one container with each other, so no clock of any machine needs to be right, and once an index
takes no more writes the answer for a container never changes: one search, then none for as long as it lives.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from elasticsearch import ApiError, Elasticsearch

from towline.batch import Section
from towline.errors import StoreUnavailable
from towline.stores.es_address import Address
from towline.stores.es_ask import JSON, ask
from towline.stores.es_errors import advice
from towline.stores.es_indices import Generation, Index
from towline.times import format_time, nanoseconds

SETTLED = 60.0
"""Seconds after a rollover until the older index has all that was under way to it."""
CONTAINERS, INDICES = 500, 40
"""How many one search asks for; the names of the indices have to fit into a URL of 4 kB."""
MOST = 200_000
"""Answers that are kept: about 30 MB."""
MARGIN = 2 * 3600 * 10**9
"""Nanoseconds that a node's clock may be behind the server's; matters only where the older index is closed."""
_MILLISECOND = 10**6
"""What the server's `max` of a `date_nanos` field is exact to."""
_ENDLESS = 1 << 64


class Older:
    """Not for several threads. `clock`: seconds, monotonic."""

    def __init__(
        self, client: Elasticsearch, address: Address, clock: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        self._client, self._address, self._clock = client, address, clock
        self._superseded: dict[str, float] = {}
        """When each older index was first seen to be one."""
        self._newest: dict[tuple[str, str], int] = {}
        """(index, container): nanoseconds of its newest line there, 0 for none."""

    def suspects(self, indices: Generation, sections: Sequence[Section]) -> list[list[str]]:
        """For each section the names of the older indices that may hold a line of it.

        Raises StoreUnavailable where a closed index would have to be asked; errors of the client go through.
        """
        older = indices[:-1]
        if not older:
            return [[] for _ in sections]
        now = self._clock()
        self._superseded = {one.name: self._superseded.get(one.name, now) for one in older}
        newest = self._all_newest(older, {_container(section) for section in sections} - {""})
        return [[one.name for one, after in zip(older, indices[1:], strict=True)
                 if self._may_hold(one, after, section, newest)] for section in sections]  # fmt: skip

    def _may_hold(self, index: Index, after: Index, section: Section, newest: dict[tuple[str, str], int]) -> bool:
        container = _container(section)
        if not index.closed:
            return not container or nanoseconds(section.first) <= newest[index.name, container]
        if format_time(after.created + MARGIN) < section.first and section.last < format_time(time.time_ns()):
            return False
        text = f"store {self._address.shown}: index {index.name} is closed and may hold lines that have come again"
        raise StoreUnavailable(advice(text, "index_closed_exception", index.name))

    def _all_newest(self, older: Sequence[Index], containers: Iterable[str]) -> dict[tuple[str, str], int]:
        if len(self._newest) > MOST:
            self._newest.clear()
        there = [one.name for one in older if not one.closed]
        settled = {name for name in there if self._clock() - self._superseded[name] >= SETTLED}
        found: dict[tuple[str, str], int] = {}
        missing: dict[str, list[str]] = {}
        for container in containers:
            for name in there:
                if (name, container) in self._newest:
                    found[name, container] = self._newest[name, container]
                else:
                    missing.setdefault(container, []).append(name)
        for some in _pieces(list(missing), CONTAINERS):
            for asked in _pieces(sorted({name for container in some for name in missing[container]}), INDICES):
                answers = self._ask(asked, [name for name in asked if name not in settled], some)
                found.update(answers)
                self._newest.update((key, value) for key, value in answers.items() if key[0] in settled)
        return found

    def _ask(self, indices: list[str], fresh: list[str], containers: list[str]) -> dict[tuple[str, str], int]:
        """Nanoseconds of each container's newest line in each index; `fresh` ones may hold what no search finds yet."""
        newest = {(name, container): 0 for name in indices for container in containers}
        unseen = fresh and not self._refreshed(fresh)
        answer = ask(self._client, self._address, ",".join(indices), _question(indices, containers),
                     ignore_unavailable="false")  # fmt: skip
        for row in answer["aggregations"]["index"]["buckets"]:
            for inner in row["container"]["buckets"]:
                newest[row["key"], inner["key"]] = (int(inner["newest"]["value"]) + 1) * _MILLISECOND
        if unseen:
            newest.update({(name, container): _ENDLESS for name in fresh for container in containers})
        return newest

    def _refreshed(self, names: list[str]) -> bool:
        try:
            self._client.perform_request("POST", f"/{','.join(names)}/_refresh", headers=JSON)
        except ApiError as error:
            if error.status_code == 403:
                return False  # we may not: then each line is looked for
            raise
        return True


def _pieces(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _question(indices: list[str], containers: list[str]) -> dict[str, Any]:
    newest = {"newest": {"max": {"field": "@timestamp"}}}
    by_container = {"terms": {"field": "container.id", "size": len(containers)}, "aggs": newest}
    by_index = {"terms": {"field": "_index", "size": len(indices)}, "aggs": {"container": by_container}}
    return {"size": 0, "query": {"terms": {"container.id": containers}}, "aggs": {"index": by_index}}


def _container(section: Section) -> str:
    """ "" where the origin names none: then its lines are looked for in every index."""
    container = section.origin.fields.get("container")
    return str(container.get("id", "")) if isinstance(container, dict) else ""
