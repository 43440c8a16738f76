"""Starts, ends, kills and deployments, read from series as Prometheus gives them."""

import pytest

from towline.prometheus import Row
from towline.prometheus_marks import Mark, marks

STEPS = [1000.0 + 15 * number for number in range(9)]
SINCE, UNTIL = 1003.0, 1125.0


def row(told: str, points: dict[int, float], *, id: str = "a", service: str = "web", image: str = "web:1",
        instance: str = "one") -> Row:  # fmt: skip
    """`points`: by number of the step."""
    labels = {"told": told, "id": f"/docker/{id}", "name": f"{service}.{id}", "service": service, "image": image,
              "instance": instance}  # fmt: skip
    return Row(labels, {STEPS[number]: value for number, value in points.items()})


def told(*rows: Row, before: str = "") -> list[tuple[str, float, str]]:
    ran = [Row({"service": "web", "image": before}, {SINCE: 1.0})] if before else []
    return [(f"{each.id} {each.what}", each.time, each.about) for each in marks(rows, ran, STEPS, SINCE, UNTIL)]


def test_each_value_of_a_start_and_of_an_end_is_one_mark_at_its_own_time() -> None:
    found = told(
        row("started", {1: 1010.5, 2: 1010.5, 4: 1050.25, 5: 1050.25}),
        row("finished", {3: 1040.0, 4: 1040.0, 5: 1040.0}),
        row("code", {3: 137.0, 4: 137.0}),
    )
    assert found == [("a started", 1010.5, "web:1"), ("a stopped", 1040.0, "137"), ("a started", 1050.25, "web:1")]


def test_what_an_event_and_an_answer_told_of_a_moment_is_one_mark() -> None:
    assert told(row("began", {2: 1020.1}), row("started", {1: 1020.09}), row("finished", {2: 1025.0, 3: 1025.3})) == [
        ("a started", 1020.09, "web:1"), ("a stopped", 1025.0, "")]  # fmt: skip


def test_what_lies_outside_of_the_range_is_left_out() -> None:
    assert told(row("started", {1: 1002.0}), row("finished", {8: 1126.0})) == []


@pytest.mark.parametrize(
    ("points", "kills"),
    [
        ({0: 2, 1: 2, 2: 2}, []),
        ({1: 1, 2: 1}, [1015.0]),
        ({0: 1, 1: 1, 2: 2, 3: 4}, [1030.0, 1045.0]),
        ({0: 1, 3: 1, 4: 2}, [1060.0]),
        ({0: 3, 1: 0, 2: 1}, [1030.0]),
        ({}, []),
    ],
    ids=["before", "appears", "grows", "a hole", "starts again", "none"],
)
def test_a_count_of_kills_that_grows_is_a_kill_of_that_step(points: dict[int, float], kills: list[float]) -> None:
    assert told(row("oom", points)) == [("a oom", moment, "") for moment in kills]


def test_a_kill_that_ended_the_container_comes_right_before_its_end() -> None:
    found = told(row("oom", {2: 1}), row("finished", {1: 1008.0, 2: 1028.0}), row("code", {1: 0, 2: 137}))
    assert found == [("a stopped", 1008.0, "0"), ("a oom", 1027.999, ""), ("a stopped", 1028.0, "137")]


def test_what_two_exporters_tell_of_a_container_happened_once() -> None:
    kinds = {"started": {1: 1010.0}, "oom": {2: 1}, "finished": {2: 1030.0}, "deployed": {1: 1010.0}}
    rows = [row(kind, points, instance=instance) for kind, points in kinds.items() for instance in ("one", "two")]
    assert [text for text, _, _ in told(*rows)] == ["a deployed", "a oom", "a stopped"]


def test_health_is_told_when_it_changes() -> None:
    assert told(row("unhealthy", {0: 0, 1: 0, 2: 1, 3: 1, 5: 0})) == [
        ("a unhealthy", 1030.0, ""), ("a healthy", 1075.0, "")]  # fmt: skip


def test_a_deployment_is_told_by_the_exporter_and_once_for_all_nodes() -> None:
    found = told(
        *(row(kind, {2: 1020.0}) for kind in ("started", "deployed")),
        *(row(kind, {3: 1040.0}, id="b", instance="two") for kind in ("started", "deployed")),
        *(row(kind, {4: 1060.0}, id="c") for kind in ("started", "deployed")),
        before="web:1",
    )
    assert [text for text, _, _ in found] == ["a deployed", "b started", "c deployed"]


def test_an_image_that_no_node_ran_before_is_a_deployment_though_no_exporter_says_so() -> None:
    found = told(
        row("started", {2: 1020.0}, image="web:1"),
        row("started", {3: 1040.0}, id="b", image="web:2"),
        row("started", {4: 1060.0}, id="c", image="web:2", instance="two"),
        row("started", {5: 1070.0}, id="d", image="web:1", instance="two"),
        row("started", {5: 1075.0}, id="e", image="db:1", service="db"),
        before="web:1",
    )
    assert [text for text, _, _ in found] == ["a started", "b deployed", "c started", "d started", "e started"]


def test_a_mark_is_told_as_towline_up_tells_it() -> None:
    assert Mark(1.00049, "oom", "a", "web.a", "web", instance="one").told() == {
        "time": 1.0, "what": "oom", "id": "a", "container": "web.a", "service": "web", "about": ""}  # fmt: skip
