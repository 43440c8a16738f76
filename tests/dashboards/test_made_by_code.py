"""What is checked in is what the code makes, and keeps to the rules of good dashboards.

The rules are those of https://github.com/grafana/dashboard-linter, which was run once by hand; here they are in short.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboards import links
from dashboards.__main__ import made

FILES = dict(made())
PAGES = {path.stem: json.loads(path.read_text()) for path in FILES if path.suffix == ".json"}
UNITS = {"short", "none", "bytes", "Bps", "percentunit", "s"}
TOLD_BY_ALL = "ALERTS"
"""A metric of Prometheus' own, which has the labels of what an alert is about."""


def panels(page: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (panel for panel in page["panels"] if panel["type"] != "row")


def expressions() -> Iterator[tuple[str, str]]:
    return ((f"{uid}: {panel['title']}", target["expr"]) for uid, page in PAGES.items() for panel in panels(page)
            for target in panel["targets"])  # fmt: skip


def all_links(found: Any) -> Iterator[str]:
    """Every `url` anywhere below."""
    if isinstance(found, dict):
        if isinstance(url := found.get("url"), str) and url:
            yield url
        for value in found.values():
            yield from all_links(value)
    elif isinstance(found, list):
        for value in found:
            yield from all_links(value)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_file_is_what_the_code_makes(path: Path) -> None:
    assert path.read_text() == FILES[path], "run `make dashboards`"


def test_there_is_no_other_file() -> None:
    folders = {path.parent for path in FILES}
    assert {path for folder in folders for path in folder.iterdir()} == set(FILES)


def test_links_and_bookmarks_stay_good() -> None:
    assert sorted(PAGES) == [
        "towline-container",
        "towline-node",
        "towline-pipeline",
        "towline-service",
        "towline-swarm",
    ]
    assert all(page["uid"] == uid and not page["editable"] and "id" not in page for uid, page in PAGES.items())
    titles = [page["title"] for page in PAGES.values()]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("uid", PAGES)
def test_a_page_begins_with_data_source_job_and_instance(uid: str) -> None:
    variables = {each["name"]: each for each in PAGES[uid]["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    for name in ("job", "instance"):
        assert variables[name]["datasource"]["uid"] == "${datasource}"
        assert variables[name]["refresh"] == 2, "on a change of the time range"
        one_node = uid == "towline-node" and name == "instance"
        assert one_node or (variables[name]["multi"] and variables[name]["allValue"] == ".+")


@pytest.mark.parametrize("uid", PAGES)
def test_a_panel_says_what_it_is_and_in_which_unit(uid: str) -> None:
    found = list(panels(PAGES[uid]))
    assert len({panel["id"] for panel in PAGES[uid]["panels"]}) == len(PAGES[uid]["panels"])
    assert len(found) <= 20, "an operator should not have to search"
    for panel in found:
        assert panel["title"], panel
        assert panel["description"].endswith((".", "towline dead-letters list.")), panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


@pytest.mark.parametrize("uid", PAGES)
def test_panels_lie_beside_one_another(uid: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PAGES[uid]["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells


@pytest.mark.parametrize(("where", "text"), list(expressions()))
def test_a_query_follows_the_choice_on_top(where: str, text: str) -> None:
    selectors = re.findall(r"\{[^}]*\}", text)
    if TOLD_BY_ALL in text:
        return
    assert selectors, where
    assert all('job=~"$job"' in each and 'instance=~"$instance"' in each for each in selectors), where


@pytest.mark.parametrize(("where", "text"), list(expressions()))
def test_a_rate_has_the_interval_that_grafana_knows(where: str, text: str) -> None:
    ranges = re.findall(r"(\w+)\((?:\w+)\{[^}]*\}\[([^\]]+)\]", text)
    assert all(
        (function, span) in {("rate", "$__rate_interval"), ("increase", "$__range")} for function, span in ranges
    )
    bare = re.sub(r"(rate|increase)\(\w+\{[^}]*\}\[[^\]]+\]", "", text)
    counters = re.findall(r"\w+_total\b", bare)
    allowed = {"container_oom_events_total"} if where.startswith("towline-container") else {"node_cpu_seconds_total"}
    grown = "offset $__range" in text
    assert grown or set(counters) <= allowed, f"{where}: {counters}"


@pytest.mark.parametrize("uid", PAGES)
def test_links_lead_to_pages_and_variables_that_exist(uid: str) -> None:
    names = {each["name"] for each in PAGES[uid]["templating"]["list"]}
    found = list(all_links(PAGES[uid]))
    for url in found:
        used = set(re.findall(r"\$\{(\w+)", url)) - {"__from", "__to", "__field", "__value", "__url_time_range"}
        assert used <= names, url
        if url.startswith("/d/"):
            target, parameter = re.match(r"/d/([\w-]+)\?var-(\w+)=", url).groups()  # type: ignore[union-attr]
            assert parameter in {each["name"] for each in PAGES[target]["templating"]["list"]}, url
    if uid != "towline-pipeline":
        assert sum("${towline}/?" in url for url in found) >= 2
        assert sum("${kibana}/app/discover" in url for url in found) >= 2


def test_a_link_to_lines_is_about_the_same_service_and_time() -> None:
    towline, kibana = links.lines_of_service("${service}")
    assert towline["url"] == "${towline}/?service=${service}&since=${__from:date:iso}&until=${__to:date:iso}"
    assert f"/app/discover#/view/{links.VIEW}?" in kibana["url"]
    assert "from:'${__from:date:iso}',to:'${__to:date:iso}'" in kibana["url"]
    assert "query:'service.name:\"${service}\"'" in kibana["url"]


@pytest.mark.parametrize("uid", PAGES)
def test_a_variable_is_used(uid: str) -> None:
    text = json.dumps(PAGES[uid])
    for variable in PAGES[uid]["templating"]["list"]:
        assert re.search(rf"\$(\{{)?{variable['name']}\b", text), variable["name"]


# --- later versions of Grafana

ASKED = {"merge", "organize"}
"""Transformations; timeSeriesTable (schema 39) and formatTime (43) would be rewritten."""
CELLS = {"basic": {"type": "gauge", "mode": "basic"}, "color-text": {"type": "color-text"}}
"""What schema 38 makes of a table column's displayMode."""


@pytest.mark.parametrize("uid", PAGES)
def test_migrations_to_schema_43_leave_a_page_as_it_is(uid: str) -> None:
    """What v38 to v43 of https://github.com/grafana/grafana/tree/main/apps/dashboard/pkg/migration/schemaversion (13.x)
    do to a page of schema 37. A column's look is told in both ways: 9.3 reads the one, 10 and later the other."""
    page = PAGES[uid]
    assert page["schemaVersion"] == 37
    assert isinstance(page["refresh"], str)
    assert "time_options" not in page["timepicker"]
    assert {panel["type"] for panel in page["panels"]} <= {"row", "stat", "timeseries", "table"}, "none that is gone"
    for panel in panels(page):
        assert {each["id"] for each in panel["transformations"]} <= ASKED
        for each in panel["fieldConfig"]["overrides"]:
            looks = {found["id"]: found["value"] for found in each["properties"]}
            assert "custom.hideFrom" not in looks
            assert CELLS.get(looks.get("custom.displayMode", "")) == looks.get("custom.cellOptions")
