"""The Elasticsearch store on a real server, beyond the contract: refusals, closed indices, templates."""

import os
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import orjson
import pytest
import requests

from towline.batch import ORIGIN_MARK, Batch, Origin, Section
from towline.errors import StoreUnavailable
from towline.query import Field, Not, Query, parse
from towline.stores import Verdict, open_store
from towline.stores.elasticsearch import ElasticsearchStore
from towline.stores.es_address import parse as address_of
from towline.stores.es_client import connect
from towline.stores.es_follow import Follower
from towline.stores.es_query import Translation

SERVER = os.environ.get("TOWLINE_TEST_ELASTICSEARCH", "http://127.0.0.1:9200")
NAMESPACE = f"test.{os.getpid()}"
LINES, LETTERS = f"{SERVER}/logs-docker-{NAMESPACE}", f"{SERVER}/logs-towline.deadletter-{NAMESPACE}"
OPTIONS = f"?namespace={NAMESPACE}&refresh=now"
PAST = "2020-01-01T00:00:00.{:09}Z"


@pytest.fixture(scope="module")
def server(missing_part: Callable[[str], NoReturn]) -> str:
    try:
        requests.get(f"{SERVER}/_cluster/health", timeout=10)
    except requests.ConnectionError as error:
        missing_part(f"no Elasticsearch on {SERVER}: {error}")
    return SERVER


@pytest.fixture
def store(server: str) -> Iterator[ElasticsearchStore]:
    for stream in (LINES, LETTERS):
        requests.post(f"{stream}/_rollover", timeout=60)
        for name in indices(stream)[:-1]:
            requests.delete(f"{SERVER}/{name}", timeout=60).raise_for_status()
    opened = ElasticsearchStore(f"{SERVER}/{OPTIONS}", environ={}, patience=1)
    yield opened
    opened.close()


def indices(stream: str = LINES) -> list[str]:
    rows = requests.get(f"{stream}/_settings", timeout=60).json()
    return sorted(name for name in rows if name.startswith(".ds-"))


def rollover() -> None:
    requests.post(f"{LINES}/_rollover", timeout=60).raise_for_status()


def batch(number: int = 5, first: int = 0, when: str = PAST, labels: dict[str, Any] | None = None,
          wild: dict[str, Any] | None = None,          **fields: Any) -> Batch:  # fmt: skip
    origin = Origin({"container": {"id": "ab" * 32, "name": "web", "labels": labels or {}}, "host": {"name": "n"},
                     "service": {"name": "web"}})  # fmt: skip
    docs = []
    for at in range(first, first + number):
        row = {"@timestamp": when.format(at), "message": f"line {at}", "stream": "stdout",
               "event": {"sequence": at}, **(wild or {}), **fields}  # fmt: skip
        docs += [orjson.dumps({"create": {"_id": f"{when.format(at)}-ab"}}), b"\n",
                 orjson.dumps(row)[:-1], ORIGIN_MARK, b"}\n"]  # fmt: skip
    stamps = [when.format(at) for at in (first, first + number - 1)]
    return Batch([Section(origin, b"".join(docs), number, min(stamps), max(stamps))])


def counts(verdict: Verdict) -> tuple[int, int, int]:
    return sum(verdict.stored), sum(verdict.duplicate), sum(map(len, verdict.rejected))


def write(store: ElasticsearchStore, *batches: Batch) -> list[tuple[int, int, int]]:
    return [counts(verdict) for verdict in store.write(batches)]


def test_a_field_of_another_kind_makes_a_dead_letter_with_the_reason(store: ElasticsearchStore) -> None:
    odd = batch(1, 7, event={"sequence": "seven"})
    assert write(store, batch(3), odd, batch(3, 10)) == [(3, 0, 0), (0, 0, 1), (3, 0, 0)]
    (letter,) = store.dead_letters()
    assert "event.sequence" in letter["reason"]
    assert '"sequence":"seven"' in letter["original"]
    assert letter["service"] == {"name": "web"}
    assert write(store, odd) == [(0, 0, 1)]
    assert len(store.dead_letters()) == 1, "the same dead letter is kept once"


def test_whatever_is_logged_the_mapping_does_not_grow(store: ElasticsearchStore) -> None:
    write(store, batch(1))
    before = requests.get(f"{SERVER}/{indices()[-1]}/_mapping", timeout=60).json()
    wild = {f"field{number}": {"deep": {f"{number}": number}} for number in range(3000)}
    labels = {f"label.{number}.x": "v" * 40_000 if number == 3 else "v" for number in range(3000)}
    labels |= {"com.docker.swarm.task": "", "com.docker.swarm.task.id": "t1"}
    assert write(store, batch(2, 5, labels=labels, wild=wild)) == [(2, 0, 0)]
    assert requests.get(f"{SERVER}/{indices()[-1]}/_mapping", timeout=60).json() == before
    assert len(list(store.search(Query(where=parse("container.labels.com.docker.swarm.task.id:t1"))))) == 2
    unmapped = Field("field7.deep.7", "7")
    assert len(list(store.search(Query(where=unmapped)))) == 2
    assert len(list(store.search(Query(where=Not(unmapped))))) == 1


def test_an_id_that_spoils_the_whole_request_costs_only_its_own_line(store: ElasticsearchStore) -> None:
    good = batch(4)
    (section,) = good.sections
    docs = section.docs.replace(b'"_id":"', b'"_id":"' + b"x" * 600, 1)
    verdict = store.write([Batch([Section(section.origin, docs, 4, section.first, section.last)]), batch(3, 100)])
    assert [counts(one) for one in verdict] == [(3, 0, 1), (3, 0, 0)]
    assert "512" in verdict[0].rejected[0][0].reason


def test_a_closed_index_is_waited_out_and_said(store: ElasticsearchStore) -> None:
    write(store, batch(3))
    index = indices()[-1]
    requests.post(f"{SERVER}/{index}/_close", timeout=60).raise_for_status()
    try:
        with pytest.raises(StoreUnavailable, match=r"index_closed_exception.*_open") as refused:
            store.write([batch(5)])
        assert "\n" not in str(refused.value)
        with pytest.raises(StoreUnavailable, match="closed"):
            store.check()
    finally:
        requests.post(f"{SERVER}/{index}/_open?wait_for_active_shards=1", timeout=60).raise_for_status()
    assert write(store, batch(5)) == [(2, 3, 0)]
    store.check()
    assert store.dead_letters() == []


def test_a_write_block_as_of_a_full_disk_is_waited_out_and_said(store: ElasticsearchStore) -> None:
    write(store, batch(3))
    url = f"{SERVER}/{indices()[-1]}/_settings"
    requests.put(url, json={"index.blocks.read_only_allow_delete": True}, timeout=60).raise_for_status()
    try:
        with pytest.raises(StoreUnavailable, match=r"cluster_block_exception.*disk"):
            store.write([batch(5)])
    finally:
        requests.put(url, json={"index.blocks.read_only_allow_delete": None}, timeout=60).raise_for_status()
    assert write(store, batch(5)) == [(2, 3, 0)]


def test_follow_goes_past_numbers_that_never_get_a_line(store: ElasticsearchStore) -> None:
    now = [1000.0]
    address = address_of(f"{SERVER}/{OPTIONS}", {})
    client = connect(address)
    follower = Follower(client, address, lambda _: Translation(words=False), lambda: now[0])
    write(store, batch(2))
    _, cursor = follower.follow(None, Query(), 10)
    write(store, batch(3, 10))
    for number in (10, 11):
        requests.delete(f"{SERVER}/{indices()[-1]}/_doc/{PAST.format(number)}-ab?refresh=true", timeout=60)
    write(store, batch(1, 20))
    got: list[str] = []
    for _ in range(6):
        documents, cursor = follower.follow(cursor, Query(), 10)
        got += [document["message"] for document in documents]
        now[0] += 3
    client.close()
    assert got == ["line 12", "line 20"]


def test_follow_goes_on_in_the_index_after_a_rollover(store: ElasticsearchStore) -> None:
    write(store, batch(2))
    _, cursor = store.follow(None, Query())
    write(store, batch(2, 10))
    rollover()
    write(store, batch(2, 20))
    documents, cursor = store.follow(cursor, Query())
    assert [document["message"] for document in documents] == ["line 10", "line 11", "line 20", "line 21"]
    assert store.follow(cursor, Query())[0] == []


def test_a_template_of_a_newer_version_is_left_alone(store: ElasticsearchStore) -> None:
    url = f"{SERVER}/_index_template/towline-logs-docker-{NAMESPACE}"
    mine = requests.get(url, timeout=60).json()["index_templates"][0]["index_template"]
    mine = {name: value for name, value in mine.items() if "_date" not in name}
    requests.put(url, json={**mine, "version": 99}, timeout=60).raise_for_status()
    open_store(f"{SERVER}/{OPTIONS}").close()
    assert requests.get(url, timeout=60).json()["index_templates"][0]["index_template"]["version"] == 99
    requests.put(url, json=mine, timeout=60).raise_for_status()


def test_a_large_section_goes_in_several_requests(store: ElasticsearchStore) -> None:
    large = batch(300, labels={"long": "x" * 100_000})
    assert sum(len(section.expand()) for section in large.sections) > 20 << 20
    assert write(store, large) == [(300, 0, 0)]
    assert store.totals() == {"web": 300}
