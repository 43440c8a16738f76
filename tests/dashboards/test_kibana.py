"""Kibana's objects: what refers to something finds it, JSON in JSON parses, and every query and aggregation that they
hold is asked of the real Elasticsearch, filled by the pipeline."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from world import World, ask, until

FILE = Path(__file__).parents[2] / "dashboards/kibana/towline.ndjson"
OBJECTS = [json.loads(line) for line in FILE.read_text().splitlines()]
BY_ID = {(each["type"], each["id"]): each for each in OBJECTS}
NESTED = ("panelsJSON", "optionsJSON", "searchSourceJSON", "fieldFormatMap", "runtimeFieldMap", "fieldAttrs", "fields",
          "sourceFilters", "typeMeta")  # fmt: skip
EMPTY = {
    "towline-gaps": "there is a gap's record only once a log was rotated away before it could be read",
    "towline-gap-records": "the same",
}


def of(kind: str) -> list[dict[str, Any]]:
    return [each for each in OBJECTS if each["type"] == kind]


def nested(found: Any) -> Iterator[tuple[str, str]]:
    for key, value in found.items() if isinstance(found, dict) else ():
        if key in NESTED:
            yield key, value
        else:
            yield from nested(value)


@pytest.mark.parametrize("found", OBJECTS, ids=lambda each: each["id"])
def test_an_object_has_what_an_import_asks_for(found: dict[str, Any]) -> None:
    assert {"type", "id", "attributes", "references", "coreMigrationVersion", "typeMigrationVersion"} <= found.keys()
    assert found["attributes"]["title"]
    for _, text in nested(found["attributes"]):
        json.loads(text)


def test_no_two_objects_are_the_same() -> None:
    assert len(BY_ID) == len(OBJECTS)
    assert {kind for kind, _ in BY_ID} == {"index-pattern", "search", "lens", "dashboard"}


@pytest.mark.parametrize("found", OBJECTS, ids=lambda each: each["id"])
def test_a_reference_finds_its_object(found: dict[str, Any]) -> None:
    for reference in found["references"]:
        assert (reference["type"], reference["id"]) in BY_ID, reference
    names = {reference["name"] for reference in found["references"]}
    if found["type"] == "search":
        source = json.loads(found["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
        assert source["indexRefName"] in names
    if found["type"] == "lens":
        layers = found["attributes"]["state"]["datasourceStates"]["formBased"]["layers"]
        assert names == {f"indexpattern-datasource-layer-{layer}" for layer in layers}
    if found["type"] == "dashboard":
        panels = json.loads(found["attributes"]["panelsJSON"])
        assert names == {f"{panel['panelIndex']}:{panel['panelRefName']}" for panel in panels}


def test_panels_lie_beside_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(of("dashboard")[0]["attributes"]["panelsJSON"]):
        place = panel["gridData"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken
        assert place["x"] + place["w"] <= 48
        taken |= cells


@pytest.mark.parametrize("found", of("lens"), ids=lambda each: each["id"])
def test_a_chart_draws_columns_that_it_has(found: dict[str, Any]) -> None:
    state = found["attributes"]["state"]
    layer = state["datasourceStates"]["formBased"]["layers"]["layer"]
    assert sorted(layer["columns"]) == sorted(layer["columnOrder"])
    drawn = state["visualization"].get("layers", [state["visualization"]])[0]
    names = [
        drawn.get("xAccessor"),
        drawn.get("splitAccessor"),
        drawn.get("metricAccessor"),
        *drawn.get("accessors", ()),
    ]
    assert set(filter(None, names)) == set(layer["columns"])


def test_searches_keep_lines_of_one_moment_in_order() -> None:
    for found in of("search"):
        order = found["attributes"]["sort"]
        letters = found["id"] == "towline-letters"  # dead letters have no place in a container's log
        assert order == [["@timestamp", "desc"]] if letters else [["@timestamp", "desc"], ["event.sequence", "desc"]]


def test_fields_lead_back_to_grafana() -> None:
    pages = {path.stem: json.loads(path.read_text()) for path in (FILE.parents[1] / "grafana").glob("*.json")}
    for view in of("index-pattern"):
        formats = json.loads(view["attributes"]["fieldFormatMap"])
        assert set(formats) == {"service.name", "container.name", "host.name"}
        for each in formats.values():
            page, variable = each["params"]["urlTemplate"].split("/d/")[1].split("=")[0].split("?var-")
            assert variable in {known["name"] for known in pages[page]["templating"]["list"]}


# --- asked of the server

KQL = {"": {"match_all": {}}, 'stream : "stderr"': {"match_phrase": {"stream": "stderr"}},
       'event.action : "gap"': {"match_phrase": {"event.action": "gap"}}}  # fmt: skip
"""What Kibana makes of each query that the objects hold."""


def index_of(world: World, found: dict[str, Any]) -> str:
    view = BY_ID["index-pattern", found["references"][0]["id"]]["attributes"]["title"]
    own = {"logs-docker-*,towline-*": world.stream, "logs-towline.deadletter-*": world.letters}[view]
    assert view.split(",")[0].removesuffix("*") == own.removesuffix(world.name)
    return own


def aggregations(layer: dict[str, Any]) -> dict[str, Any]:
    """What Lens asks for its columns: buckets in their order, one within the other."""
    made: dict[str, Any] = {}
    for name in reversed(layer["columnOrder"]):
        column = layer["columns"][name]
        field, inner = column["sourceField"], {"aggs": made} if made else {}
        if column["operationType"] == "terms":
            made = {name: {"terms": {"field": field, "size": column["params"]["size"]}, **inner}}
        elif column["operationType"] == "date_histogram":
            made = {name: {"date_histogram": {"field": field, "fixed_interval": "30s"}, **inner}}
        else:
            assert column["operationType"] == "count"
            assert field == "___records___"
    return made


@pytest.mark.engine
@pytest.mark.timeout(400)
@pytest.mark.parametrize("found", of("lens"), ids=lambda each: each["id"])
def test_a_chart_has_something_to_draw(world: World, found: dict[str, Any]) -> None:
    state = found["attributes"]["state"]
    layer = state["datasourceStates"]["formBased"]["layers"]["layer"]
    body = {"size": 0, "track_total_hits": True, "query": KQL[state["query"]["query"]]}
    body |= {"aggs": made} if (made := aggregations(layer)) else {}
    url = f"{world.elastic}/{index_of(world, found)}/_search"
    if found["id"] in EMPTY:
        assert ask(url, body)["_shards"]["failed"] == 0
        return
    buckets = until(lambda: ask(url, body)["aggregations"][layer["columnOrder"][0]]["buckets"], 60)
    assert all(bucket["doc_count"] > 0 for bucket in buckets)
    if layer["columnOrder"][0] == "split":
        assert all(bucket["time"]["buckets"] for bucket in buckets)


@pytest.mark.engine
@pytest.mark.timeout(400)
@pytest.mark.parametrize("found", of("search"), ids=lambda each: each["id"])
def test_a_search_finds_lines_with_its_columns(world: World, found: dict[str, Any]) -> None:
    attributes = found["attributes"]
    query = json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])["query"]["query"]
    order = [{name: {"order": way, "unmapped_type": "boolean"}} for name, way in attributes["sort"]]  # as Kibana asks
    body = {"size": 50, "query": KQL[query], "sort": order, "fields": attributes["columns"], "_source": False}
    url = f"{world.elastic}/{index_of(world, found)}/_search"
    if found["id"] in EMPTY:
        assert ask(url, body)["_shards"]["failed"] == 0
        return
    hits = until(lambda: ask(url, body)["hits"]["hits"], 60)
    assert all(set(attributes["columns"]) <= hit["fields"].keys() for hit in hits)
    keys = [hit["sort"] for hit in hits]
    assert keys == sorted(keys, reverse=True)
