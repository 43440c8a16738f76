"""Data streams that labels ask for, on a real Elasticsearch: made when first seen, ours alone, each line once."""

import logging
import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import orjson
import pytest
import requests

from towline.batch import ORIGIN_MARK, Batch, Origin, Section
from towline.data_streams import Route
from towline.query import Query, parse
from towline.stores import Retention, es_write
from towline.stores.elasticsearch import ElasticsearchStore
from towline.stores.es_template import line_mapping

SERVER = os.environ.get("TOWLINE_TEST_ELASTICSEARCH", "http://127.0.0.1:9200")
NAMESPACE = f"routed.{os.getpid()}"
STAMP = "2020-01-01T00:00:00.{:09}Z"


def ask(method: str, path: str, body: Any = None) -> Any:
    answer = requests.request(method, f"{SERVER}/{path}", json=body, timeout=60)
    answer.raise_for_status()
    return answer.json()


@pytest.fixture
def name() -> str:
    """A dataset of the test's own."""
    return f"d{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def server(missing_part: Callable[[str], NoReturn]) -> None:
    try:
        requests.get(f"{SERVER}/_cluster/health", timeout=10)
    except requests.ConnectionError as error:
        missing_part(f"no Elasticsearch on {SERVER}: {error}")


@pytest.fixture
def opened(server: None) -> Iterator[Callable[..., ElasticsearchStore]]:
    stores: list[ElasticsearchStore] = []

    def open_one(**options: Any) -> ElasticsearchStore:
        url = f"{SERVER}/?namespace={NAMESPACE}&refresh=now"
        stores.append(ElasticsearchStore(url, environ={}, patience=1, **options))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def batch(route: Route | None, number: int = 3, first: int = 0, service: str = "web") -> Batch:
    origin = Origin({
        "container": {"id": service.encode().hex().ljust(64, "0"), "name": service}, "host": {"name": "n"},
        "service": {"name": service}, **({"data_stream": route.fields} if route else {})})  # fmt: skip
    docs = b""
    for at in range(first, first + number):
        row = {"@timestamp": STAMP.format(at), "message": f"m{at}", "stream": "stdout", "event": {"sequence": at}}
        docs += orjson.dumps({"create": {"_id": f"{STAMP.format(at)}-{service}"}}) + b"\n"
        docs += orjson.dumps(row)[:-1] + ORIGIN_MARK + b"}\n"
    return Batch([Section(origin, docs, number, STAMP.format(first), STAMP.format(first + number - 1))])


def write(store: ElasticsearchStore, *batches: Batch) -> list[tuple[int, int]]:
    return [(sum(verdict.stored), sum(verdict.duplicate)) for verdict in store.write(batches)]


def counted(stream: str) -> int:
    return int(requests.post(f"{SERVER}/{stream}/_count", timeout=60).json().get("count", 0))


def test_a_stream_is_made_for_its_name_alone_with_our_mapping(opened: Any, name: str) -> None:
    store, route = opened(), Route(name, retention="7d")
    stream = f"logs-{name}-{NAMESPACE}"
    assert write(store, batch(route, service=name), batch(None, service=name + "-plain")) == [(3, 0), (3, 0)]
    (row,) = ask("GET", f"_index_template/towline-{stream}")["index_templates"]
    template = row["index_template"]
    assert (template["index_patterns"], template["priority"]) == ([stream], 250)
    assert template["template"]["lifecycle"]["data_retention"] == "7d"
    assert template["template"]["aliases"] == {f"towline-{NAMESPACE}-lines": {}}
    (mapping,) = ask("GET", f"{stream}/_mapping").values()
    assert mapping["mappings"]["properties"]["fields"] == {"type": "flattened", "ignore_above": 1024}
    assert mapping["mappings"]["dynamic"] == "false"
    assert counted(stream) == 3
    asked = Query(where=parse(f"data_stream.retention:7d data_stream.dataset:{name}"))
    assert len(list(store.search(asked))) == 3


def test_a_retention_that_is_not_asked_for_is_the_stores(opened: Any, name: str) -> None:
    write(opened(retention=Retention(age=30 * 86400)), batch(Route(name)))
    (row,) = ask("GET", f"_index_template/towline-logs-{name}-{NAMESPACE}")["index_templates"]
    assert row["index_template"]["template"]["lifecycle"]["data_retention"] == "2592000s"
    opened(retention=Retention(age=14 * 86400))
    write(opened(), batch(Route(name, retention="forever"), service=name))
    (row,) = ask("GET", f"_index_template/towline-logs-{name}-{NAMESPACE}")["index_templates"]
    assert "data_retention" not in row["index_template"]["template"]["lifecycle"]


def test_each_line_is_there_once_across_rollovers_of_its_stream(opened: Any, name: str) -> None:
    store, route = opened(), Route(name)
    stream = f"logs-{name}-{NAMESPACE}"
    assert write(store, batch(route, 5)) == [(5, 0)]
    ask("POST", f"{stream}/_rollover")
    assert write(store, batch(route, 8)) == [(3, 5)]
    ask("POST", f"{stream}/_rollover")
    again = opened()
    assert write(again, batch(route, 10), batch(route, 10)) == [(2, 8), (0, 10)]
    assert counted(stream) == 10
    again.maintain()


def test_the_stream_of_somebody_else_is_left_alone(opened: Any, name: str, caplog: pytest.LogCaptureFixture) -> None:
    stream = f"logs-{name}-{NAMESPACE}"
    foreign = {"index_patterns": [stream], "priority": 300, "data_stream": {}, "template": {}}
    ask("PUT", f"_index_template/{name}-foreign", foreign)
    try:
        ask("POST", f"{stream}/_doc?refresh=true", {"@timestamp": "2020-01-01T00:00:00Z", "theirs": 1})
        store = opened()
        with caplog.at_level(logging.WARNING):
            assert write(store, batch(Route(name), service=name)) == [(3, 0)]
            assert write(store, batch(Route(name), 5, service=name)) == [(2, 3)]
        assert [one.getMessage() for one in caplog.records] == [
            f"data stream {stream} is not Towline's: its lines go to logs-docker-{NAMESPACE}"]  # fmt: skip
        assert counted(stream) == 1
        assert len(list(store.search(Query(service=(name,))))) == 5
        assert requests.get(f"{SERVER}/_index_template/towline-{stream}", timeout=60).status_code == 404
    finally:
        requests.delete(f"{SERVER}/_index_template/{name}-foreign", timeout=60)


def test_a_stream_that_can_not_be_begun_holds_up_nothing(
    opened: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As where the cluster takes no more shards: here writes to the stream are blocked from its beginning."""
    stream = f"logs-{name}-{NAMESPACE}"
    store = opened()
    write(store, batch(None, service=name))
    blocked = {"index_patterns": [stream], "priority": 900, "template": {"settings": {"index.blocks.write": True}},
               "data_stream": {}}  # fmt: skip
    ask("PUT", f"_index_template/{name}-blocked", blocked)
    try:
        with caplog.at_level(logging.WARNING), pytest.MonkeyPatch.context() as patch:
            patch.setattr(es_write.Lane, "untouched", lambda _: True)  # it is there; a full server can't be had
            assert write(store, batch(Route(name), 5, service=name)) == [(2, 3)]
        assert "can't be begun" in caplog.text
        assert write(store, batch(Route(name), 6, service=name)) == [(1, 5)], "not asked for again so soon"
    finally:
        ask("DELETE", f"_index_template/{name}-blocked")


def test_no_more_streams_are_made_than_the_bound(
    opened: Any, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(es_write, "MOST", 1)
    store = opened()
    with caplog.at_level(logging.WARNING):
        assert write(store, *(batch(Route(f"{name}.{at}"), service=f"{name}-{at}") for at in range(3))) == [(3, 0)] * 3
    assert [counted(f"logs-{name}.{at}-{NAMESPACE}") for at in range(3)] == [3, 0, 0]
    assert len(list(store.search(Query(service=(f"{name}-*",))))) == 9
    assert "more than 1 data streams are asked for" in caplog.text


def test_fields_of_parsed_lines_reach_a_stream_of_before(opened: Any, name: str) -> None:
    """A data stream that version 1 of the template made, with a line in it that a newer shipper sent."""
    opened()
    stream = f"logs-docker-{NAMESPACE}.{name}"
    url = f"{SERVER}/?namespace={NAMESPACE}.{name}&refresh=now"
    old = line_mapping({"type": "text"})
    for field in ("fields", "log", "http", "rabbitmq"):
        del old["properties"][field]
    del old["properties"]["orchestrator"]["properties"]["node"]["properties"]["labels"]
    body = {"index_patterns": [stream], "priority": 250, "version": 1, "data_stream": {}, "template": {"mappings": old}}
    ask("PUT", f"_index_template/towline-{stream}", body)
    levels = '"log":{"level":"error"},"http":{"response":{"status_code":500}},"fields":{"user":"ann"}'
    row = f'{{"@timestamp":"{STAMP.format(1)}","message":"before","stream":"stdout",{levels}}}'
    requests.post(f"{SERVER}/{stream}/_create/a?refresh=true", data=row, timeout=60,
                  headers={"content-type": "application/json"}).raise_for_status()  # fmt: skip
    asked = Query(where=parse("level:error http.response.status_code:500 fields.user:a* fields.user:ann"))
    reader = ElasticsearchStore(url, environ={}, read_only=True)
    assert len(list(reader.search(asked))) == 1, "read from the documents where the index has no such field"
    assert len(list(reader.search(Query(where=parse("-level:error"))))) == 0
    assert sum(sum(each.values()) for each in reader.histogram(asked, 1000).counts.values()) == 1
    reader.close()
    store = ElasticsearchStore(url, environ={})
    ask("POST", f"{stream}/_rollover")
    for _ in range(2):
        rows = ask("GET", f"{stream}/_mapping").values()
        assert [row["mappings"]["properties"]["fields"]["type"] for row in rows] == ["flattened"] * 2
        nodes = [row["mappings"]["properties"]["orchestrator"]["properties"]["node"] for row in rows]
        assert [node["properties"]["labels"]["type"] for node in nodes] == ["flattened"] * 2
        ElasticsearchStore(url, environ={}).close()
    assert counted(stream) == 1
    store.close()
