"""What the listener hears where events, the list and inspections cross: each container's true state, at the latest
with the next list."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shipper.container import Container, Node, provisional
from shipper.filters import Filters
from shipper.roster import Inspection, Roster, by_id

ID = "a" * 64
NODE = Node("node-1")
EVENT = {"name": "web", "image": "img", "tier": "x"}


class Heard:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.containers: list[Container] = []
        self.here: frozenset[str] = frozenset()

    def appeared(self, container_id: str, attributes: Mapping[str, str], log_path: Path | None, fresh: bool) -> None:
        self.calls.append("appeared")

    def described(self, container: Container) -> None:
        self.calls.append("described")
        self.containers.append(container)

    def stopped(self, container_id: str) -> None:
        self.calls.append("stopped")

    def started(self, container_id: str) -> None:
        self.calls.append("started")

    def removed(self, container_id: str) -> None:
        self.calls.append("removed")

    def present(self, container_ids: frozenset[str]) -> None:
        self.here = container_ids


class World:
    def __init__(self, filters: Filters) -> None:
        self.heard = Heard()
        self.wishes: list[Inspection] = []
        self.roster = Roster(self.heard, filters, NODE, self.wishes.append)

    def happens(self, action: str, **attributes: str) -> bool:
        return self.roster.happened(ID, action, EVENT | attributes)

    def lists(self, state: str | None, name: str = "web", begin: bool = True) -> bool:
        if begin:
            self.roster.listing()
        row = {"Id": ID, "Names": [f"/{name}"], "Image": "img", "Labels": {"tier": "x"}, "State": state}
        return self.roster.listed({ID: row} if state else {})

    def inspects(self, name: str = "web", running: bool = True) -> Container:
        return provisional(ID, EVENT | {"name": name}, NODE, running=running)


@pytest.fixture
def world() -> World:
    return World(Filters.of(exclude=["hidden*"]))


def test_a_start_asks_for_a_fresh_inspection_after_it_is_told(world: World) -> None:
    assert not world.happens("start")
    assert world.heard.calls == ["appeared"]
    assert [(wish.container_id, wish.fresh) for wish in world.wishes] == [(ID, True)]
    world.roster.found(world.wishes[0], world.inspects())
    assert world.heard.calls == ["appeared", "described"]


def test_who_is_removed_while_the_list_is_made_does_not_come_back(world: World) -> None:
    world.roster.listing()
    world.happens("die")
    world.happens("destroy")
    assert not world.lists("running", begin=False)
    assert world.heard.calls == []


def test_who_dies_while_the_list_is_made_is_not_taken_for_running(world: World) -> None:
    world.roster.listing()
    world.happens("die")
    world.lists("running", begin=False)
    assert world.heard.calls == ["appeared", "stopped"]


def test_who_starts_while_the_list_is_made_stays_though_the_list_lacks_it(world: World) -> None:
    world.roster.listing()
    world.happens("start")
    assert not world.lists(None, begin=False)
    assert world.heard.calls == ["appeared"]
    assert world.heard.here == {ID}


def test_who_restarts_while_the_list_is_made_runs_whatever_the_list_says(world: World) -> None:
    world.happens("start")
    world.roster.listing()
    world.happens("die")
    world.happens("start")
    assert not world.lists("exited", begin=False)
    assert world.heard.calls == ["appeared", "stopped", "started"]


@pytest.mark.parametrize(("state", "told"), [("exited", ["stopped"]), ("restarting", ["stopped"]), ("paused", [])])
def test_a_lost_end_is_found_in_the_list(world: World, state: str, told: list[str]) -> None:
    world.happens("start")
    assert world.lists(state) is bool(told)
    assert world.heard.calls == ["appeared", *told]


def test_a_lost_start_a_lost_rename_and_a_lost_removal_are_found_in_the_list(world: World) -> None:
    assert world.lists("exited")
    assert world.lists("running")
    assert world.lists("running", name="other")
    world.roster.found(world.wishes[-1], world.inspects("other"))
    assert world.heard.containers[-1].origin.container_name == "other"
    assert world.lists(None)
    assert world.heard.calls == ["appeared", "stopped", "started", "described", "stopped", "removed"]
    assert not world.lists(None)


def test_an_unchanged_list_tells_nothing(world: World) -> None:
    world.lists("running")
    world.roster.found(world.wishes[-1], world.inspects())
    assert not world.lists("running")
    assert len(world.wishes) == 1
    assert world.heard.calls == ["appeared", "described"]


def test_what_an_inspection_from_before_a_rename_finds_is_out_of_date(world: World) -> None:
    world.happens("start")
    world.happens("rename", name="other", oldName="/web")
    world.roster.found(world.wishes[1], world.inspects("other"))
    world.roster.found(world.wishes[0], world.inspects("web"))
    assert [container.origin.container_name for container in world.heard.containers] == ["other"]


def test_a_description_from_before_the_end_does_not_make_it_run(world: World) -> None:
    world.happens("start")
    world.happens("die")
    world.roster.found(world.wishes[0], world.inspects(running=True))
    assert not world.heard.containers[0].running


def test_who_is_gone_before_its_inspection_is_described_by_its_event(world: World) -> None:
    world.happens("start")
    world.happens("die", exitCode="0")
    world.happens("destroy")
    world.roster.found(world.wishes[0], None)
    assert world.heard.calls == ["appeared", "stopped", "described", "removed"]
    assert world.heard.containers[0].origin.fields["container"] == {
        "id": ID, "name": "web", "image": {"name": "img"}, "labels": {"tier": "x"}}  # fmt: skip


def test_an_inspection_that_keeps_failing_gives_the_event_for_now_and_is_wished_for_again(world: World) -> None:
    world.happens("start")
    world.roster.failed(world.wishes[0], away=False)
    assert world.heard.calls == ["appeared", "described"]
    world.lists("running")
    assert len(world.wishes) == 2
    world.roster.found(world.wishes[1], world.inspects())
    assert world.heard.calls == ["appeared", "described", "described"]


def test_while_the_engine_is_away_nobody_is_described_by_guess(world: World) -> None:
    world.happens("start")
    world.roster.failed(world.wishes[0], away=True)
    assert world.heard.calls == ["appeared"]
    world.lists("running")
    assert len(world.wishes) == 2


def test_who_is_left_out_is_still_present(world: World) -> None:
    assert not world.happens("start", name="hidden-1")
    assert not world.lists("running", name="hidden-1")
    assert world.heard.calls == []
    assert world.heard.here == {ID}
    assert world.happens("rename", name="seen"), "only a list tells whether it runs"


def test_a_row_without_a_real_id_is_no_container() -> None:
    rows: list[dict[str, Any]] = [{"Id": "../../etc"}, {}, {"Id": None}, {"Id": ID}]
    assert list(by_id(rows)) == [ID]
