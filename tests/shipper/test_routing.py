"""Labels that say where lines are kept."""

import pytest

from shipper.rules.routing import LABELS, data_stream
from shipper.rules.table import read
from towline.data_streams import DEFAULT, Route, age, checked, route_of, sanitised


def asked(**labels: str) -> tuple[dict[str, str], list[str]]:
    reading = read({f"towline.{name}": text for name, text in labels.items()}, LABELS)
    return data_stream(reading.values), reading.problems


@pytest.mark.parametrize(
    ("labels", "dataset", "namespace", "retention"),
    [
        ({}, "docker", "default", None),
        ({"dataset": "nginx.access"}, "nginx.access", "default", None),
        ({"dataset": " nginx ", "namespace": "prod_1"}, "nginx", "prod_1", None),
        ({"retention": "7d"}, "docker.7d", "default", "7d"),
        ({"retention": "1w", "dataset": "nginx"}, "nginx.7d", "default", "7d"),
        ({"retention": "90"}, "docker.90s", "default", "90s"),
        ({"retention": "36h"}, "docker.36h", "default", "36h"),
        ({"retention": "0"}, "docker.forever", "default", "forever"),
    ],
)
def test_labels_become_a_data_stream(
    labels: dict[str, str], dataset: str, namespace: str, retention: str | None
) -> None:
    found, problems = asked(**labels)
    more = {"retention": retention} if retention else {}
    assert found == {"type": "logs", "dataset": dataset, "namespace": namespace, **more}
    assert problems == []
    route = route_of({"data_stream": found})
    assert (route is None) == (found == DEFAULT)
    if route:
        assert route.fields == found
        assert route.stream("mine") == f"logs-{dataset}-{'mine' if namespace == 'default' else namespace}"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("dataset", "Nginx", "lower case"),
        ("dataset", "nginx-access", "no -"),
        ("dataset", "", "lower case"),
        ("dataset", ".hidden", "beginning with"),
        ("dataset", "a b", "lower case"),
        ("dataset", "é", "lower case"),
        ("dataset", "x" * 81, "at most 80"),
        ("dataset", "towline.deadletter", "Towline's own"),
        ("namespace", "a/b", "lower case"),
        ("namespace", "x" * 101, "at most 100"),
        ("retention", "soon", "write an age"),
        ("retention", "-3d", "write an age"),
    ],
)
def test_what_can_be_no_name_is_refused_when_the_label_is_read(name: str, text: str, told: str) -> None:
    found, problems = asked(**{name: text})
    assert found == DEFAULT
    assert len(problems) == 1
    assert problems[0].startswith(f"label towline.{name}={text!r}: ")
    assert told in problems[0]


@pytest.mark.parametrize(
    "odd",
    [
        "text", 7, [], {}, {"dataset": None}, {"dataset": "A"}, {"dataset": "x", "namespace": "-"},
        {"dataset": "x", "type": "metrics"}, {"dataset": "towline.x"}, {"dataset": "x", "retention": "7 d"},
        {"dataset": "x" * 101},
    ],
)  # fmt: skip
def test_an_origin_of_another_program_never_names_a_stream_that_can_not_be(odd: object) -> None:
    assert route_of({"data_stream": odd}) is None


def test_the_longest_names_fit() -> None:
    found, problems = asked(dataset="x" * 80, retention="9999999999s", namespace="n" * 100)
    assert problems == []
    route = route_of({"data_stream": found})
    assert route is not None
    assert len(route.stream("default")) < 255


@pytest.mark.parametrize(
    ("text", "name"),
    [("Order.Created", "order.created"), ("shop/order-created", "shop_order_created"), ("  ", ""), ("..", ""),
     ("Größe", "gr_e"), ("日本", ""), ("a" * 200, "a" * 100), ("-x-", "x")],
)  # fmt: skip
def test_any_text_becomes_a_name_or_nothing(text: str, name: str) -> None:
    assert sanitised(text) == name
    if name:
        assert checked(name) == name


def test_ages_are_told_in_the_largest_unit() -> None:
    assert [age(seconds) for seconds in (0, 0.2, 61, 3600, 86400, 8 * 86400)] == [
        "forever", "1s", "61s", "1h", "1d", "8d"]  # fmt: skip
    assert Route("a", retention="7d").fields["retention"] == "7d"
