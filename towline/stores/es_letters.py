"""Dead letters: what the store refused for good, kept in a data stream of its own with the reason and the original."""

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import orjson
from elasticsearch import ApiError, Elasticsearch

from towline.errors import StoreUnavailable
from towline.stores import Document, Rejected
from towline.stores.es_address import Address
from towline.stores.es_ask import NDJSON, ask
from towline.stores.es_bulk import Tally
from towline.stores.es_errors import cause
from towline.times import format_time

LONGEST_ORIGINAL = (4 << 20, 32 << 10)
"""Characters of the original that are kept; the second where the server refuses the first."""
_BODY = 4 << 20
PAGE = 1000
_NEWEST_FIRST = [
    {"@timestamp": {"order": "desc", "unmapped_type": "date_nanos", "format": "strict_date_optional_time_nanos"}},
    {"identity": {"order": "desc", "unmapped_type": "keyword"}},
]


def bury(client: Elasticsearch, address: Address, tally: Tally) -> None:
    """Keep all rejected lines of the tally; StoreUnavailable where the server does not take them."""
    letters = [(rejected, tally.batches[number].sections[at].origin.fields)
               for (number, at), found in tally.rejected.items() for rejected in found]  # fmt: skip
    group: list[bytes] = []
    for rejected, origin in letters:
        group.append(_pair(rejected, origin, LONGEST_ORIGINAL[0]))
        if sum(map(len, group)) > _BODY:
            _send(client, address, group)
            group = []
    if group:
        _send(client, address, group)


def _pair(rejected: Rejected, origin: Any, longest: int) -> bytes:
    told = orjson.dumps([rejected.identity, rejected.reason, rejected.original])
    action = {"create": {"_id": hashlib.sha256(told).hexdigest()[:40]}}
    letter = {**origin, "@timestamp": format_time(time.time_ns()), "identity": rejected.identity,
              "reason": rejected.reason, "original": rejected.original[:longest],
              **({"cut": True} if len(rejected.original) > longest else {})}  # fmt: skip
    return orjson.dumps(action) + b"\n" + orjson.dumps(letter) + b"\n"


def _send(client: Elasticsearch, address: Address, group: list[bytes]) -> None:
    params = {"require_data_stream": "true", "filter_path": "errors,items.*.status,items.*.error"}
    if address.layout.refresh == "now":
        params["refresh"] = "true"
    try:
        answer = client.perform_request(
            "POST", f"/{address.layout.dead_letters}/_bulk", params=params, body=b"".join(group),
            headers=NDJSON).body  # fmt: skip
    except ApiError as error:
        if error.status_code != 413:
            raise
        for one in group:
            _send_alone(client, address, one, error)
        return
    for item, one in zip(answer.get("items", ()), group, strict=False):
        row = item["create"]
        if row["status"] >= 300 and row["status"] != 409:
            _send_alone(client, address, one, row)


def _send_alone(client: Elasticsearch, address: Address, pair: bytes, refusal: Any) -> None:
    """A dead letter that the server does not take either: without origin and most of the text, or loudly not at all."""
    action, letter = pair.split(b"\n")[:2]
    content = orjson.loads(letter)
    if len(pair) < LONGEST_ORIGINAL[1] and "cut" in content:
        body = refusal.body if isinstance(refusal, ApiError) else refusal
        raise StoreUnavailable(f"store {address.shown}: it refuses dead letters: {' '.join(cause(body)[:2])[:300]}")
    short = {name: content[name] for name in ("@timestamp", "identity", "reason")}
    short |= {"original": content["original"][: LONGEST_ORIGINAL[1] // 8], "cut": True}
    _send(client, address, [action + b"\n" + orjson.dumps(short) + b"\n"])


def newest(client: Elasticsearch, address: Address, limit: int) -> list[Document]:
    """The newest dead letters, 0: all of them. Each with `place`: its index and the `_id` there."""
    found: list[Document] = []
    after: dict[str, Any] = {}
    while not limit or len(found) < limit:
        size = min(limit - len(found), PAGE) if limit else PAGE
        body = {"size": size, "sort": _NEWEST_FIRST, **after}
        hits = ask(client, address, address.layout.dead_letters, body)["hits"]["hits"]
        found += [{**hit["_source"], "place": f"{hit['_index']}/{hit['_id']}"} for hit in hits]
        if len(hits) < size:
            break
        after = {"search_after": hits[-1]["sort"]}
    return found


def forget(client: Elasticsearch, address: Address, letters: Sequence[Document]) -> None:
    """Remove dead letters by their `place`; those that are gone already are fine."""
    rows = []
    for letter in letters:
        index, _, identity = str(letter["place"]).partition("/")
        rows.append(orjson.dumps({"delete": {"_index": index, "_id": identity}}) + b"\n")
    if not rows:
        return
    answer = client.perform_request("POST", "/_bulk", params={"refresh": "true"}, body=b"".join(rows), headers=NDJSON)
    for item in answer.body.get("items", ()):
        row = item["delete"]
        if row["status"] >= 300 and row["status"] != 404:
            raise StoreUnavailable(f"store {address.shown}: a dead letter can't be removed: "
                                   f"{' '.join(cause(row)[:2])[:300]}")  # fmt: skip
