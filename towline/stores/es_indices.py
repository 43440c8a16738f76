"""The backing indices of a data stream, and lines that one of the older ones may hold already.

A `create` is refused where its `_id` exists, but only by the index that takes the write: after a rollover the same line
would be stored again. So a line that may have been written before the current index was made is looked for first.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from elasticsearch import Elasticsearch

from towline.stores.es_ask import JSON
from towline.stores.es_bulk import Part
from towline.times import format_time

MARGIN = 7200.0
"""Seconds that the clock of a node may be ahead of the server's."""
LOOK_UP = 5000


@dataclass(frozen=True)
class Index:
    name: str
    created: int
    """Nanoseconds since the epoch."""


Generation = tuple[Index, ...]
"""The backing indices, oldest first; the last takes the writes. Empty where the data stream is not there yet."""


def generation(client: Elasticsearch, stream: str) -> Generation:
    """What is there now; a request of a millisecond."""
    answer = client.indices.get_settings(
        index=stream, name="index.creation_date", ignore_unavailable=True, allow_no_indices=True,
        expand_wildcards="all", filter_path="*.settings.index.creation_date").body  # fmt: skip
    found = [Index(name, int(row["settings"]["index"]["creation_date"]) * 10**6) for name, row in answer.items()]
    return tuple(sorted((one for one in found if not one.name.startswith(".fs-")), key=_number))


def _number(index: Index) -> tuple[int, int, str]:
    number = index.name.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0, index.created, index.name


def suspects(indices: Generation, first: str, last: str, doubt: str | None) -> list[str]:
    """The older indices that may hold a line of this span of time; all of them where its clock is ahead of ours.

    `doubt`: the index that took writes when one of unknown outcome was sent, if any: it and those after it are
    suspects whatever the time.
    """
    found = []
    doubted = last > format_time(time.time_ns())
    for index, following in pairwise(indices):
        doubted = doubted or index.name == doubt
        if doubted or first < format_time(following.created + int(MARGIN * 1e9)):
            found.append(index.name)
    return found


def known(client: Elasticsearch, index: str, parts: Sequence[Part]) -> list[list[bool]]:
    """For each line of each part whether the index holds it; what is not refreshed yet is seen too."""
    identities = [identity for part in parts for identity in part.identities()]
    found: list[bool] = []
    for start in range(0, len(identities), LOOK_UP):
        found += _look_up(client, index, identities[start : start + LOOK_UP])
    answer, at = [], 0
    for part in parts:
        answer.append(found[at : at + part.count])
        at += part.count
    return answer


def _look_up(client: Elasticsearch, index: str, identities: Sequence[bytes]) -> list[bool]:
    body = b'{"ids":["' + b'","'.join(identities) + b'"]}'
    answer = client.perform_request(
        "POST", f"/{index}/_mget", params={"filter_path": "docs.found,docs.error.type", "_source": "false"},
        headers=JSON, body=body).body  # fmt: skip
    docs = answer["docs"]
    if len(docs) != len(identities):
        raise ValueError(f"{len(docs)} answers for {len(identities)} identities")
    return [bool(doc.get("found")) for doc in docs]
