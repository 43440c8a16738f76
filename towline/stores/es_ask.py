"""One search request, answered by all shards or not at all."""

from typing import Any

from elasticsearch import Elasticsearch

from towline.errors import StoreUnavailable
from towline.stores.es_address import Address
from towline.stores.es_errors import cause

JSON = {"content-type": "application/json", "accept": "application/json"}
NDJSON = {"content-type": "application/x-ndjson", "accept": "application/json"}


def ask(client: Elasticsearch, address: Address, index: str | None, body: dict[str, Any], **params: str) -> Any:
    """The answer to a search in `index`, which need not be there (None: the body names a point in time).

    Raises StoreUnavailable where a shard did not answer: half of the truth is worse than none.
    """
    if index is not None:
        params = {"ignore_unavailable": "true", "allow_no_indices": "true", **params}
    answer = client.perform_request(
        "POST", f"/{index}/_search" if index else "/_search", params=params, headers=JSON,
        body={"track_total_hits": False, **body}).body  # fmt: skip
    shards = answer["_shards"]
    if shards["failed"] or answer["timed_out"]:
        reason = cause((shards.get("failures") or [{}])[0].get("reason", {}))[1]
        raise StoreUnavailable(f"store {address.shown}: {shards['failed']} of {shards['total']} shards did not answer: "
                               f"{reason}")  # fmt: skip
    return answer
