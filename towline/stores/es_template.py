"""The index templates of the two data streams, and putting them in place without ever destroying anything.

Settings and mapping are in a component template of ours, so that those of the user's own component template come after
them and win: what an index template says itself would win over both.

`dynamic: false` everywhere and labels `flattened`: whatever is logged, the mapping does not grow. What is not mapped is
kept and can be searched, by reading it from the documents.
"""

import logging
from collections.abc import Sequence
from typing import Any

from elasticsearch import ApiError, Elasticsearch

from towline.stores import Retention
from towline.stores.es_address import Address, Layout
from towline.stores.es_ask import JSON
from towline.stores.es_errors import cause, translated
from towline.stores.es_fields import FLAT as _FLAT
from towline.stores.es_fields import NEWEST, added, merged
from towline.stores.es_fields import WORD as _KEYWORD

log = logging.getLogger(__name__)

VERSION = 3
"""1: lines without fields of their own; 2: fields that were found in the line (towline.fields); 3: labels of nodes."""
PRIORITY = 250
"""Above the built-in template of `logs-*-*` (100) and those of Elastic's integrations (200)."""
ANALYZER = "towline"
CUSTOM = "logs-docker@custom"
"""The component template that is the user's: Towline reads it and never writes it."""
_META = {"description": f"Installed by Towline; put settings of your own into {CUSTOM}"}

OURS = {"towline": VERSION}
"""In the mapping of each of our indices."""

JsonObject = dict[str, Any]
Way = tuple[JsonObject, JsonObject]
"""Settings and mapping of an index."""

_JOINTS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA1), 0x2007, 0x202F)] + list("_^`¨¯´¸")
"""Characters between words that are no whitespace, punctuation or symbol to the server, or not on every version."""


def _objects(**properties: Any) -> dict[str, Any]:
    return {"dynamic": False, "properties": properties}


_SHARED = {
    "container": _objects(
        id=_KEYWORD,
        name=_KEYWORD,
        image=_objects(name=_KEYWORD),
        labels=_FLAT,
    ),
    "host": _objects(name=_KEYWORD),
    "service": _objects(name=_KEYWORD),
    "orchestrator": _objects(
        type=_KEYWORD,
        namespace=_KEYWORD,
        cluster=_objects(id=_KEYWORD, name=_KEYWORD),
        resource=_objects(type=_KEYWORD, name=_KEYWORD, id=_KEYWORD),
        task=_objects(id=_KEYWORD, name=_KEYWORD, slot={"type": "long"}),
        node=_objects(id=_KEYWORD),
    ),
    "data_stream": _objects(type=_KEYWORD, dataset=_KEYWORD, namespace=_KEYWORD),
}
_EVENT = _objects(sequence={"type": "long"}, kind=_KEYWORD, action=_KEYWORD, reason=_KEYWORD)


def line_mapping(message: dict[str, Any]) -> dict[str, Any]:
    own = {"@timestamp": {"type": "date_nanos"}, "message": message, "stream": _KEYWORD, "event": _EVENT, **_SHARED}
    return {"dynamic": False, "date_detection": False, "properties": merged(own, added(message)), "_meta": OURS}


def dead_letter_mapping() -> dict[str, Any]:
    kept = {"type": "keyword", "index": False, "doc_values": False, "ignore_above": 1}
    return {"dynamic": False, "date_detection": False,
            "properties": {"@timestamp": {"type": "date_nanos"}, "identity": _KEYWORD, "reason": _KEYWORD,
                           "original": kept, **_SHARED}}  # fmt: skip


def index_settings(layout: Layout) -> dict[str, Any]:
    replicas = {"index.auto_expand_replicas": "0-1"} if layout.replicas == "auto" else {
        "index.number_of_replicas": int(layout.replicas)}  # fmt: skip
    # Documents shall come back as they went in, whatever the licence lets logsdb do with them.
    stored = {"index.mapping.source.mode": "stored"}
    mode = {"on": {"index.mode": "logsdb", **stored}, "off": {"index.mode": "standard"}, "auto": stored}[layout.logsdb]
    refresh = "1s" if layout.refresh == "now" else layout.refresh
    return {"index.number_of_shards": layout.shards, "index.refresh_interval": refresh,
            "index.codec": "best_compression", **replicas, **mode}  # fmt: skip


_ANALYSIS = {
    "analysis": {
        "analyzer": {ANALYZER: {"type": "custom", "tokenizer": ANALYZER, "filter": ["lowercase"]}},
        "tokenizer": {
            ANALYZER: {"type": "char_group", "tokenize_on_chars": ["whitespace", "punctuation", "symbol", *_JOINTS]}
        },
    }
}
_WORDS = {"analyzer": ANALYZER}
_MESSAGES: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({"type": "match_only_text", **_WORDS}, _ANALYSIS),
    ({"type": "text", "norms": False, **_WORDS}, _ANALYSIS),
    ({"type": "match_only_text"}, {}),
    ({"type": "text", "norms": False}, {}),
)
"""Ways to index the message with the settings that they need, best first. Servers differ in what they bring along."""


def component(settings: dict[str, Any], mapping: dict[str, Any]) -> dict[str, Any]:
    """The body of a component template of ours."""
    return {"version": VERSION, "template": {"settings": settings, "mappings": mapping}, "_meta": _META}


def template(pattern: str, parts: Sequence[str], lifecycle: JsonObject, failure_store: bool) -> JsonObject:
    """The body of an index template of ours; of its component templates the later ones win, and the last may lack."""
    return {
        "index_patterns": [pattern],
        "priority": PRIORITY,
        "version": VERSION,
        "data_stream": {},
        "composed_of": list(parts),
        "ignore_missing_component_templates": [CUSTOM],
        "template": {
            "lifecycle": lifecycle,
            "data_stream_options": {"failure_store": {"enabled": failure_store}},
        },
        "_meta": _META,
    }


def install(client: Elasticsearch, address: Address, retention: Retention | None) -> None:
    """Put both templates in place, unless newer ones are there, and the retention on data streams that are there.

    `retention` None: what is there stays as it is; one that is only the default: what is there keeps its own. Nothing
    else is touched, and no data is. Raises StoreUnavailable where that is refused; an account that may not change what
    is there already is only told so.
    """
    layout = address.layout
    with translated(address.shown):
        if retention is None and installed(client, f"towline-{layout.stream}") is not None:
            return
        _templates(client, layout, retention or Retention())
        if retention is not None and not retention.default:
            for stream in (layout.stream, layout.dead_letters):
                retain(client, stream, kept_by(retention))


def _templates(client: Elasticsearch, layout: Layout, retention: Retention) -> None:
    settings = index_settings(layout)
    ways = [({**settings, **analysis}, line_mapping(message)) for message, analysis in _MESSAGES]
    # A document that the failure store takes is answered like a stored one; the lines' ledger wants the refusal.
    _put(client, layout.stream, ways, retention, failure_store=False)
    _extend(client, layout.stream, [added(message) for message, _ in _MESSAGES])
    _put(client, layout.dead_letters, [(settings, dead_letter_mapping())], retention, failure_store=True)


def kept_by(retention: Retention) -> JsonObject:
    """The lifecycle that keeps lines so long."""
    return {"data_retention": f"{max(1, round(retention.age))}s"} if retention.age else {}


def lifecycle_of(before: JsonObject) -> JsonObject:
    """The lifecycle of a template that is there."""
    lifecycle = before.get("template", {}).get("lifecycle", {})
    return {name: value for name, value in lifecycle.items() if name == "data_retention"}


def retain(client: Elasticsearch, stream: str, lifecycle: JsonObject) -> None:
    """A template reaches data streams that are made later; one that is there has a lifecycle of its own."""
    answer = client.options(ignore_status=(400, 403, 404, 405)).perform_request(
        "PUT", f"/_data_stream/{stream}/_lifecycle", headers=JSON, body=lifecycle)  # fmt: skip
    if answer.meta.status == 200:
        log.info("data stream %s keeps lines %s", stream, lifecycle.get("data_retention", "for ever"))
    elif answer.meta.status == 403:
        log.warning("the retention of data stream %s stays as it is: this account may not change it", stream)
    elif answer.meta.status != 404 and lifecycle:
        log.warning("this server has no data stream lifecycle: nothing in %s is ever forgotten", stream)


def installed(client: Elasticsearch, name: str) -> JsonObject | None:
    """An index template, None where there is none of that name."""
    found = client.options(ignore_status=404).indices.get_index_template(name=name).body
    rows = [row["index_template"] for row in found.get("index_templates", ())]
    return rows[0] if rows else None


def _put(client: Elasticsearch, stream: str, ways: Sequence[Way], retention: Retention, *, failure_store: bool) -> None:
    """Both parts of a stream's template, in the first of these ways that the server has what it needs for."""
    name = f"towline-{stream}"
    before = installed(client, name)
    if before is not None and int(before.get("version") or 0) > VERSION:
        log.info("index template %s is of a newer version: left as it is", name)
        return
    lifecycle = lifecycle_of(before) if before is not None and retention.default else kept_by(retention)
    body = template(stream, [f"{name}@base", CUSTOM], lifecycle, failure_store)
    for way in ways:
        try:
            _put_parts(client, name, component(*way), body)
            break
        except ApiError as error:
            if error.status_code == 403 and before is not None and cause(error.body)[0] == "security_exception":
                log.warning("index template %s stays as it is: this account may not change it", name)
                return
            if not (way is not ways[-1] and error.status_code == 400 and _lacks_a_part(error)):
                raise
    log.info("index template %s is %s", name, "made" if before is None else "up to date")


def _extend(client: Elasticsearch, stream: str, ways: Sequence[JsonObject]) -> None:
    """Fields that are new reach indices that are there, where server and account allow it; else with the next rollover.

    Until then they are read from the documents (towline.stores.es_query): searches find the same, later.
    """
    found = client.options(ignore_status=(403, 404)).indices.get_field_mapping(
        fields=list(NEWEST), index=stream, ignore_unavailable=True, allow_no_indices=True)  # fmt: skip
    rows = found.body if found.meta.status == 200 else {}  # who may not look may not change them either
    if all(map(_has_all, rows.values())):
        return
    reason = ""
    for properties in ways:
        for reach in ({}, {"write_index_only": "true"}):
            answer = client.options(ignore_status=(400, 403, 404)).perform_request(
                "PUT", f"/{stream}/_mapping", params=reach, headers=JSON, body={"properties": properties})  # fmt: skip
            if answer.meta.status == 200:
                log.info("data stream %s takes the fields of parsed lines", stream)
                return
            reason = reason or cause(answer.body)[1]
    if not _has_all(rows[max(rows, key=lambda name: name.rpartition("-")[2])]):
        log.warning("data stream %s: fields of parsed lines are found fast only after a rollover: %s", stream, reason)


def _has_all(row: JsonObject) -> bool:
    return all(name in row.get("mappings", NEWEST) for name in NEWEST)


def _put_parts(client: Elasticsearch, name: str, base: JsonObject, body: JsonObject) -> None:
    plain = client.options(ignore_status=())
    plain.cluster.put_component_template(name=f"{name}@base", **arguments(base))
    plain.indices.put_index_template(name=name, **arguments(body))


def _lacks_a_part(error: ApiError) -> bool:
    reason = cause(error.body)[1]
    return any(each in reason for each in ("match_only_text", "char_group", ANALYZER))


def arguments(body: JsonObject) -> JsonObject:
    return {("meta" if name == "_meta" else name): value for name, value in body.items()}
