"""What is known of containers, whatever order events and answers come in."""

from dataclasses import replace

import pytest

from exporters.containers.described import Described, of_inspect
from exporters.containers.inventory import Inventory, Known
from exporters.containers.naming import Naming

ID = "4f" * 32
LABELS = {"name": "web", "image": "web:1", "com.docker.compose.service": "front"}

# A container that is killed for want of memory, is started again by the engine, and then ends by itself.
EVENTS = [
    (10.0, "create", {}), (11.0, "start", {}), (12.0, "oom", {}), (12.1, "die", {"exitCode": "137"}),
    (14.0, "start", {}), (16.0, "die", {"exitCode": "3"}), (18.0, "start", {}),
]  # fmt: skip
BASE = Described(ID, "web", "web:1", {"com.docker.compose.service": "front"})
ANSWERS = {
    10.5: BASE,
    11.5: replace(BASE, state="running", pid=5, started=10.9),
    13.0: replace(BASE, state="restarting", started=10.9, finished=12.0, exit_code=137, oom_killed=True),
    15.0: replace(BASE, state="running", pid=6, started=13.9, finished=12.0, restarts=1),
    17.0: replace(BASE, state="restarting", started=13.9, finished=15.9, exit_code=3, restarts=1),
    19.0: replace(BASE, state="running", pid=7, started=17.9, finished=15.9, restarts=2),
}


def inventory(now: float = 20.0, keep: float = 300.0) -> Inventory:
    return Inventory(Naming(), keep, clock=lambda: now)


def deliver(known: Inventory, events: list[tuple[float, str, dict[str, str]]]) -> None:
    for when, action, attributes in events:
        known.happened(ID, action, LABELS | attributes, when)


def only(known: Inventory) -> Known:
    (found,) = known.shown()
    return found


@pytest.mark.parametrize("asked", ANSWERS)
@pytest.mark.parametrize("delivered", range(1, len(EVENTS) + 1))
def test_counts_are_right_however_late_events_come(asked: float, delivered: int) -> None:
    """The answer is of its own time; that many events have come by then, and perhaps not all that had happened."""
    known = inventory()
    deliver(known, EVENTS[:delivered])
    known.inspected(ANSWERS[asked])
    deliver(known, EVENTS[delivered:])
    known.inspected(ANSWERS[19.0])
    found = only(known)
    assert (found.restarts, found.oom_kills, found.told.exit_code) == (2, 1, 3)
    assert found.alive


def test_events_that_were_lost_are_made_up_for_by_the_engines_own_count() -> None:
    known = inventory()
    deliver(known, EVENTS[:2])
    known.inspected(ANSWERS[19.0])
    assert only(known).restarts == 2


def test_what_ran_before_anybody_watched_counts_from_what_the_engine_tells() -> None:
    known = inventory()
    known.inspected(ANSWERS[15.0])
    assert only(known).restarts == 1
    deliver(known, [(14.0, "start", {})])  # told again: `since` is a little early
    assert only(known).restarts == 1
    deliver(known, EVENTS[5:])
    assert only(known).restarts == 2


def test_a_container_that_is_first_told_of_when_asked_about_is_a_change() -> None:
    """Who scraped before the engine's first list would never look for its cgroup, nor for its network."""
    known = inventory()
    before = known.changes
    known.inspected(ANSWERS[15.0])
    assert known.changes > before


def test_the_kernels_count_and_the_engines_events_are_the_same_kills() -> None:
    known = inventory()
    known.inspected(ANSWERS[11.5])
    deliver(known, [(12.0, "oom", {})])
    known.saw_oom_kills(only(known), 3)
    assert only(known).oom_kills == 3
    deliver(known, [(12.1, "die", {"exitCode": "137"})])
    assert only(known).oom_kills == 3
    deliver(known, [(14.0, "start", {}), (15.0, "oom", {})])
    assert only(known).oom_kills == 4


def test_a_container_that_nobody_could_be_asked_about_has_what_the_event_told() -> None:
    known = inventory()
    deliver(known, [*EVENTS[:2], (11.2, "die", {"exitCode": "0"}), (11.3, "destroy", {})])
    known.gone(ID)
    found = only(known)
    assert found.told.state == "exited"
    assert b'name="web"' in found.block
    assert b'service="front"' in found.block
    assert b'container_label_com_docker_compose_service="front"' in found.block


def test_what_has_ended_is_forgotten_after_a_while() -> None:
    now = 100.0
    known = Inventory(Naming(), 300.0, clock=lambda: now)
    deliver(known, [*EVENTS[:2], (50.0, "die", {"exitCode": "0"}), (60.0, "destroy", {})])
    now = 349.0
    assert known.shown()
    now = 351.0
    assert not known.shown()
    deliver(known, [(352.0, "destroy", {})])  # of something long forgotten
    assert not known.shown()


def test_one_that_could_not_be_asked_about_is_asked_about_again() -> None:
    known = inventory()
    deliver(known, EVENTS[:2])
    rows = [{"Id": ID, "State": "running"}]
    assert known.differing(rows) == {ID}
    known.inspected(ANSWERS[11.5])
    assert known.differing(rows) == set()
    assert known.differing([]) == {ID}
    assert known.differing([{"Id": ID, "State": "exited"}]) == {ID}


@pytest.mark.parametrize("row", [{}, {"State": None, "Config": [], "Name": 3}, {"State": {"StartedAt": "yesterday"}}])
def test_an_odd_answer_is_taken_for_what_it_is(row: dict[str, object]) -> None:
    assert of_inspect(row).state == "created"
