"""What an Elasticsearch store is asked: searches page by page at one point in time, neighbours, identities, totals."""

from collections.abc import Iterator
from typing import Any

from elasticsearch import Elasticsearch

from towline.errors import UsageError
from towline.query import Query, matches, names
from towline.stores import Document
from towline.stores.es_address import Address
from towline.stores.es_ask import ask
from towline.stores.es_errors import translated
from towline.stores.es_fields import LATER, column
from towline.stores.es_query import Clause, Translation
from towline.stores.es_template import ANALYZER
from towline.times import format_time

PAGE = 2000
KEEP = "5m"
_TIE_BREAKERS = ("container.id", "event.sequence")


class Reader:
    """Safe to call from several threads."""

    def __init__(self, client: Elasticsearch, address: Address) -> None:
        self._client, self._address, self._stream = client, address, address.layout.reads

    def search(self, query: Query) -> Iterator[Document]:
        with translated(self._address.shown):
            first = self._few(query)
            if first is not None:
                return iter(first)
            translation = self.translation(query)
            body = {"query": translation.query(query), "sort": _order(query.order), "size": PAGE}
            pages = self._pages(body | translation.extra)
            begin = next(pages, [])
        return self._judged(begin, pages, query)

    def _few(self, query: Query) -> list[Document] | None:
        """All that is wanted by a single request, or None where that does not do."""
        if not 0 < query.limit <= PAGE:
            return None
        translation = self.translation(query)
        body = {"query": translation.query(query), "sort": _order(query.order), "size": query.limit}
        answer = ask(self._client, self._address, self._stream, body | translation.extra)
        hits = [hit["_source"] for hit in answer["hits"]["hits"]]
        found = [document for document in hits if matches(query, document)]
        return found if len(found) == len(hits) or len(hits) < query.limit else None

    def _judged(self, begin: list[Any], pages: Iterator[list[Any]], query: Query) -> Iterator[Document]:
        left = query.limit or -1
        page = begin
        while page:
            for hit in page:
                if matches(query, hit["_source"]):
                    yield hit["_source"]
                    left -= 1
                    if left == 0:
                        return
            with translated(self._address.shown):
                page = next(pages, [])

    def _pages(self, request: dict[str, Any]) -> Iterator[list[Any]]:
        """All hits, page by page, of one point in time."""
        size = request["size"]
        pit = self._client.open_point_in_time(index=self._stream, keep_alive=KEEP, ignore_unavailable=True).body["id"]
        try:
            while True:
                body = {**request, "pit": {"id": pit, "keep_alive": KEEP}}
                answer = ask(self._client, self._address, None, body)
                pit, hits = answer["pit_id"], answer["hits"]["hits"]
                if hits:
                    yield hits
                if len(hits) < size:
                    return
                request["search_after"] = hits[-1]["sort"]
        finally:
            self._forget(pit)

    def _forget(self, pit: str) -> None:
        try:
            self._client.options(ignore_status=404).close_point_in_time(id=pit)
        except Exception:  # it goes by itself after KEEP
            return

    def translation(self, query: Query) -> Translation:
        """By what the backing indices have: words of messages cut as we do it, and the fields that the query names."""
        named = sorted({column(name) for name in names(query.condition)} & LATER.keys())
        answer = self._client.options(ignore_status=404).indices.get_field_mapping(
            fields=["message", *named], index=self._stream, ignore_unavailable=True, allow_no_indices=True
        ).body  # fmt: skip
        rows = [row["mappings"] for row in answer.values() if "mappings" in row]
        analyzers = [row["message"]["mapping"]["message"].get("analyzer") for row in rows if "message" in row]
        words = bool(analyzers) and all(analyzer == ANALYZER for analyzer in analyzers)
        return Translation(words, frozenset(name for name in named if not all(name in row for row in rows)))

    def context(self, hit: Document, before: int, after: int) -> tuple[list[Document], list[Document]]:
        try:
            container, sequence = str(hit["container"]["id"]), int(hit["event"]["sequence"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                "context: the hit has no container.id and event.sequence; pass a document of this store"
            ) from error
        with translated(self._address.shown):
            earlier = self._neighbours(container, {"lt": sequence}, "desc", before)
            return earlier[::-1], self._neighbours(container, {"gt": sequence}, "asc", after)

    def _neighbours(self, container: str, limits: dict[str, int], order: str, count: int) -> list[Document]:
        if count <= 0:
            return []
        clause = {"bool": {"filter": [_of(container), {"range": {"event.sequence": limits}}]}}
        by_sequence = [{"event.sequence": {"order": order, "unmapped_type": "long"}}]
        body = {"query": clause, "size": min(count, 10_000), "sort": by_sequence}
        answer = ask(self._client, self._address, self._stream, body)
        return [hit["_source"] for hit in answer["hits"]["hits"]]

    def identities(self, container: str, since: str | None, until: str | None) -> Iterator[tuple[str, str]]:
        ranged = Translation(words=True).query(Query(since=since, until=until))
        clause = {"bool": {"filter": [_of(container), ranged]}}
        pages = self._pages({"query": clause, "sort": [_by_time("asc")], "size": 10_000, "_source": False})
        while True:
            with translated(self._address.shown):
                page = next(pages, None)
            if page is None:
                return
            for hit in page:
                yield hit["_id"], format_time(hit["sort"][0])

    def totals(self) -> dict[str, int]:
        found: dict[str, int] = {}
        after: dict[str, Any] = {}
        with translated(self._address.shown):
            while True:
                composite = {"size": 1000, "sources": [{"service": {"terms": {"field": "service.name"}}}], **after}
                body = {"size": 0, "aggs": {"services": {"composite": composite}}}
                answer = ask(self._client, self._address, self._stream, body)
                services = answer.get("aggregations", {}).get("services", {})
                found |= {row["key"]["service"]: row["doc_count"] for row in services.get("buckets", ())}
                if "after_key" not in services:
                    return found
                after = {"after": services["after_key"]}


def _of(container: str) -> Clause:
    return {"term": {"container.id": container}}


def _by_time(order: str) -> dict[str, Any]:
    return {"@timestamp": {"order": order, "numeric_type": "date_nanos", "unmapped_type": "date_nanos"}}


def _order(order: str) -> list[Any]:
    container, sequence = _TIE_BREAKERS
    lowest = "_first" if order == "asc" else "_last"
    return [_by_time(order),
            {container: {"order": order, "unmapped_type": "keyword", "missing": lowest}},
            {sequence: {"order": order, "unmapped_type": "long", "missing": lowest}}]  # fmt: skip
