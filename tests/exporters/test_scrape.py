"""A scrape of several collectors, of which some are broken."""

import logging
from collections.abc import Iterable, Iterator

import pytest

from exporters.exposition import Family, family, render
from exporters.scrape import Incomplete, Scrape
from towline.errors import TowlineError


class Fickle:
    """A collector that yields one family and then raises what `fails` holds."""

    def __init__(self, name: str, fails: Exception | None = None) -> None:
        self.name = name
        self.fails = fails

    def collect(self) -> Iterable[Family]:
        yield family(f"{self.name}_a", "gauge", "A.", [("", 1)])
        if self.fails is not None:
            raise self.fails


def clock() -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += 0.25


def test_all_families_and_how_each_collector_fared() -> None:
    ticks = clock()
    text = render(Scrape("node", [Fickle("one"), Fickle("two")], clock=lambda: next(ticks)).families()).decode()
    assert text == (
        "# HELP node_scrape_collector_duration_seconds Time that a collector took in this scrape.\n"
        "# TYPE node_scrape_collector_duration_seconds gauge\n"
        'node_scrape_collector_duration_seconds{collector="one"} 0.25\n'
        'node_scrape_collector_duration_seconds{collector="two"} 0.25\n'
        "# HELP node_scrape_collector_success Whether a collector succeeded in this scrape.\n"
        "# TYPE node_scrape_collector_success gauge\n"
        'node_scrape_collector_success{collector="one"} 1\n'
        'node_scrape_collector_success{collector="two"} 1\n'
        "# HELP one_a A.\n# TYPE one_a gauge\none_a 1\n"
        "# HELP two_a A.\n# TYPE two_a gauge\ntwo_a 1\n"
    )


@pytest.mark.parametrize("error", [TowlineError("mend it"), OSError(5, "I/O error"), ZeroDivisionError()])
def test_a_broken_collector_costs_only_its_own_families(error: Exception) -> None:
    text = render(Scrape("container", [Fickle("bad", error), Fickle("good")]).families()).decode()
    assert "good_a 1" in text
    assert "bad_a" not in text
    assert 'container_scrape_collector_success{collector="bad"} 0' in text
    assert 'container_scrape_collector_success{collector="good"} 1' in text


def test_what_an_incomplete_collector_could_read_stays() -> None:
    rest = [family("rest", "gauge", "R.", [("", 2)])]
    text = render(Scrape("container", [Fickle("half", Incomplete("can't read x", rest))]).families()).decode()
    assert "rest 2" in text
    assert 'container_scrape_collector_success{collector="half"} 0' in text


def test_a_failure_is_told_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    collector = Fickle("memory", TowlineError("no cgroups at /x; mount them"))
    scrape = Scrape("container", [collector])
    with caplog.at_level(logging.INFO, "exporters.scrape"):
        for _ in range(3):
            scrape.families()
        collector.fails = None
        for _ in range(3):
            scrape.families()
    assert [record.getMessage() for record in caplog.records] == [
        "memory metrics are missing: no cgroups at /x; mount them (told once, until they are back)",
        "memory metrics are back",
    ]


def test_a_fault_of_our_own_is_told_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    Scrape("container", [Fickle("memory", KeyError("x"))]).families()
    assert caplog.records[0].exc_info is not None
