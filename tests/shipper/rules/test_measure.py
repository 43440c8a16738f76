"""Metrics made of lines: what is asked by label comes out of the scrape, within bounds, whatever two services ask."""

import itertools
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporters.exposition import render
from exporters.serve import own
from shipper.rules import measure
from shipper.rules.chain import SERVICE
from shipper.rules.rows import Rows
from shipper.rules.table import read
from towline import measured as bounds
from towline.measured import Measured
from towline.metrics import REGISTRY

Found = dict[str, Any] | None


@pytest.fixture
def measured() -> Measured:
    return Measured("towline_log_")


def step(measured: Measured, service: str = "web", **labels: str) -> Any:
    texts = {f"towline.metric{name and '.'}{name}": text for name, text in labels.items()}
    reading = read(texts, measure.LABELS)
    assert reading.problems == []
    return measure.make({**reading.values, SERVICE: service}, measured)


def rows(fields: Sequence[Found], streams: Sequence[bytes] | None = None) -> Rows:
    count = len(fields)
    stamps = [b"2026-11-23T00:25:00.123456789Z"] * count
    return Rows([b"id"] * count, stamps, list(streams or [b"stdout"] * count), [1] * count, ["text"] * count,
                [()] * count, fields=list(fields))  # fmt: skip


def registry(measured: Measured) -> CollectorRegistry:
    made = CollectorRegistry()
    made.register(measured)
    return made


def samples(measured: Measured) -> dict[str, float]:
    """By `name{label=value,…}`, as Prometheus' own parsers read it from each way in which we show metrics."""
    text = generate_latest(registry(measured)).decode()
    shown = [
        _samples(parse_text(text)),
        _samples(parse_openmetrics(openmetrics.generate_latest(registry(measured)).decode())),
        _samples(parse_text(render(own(measured.collect())).decode())),
        _samples(parse_openmetrics(render(own(measured.collect()), openmetrics=True).decode())),
    ]
    assert all(each == shown[0] for each in shown)
    return shown[0]


def _samples(families: Any) -> dict[str, float]:
    found = [(f"{s.name}{{{','.join(f'{k}={v}' for k, v in sorted(s.labels.items()))}}}", s.value)
             for family in families for s in family.samples]  # fmt: skip
    assert len(dict(found)) == len(found)  # Prometheus refuses a scrape that says a series twice
    return dict(found)


def test_a_counter_counts_lines_by_fields(measured: Measured) -> None:
    step(measured, requests="counter by http.response.status_code, method=http.request.method")(
        rows([{"http.response.status_code": 200, "http.request.method": "GET"}] * 2
             + [{"http.response.status_code": 500}, None]))  # fmt: skip
    assert samples(measured) == {
        "towline_log_requests_total{http_response_status_code=200,method=GET,service=web}": 2,
        "towline_log_requests_total{http_response_status_code=500,method=,service=web}": 1,
        "towline_log_requests_total{http_response_status_code=,method=,service=web}": 1,
    }


def test_a_field_may_be_called_as_the_application_does(measured: Measured) -> None:
    step(measured, seen="counter by status")(rows([{"http.response.status_code": 200}, {"status": "gone"}]))
    assert samples(measured) == {
        "towline_log_seen_total{service=web,status=200}": 1, "towline_log_seen_total{service=web,status=gone}": 1,
    }  # fmt: skip


def test_a_counter_without_labels_is_there_from_the_start(measured: Measured) -> None:
    count = step(measured, seen="counter", sent_total="counter of http.response.bytes")
    assert samples(measured) == {"towline_log_seen_total{service=web}": 0, "towline_log_sent_total{service=web}": 0}
    count(rows([{"http.response.bytes": 10}, {"http.response.bytes": "2.5"}, {}, None]))
    assert samples(measured) == {"towline_log_seen_total{service=web}": 4, "towline_log_sent_total{service=web}": 12.5}


@pytest.mark.parametrize("value", [-1, True, None, "abc", "", "nan", "inf", float("nan"), float("inf"), [1], {"a": 1},
                                   10**400, "9" * 100_000, "[ip]"])  # fmt: skip
def test_what_is_no_number_is_not_measured(measured: Measured, value: Any) -> None:
    count = step(measured, a="counter of n", b="histogram of n")
    count(rows([{"n": value}, {"n": 3}]))
    assert samples(measured)["towline_log_a_total{service=web}"] == 3
    assert samples(measured)["towline_log_b_count{service=web}"] == 1


def test_a_histogram_has_its_buckets_and_scale(measured: Measured) -> None:
    step(measured, took="histogram of event.duration by url.path buckets 1,0.01,0.1")(
        rows([{"event.duration": ms * 10**6, "url.path": "/"} for ms in (5, 10, 50, 5000)]))  # fmt: skip
    found = samples(measured)
    buckets = [found[f"towline_log_took_bucket{{le={le},service=web,url_path=/}}"] for le in (0.01, 0.1, "1.0", "+Inf")]
    assert buckets == [2, 3, 3, 4]
    assert found["towline_log_took_count{service=web,url_path=/}"] == 4
    assert found["towline_log_took_sum{service=web,url_path=/}"] == pytest.approx(5.065)


def test_the_stream_may_be_a_label_and_the_service_can_t_be_forged(measured: Measured) -> None:
    step(measured, lines="counter by stream,service,le")(
        rows([{"service": "bank", "le": "1", "stream": "forged"}], streams=[b"stderr"]))  # fmt: skip
    assert samples(measured) == {"towline_log_lines_total{field_le=1,field_service=bank,service=web,stream=stderr}": 1}


def test_series_are_bounded_and_the_rest_is_other(measured: Measured) -> None:
    count = step(measured, users="counter by user.name", sizes="histogram of n by user.name buckets 1")
    for start in range(0, 1000, 50):
        count(rows([{"user.name": f"user{number}", "n": 1} for number in range(start, start + 50)]))
    found = samples(measured)
    names = [name for name in found if name.startswith("towline_log_users_total")]
    assert len(names) == bounds.MOST_SERIES + 1
    assert found["towline_log_users_total{service=web,user_name=other}"] == 900
    assert found["towline_log_sizes_count{service=web,user_name=other}"] == 900
    assert sum(found[name] for name in names) == 1000


def test_services_are_bounded(measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_SERVICES", 3)
    for number in range(5):
        step(measured, f"job{number}", runs="counter", took="histogram of n buckets 1,2")(rows([{"n": 1}]))
    found = samples(measured)
    assert found["towline_log_runs_total{service=other}"] == 2
    assert found["towline_log_took_count{service=other}"] == 2


def test_values_are_cut_and_any_text_can_be_shown(measured: Measured) -> None:
    values = ["x" * 200, 'q"uo\\te\n', "\ud800", "ü€", True, 2.5, None, ["list"], ""]
    step(measured, seen="counter by v")(rows([{"v": value} for value in values]))
    found = samples(measured)
    assert f"towline_log_seen_total{{service=web,v={'x' * 64}}}" in found
    assert 'towline_log_seen_total{service=web,v=q"uo\\te\n}' in found
    assert found["towline_log_seen_total{service=web,v=}"] == 3
    assert {"true", "2.5", "ü€", "?"} <= {name.removesuffix("}").split("v=")[1] for name in found}


def test_two_services_may_ask_for_different_things_by_one_name(measured: Measured) -> None:
    asked = ["counter by a", "counter by b", "counter", "histogram of n by a buckets 1", "histogram of n buckets 2,3"]
    fields: list[Found] = [{"a": "x", "b": "y", "n": 2}]
    for order in itertools.permutations(range(5)):
        measured = Measured("towline_log_")
        steps = [step(measured, f"s{number}", it=asked[number]) for number in order]
        for each in steps:
            each(rows(fields))
        found = samples(measured)
        assert sum(value for name, value in found.items() if "_total{" in name) == 3
        assert sum(value for name, value in found.items() if "_count{" in name) == 2


def test_other_buckets_of_a_service_begin_anew(measured: Measured) -> None:
    old = step(measured, took="histogram of n buckets 1,2")
    old(rows([{"n": 1}]))
    new = step(measured, took="histogram of n buckets 5")
    new(rows([{"n": 1}]))
    old(rows([{"n": 1}]))  # a container of before the update goes on
    assert samples(measured) == {
        "towline_log_took_bucket{le=5.0,service=web}": 2, "towline_log_took_bucket{le=+Inf,service=web}": 2,
        "towline_log_took_count{service=web}": 2, "towline_log_took_sum{service=web}": 2,
    }  # fmt: skip


def test_the_same_metric_asked_again_goes_on_counting(measured: Measured) -> None:
    for _ in range(3):
        step(measured, took="histogram of n buckets 1", seen="counter by a")(rows([{"n": 1, "a": "b"}]))
    found = samples(measured)
    assert (found["towline_log_took_count{service=web}"], found["towline_log_seen_total{a=b,service=web}"]) == (3, 3)


def test_any_name_of_a_label_becomes_one_of_a_metric(measured: Measured) -> None:
    labels = dict.fromkeys(["", "a.b-c", "9 lives", "y_total", "z"], "counter")
    step(measured, **labels, z_created="histogram of n")(rows([{"n": 1}]))
    names = {name.partition("{")[0] for name in samples(measured)}
    assert {f"towline_log_{name}_total" for name in ("lines", "a_b_c", "9_lives", "y", "z")} <= names
    assert "towline_log_z_created_histogram_count" in names


def test_a_scrape_while_lines_are_counted_is_whole(measured: Measured) -> None:
    count = step(measured, n="counter by v")
    done = threading.Event()

    def write() -> None:
        for number in range(300):
            count(rows([{"v": f"{number}"}]))
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set():
        _samples(parse_text(generate_latest(registry(measured)).decode()))
    thread.join()
    assert sum(samples(measured).values()) == 300


def test_towline_s_own_registry_shows_them() -> None:
    reading = read({"towline.metric.of_a_test": "counter"}, measure.LABELS)
    made = measure.make({**reading.values, SERVICE: "shown"})
    assert made
    made(rows([None, None]))
    assert REGISTRY.get_sample_value("towline_log_of_a_test_total", {"service": "shown"}) == 2


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("", "write counter or histogram"), ("gauge of a", "counter or histogram"), ("histogram", "needs a field"),
        ("counter per a", "not understood"), ("counter by", "nothing"), ("counter of a,b", "too much"),
        ("counter of a buckets 1", "no buckets"), ("histogram of a buckets x", "numbers above 0"),
        ("histogram of a scale 0", "numbers above 0"), ("histogram of a buckets 1,inf", "numbers above 0"),
        ("counter by a,a", "different fields"), ("counter by a,b,c,d,e,f", "at most 5"),
        ("histogram of a buckets " + ",".join(map(str, range(1, 40))), "at most 30"),
    ],
)  # fmt: skip
def test_what_can_t_be_read_is_named_with_what_to_write(text: str, fix: str) -> None:
    reading = read({"towline.metric.x": text}, measure.LABELS)
    assert reading.values == {}
    assert fix in reading.problems[0]


def test_nothing_asked_is_no_step() -> None:
    assert measure.make({SERVICE: "web"}) is None
