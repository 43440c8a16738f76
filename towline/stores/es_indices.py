"""The backing indices of a data stream, and the one document that each line has in them.

A `create` is refused where its `_id` exists, but only by the index that takes the write: after a rollover the same line
would be stored again. So what an older index may hold is looked for, and of two copies the older one stays.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from elasticsearch import Elasticsearch

from towline.errors import StoreUnavailable
from towline.stores.es_ask import JSON, NDJSON
from towline.stores.es_bulk import Part
from towline.stores.es_errors import advice

LOOK_UP = 5000
"""Identities that one request asks for."""


@dataclass(frozen=True)
class Index:
    name: str
    created: int
    """Nanoseconds since the epoch, by the server's clock."""
    closed: bool = False


_ASKED = "index.creation_date,index.verified_before_close"
_TELLING = {"ignore_unavailable": "true", "allow_no_indices": "true", "expand_wildcards": "all",
            "filter_path": "*.settings.index.creation_date,*.settings.index.verified_before_close"}  # fmt: skip
Generation = tuple[Index, ...]
"""The backing indices, oldest first; the last takes the writes. Empty where the data stream is not there yet."""


def generation(client: Elasticsearch, stream: str) -> Generation:
    """What is there now; a request of a millisecond, not by the client's own method, which costs us as much again."""
    answer = client.perform_request("GET", f"/{stream}/_settings/{_ASKED}", params=_TELLING, headers=JSON).body
    found = [_index(name, row["settings"]["index"]) for name, row in answer.items()]
    return tuple(sorted((one for one in found if not one.name.startswith(".fs-")), key=_number))


def _index(name: str, settings: dict[str, Any]) -> Index:
    return Index(name, int(settings["creation_date"]) * 10**6, settings.get("verified_before_close") == "true")


def _number(index: Index) -> tuple[int, int, str]:
    number = index.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0, index.created, index.name


def held(client: Elasticsearch, index: str, identities: Sequence[bytes]) -> list[bool]:
    """For each identity whether the index holds it; what is not refreshed yet is seen too, an index that is gone holds
    nothing. Raises StoreUnavailable where the index can't say."""
    found: list[bool] = []
    for start in range(0, len(identities), LOOK_UP):
        asked = identities[start : start + LOOK_UP]
        answer = client.perform_request(
            "POST", f"/{index}/_mget", params={"filter_path": "docs.found,docs.error.type", "_source": "false"},
            headers=JSON, body=b'{"ids":["' + b'","'.join(asked) + b'"]}').body  # fmt: skip
        if len(answer["docs"]) != len(asked):
            raise StoreUnavailable(f"index {index}: {len(answer['docs'])} answers for {len(asked)} identities")
        found += [_found(index, row) for row in answer["docs"]]
    return found


def _found(index: str, row: dict[str, Any]) -> bool:
    kind = row.get("error", {}).get("type", "index_not_found_exception")
    if kind != "index_not_found_exception":
        raise StoreUnavailable(advice(f"index {index} can't say which lines it holds: {kind}", kind, index))
    return bool(row.get("found"))


def keep_oldest(client: Elasticsearch, names: Sequence[str], identities: Sequence[bytes], refresh: bool) -> list[bool]:
    """Of each document that several of these indices (oldest first) hold, only the oldest stays.

    For each identity whether a copy was removed. Raises StoreUnavailable where an index can't say or won't remove.
    """
    seen, removed = [False] * len(identities), [False] * len(identities)
    for name in names:
        there = held(client, name, identities)
        surplus = [at for at in range(len(identities)) if seen[at] and there[at]]
        if surplus:
            _remove(client, name, [identities[at] for at in surplus], refresh)
        for at in surplus:
            removed[at] = True
        seen = [old or new for old, new in zip(seen, there, strict=True)]
    return removed


def _remove(client: Elasticsearch, index: str, identities: Sequence[bytes], refresh: bool) -> None:
    rows = b"".join([b'{"delete":{"_id":"%b"}}\n' % identity for identity in identities])
    params = {"refresh": "true"} if refresh else {}
    answer = client.perform_request("POST", f"/{index}/_bulk", params=params, headers=NDJSON, body=rows).body
    if answer["errors"]:
        raise StoreUnavailable(f"index {index}: lines that a rollover has doubled can't be removed; "
                               "does this account have the `delete` privilege?")  # fmt: skip


def from_on(indices: Generation, name: str) -> list[str]:
    """The names from this one on, or all of them where it is gone."""
    names = [one.name for one in indices]
    return names[names.index(name) :] if name in names else names


def identities_of(parts: Sequence[Part]) -> list[bytes]:
    return [identity for part in parts for identity in part.identities()]


def spread(parts: Sequence[Part], flags: Sequence[bool]) -> Iterator[tuple[Part, list[int]]]:
    """With each part, the positions of those of its lines whose flag is set; `flags` go through all parts' lines, or
    there are none."""
    if not flags:
        return
    start = 0
    for part in parts:
        yield part, [at for at in range(part.count) if flags[start + at]]
        start += part.count
