"""Names of stores: what a label may say, what goes where, who counts a line, and who is told that nobody serves one."""

import itertools
import logging
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import Counter

from indexer.ledger import count
from shipper.rules.routing import LABELS, data_stream
from shipper.rules.table import read
from towline import metrics
from towline.batch import Batch, Origin, Section
from towline.checks_stores import findings
from towline.data_streams import DEFAULT, route_of
from towline.finding import Mark
from towline.queues.amqp_held import by_store, homeless, packed
from towline.queues.memory import MemoryQueue
from towline.store_names import in_order, named, several
from towline.stores import Rejected, Verdict
from towline.unserved import AGAIN, Unserved

STAMP = "2026-11-23T10:00:00.000000001Z"


def section(service: str, stores: Sequence[str] = (), lines: int = 1) -> Section:
    asked: dict[str, Any] = {**DEFAULT, "stores": list(stores)} if stores else {**DEFAULT}
    origin = Origin({"container": {"id": service, "name": service}, "host": {"name": "n"},
                     "service": {"name": service}, "data_stream": asked})  # fmt: skip
    return Section(origin, b"{}\n{}\n" * lines, lines, STAMP, STAMP)


def services(batch: Batch) -> list[str]:
    return [each.origin.service for each in batch.sections]


def value(metric: Counter, *labels: str) -> float:
    return float(metric.labels(*labels)._value.get())


@pytest.mark.parametrize(
    ("text", "stores"),
    [
        ("main", []), ("archive", ["archive"]), ("archive, main", ["main", "archive"]),
        ("main,archive,main", ["main", "archive"]), ("b,a", ["b", "a"]), (" cold-2 ,", ["cold-2"]),
    ],
)  # fmt: skip
def test_a_label_names_stores_and_the_default_one_comes_first(text: str, stores: list[str]) -> None:
    reading = read({"towline.store": text}, LABELS)
    found = data_stream(reading.values)
    assert reading.problems == []
    assert found == ({**DEFAULT, "stores": stores} if stores else DEFAULT)
    assert Origin({"data_stream": found}).stores == tuple(stores)
    assert route_of({"data_stream": found}) is None, "the stream is the store's own"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "1 to 16 names"), (",", "1 to 16 names"), ("Archive", "lower case"), ("a b", "lower case"),
        ("https://es:9200", "lower case"), ("-x", "beginning with"), ("x" * 41, "up to 40"),
        ("main,events", "another name"), (",".join(f"s{n}" for n in range(17)), "1 to 16 names"),
    ],
)  # fmt: skip
def test_what_can_be_no_name_is_refused_and_the_lines_stay_in_the_default_store(text: str, told: str) -> None:
    reading = read({"towline.store": text}, LABELS)
    (problem,) = reading.problems
    assert told in problem
    assert data_stream(reading.values) == DEFAULT


@pytest.mark.parametrize("odd", [None, "archive", 7, {}, [""], ["A"], [["a"]], ["x"] * 17, ["main"]])
def test_an_origin_of_another_program_never_names_what_can_be_no_store(odd: object) -> None:
    assert named(odd) == ()
    assert Origin({"data_stream": {"stores": odd}}).stores == ()


def test_a_route_by_label_stays_beside_the_stores() -> None:
    found = data_stream(read({"towline.store": "cold", "towline.dataset": "nginx"}, LABELS).values)
    route = route_of({"data_stream": found})
    assert route is not None
    assert route.stream("default") == "logs-nginx-default"
    assert several("a,b") == in_order(("a", "b"))


def test_a_batch_without_the_label_is_sent_as_it_is() -> None:
    batch = Batch([section("a"), section("b")])
    ((store, same),) = by_store(batch)
    assert store == ""
    assert same is batch


def test_each_store_gets_its_sections_and_the_confirm_comes_after_the_last() -> None:
    batch = Batch([section("a"), section("b", ["main", "cold"], 2), section("c", ["cold", "warm"], 3)], node="n")
    assert {store: services(part) for store, part in by_store(batch)} == {
        "": ["a", "b"], "cold": ["b", "c"], "warm": ["c"]}  # fmt: skip
    confirmed: list[bool] = []
    held = packed(batch, "x", 1 << 20, itertools.count(), lambda: confirmed.append(True))
    assert {each.store: dict(each.asked) for each in held} == {
        "": {"b": 2}, "cold": {"b": 2, "c": 3}, "warm": {"c": 3}}  # fmt: skip
    for each in held:
        assert not confirmed
        each.confirmed()
    assert confirmed == [True]


def test_of_what_nobody_serves_the_default_store_gets_what_is_for_no_other() -> None:
    batch = Batch([section("b", ["main", "cold"]), section("c", ["cold", "warm"]), section("d", ["cold"])], node="n")
    cold, warm = (next(each for each in packed(batch, "x", 1 << 20, itertools.count(), lambda: None)
                       if each.store == store) for store in ("cold", "warm"))  # fmt: skip
    instead = homeless(cold)
    assert instead is not None
    assert (instead.store, instead.place, dict(instead.asked)) == ("", cold.place, {"c": 1, "d": 1})
    assert homeless(warm) is None, "cold has it, or the default store by way of that"


def test_the_ledger_has_each_line_once_and_each_store_its_own() -> None:
    service = f"ledger-{uuid.uuid4().hex[:8]}"
    both, cold = section(service, ["main", "cold"], 4), section(service, ["cold", "warm"], 3)
    refused = [Rejected("i", "r", "o")]
    count([Batch([both])], [Verdict([4], [0], [[]])], 0)
    count([Batch([both, cold])], [Verdict([3, 1], [0, 2], [refused, []])], 0, store="cold")
    count([Batch([cold])], [Verdict([3], [0], [[]])], 0, store="warm")
    assert value(metrics.LINES_INDEXED, service) == 4 + 3
    assert (value(metrics.LINES_DUPLICATE, service), value(metrics.LINES_DEAD_LETTERED, service)) == (2, 0)
    assert [value(metrics.STORE_INDEXED, service, store) for store in ("main", "cold", "warm")] == [4, 6, 3]
    assert value(metrics.STORE_DUPLICATE, service, "cold") == 2
    assert value(metrics.STORE_DEAD_LETTERED, service, "cold") == 1


def test_the_one_store_of_up_takes_all_lines_and_tells_which_were_for_others(caplog: pytest.LogCaptureFixture) -> None:
    service = f"up-{uuid.uuid4().hex[:8]}"
    queue = MemoryQueue(1 << 20)
    batch = Batch([section(service, ["main", "cold"], 2), section("plain")])
    with caplog.at_level(logging.WARNING, "towline.unserved"):
        assert queue.offer(batch, lambda: None)
        assert queue.offer(batch, lambda: None)
    (delivery, _) = queue.take(100, 30)
    assert delivery.batch is batch
    assert value(metrics.STORE_UNSERVED, service, "cold") == 4
    (record,) = caplog.records
    assert f"service {service}: nobody serves store 'cold'; here is one store, which keeps all" in record.getMessage()
    queue.close()


def test_what_nobody_serves_is_said_again_after_a_while(caplog: pytest.LogCaptureFixture) -> None:
    clock = [100.0]
    unserved = Unserved("mend it", lambda: clock[0])
    with caplog.at_level(logging.WARNING, "towline.unserved"):
        for clock[0] in (100.0, 101.0, 99.0 + AGAIN, 101.0 + AGAIN):
            unserved.note("cold", {"web": 1})
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    ("queue", "told"),
    [("", "`towline up` has one store, main"), ("memory://", "`towline up` has one store, main"),
     ("stdout://", "all lines leave Towline by --queue")],
)  # fmt: skip
def test_check_names_the_stores_that_nobody_can_serve_here(queue: str, told: str) -> None:
    (finding,) = findings({"cold": ["web", "shop"], "main": ["web"]}, queue, {})
    assert (finding.mark, finding.text) == (Mark.HINT, f"label towline.store=cold (web, shop): {told}")
    assert list(findings({"main": ["web"]}, queue, {})) == []


def test_check_says_of_a_broker_that_is_away_nothing_more_here() -> None:
    assert list(findings({"cold": ["web"]}, "amqp://guest@127.0.0.1:1/", {})) == []
