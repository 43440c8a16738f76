"""A node that changes its part in the Swarm: what its metrics tell then, and when it looks again.

The engine is fake_manager.py's.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_manager import Node, serving

from exporters import swarm_watch
from exporters.scrape import Scrape
from exporters.swarm_metrics import Failures, SwarmCollector
from exporters.swarm_watch import SwarmWatch
from towline.engine import Engine


@pytest.fixture
def node() -> Iterator[tuple[Node, str]]:
    with serving() as made:
        yield made


@pytest.fixture
def watch(node: tuple[Node, str]) -> Iterator[SwarmWatch]:
    engine = Engine(node[1])
    yield SwarmWatch(engine)
    engine.close()


@pytest.fixture
def told(watch: SwarmWatch) -> Callable[[], dict[str, float]]:
    """Looks once; the scrape after that, without what is not of the Swarm."""
    scrape = Scrape("container", [SwarmCollector(watch, Failures())])

    def look() -> dict[str, float]:
        watch._look()
        rows = [line.rsplit(" ", 1) for found in scrape.families() for line in found.body.decode().splitlines()]
        return {name.partition("{")[0]: float(value) for name, value in rows if "duration" not in name}

    return look


SUCCESS = "container_scrape_collector_success"


def test_a_manager_that_is_demoted_stops_at_once_and_is_no_fault(
    node: tuple[Node, str], told: Callable[[], dict[str, float]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    node[0].is_manager()
    first = told()
    assert (first["swarm_manager"], first["node_meta"], first["swarm_scrape_targets"]) == (1, 1, 0)
    node[0].is_worker()
    assert told() == {"node_meta": 1, "swarm_manager": 0, SUCCESS: 1}
    node[0].is_manager()
    assert told() == first
    said = [record.message for record in caplog.records]
    assert [text.partition(":")[0] for text in said] == [
        "node one manages no Swarm any more", "node one manages the Swarm from now on"]  # fmt: skip


def test_a_manager_without_majority_says_so_and_who_it_is_but_nothing_old(
    node: tuple[Node, str], told: Callable[[], dict[str, float]], watch: SwarmWatch
) -> None:
    node[0].is_manager()
    told()
    node[0].lacks_majority()
    assert told() == {"node_meta": 1, SUCCESS: 0}
    assert watch.swarm is None
    assert "does not have a leader" in watch.problem
    node[0].is_manager()
    assert told()[SUCCESS] == 1


@pytest.mark.parametrize(("state", "fix"), [("locked", "docker swarm unlock"), ("error", "docker info")])
def test_a_node_that_is_of_no_use_to_its_swarm_says_why(
    node: tuple[Node, str], told: Callable[[], dict[str, float]], watch: SwarmWatch, state: str, fix: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    node[0].is_manager()
    told()
    node[0].is_useless(state)
    assert told() == told() == {SUCCESS: 0}
    assert fix in watch.problem
    assert [record.message for record in caplog.records if fix in record.message and "metrics" not in record.message
            ] == [f"node one: {watch.problem}"]  # fmt: skip


def test_a_manager_that_answers_is_believed_although_its_engine_still_says_error(
    node: tuple[Node, str], told: Callable[[], dict[str, float]]
) -> None:
    """Seen on 20.10: two were promoted at once, raft began in a second try, and the state stayed."""
    node[0].is_manager("error")
    assert (told()["swarm_manager"], told()[SUCCESS]) == (1, 1)


def test_without_a_swarm_nothing_is_told_and_seldom_asked(
    node: tuple[Node, str], told: Callable[[], dict[str, float]], watch: SwarmWatch
) -> None:
    node[0].has_left()
    assert told() == {SUCCESS: 1}
    assert watch._look() >= swarm_watch.SELDOM
    node[0].is_worker()
    assert watch._look() < swarm_watch.SELDOM, "it may be promoted"
    assert "/services" not in node[0].asked


def test_one_slow_answer_does_not_make_it_blind_for_long(
    node: tuple[Node, str], watch: SwarmWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that had just started took 11 s for /info: fifty times as long was nine minutes."""
    node[0].is_manager()
    times = iter((100.0, 111.0))
    monkeypatch.setattr(swarm_watch, "monotonic", lambda: next(times))
    assert watch._look() == swarm_watch.SELDOM
