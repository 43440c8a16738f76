"""State and metrics beside the lines, in a real browser: a real history of metrics, whose numbers are made by hand."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
from page_screen import Lines, Screen, Served
from selenium.webdriver.common.action_chains import ActionChains

from exporters.exposition import Family, family, labels
from exporters.history import History
from towline import api_pipeline, api_views, page
from towline.happening import Happening
from towline.metrics import REGISTRY
from towline.stores import Store

POINTS, APART = 40, 15.0
STATES, HEALTHS = ("running", "exited"), ("starting", "healthy", "unhealthy")


def identity(name: str) -> str:
    return (name.encode().hex() * 64)[:64]


class Node:
    """Ten minutes of three containers: what a Towline that ran meanwhile has in memory."""

    def __init__(self) -> None:
        self.end = time.time() - 1
        self.now = 0.0
        self.happened: list[Happening] = []
        self.states = {"web.1": "running", "web.2": "running", "db.1": "exited"}
        self.health = {"web.1": "healthy", "web.2": "unhealthy", "db.1": ""}
        self.restarts = {"web.1": 2, "web.2": 1, "db.1": 0}
        self.history = History(self.families, lambda: self.happened, interval=APART, clock=lambda: self.now)
        for at in range(POINTS):
            self.now = self.end - (POINTS - 1 - at) * APART
            self.at = at
            self.history.take()
        self.now = self.end + 1

    def happens(self, ago: float, what: str, name: str, about: str = "") -> float:
        moment = self.end - ago
        self.happened.append(Happening(moment, what, identity(name), name, name.split(".")[0], about))
        return moment

    def families(self) -> Iterator[Family]:
        about = {"stack": "shop"}
        blocks = {name: {"id": f"/docker/{identity(name)}", "name": name, "service": name.split(".")[0], **about}
                  for name in self.states}  # fmt: skip
        used = APART * sum(1 + step % 3 for step in range(self.at))
        rows = {"cpu_usage_seconds_total": used / 10, "memory_working_set_bytes": 50e6 + (self.at % 7) * 4e6,
                "network_receive_bytes_total": used * 1e5, "network_transmit_bytes_total": used * 3e4,
                "fs_reads_bytes_total": used * 1e3, "fs_writes_bytes_total": used * 5e4}  # fmt: skip
        for name, value in rows.items():
            yield family(f"container_{name}", "counter", "", [(labels({"id": "/"}), 4 * value)] + [
                (labels(block), value) for container, block in blocks.items()
                if self.states[container] == "running"])  # fmt: skip
        yield family("container_state", "gauge", "", [
            (labels(block | {"state": state}), int(state == self.states[name]))
            for name, block in blocks.items() for state in STATES])  # fmt: skip
        yield family("container_health_status", "gauge", "", [
            (labels(block | {"status": status}), int(status == self.health[name]))
            for name, block in blocks.items() for status in HEALTHS if self.health[name]])  # fmt: skip
        yield family("container_restarts_total", "counter", "", [
            (labels(block), self.restarts[name]) for name, block in blocks.items()])  # fmt: skip


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def served(store: Store, node: Node) -> Iterator[Served]:
    pages = api_views.handlers(store) | api_pipeline.pipeline(REGISTRY, {}) | page.handlers()
    pages |= {"/api/metrics": node.history.handler(), **api_views.about("sqlite", ("metrics", "pipeline"))}
    server = Served(store, pages)
    yield server
    server.stop()


@pytest.fixture
def shop(lines: Lines) -> Callable[[], None]:
    def write() -> None:
        for number, name in enumerate(("web.1", "web.2", "db.1")):
            lines([f"{name} says {each}" for each in range(20)], name=name, stack="shop", ago=30 + number, step=10)

    return write


def middle_of(screen: Screen, selector: str, part: float) -> ActionChains:
    """The pointer over a picture, at this part of its width."""
    found = screen.find(selector)
    width = found.size["width"]
    return ActionChains(screen.driver).move_to_element_with_offset(found, round((part - 0.5) * width), 0)


def moments(screen: Screen) -> list[float]:
    """Where the lines of a hover stand, as parts of the pictures' widths."""
    found: list[float] = screen.js(
        "return [...document.querySelectorAll('.moment')].filter((node) => !node.hidden)"
        ".map((node) => parseFloat(node.style.left))"
    )
    return found


def test_services_show_state_health_restarts_and_what_they_use(screen: Screen, shop: Callable[[], None]) -> None:
    shop()
    screen.open()
    screen.until(lambda: "running" in screen.find(".service[data-service=web]").text)
    assert screen.texts("#services section > :first-child") == ["shop"]
    about = screen.find(".service[data-service=web] small").text
    assert about.startswith("running · 1 unhealthy · 2/2 containers · 3 restarts · ")
    assert about.endswith("MB")
    assert screen.find(".service[data-service=web] .s-bad")
    assert "exited" in screen.find(".service[data-service=db] small").text
    for kind, unit in (("cpu", "cores"), ("memory", "MB")):
        drawn = screen.find(f".service[data-service=web] .{kind}")
        assert unit in (drawn.get_attribute("aria-label") or "")
        heights = {point.split(",")[1] for point in
                   screen.js("return arguments[0].firstChild.getAttribute('points')", drawn).split()}  # fmt: skip
        assert len(heights) > 2, "the line should move"


def test_a_container_of_a_service_is_chosen_below_it(screen: Screen, shop: Callable[[], None]) -> None:
    shop()
    screen.open()
    screen.find(".service[data-service=web]").click()
    screen.until(lambda: screen.texts(".container .name") == ["web.1", "web.2"])
    about = [["↻", "2"], ["unhealthy", "↻", "1"]]
    screen.until(lambda: [text.split() for text in screen.texts(".container small")] == about)
    screen.until(lambda: len(screen.texts()) == 40)
    screen.find(f".container[data-container='{identity('web.2')}']").click()
    screen.until(lambda: len(screen.texts()) == 20)
    assert all(text.startswith("web.2") for text in screen.texts())
    assert "container: web.2 ×" in screen.texts(".chip")


def test_charts_show_the_chosen_service_or_the_node_with_marks_for_what_happened(
    screen: Screen, shop: Callable[[], None], node: Node
) -> None:
    shop()
    node.happens(500, "started", "web.1", "web:1")
    node.happens(400, "oom", "web.2")
    node.happens(399, "stopped", "web.2", "137")
    node.happens(200, "deployed", "web.2", "web:2")
    node.happens(100, "stopped", "db.1", "0")
    screen.open("?view=metrics&service=web")
    screen.until(lambda: len(screen.texts("#metrics figure")) == 4)
    titles = [text.split()[0] for text in screen.texts("#metrics figcaption")]
    assert [title[:3] for title in titles] == ["CPU", "Mem", "Net", "Dis"]
    assert screen.texts("#metrics h2") == ["web"]
    assert "in " in screen.texts("#metrics figcaption .told")[2]
    assert "written " in screen.texts("#metrics figcaption .told")[3]
    told = screen.texts(".changes button")
    expected = "web.2 deployed: web:2", "web.2 stopped, exit code 137", "web.2 out of memory: killed", "web.1 started"
    for text, words in zip(told, expected, strict=True):
        assert words in text
    screen.until(lambda: screen.js("return document.querySelectorAll('.frame').length") == 5)
    for kind in ("started", "oom", "failed", "deployed"):
        screen.until(lambda mark=kind: len(screen.driver.find_elements("css selector", f".frame .mk.k-{mark}")) == 5)
    whole = float(screen.texts("#metrics figcaption .told")[0].split()[0])
    screen.find(".service[data-service=web]").click()
    screen.until(lambda: screen.texts("#metrics h2") == ["The whole node"])
    assert float(screen.texts("#metrics figcaption .told")[0].split()[0]) == pytest.approx(2 * whole, rel=0.05)
    assert any("db.1 stopped" in text for text in screen.texts(".changes button"))


def test_a_mark_leads_to_the_lines_of_its_time(screen: Screen, shop: Callable[[], None], node: Node) -> None:
    shop()
    moment = node.happens(60, "oom", "web.2")
    screen.open("?view=metrics&service=web")
    screen.find(".changes button").click()
    screen.until(lambda: "until=" in screen.driver.current_url and screen.texts())
    shown = screen.js("return [...document.querySelectorAll('.row time')].map((node) => node.dateTime)")
    stamps = [datetime.fromisoformat(text[:23] + "+00:00").timestamp() for text in shown]
    assert stamps
    assert all(abs(stamp - moment) <= 60 for stamp in stamps)
    screen.until(lambda: screen.texts("#metrics figure"))


def test_hovering_any_picture_or_line_marks_the_same_moment_everywhere(
    screen: Screen, shop: Callable[[], None]
) -> None:
    shop()
    screen.open("?view=metrics&service=web")
    screen.until(lambda: len(screen.texts("#metrics figure")) == 4)
    middle_of(screen, "#histogram .frame", 0.9).perform()
    screen.until(lambda: len(moments(screen)) == 5)
    first = moments(screen)
    assert max(first) - min(first) < 1
    assert 85 < first[0] < 95
    screen.until(lambda: len(screen.texts(".row.near")) == 1)
    middle_of(screen, "#metrics figure:nth-of-type(3) .frame", 0.3).perform()
    screen.until(lambda: len(moments(screen)) == 5 and 25 < moments(screen)[0] < 35)
    assert screen.find("#histogram .told").text
    ActionChains(screen.driver).move_to_element(screen.find(".row:last-child .text")).perform()
    screen.until(lambda: moments(screen) and moments(screen)[0] > 90)


def test_metrics_that_nobody_took_are_said_to_be_missing_and_marks_stay(
    screen: Screen, lines: Lines, node: Node
) -> None:
    lines(["old"], ago=7200)
    node.happens(7200, "deployed", "web.1", "web:9")
    screen.open("?view=metrics&since=3h&until=1h")
    screen.until(lambda: "Nothing was measured in this stretch" in screen.find("#metrics").text)
    assert "web.1 deployed: web:9" in screen.texts(".changes button")[0]


def test_many_changes_are_drawn_as_few_marks_and_told_newest_first(
    screen: Screen, shop: Callable[[], None], node: Node
) -> None:
    shop()
    for number in range(300):
        node.happens(500 - number, ("started", "stopped")[number % 2], "db.1", "0")
    node.happens(350, "oom", "db.1")
    screen.open("?view=metrics&service=db")
    screen.until(lambda: len(screen.texts(".changes button")) == 50)
    assert "301 changes" in screen.texts("#metrics h3")
    drawn = screen.driver.find_elements("css selector", "#histogram .mk")
    assert 20 < len(drawn) < 120
    assert len(screen.driver.find_elements("css selector", "#histogram .mk.k-oom")) == 1
    assert "db.1 st" in (drawn[5].get_attribute("title") or "")
    shown = [text.split(" db.1")[0] for text in screen.texts(".changes button")]
    assert len(set(shown)) > 40
