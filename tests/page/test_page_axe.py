"""axe-core (a package at test time) over everything that the page shows, in both themes and on a phone."""

import time
from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from typing import Any

import pytest
from page_screen import Lines, Screen, Served

from exporters.exposition import Family, family, labels
from exporters.history import History
from towline import api_views, page
from towline.errors import StoreUnavailable
from towline.happening import Happening
from towline.metrics import REGISTRY
from towline.stores import Store

PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
AXE = """
const done = arguments[0];
axe.run({ resultTypes: ["violations"] }).then(done, (error) => done({ error: String(error) }));
"""
JSON_LINE = '{"level":"warn","msg":"slow","user":{"name":"ada","tags":["a","b"],"address":{"city":"Turin"}}}'


def measured() -> History:
    """Ten minutes of two services and a node; one of them was killed meanwhile."""
    now, used, killed = [time.time() - 600], [0.0], [False]

    def families() -> Iterable[Family]:
        blocks = [{"id": f"/docker/{name}", "name": name, "service": name} for name in ("web", "db")] + [{"id": "/"}]
        for name in ("container_cpu_usage_seconds_total", "container_network_receive_bytes_total"):
            yield family(name, "counter", "", [(labels(block), used[0]) for block in blocks])
        yield family("container_memory_working_set_bytes", "gauge", "", [(labels(block), 5e7) for block in blocks])
        yield family("container_state", "gauge", "", [
            (labels({**block, "state": state}), int((state == "exited") == (killed[0] and block["id"] == "/docker/db")))
            for block in blocks[:2] for state in ("running", "exited")])  # fmt: skip

    told = ((300, "oom", "db", ""), (299, "stopped", "db", "137"), (100, "deployed", "web", "web:2"))
    happened = [Happening(time.time() - ago, what, name, name, name, about) for ago, what, name, about in told]
    history = History(families, lambda: happened, interval=15, clock=lambda: now[0])
    for point in range(40):
        now[0] += 15
        used[0] += 3 + point % 5
        killed[0] = point > 20
        history.take()
    history._clock = time.time
    return history


class Broken:
    """The store while it is away."""

    def __init__(self, store: Store) -> None:
        self.store, self.away = store, False

    def __getattr__(self, name: str) -> Any:
        if self.away and name in ("search", "follow", "histogram", "containers"):
            raise StoreUnavailable("store demo: does not answer; start it")
        return getattr(self.store, name)


@pytest.fixture
def broken(store: Store) -> Broken:
    return Broken(store)


@pytest.fixture
def served(broken: Any, problems: dict[str, str]) -> Iterator[Served]:
    asked: dict[str, Callable[[], str]] = {"store": lambda: problems["store"]}
    pages = api_views.handlers(broken) | api_views.pipeline(REGISTRY, asked) | page.handlers()
    pages |= api_views.about("sqlite", ("pipeline", "metrics")) | {"/api/metrics": measured().handler()}
    server = Served(broken, pages)
    yield server
    server.stop()


def wrong(screen: Screen, where: str) -> list[tuple[str, str, list[str]]]:
    """What axe finds: where, which rule, which elements."""
    screen.js((resources.files("axe_core_python") / "axe.min.js").read_text())
    screen.driver.set_script_timeout(120)
    found = screen.driver.execute_async_script(AXE)
    assert "error" not in found, (where, found)
    assert len(found["passes"]) > 10, where
    return [(where, each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found["violations"]]


def unfold(screen: Screen) -> None:
    screen.until(lambda: len(screen.texts()) > 3)
    screen.js("[...document.querySelectorAll('.row')].slice(-2).forEach((row) => row.click())")
    screen.until(lambda: len(screen.texts(".detail")) == 2)
    screen.js("document.querySelectorAll('.tree details').forEach((part) => { part.open = true; })")


def help_is_open(screen: Screen) -> None:
    screen.until(lambda: screen.texts())
    screen.js("document.querySelector('#help').click()")
    screen.until(lambda: screen.find("#keys").is_displayed())


def says(text: str) -> Callable[[Screen], None]:
    return lambda screen: screen.until(lambda: text in screen.body) and None


def custom_range(screen: Screen) -> None:
    screen.until(lambda: screen.texts())
    screen.find("#range option[value=custom]").click()
    screen.until(lambda: screen.find("#custom").is_displayed())


VIEWS: dict[str, tuple[str, Callable[[Screen], None]]] = {
    "live, lines unfolded": ("", unfold),
    "history": ("?since=1h&until=0s", says("History")),
    "range of one's own": ("", custom_range),
    "metrics": ("?view=metrics&service=web&service=db", says("out of memory")),
    "pipeline": ("?view=pipeline", says("All parts work")),
    "help": ("", help_is_open),
    "nothing found": ("?q=nothing", says("No line matches")),
    "impossible query": ("?q=%22open", says("never closed")),
}


COLOURED = ("live, lines unfolded", "metrics", "pipeline", "impossible query")
"""What has colours of its own, or is arranged in another way on a phone."""


def walk(screen: Screen, views: Iterable[str]) -> list[tuple[str, str, list[str]]]:
    told = []
    for name in views:
        query, ready = VIEWS[name]
        screen.open(query)
        ready(screen)
        screen.until(lambda: screen.texts(".service"))
        told += wrong(screen, name)
    return told


@pytest.mark.parametrize(("theme", "phone"), [("light", False), ("dark", False), ("dark", True)])
def test_axe_finds_nothing(
    screen: Screen, lines: Lines, broken: Broken, problems: dict[str, str], theme: str, phone: bool
) -> None:
    lines(["error a", "warn b", "\x1b[32mgreen\x1b[0m", '{"level":"info","msg":"x","k":{"l":1}}', JSON_LINE], ago=1)
    lines(["of the database"], name="db", stack="shop", stream="stderr", ago=1)
    if phone:
        screen.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    try:
        screen.open()
        screen.js("localStorage.setItem('theme', arguments[0])", theme)
        told = walk(screen, VIEWS if (theme, phone) == ("light", False) else COLOURED)
        if phone:
            screen.open()
            screen.find("#menu").click()
            screen.until(lambda: screen.find(".service").is_displayed())
            told += wrong(screen, "containers on a phone")
        problems["store"] = "the disk is full: make room"
        screen.open("?view=pipeline")
        screen.until(lambda: "the disk is full" in screen.body)
        told += wrong(screen, "a problem in the pipeline")
        broken.away = True
        screen.open()
        screen.until(lambda: "does not answer" in screen.body)
        told += wrong(screen, "store away")
        assert not told, "\n".join(map(str, told))
    finally:
        screen.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
