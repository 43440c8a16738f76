"""How Elasticsearch indexes what rules find in lines (towline.fields), and which of it an index may still lack."""

from typing import Any

from towline.fields import FIELDS, KEYWORD, REST, TEXT

JsonObject = dict[str, Any]

MAX_KEYWORD = 1024
"""Longer values are kept, not indexed. Lucene takes no term beyond 32766 bytes; nobody looks for one beyond this."""
WORD: JsonObject = {"type": "keyword", "ignore_above": MAX_KEYWORD}
FLAT: JsonObject = {"type": "flattened", "ignore_above": MAX_KEYWORD}

HEADERS = "rabbitmq.headers"
NODE_LABELS = "orchestrator.node.labels"
"""Of the Swarm's node (--node-label)."""
LATER: dict[str, str] = {
    **FIELDS,
    REST: "flattened",
    HEADERS: "flattened",
    NODE_LABELS: "flattened",
    **dict.fromkeys(("rabbitmq.exchange", "rabbitmq.routing_key", "rabbitmq.type", "rabbitmq.correlation_id",
                     "event.id", "data_stream.retention"), KEYWORD),
}  # fmt: skip
"""Fields that indices made by version 1 of the template lack; by version 2 it is NODE_LABELS."""
NEWEST = (REST, NODE_LABELS)
"""One of those that came with each version since."""


def of(kind: str, message: JsonObject) -> JsonObject:
    """The mapping of a field of this type; `message`: how this server indexes text.

    A value that is no number, address or time is kept and not indexed: it costs its line nothing.
    """
    if kind == TEXT:
        return message
    if kind in ("flattened", KEYWORD):
        return FLAT if kind == "flattened" else WORD
    return {"type": kind, "ignore_malformed": True}


def added(message: JsonObject) -> JsonObject:
    """LATER as `properties` of a mapping."""
    found: JsonObject = {}
    for name, kind in LATER.items():
        *parents, last = name.split(".")
        place = found
        for parent in parents:
            place = place.setdefault(parent, {"dynamic": False, "properties": {}})["properties"]
        place[last] = of(kind, message)
    return found


def merged(one: JsonObject, other: JsonObject) -> JsonObject:
    """Two `properties` as one; objects in both are put together."""
    found = dict(one)
    for name, field in other.items():
        both = name in found and "properties" in found[name] and "properties" in field
        if both:
            field = {**found[name], "properties": merged(found[name]["properties"], field["properties"])}
        found[name] = field
    return found


def column(name: str) -> str:
    """The mapped field that answers for a document field: `fields` for all below it."""
    for flat in (REST, HEADERS, NODE_LABELS):
        if name.startswith(f"{flat}."):
            return flat
    return name
