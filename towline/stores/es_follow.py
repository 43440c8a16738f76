"""Following arrivals by sequence number: each shard counts the lines that it takes, whatever their timestamps.

A number may be given out shortly before its line can be seen, while a later one is seen already. So the cursor never
moves past a number that is missing, until it is certain that no line of that number will come: all copies of the shard
have dealt with it (the global checkpoint) and were refreshed since.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from elasticsearch import Elasticsearch

from towline.errors import UsageError
from towline.query import Query, matches
from towline.stores import Document
from towline.stores.es_address import Address
from towline.stores.es_ask import ask
from towline.stores.es_errors import translated
from towline.stores.es_query import Translation

WINDOW = 5000
"""Numbers of one shard that one call looks at."""
WAIT = 2.0
"""Seconds that a missing number may take to appear by itself before a refresh is asked for."""
_SHARD = re.compile(r"([^/:~,\s]+)/(\d+):(-?\d+)(?:~(\d+))?")


@dataclass(frozen=True)
class Place:
    """All numbers up to `done` are dealt with in this shard; the next one has been missing `since` (ms, 0: is not)."""

    index: str
    shard: int
    done: int
    since: int = 0

    def __str__(self) -> str:
        return f"{self.index}/{self.shard}:{self.done}" + (f"~{self.since}" if self.since else "")


class Follower:
    def __init__(self, client: Elasticsearch, address: Address, translation: Callable[[Query], Translation],
                 clock: Callable[[], float] = time.time) -> None:  # fmt: skip
        self._client, self._address, self._layout = client, address, address.layout
        self._translation, self._clock = translation, clock

    def follow(self, cursor: str | None, query: Query, limit: int) -> tuple[list[Document], str]:
        places = None if cursor is None else _parsed(cursor)
        with translated(self._address.shown):
            if places is None:
                streams = self._layout.reads.split(",")  # this API has no ignore_unavailable
                return [], _text([place for one in streams for place in self._checkpoints("max_seq_no", one)])
            found: list[Document] = []
            moved = []
            asked = _Asked(query, self._translation(query), limit, found)
            for place in self._all(places):
                if len(found) < limit:
                    place = self._advance(place, asked)
                moved.append(place)
            return found, _text(moved)

    def _all(self, places: list[Place]) -> list[Place]:
        """The places whose index is still there, and the beginnings of those that are new."""
        known = {(place.index, place.shard): place for place in places}
        result = []
        for index, shards in self._indices().items():
            result += [known.get((index, shard), Place(index, shard, -1)) for shard in range(shards)]
        return result

    def _indices(self) -> dict[str, int]:
        answer = self._client.indices.get_settings(
            index=self._layout.reads, name="index.number_of_shards", ignore_unavailable=True, allow_no_indices=True,
            filter_path="*.settings.index.number_of_shards").body  # fmt: skip
        names = sorted(answer, key=lambda name: name.rpartition("-")[2])
        return {name: int(answer[name]["settings"]["index"]["number_of_shards"]) for name in names}

    def _checkpoints(self, kind: str, index: str) -> list[Place]:
        answer = self._client.options(ignore_status=404).indices.stats(
            index=index, level="shards", metric="docs",
            filter_path="indices.*.shards.*.seq_no,indices.*.shards.*.routing.primary").body  # fmt: skip
        return [Place(name, int(shard), max(copy["seq_no"][kind] for copy in copies if copy.get("seq_no")))
                for name, row in answer.get("indices", {}).items() for shard, copies in row["shards"].items()
                if any(copy.get("seq_no") for copy in copies)]  # fmt: skip

    def _advance(self, place: Place, asked: "_Asked") -> Place:
        """The place after the lines that were added to what was found."""
        seen, hits = self._look(place, asked)
        whole = _run(place.done, seen)
        if seen and whole == place.done:
            return self._resolve(place, asked)
        return _take(place, asked, hits, whole)

    def _look(self, place: Place, asked: "_Asked") -> tuple[list[int], list[Any]]:
        """The numbers after the place that can be seen, in order; and the lines among them that may match."""
        translation = asked.translation
        window = {"range": {"_seq_no": {"gt": place.done, "lte": place.done + WINDOW}}}
        numbers = {"query": window, "size": WINDOW, "_source": False, "sort": [{"_seq_no": "asc"}],
                   }  # fmt: skip
        lines = {"query": {"bool": {"filter": [window, translation.query(asked.query)]}}, "size": asked.room,
                 "sort": [{"_seq_no": "asc"}]} | translation.extra  # fmt: skip
        first = self._search(place, numbers)
        if not first:
            return self._beyond(place), []
        seen = [hit["sort"][0] for hit in first]
        return seen, self._search(place, lines)

    def _beyond(self, place: Place) -> list[int]:
        """The first number that can be seen after the window, where the window is empty."""
        body = {"query": {"range": {"_seq_no": {"gt": place.done + WINDOW}}}, "size": 1, "_source": False,
                "sort": [{"_seq_no": "asc"}]}  # fmt: skip
        return [hit["sort"][0] for hit in self._search(place, body)]

    def _search(self, place: Place, body: dict[str, Any]) -> list[Any]:
        answer = ask(self._client, self._address, place.index, body, preference=f"_shards:{place.shard}")
        hits: list[Any] = answer["hits"]["hits"]
        return hits

    def _resolve(self, place: Place, asked: "_Asked") -> Place:
        """The next number is missing though later ones can be seen: wait for it, or make sure that it never comes."""
        now = int(self._clock() * 1000)
        if not place.since or now < place.since:
            return replace(place, since=now)
        if now - place.since < WAIT * 1000:
            return place
        settled = [one.done for one in self._checkpoints("global_checkpoint", place.index) if one.shard == place.shard]
        self._client.indices.refresh(index=place.index)
        certain = min(max(settled, default=-1), place.done + WINDOW)
        _, hits = self._look(place, asked)
        return _take(place, asked, hits, max(certain, place.done))


@dataclass(frozen=True)
class _Asked:
    """One call of `follow`."""

    query: Query
    translation: Translation
    limit: int
    found: list[Document]

    @property
    def room(self) -> int:
        return self.limit - len(self.found)


def _take(place: Place, asked: _Asked, hits: list[Any], until: int) -> Place:
    """Add the hits up to number `until`; the place after the last one that was dealt with."""
    room = asked.room
    for hit in hits:
        number = hit["sort"][0]
        if number > until:
            return Place(place.index, place.shard, until)
        if matches(asked.query, hit["_source"]):
            asked.found.append(hit["_source"])
    full = len(hits) >= room and hits
    return Place(place.index, place.shard, min(until, hits[-1]["sort"][0]) if full else until)


def _run(done: int, seen: list[int]) -> int:
    """The last of the numbers that follow one another from `done` on."""
    if seen and seen[-1] - done == len(seen):
        return seen[-1]
    for number in seen:
        if number != done + 1:
            break
        done = number
    return done


def _parsed(cursor: str) -> list[Place]:
    places = []
    for part in cursor.split(",") if cursor != "-" else ():
        match = _SHARD.fullmatch(part)
        if not match:
            raise UsageError(f"cursor {cursor!r}: pass one that an earlier answer gave, or none")
        places.append(Place(match[1], int(match[2]), int(match[3]), int(match[4] or 0)))
    return places


def _text(places: list[Place]) -> str:
    return ",".join(map(str, places)) or "-"
