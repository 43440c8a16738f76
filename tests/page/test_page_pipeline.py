"""The ledger as a picture, of this process and of others by their metrics."""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner
from page_screen import Lines, Screen, Served
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from towline import api_pipeline, api_views, health, page
from towline.cli import cli
from towline.http import HttpServer, Site, known_hosts
from towline.stores import Store


class Part:
    """What a `ship` or `index` shows of itself, on a port of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.problems = {"queue": ""}
        self.made: dict[str, Any] = {}
        self.count("lines_read", 0)
        pages = health.handlers(self.registry, {"queue": lambda: self.problems["queue"]})
        self.server = HttpServer(Site(pages, hosts=known_hosts("127.0.0.1")), ("127.0.0.1", 0))
        self.thread = Thread(target=self.server.run)
        self.thread.start()
        self.url = f"{self.server.url}metrics"

    def count(self, name: str, value: float, service: str = "web", **more: str) -> None:
        """Counters of lines, by service."""
        if name not in self.made:
            self.made[name] = Counter(f"towline_{name}", name, ["service", *more], registry=self.registry)
        self.made[name].labels(service, *more.values()).inc(value)

    def gauge(self, name: str, value: float) -> None:
        Gauge(f"towline_{name}", name, registry=self.registry).set(value)

    def late(self, seconds: float) -> None:
        Histogram("towline_lag_seconds", "lag", registry=self.registry).observe(seconds)

    def stop(self) -> None:
        self.server.stop()
        self.thread.join(60)


@pytest.fixture
def parts() -> Iterator[list[Part]]:
    """A shipper on each of two nodes, and an indexer."""
    made = [Part(), Part(), Part()]
    one, two, indexer = made
    for shipper, lines in ((one, 1000), (two, 500)):
        shipper.count("lines_read", lines)
        shipper.count("lines_published", lines)
        shipper.count("lines_confirmed", lines - 10)
        shipper.gauge("spool_bytes", 1024 * 1024)
        shipper.gauge("queue_bytes", 2048)
    two.count("lines_dropped", 3, reason="spool_damaged")
    indexer.count("lines_indexed", 1300)
    indexer.count("lines_dead_lettered", 7)
    indexer.gauge("queue_messages", 42)
    indexer.late(0.25)
    yield made
    for part in made:
        part.stop()


@pytest.fixture
def served(store: Store, parts: list[Part]) -> Iterator[Served]:
    pages = api_views.handlers(store) | api_pipeline.elsewhere([part.url for part in parts]) | page.handlers()
    server = Served(store, pages | api_views.about("elasticsearch", ("pipeline",)))
    yield server
    server.stop()


def test_the_flow_of_several_processes_is_drawn_as_one(screen: Screen, lines: Lines) -> None:
    screen.open("?view=pipeline")
    screen.until(lambda: screen.texts(".step b"))
    names = [node.split()[-1] for node in screen.js("return [...document.querySelectorAll('.step .title')]"
                                                    ".map((node) => node.textContent)")]  # fmt: skip
    steps = dict(zip(names, screen.texts(".step b"), strict=True))
    assert steps == {"Read": "1,500", "Confirmed": "1,480", "Indexed": "1,300", "Dropped": "3", "letters": "7"}
    waits = dict(zip(screen.texts(".edge dt"), screen.texts(".edge dd b"), strict=True))
    assert waits["Spool"] == "2.0 MB"
    assert waits["Queue"] == "42 messages"
    assert waits["Lag"] == "250 ms"
    assert "All parts of 3 processes work." in screen.body
    # From left to right in the order in which lines go, branches below.
    places = screen.js("""return ["read", "one", "confirmed", "two", "indexed", "dropped", "dead"].map((name) => {
        const box = document.querySelector(`.flow .${name}`).getBoundingClientRect();
        return [box.left, box.top];
    })""")
    assert [left for left, _ in places[:5]] == sorted(left for left, _ in places[:5])
    assert min(places[5][1], places[6][1]) > places[0][1]


def test_what_a_process_says_is_wrong_and_one_that_is_silent_are_told(screen: Screen, parts: list[Part]) -> None:
    parts[0].problems["queue"] = "amqp://broker: refused"
    parts[1].stop()
    screen.open("?view=pipeline")
    screen.until(lambda: "queue: amqp://broker: refused" in screen.find("#pipeline .problems").text)
    told = screen.texts("#pipeline .problems li")
    assert len(told) == 2
    assert any(text.startswith(parts[1].url) and "no ledger here" in text for text in told)
    assert screen.texts(".step b")[0] == "1,000"


@pytest.mark.parametrize("url", ["node1:8514", "file:///etc/passwd", "http://"])
def test_what_is_no_address_of_metrics_is_refused_at_the_start(url: str, tmp_path: Path, store: Store) -> None:
    done = CliRunner().invoke(cli, ["page", "--store", f"sqlite://{tmp_path}/store", "--listen", "127.0.0.1:0",
                                    "--metrics", url])  # fmt: skip
    assert done.exit_code == 2
    assert "--metrics" in str(done.output) + str(done.exception)


def test_a_page_of_something_else_is_said_to_be_none(parts: list[Part]) -> None:
    other = api_pipeline.elsewhere([parts[0].url.replace("metrics", "healthz")])
    from werkzeug.test import EnvironBuilder
    from werkzeug.wrappers import Request

    answer: Callable[[Request], Any] = other["/api/pipeline"]
    (problem,) = answer(Request(EnvironBuilder().get_environ())).get_json()["problems"].values()
    assert "no ledger here" in problem or "no counters of Towline's" in problem
