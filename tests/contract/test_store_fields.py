"""What both stores do with fields that were found in lines, and with lines that ask for a data stream of their own."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest
import requests

from towline.batch import ORIGIN_MARK, Batch, Origin, Section, decode
from towline.data_streams import Route
from towline.fields import nested
from towline.levels import condition
from towline.query import Node, Query, both, matches, parse
from towline.stores import Store, open_store
from towline.times import format_time

SERVER = os.environ.get("TOWLINE_TEST_ELASTICSEARCH", "http://127.0.0.1:9200")
NAMESPACE = f"fields.{os.getpid()}"
START = 1_790_000_000_000_000_000


def emptied(stream: str) -> None:
    """A data stream can't be removed from every server, its old indices can."""
    requests.post(f"{SERVER}/{stream}/_rollover", timeout=60)
    rows = requests.get(f"{SERVER}/{stream}/_settings", timeout=60).json()
    for name in sorted(name for name in rows if name.startswith(".ds-"))[:-1]:
        requests.delete(f"{SERVER}/{name}", timeout=60).raise_for_status()


@pytest.fixture(scope="module", params=["sqlite", "elasticsearch"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, missing_part: Callable[[str], NoReturn]
) -> Iterator[Store]:
    """One for all tests here; each looks for lines of its own service."""
    folder: Path = tmp_path_factory.mktemp("store")
    if request.param == "elasticsearch":
        try:
            requests.get(f"{SERVER}/_cluster/health", timeout=10)
        except requests.ConnectionError as error:
            missing_part(f"no Elasticsearch on {SERVER}: {error}")
    url = {"sqlite": f"sqlite://{folder}/store", "elasticsearch": f"{SERVER}/?namespace={NAMESPACE}&refresh=now"}
    opened = open_store(url[request.param])
    yield opened
    opened.close()
    if request.param == "elasticsearch":
        for dataset in ("docker", "nginx"):
            emptied(f"logs-{dataset}-{NAMESPACE}")


def batch(service: str, *found: Mapping[str, Any], route: Route | None = None) -> Batch:
    """A line for each of these fields (dotted names), as rules leave them; its message is its number."""
    origin = Origin({
        "container": {"id": service.encode().hex().ljust(64, "0"), "name": service}, "host": {"name": "node-1"},
        "service": {"name": service}, **({"data_stream": route.fields} if route else {})})  # fmt: skip
    docs, stamps = [], []
    for number, fields in enumerate(found):
        stamp = format_time(START + number)
        stamps.append(stamp)
        created = {"created": fields["event.created"]} if "event.created" in fields else {}
        more = nested({name: value for name, value in fields.items() if name != "event.created"})
        event = {"sequence": number, **created, **more.pop("event", {})}
        line = {"@timestamp": stamp, "message": f"m{number}", "stream": "stdout", "event": event, **more}
        docs += [orjson.dumps({"create": {"_id": f"{stamp}-{service}"}}), orjson.dumps(line)[:-1] + ORIGIN_MARK + b"}"]
    section = Section(origin, b"\n".join([*docs, b""]), len(found), stamps[0], stamps[-1])
    return decode(Batch([section]).encode())


def written(store: Store, one: Batch) -> tuple[int, int, int]:
    (verdict,) = store.write([one])
    return sum(verdict.stored), sum(verdict.duplicate), sum(map(len, verdict.rejected))


def found(store: Store, service: str, text: str) -> list[str]:
    query = Query(where=parse(text), service=(service,), order="asc", limit=0)
    return [document["message"] for document in store.search(query)]


PARSED: tuple[dict[str, Any], ...] = (
    {"log.level": "error", "http.response.status_code": 500, "user": "ann", "took": 0.25, "ok": False},
    {"log.level": "ERROR", "http.response.status_code": 50, "user": "bob", "took": 1e22, "ok": True},
    {"log.level": "info", "http.response.status_code": "500", "client.ip": "10.0.0.1", "user": ["ann", "zoe"]},
    {"client.ip": "::ffff:10.0.0.1", "event.created": "2026-11-23T10:00:00.000000001Z", "nested": {"a": {"b": 7}}},
    {"client.ip": "not an address", "event.duration": 1 << 62, "url.path": "/a/" + "b" * 3000, "trace.id": "t1"},
    {"many": [{"k": "one"}, {"k": "two"}], "a.dotted.name": "x", "key with blanks": "y", "none": None, "\0nul": 1},
    {"event.created": "yesterday", "source.port": 70000, "error.stack_trace": "Traceback:\n  boom", "log.logger": "L"},
    {},
)
QUESTIONS = {
    "log.level:error": [0], "level:error": [0], "level:*rr*": [0], "-level:error": [1, 2, 3, 4, 5, 6, 7],
    "http.response.status_code:500": [0], "fields.http.response.status_code:500": [2],
    "-http.response.status_code:500": [1, 2, 3, 4, 5, 6, 7], "http.response.status_code:5*": [0, 1],
    "http.response.status_code:five": [],
    "fields.user:ann": [0, 2], "fields.user:a*": [0, 2], "-fields.user:ann level:*": [1], "fields.user:zoe": [2],
    "fields.took:0.25": [0], "fields.took:1e+22": [1], "fields.ok:true": [1], "fields.ok:false": [0],
    "client.ip:10.0.0.1": [2], "-client.ip:10.0.0.1 client.ip:*": [3], "client.ip:::ffff:10*": [3],
    'client.ip:"not an address"': [], 'fields.client.ip:"not an address"': [4], "client.ip:10.0.0.0/8": [],
    "event.created:2026-11-23T10:00:00.000000001Z": [3], "event.created:yesterday": [6],
    "event.duration:4611686018427387904": [4], "fields.nested.a.b:7": [3], "fields.nested.a:7": [],
    "url.path:/a/*": [4], "trace.id:t1": [4], "fields.many.k:two": [5], "-fields.many.k:two fields.many.k:*": [],
    "fields.a.dotted.name:x": [5], "fields.none:None": [], "source.port:70000": [6], "log.logger:L m6": [6],
    "error.stack_trace:Traceback*": [6], "level:error OR trace.id:t1": [0, 4], "fields.user:none": [],
}  # fmt: skip


def test_labels_of_the_node_are_found(store: Store) -> None:
    """A line without comes before: the field is there in some documents only."""
    assert written(store, batch("bare", {})) == (1, 0, 0)
    one = batch("labelled", {}, {})
    labels = {"zone": "a", "engine.disk": "ssd"}
    fields = {**one.sections[0].origin.fields, "orchestrator": {"node": {"labels": labels}}}
    told = Section(Origin(fields), *(getattr(one.sections[0], name) for name in ("docs", "count", "first", "last")))
    assert written(store, decode(Batch([told]).encode())) == (2, 0, 0)
    for text, messages in {
        "orchestrator.node.labels.zone:a": ["m0", "m1"], "orchestrator.node.labels.engine.disk:s*": ["m0", "m1"],
        "orchestrator.node.labels.zone:b": [], "-orchestrator.node.labels.zone:b m1": ["m1"],
    }.items():  # fmt: skip
        assert found(store, "labelled", text) == messages, text
    assert found(store, "bare", "-orchestrator.node.labels.zone:a") == ["m0"]


@pytest.fixture(scope="module")
def parsed(store: Store) -> Store:
    assert written(store, batch("parsed", *PARSED)) == (len(PARSED), 0, 0)
    return store


@pytest.mark.parametrize("text", QUESTIONS)
def test_fields_of_parsed_lines_are_found(parsed: Store, text: str) -> None:
    assert found(parsed, "parsed", text) == [f"m{number}" for number in QUESTIONS[text]]


def test_a_field_filter_counts_and_follows_like_it_searches(parsed: Store) -> None:
    asked = Query(where=parse("http.response.status_code:500 fields.user:ann"), service=("parsed",))
    assert sum(sum(row.values()) for row in parsed.histogram(asked, 60_000).counts.values()) == 1
    _, cursor = parsed.follow(None, asked)
    written(parsed, batch("parsed-2", *PARSED[:2]))
    again = Query(where=parse("http.response.status_code:500 fields.user:ann"))
    documents, _ = parsed.follow(cursor, again)
    assert [document["service"]["name"] for document in documents] == ["parsed-2"]


LEVELLED = (
    ("no error", {"log.level": "info"}, "info"), ("fine", {"log.level": "fatal"}, "error"),
    ("fine", {"log.level": "emergency", "log.logger": "x"}, "error"), ("a warning", {"log.level": "loud"}, "warn"),
    ("an ERROR", {}, "error"), ("error too", {"log.flags": ["split"], "log.level": "debug"}, "debug"),
    ("plain", {"user": {"log": {"level": "error"}}}, "none"), ("e", {}, "none"),
    ("info", {"log.level": "warn"}, "warn"),
)  # fmt: skip
"""Message, fields, and the level that they come to."""


def test_a_line_has_the_level_of_its_own_field_before_that_of_its_words(store: Store) -> None:
    """Beside containers without any such field, and with one as the shipper writes it. Each level finds the lines that
    it counts."""
    asked = batch("levelled", *(fields for _, fields, _ in LEVELLED))
    docs = asked.sections[0].docs
    for number, (message, _, _) in enumerate(LEVELLED):
        docs = docs.replace(b'"m%d"' % number, orjson.dumps(message))
    one = replace(asked.sections[0], docs=docs)
    others = [*batch("unlevelled", {}, {}).sections, *batch("quick", {"log.level": "debug"}, {}).sections]
    (verdict,) = store.write([decode(Batch([one, *others]).encode())])
    assert sum(verdict.stored) == len(LEVELLED) + 4
    every = Query(service=("levelled", "unlevelled", "quick"), limit=0)
    counts: Counter[str] = Counter()
    for row in store.histogram(every, 60_000).counts.values():
        counts.update(row)
    assert counts == Counter(level for *_, level in LEVELLED) + Counter(none=3, debug=1)
    for level, number in counts.items():
        asked_for = replace(every, where=condition([level]))
        assert len(list(store.search(asked_for))) == number, level
        assert sum(sum(row.values()) for row in store.histogram(asked_for, 60_000).counts.values()) == number, level
    hits = store.search(Query(where=both_of(parse("error"), condition(["info", "debug"])), service=("levelled",)))
    assert {hit["message"] for hit in hits} == {"no error", "error too"}


def both_of(*parts: Node | None) -> Node | None:
    return both(tuple(part for part in parts if part))


def test_hostile_fields_cost_no_line(store: Store) -> None:
    deep: Any = "end"
    for _ in range(900):
        deep = {"d": deep}
    wild = {"deep": deep, "many": {f"k{number}": number for number in range(3000)}, "k" * 40_000: "x" * 40_000,
            "huge": 1 << 63, "list": [[[1, [2, {"x": [3]}]]], None, "a"]}  # fmt: skip
    assert written(store, batch("hostile", wild, {"log.level": "warn"})) == (2, 0, 0)
    assert found(store, "hostile", "fields.many.k2999:2999") == ["m0"]
    (document,) = store.search(Query(where=parse("m0"), service=("hostile",)))
    assert "end" in str(document["fields"]["deep"]), "what lies too deep is kept as text"


ROUTE = Route("nginx")


def test_lines_with_a_dataset_of_their_own_are_found_with_all_others(store: Store) -> None:
    plain, routed = batch("routed", {}, {}), batch("routed-nginx", {"user": "ann"}, {}, route=ROUTE)
    _, cursor = store.follow(None, Query())
    assert [written(store, one) for one in (plain, routed)] == [(2, 0, 0), (2, 0, 0)]
    both = [sum(verdict.duplicate) for verdict in store.write([plain, routed])]
    assert both == [2, 2], "repeats are known in both"
    asked = Query(service=("routed*",), limit=0)
    documents = list(store.search(asked))
    assert [(document["service"]["name"], document["message"]) for document in documents] == [
        ("routed-nginx", "m1"), ("routed", "m1"), ("routed-nginx", "m0"), ("routed", "m0")]  # fmt: skip
    assert documents[0]["data_stream"] == {"type": "logs", "dataset": "nginx", "namespace": "default"}
    assert len([one for one in store.follow(cursor, asked)[0] if matches(asked, one)]) == 4
    assert store.totals()["routed-nginx"] == 2
    assert found(store, "routed-nginx", "data_stream.dataset:nginx fields.user:ann") == ["m0"]
    identity = str(documents[0]["container"]["id"])
    assert len(list(store.identities(identity, None, None))) == 2
    assert [one["message"] for one in store.context(documents[0], 5, 5)[0]] == ["m0"]
    assert sum(sum(row.values()) for row in store.histogram(asked, 1000).counts.values()) == 4
    assert {known.service for known in store.containers(0, "routed")[0]} == {"routed", "routed-nginx"}


def test_a_name_that_no_stream_can_have_goes_where_all_goes(store: Store) -> None:
    odd = [Route("../x"), Route("UPPER"), Route("a-b"), Route("towline.deadletter"), Route("x" * 101), Route("")]
    for number, route in enumerate(odd):
        assert written(store, batch(f"odd-{number}", {}, route=route)) == (1, 0, 0)
        assert found(store, f"odd-{number}", "m0") == ["m0"]
