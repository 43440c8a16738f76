"""Every query of every panel and variable returns data from the real Prometheus; public dashboards find their names."""

import json
import platform
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from world import World, until

ROOT = Path(__file__).parents[2]
PAGES = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "dashboards/grafana").glob("*.json"))}
CHOSEN = {"job": ".+", "instance": ".+", "service": "shop_web", "container": "worker", "node": platform.node()}
SPANS = {"$__rate_interval": "20s", "$__range": "1m"}
EMPTY = {
    "towline_lines_dropped_total": "there only once lines were dropped, which needs a spool that is damaged",
    "towline_gaps_total": "there only once a log was rotated away before it could be read",
    "towline_lines_damaged_total": "there only once a log file was torn",
}
"""Queries about these may be without a sample, and no other may. Prometheus is told their names all the same."""
EXPORT = 'job="towline-export"'
PUBLIC = Path(__file__).parent / "public"


def filled(text: str) -> str:
    for name, value in SPANS.items():
        text = text.replace(name, value)
    for name, value in CHOSEN.items():
        text = re.sub(rf"\${name}\b", value, text)
    return text


def queries() -> Iterator[Any]:
    for uid, page in PAGES.items():
        for panel in page["panels"]:
            for target in panel.get("targets", []):
                yield pytest.param(filled(target["expr"]), id=f"{uid}/{panel['title']}/{target['refId']}")


def variables() -> Iterator[Any]:
    for uid, page in PAGES.items():
        for each in page["templating"]["list"]:
            if each["type"] == "query":
                yield pytest.param(each["name"], filled(each["query"]["query"]), id=f"{uid}/{each['name']}")


@pytest.mark.engine
@pytest.mark.timeout(400)
@pytest.mark.parametrize("expression", list(queries()))
def test_a_panel_shows_data(world: World, expression: str) -> None:
    assert "$" not in expression.replace("'$1'", ""), "a variable that the test does not know"
    names = set(re.findall(r"\b(\w+)\{", expression))
    if names & EMPTY.keys() and "vector(0)" not in expression:
        assert names <= world.names()
        world.query(expression)
        return
    numbers = until(lambda: [row["value"][1] for row in world.query(expression)], 90, lambda: f"data for {expression}")
    assert any(number not in ("NaN", "+Inf", "-Inf") for number in numbers), numbers


@pytest.mark.engine
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("name", "query"), list(variables()))
def test_a_variable_has_values(world: World, name: str, query: str) -> None:
    selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", query).groups()  # type: ignore[union-attr]
    values = until(lambda: world.label_values(selector, label), 90, lambda: f"values of {query}")
    if name in ("service", "container", "node"):
        assert CHOSEN[name] in values


@pytest.mark.engine
@pytest.mark.timeout(400)
def test_what_is_wrong_is_seen_on_the_first_page(world: World) -> None:
    """shop_mail fails all the time, and a foreign template refused lines for a while."""
    shown = {panel["title"]: filled(panel["targets"][0]["expr"]) for page in PAGES.values() for panel in page["panels"]
             if panel["type"] == "stat"}  # fmt: skip
    for title in ("Services short of tasks", "Failed tasks"):
        until(lambda title=title: float(world.query(shown[title])[0]["value"][1]) > 0, 60, lambda title=title: title)
    letters = shown["Dead letters"].replace("1m", "30m")  # so long ago there was no counter: it began to exist since
    until(lambda: float(world.query(letters)[0]["value"][1]) > 0, 60, lambda: "dead letters")


@pytest.mark.engine
@pytest.mark.timeout(400)
@pytest.mark.parametrize("path", sorted(PUBLIC.glob("*.txt")), ids=lambda path: path.stem)
def test_a_public_dashboard_finds_its_metrics_and_labels(world: World, path: Path) -> None:
    """A line of the list: a metric with the labels that the dashboard selects or groups by."""
    lines = [text.split("#")[0].split() for text in path.read_text().splitlines()]
    neighbours = Path("/proc/net/arp").read_text().splitlines()[1:]
    absent = set() if neighbours else {"node_arp_entries"}  # a machine that has spoken to no neighbour lately has none

    def missing() -> list[str]:
        return [" ".join(line) for line in lines if line and line[0] not in absent and not world.query(selector(*line))]

    until(lambda: not missing(), 90, lambda: str(missing()))  # sizes of containers are measured now and then


def selector(name: str, *labels: str) -> str:
    """Of a label without a value it asks for any."""
    wanted = [label if "=" in label else f'{label}!=""' for label in labels]
    return f"{name}{{{','.join([EXPORT, *wanted])}}}"
