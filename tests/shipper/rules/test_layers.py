"""A container's labels over those of its service, over Filebeat's hints, over the rules file."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from shipper.container import Container
from shipper.filters import Filters
from shipper.rules.defaults import Defaults
from shipper.rules.layers import SERVICE_ID, Rules
from towline.batch import Origin


class Told:
    """Labels of services, None for those that are asked for."""

    def __init__(self, labels: Mapping[str, Mapping[str, str] | None]) -> None:
        self.labels = dict(labels)

    def of(self, service_id: str) -> Mapping[str, str] | None:
        return self.labels.get(service_id)


def container(**labels: str) -> Container:
    named = {name.replace("__", "."): text for name, text in labels.items()} | {SERVICE_ID: "s1"}
    origin = Origin({"container": {"id": "a" * 64, "name": "web.1", "labels": named}, "service": {"name": "web"}})
    return Container("a" * 64, origin, "json-file", None, False, True, None, False)


def test_the_nearest_word_counts(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text('"towline.multiline" = "java"\n"towline.enable" = "true"\n"towline.multiline.wait" = 9')
    service = {"co.elastic.logs/multiline.pattern": "^ ", "towline.multiline.wait": "2"}
    rules = Rules(Defaults(path), Told({"s1": service}))
    found = rules(container())
    assert found is not None
    assert set(found.values) == {"towline.multiline.continue", "towline.multiline.wait", "towline.enable"}
    assert found.values["towline.multiline.wait"] == 2.0
    nearer = rules(container(towline__multiline="python", towline__multiline__wait="3"))
    assert nearer is not None
    assert nearer.values == {"towline.multiline": "python", "towline.multiline.wait": 3.0, "towline.enable": "true"}


def test_a_hint_of_the_container_wins_over_the_same_of_its_service() -> None:
    rules = Rules(
        None, Told({"s1": {"co.elastic.logs/multiline.pattern": "^ ", "co.elastic.logs/multiline.negate": "x"}})
    )
    labels = {SERVICE_ID: "s1", "co.elastic.logs/multiline.negate": "true"}
    assert "towline.multiline.start" in rules.values("web", labels).values


def test_what_is_not_known_yet_is_told_by_none_and_comes_later() -> None:
    told = Told({})
    rules = Rules(None, told)
    assert rules(container()) is None
    assert Rules()(container()) is not None, "who can't ask does not wait"
    told.labels["s1"] = {"towline.multiline": "go"}
    found = rules(container())
    assert found is not None
    assert found.values == {"towline.multiline": "go"}


def test_the_same_words_give_the_same_reading_so_that_a_change_shows() -> None:
    told = Told({"s1": {"towline.multiline.start": "^a"}})
    rules = Rules(None, told)
    first = rules(container())
    again = rules(container())
    assert first is not None
    assert again is not None
    assert again.values == first.values
    told.labels["s1"] = {"towline.multiline.start": "^b"}
    changed = rules(container())
    assert changed is not None
    assert changed.values != first.values


def test_a_service_may_be_left_out_and_taken_in_by_what_is_beside_its_containers() -> None:
    told = Told({"s1": {"towline.enable": "false"}, "s2": {"towline.enable": "on"}})
    filters = Filters(exclude=Filters.of(exclude=["web*"]).exclude, enabled=Rules(None, told).enabled)
    assert not filters.wants("x", "db", {SERVICE_ID: "s1"})
    assert filters.wants("x", "web.1", {SERVICE_ID: "s2"})
    assert not filters.wants("x", "web.1", {SERVICE_ID: "s2", "towline.enable": "false"})
    assert not filters.wants("x", "web.1", {SERVICE_ID: "s3"})


def test_problems_name_labels_and_hints() -> None:
    labels = {"towline.multilin": "java", "co.elastic.logs/raw": "[]"}
    problems = Rules().values("web", labels).problems
    assert [text.split(":")[0] for text in problems] == ["label towline.multilin", "label co.elastic.logs/raw"]


@pytest.mark.parametrize("said", ["regex", "dissect", "json, Regex"])
def test_a_word_for_a_pattern_needs_one_wherever_it_is_said(said: str, tmp_path: Path) -> None:
    word = said.split(", ")[-1].lower()
    told = [f"label towline.parse: {word} without a pattern; write it as towline.parse.pattern"]
    assert Rules().values("web", {"towline.parse": said}).problems == told
    assert Rules().values("web", {"towline.parse": said, "towline.parse.pattern": "%{a} %{b}"}).problems == []
    assert Rules().values("web", {"towline.parse": said, "towline.parse.pattern.one": r"(?P<a>\d)"}).problems == []
    path = tmp_path / "rules.toml"
    path.write_text(f'"towline.parse.pattern" = "%{{a}} %{{b}}"\n[service.api]\n"towline.parse" = "{said}"\n')
    assert Rules(Defaults(path)).values("api", {}).problems == told, "what is nearer takes back what is below"
    wrong = Rules().values("web", {"towline.parse": said, "towline.parse.pattern": "(?P<a>"}).problems
    assert [text.partition("=")[0] for text in wrong] == ["label towline.parse.pattern"]


def test_a_hint_that_brings_its_pattern_lacks_none() -> None:
    labels = {"co.elastic.logs/processors.dissect.tokenizer": "%{a} %{b}"}
    assert Rules().values("web", labels).problems == []
