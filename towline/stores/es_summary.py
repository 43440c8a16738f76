"""Counting the lines of an Elasticsearch store, on the server."""

from collections.abc import Sequence
from typing import Any

from elasticsearch import Elasticsearch

from towline.identity import COMPOSE_PROJECT, STACK
from towline.levels import LEVELS, TOLD, UNKNOWN, more_severe
from towline.query import LOG_LEVEL, Query
from towline.stores.es_address import Address
from towline.stores.es_ask import ask
from towline.stores.es_query import CODE, Clause, Translation
from towline.stores.summary import Histogram, Known, known
from towline.times import format_time

_OTHER = "_other_"
_ORIGIN = ["container.id", "container.name", "container.labels", "host.name", "service.name"]
MOST = 10_000


def histogram(client: Elasticsearch, address: Address, translation: Translation, query: Query, step: int) -> Histogram:
    time = {"field": "@timestamp", "fixed_interval": f"{step}ms", "min_doc_count": 1}
    levels = {"filters": {"other_bucket_key": _OTHER, "filters": {level: _level(level) for level in LEVELS}}}
    body = {"size": 0, "query": translation.query(query),
            "aggs": {"time": {"date_histogram": time, "aggs": {"level": levels}}}}  # fmt: skip
    answer = ask(client, address, address.layout.reads, body | translation.extra)
    found = Histogram()
    for row in answer.get("aggregations", {}).get("time", {}).get("buckets", ()):
        for level, part in row["level"]["buckets"].items():
            if part["doc_count"]:
                found.add(int(row["key"]), UNKNOWN if level == _OTHER else level, part["doc_count"])
    return found


def _level(level: str) -> Clause:
    """Told by the line's own field, else by its words (towline.levels)."""
    told: Clause = {"terms": {LOG_LEVEL: [*TOLD[level]]}}
    anything: Clause = {"terms": {LOG_LEVEL: [value for values in TOLD.values() for value in values]}}
    excluded = [anything, *_words(more_severe(level))] if more_severe(level) else [anything]
    worded: Clause = {"bool": {"should": _words(LEVELS[level]), "minimum_should_match": 1, "must_not": excluded}}
    return {"bool": {"should": [told, worded], "minimum_should_match": 1}}


def _words(words: Sequence[str]) -> list[Clause]:
    """Any of the words, by themselves or directly behind a colour code."""
    coloured = {"value": f"{CODE}({'|'.join(words)})", "flags": "NONE"}
    return [{"terms": {"message": list(words)}}, {"regexp": {"message": coloured}}]


def containers(client: Elasticsearch, address: Address, limit: int, name: str = "") -> tuple[list[Known], int]:
    nanos = {"sort": [{"@timestamp": {"order": "desc"}}], "size": 1, "_source": _ORIGIN}
    aggs = {
        "containers": {
            "terms": {"field": "container.id", "size": min(limit or MOST, MOST), "order": {"last": "desc"}},
            "aggs": {"last": {"max": {"field": "@timestamp"}}, "first": {"min": {"field": "@timestamp"}},
                     "origin": {"top_hits": nanos}},
        },
        "all": {"cardinality": {"field": "container.id", "precision_threshold": 40_000}},
    }  # fmt: skip
    body = {"size": 0, "aggs": aggs, **({"query": _called(name)} if name else {})}
    found = ask(client, address, address.layout.reads, body).get("aggregations", {})
    rows = found.get("containers", {}).get("buckets", ())
    total = int(found.get("all", {}).get("value", 0))
    return [_known(row) for row in rows], max(total, len(rows))


def _called(name: str) -> Clause:
    """What is true of the lines of containers that are called so; labels can only be asked for by their beginning."""
    escaped = "".join("\\" + sign if sign in "\\*?" else sign for sign in name)
    pattern = {"value": f"*{escaped}*", "case_insensitive": True}
    fields = ("container.name", "service.name", "host.name")
    wild: list[Clause] = [{"wildcard": {field: pattern}} for field in fields]
    labels: list[Clause] = [{"prefix": {f"container.labels.{label}": name}} for label in (STACK, COMPOSE_PROJECT)]
    return {"bool": {"filter": [{"bool": {"should": wild + labels, "minimum_should_match": 1}}]}}


def _known(row: Any) -> Known:
    origin = row["origin"]["hits"]["hits"][0]["_source"]
    first, last = (format_time(int(row[edge]["value"]) * 1_000_000) for edge in ("first", "last"))
    return known(origin, row["doc_count"], first, last)
