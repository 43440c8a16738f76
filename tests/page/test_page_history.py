"""Searching what was written, in a real browser: filters, ranges, both directions, links, downloads."""

import json
import urllib.request
from functools import partial
from urllib.parse import parse_qs, urlsplit

import pytest
from page_screen import Lines, Screen, Served
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys


def test_the_search_box_speaks_the_query_language_and_marks_what_it_found(screen: Screen, lines: Lines) -> None:
    lines(["connection reset by peer", "connection refused", "all quiet"], ago=5)
    screen.open()
    screen.until(lambda: len(screen.texts()) == 3)
    ActionChains(screen.driver).send_keys("/").perform()
    ActionChains(screen.driver).send_keys('"connection reset" OR quiet' + Keys.ENTER).perform()
    screen.until(lambda: screen.texts() == ["connection reset by peer", "all quiet"])
    assert screen.texts(".row mark") == ["connection reset", "quiet"]
    screen.search("connection -refused")
    screen.until(lambda: screen.texts() == ["connection reset by peer"])


def test_filters_by_level_and_stream_are_clicked_and_taken_away(screen: Screen, lines: Lines) -> None:
    lines(["ERROR one", "warn two", "three"], ago=5)
    lines(["error four"], stream="stderr", ago=4)
    screen.open()
    screen.until(lambda: len(screen.texts()) == 4)
    screen.button("error").click()
    screen.until(lambda: screen.texts() == ["ERROR one", "error four"])
    screen.button("stderr").click()
    screen.until(lambda: screen.texts() == ["error four"])
    screen.button("stream: stderr").click()
    screen.until(lambda: len(screen.texts()) == 2)
    screen.button("error").click()
    screen.until(lambda: len(screen.texts()) == 4)


def test_the_histogram_counts_by_level_and_a_drawn_range_is_what_is_shown(screen: Screen, lines: Lines) -> None:
    lines([f"error old {number}" for number in range(30)], ago=700)
    lines([f"new {number}" for number in range(20)], ago=60)
    screen.open()
    screen.until(lambda: "50 lines" in screen.find("#histogram .told").text)
    assert screen.js("return document.querySelectorAll('#histogram .b-error').length") == 1
    frame = screen.find("#histogram .frame")
    half = frame.size["width"] // 2
    ActionChains(screen.driver).move_to_element_with_offset(frame, -half + 5, 0).click_and_hold().move_by_offset(
        half - 20, 0
    ).release().perform()
    screen.until(lambda: len(screen.texts()) == 30)
    assert all("old" in text for text in screen.texts())
    given = parse_qs(urlsplit(screen.driver.current_url).query)
    assert {"since", "until"} <= set(given)
    screen.driver.back()
    screen.until(lambda: len(screen.texts()) == 50)


def test_a_parsed_line_has_the_level_of_its_field_in_the_histogram_the_row_and_the_filter(
    screen: Screen, lines: Lines
) -> None:
    lines(["no error at all", "errors: 0"], level="info", ago=60)
    lines(["it broke"], level="critical", name="db", ago=50)
    lines(["an error by its word"], name="api", ago=40)
    screen.open()
    screen.until(lambda: "4 lines" in screen.find("#histogram .told").text)
    assert screen.texts(".row .sev") == ["info", "info", "error", "error"]
    drawn = "return ['error', 'info', 'none'].map(l => document.querySelectorAll(`#histogram .b-${l}`).length > 0)"
    assert screen.js(drawn) == [True, True, False]
    screen.button("error").click()
    screen.until(lambda: screen.texts() == ["it broke", "an error by its word"])
    screen.until(lambda: "2 lines" in screen.find("#histogram .told").text)


def test_scrolling_up_loads_all_earlier_lines_each_once(screen: Screen, lines: Lines) -> None:
    lines([f"n {number}" for number in range(1500)], ago=30)
    screen.open("?since=1h&until=0s")
    screen.until(lambda: screen.texts() and screen.texts()[-1] == "n 1499")

    def up() -> bool:
        screen.js("document.getElementById('scroller').scrollTop = 0")
        shown = screen.texts()
        numbers = [int(text[2:]) for text in shown]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert len(shown) <= 400
        return shown[0] == "n 0"

    screen.until(up)
    assert "1,500 lines loaded" in screen.find("#status").text
    screen.until(lambda: "No earlier lines" in screen.find("#edge").text)

    def down() -> bool:
        screen.js("document.getElementById('scroller').scrollTop = 1e9")
        return screen.texts()[-1] == "n 1499"

    screen.until(down)


def test_lines_of_the_very_same_moment_are_all_loaded(screen: Screen, lines: Lines) -> None:
    lines([f"same {number}" for number in range(700)], ago=30, step=0)
    screen.open("?since=1h&until=0s")

    def up() -> bool:
        screen.js("document.getElementById('scroller').scrollTop = 0")
        return "700 lines loaded" in screen.find("#status").text

    screen.until(up)


def test_the_lines_around_a_hit_and_a_link_to_it(screen: Screen, lines: Lines) -> None:
    lines([f"step {number}" if number != 500 else "it broke" for number in range(1000)], ago=30)
    lines(["of another"], name="db", ago=30.5)
    screen.open("?q=broke")
    screen.until(lambda: screen.texts() == ["it broke"])
    screen.find(".row").click()
    screen.button("Lines around it").click()
    screen.until(lambda: "step 499" in screen.texts() and "step 501" in screen.texts())
    assert screen.texts(".row.hit .text") == ["it broke"]
    assert "of another" not in screen.texts()
    link = screen.driver.current_url
    screen.driver.get("about:blank")
    screen.driver.get(link)
    screen.until(lambda: screen.texts(".row.hit .text") == ["it broke"])

    def down() -> bool:
        screen.js("document.getElementById('scroller').scrollTop = 1e9")
        return screen.texts()[-1] == "step 999"

    screen.until(down)


def test_a_result_is_downloaded_whole_as_ndjson_or_text(screen: Screen, lines: Lines) -> None:
    lines([f"wanted {number}" for number in range(1200)] + ["other"], ago=20)
    screen.open("?q=wanted")
    screen.until(lambda: screen.texts())
    links = {name: screen.find(f"#{name}").get_attribute("href") or "" for name in ("ndjson", "text")}
    with urllib.request.urlopen(links["ndjson"]) as response:
        assert "attachment" in response.headers["Content-Disposition"]
        rows = [json.loads(row) for row in response.read().splitlines()]
    assert [row["message"] for row in rows] == [f"wanted {number}" for number in range(1200)]
    with urllib.request.urlopen(links["text"]) as response:
        text = response.read().decode().splitlines()
    assert len(text) == 1200
    assert text[0].endswith("web wanted 0")


def test_removed_containers_are_listed_and_found(screen: Screen, lines: Lines) -> None:
    lines(["last words"], name="gone.1", ago=3 * 86400)
    screen.open()
    screen.until(lambda: screen.texts(".service .name") == ["gone"])
    screen.until(lambda: "No line was written in the last 15m" in screen.body)
    screen.button("Look at 30 days").click()
    screen.until(lambda: screen.texts() == ["last words"])


def test_a_range_is_typed(screen: Screen, lines: Lines) -> None:
    lines(["long ago"], ago=7200)
    lines(["now"], ago=5)
    screen.open()
    screen.find("#range option[value=custom]").click()
    for name, text in (("since", "3h"), ("until", "1h")):
        box = screen.find(f"#{name}")
        box.clear()
        box.send_keys(text)
    screen.button("Show").click()
    screen.until(lambda: screen.texts() == ["long ago"])


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("?q=%22open", "this quote is never closed"),
        ("?q=a%20OR", "OR"),
        ("?since=1m&until=1h", "since must be earlier than until"),
        ("?since=whenever", "whenever"),
        ("?level=awful", "awful"),
        ("?at=nonsense", "names no line"),
        ("?view=nonsense&q=nothing", "No line matches"),
    ],
)
def test_bad_input_is_told_in_the_page_with_a_way_out(screen: Screen, lines: Lines, query: str, told: str) -> None:
    lines(["a line"], ago=1)
    screen.open(query)
    screen.until(lambda: told in screen.body)
    if "nonsense" not in query:
        screen.button("Clear the filters").click() if "since" not in query else screen.button("Live").click()
    assert screen.find("#q").is_displayed()


def test_a_store_that_is_away_is_told_and_the_page_recovers(
    screen: Screen, lines: Lines, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from towline.errors import StoreUnavailable

    lines(["kept"], ago=1)

    def away(*given: object) -> object:
        raise StoreUnavailable("store demo: does not answer; start it")

    with monkeypatch.context() as patched:
        for name in ("search", "follow", "histogram", "containers"):
            patched.setattr(type(served.store), name, away)
        screen.open()
        screen.until(lambda: "does not answer" in screen.find("#trouble").text)
    screen.until(lambda: screen.texts() == ["kept"], 30)
    screen.until(lambda: not screen.find("#trouble").is_displayed())


def test_a_line_of_ten_megabytes_is_cut_for_the_page_and_can_be_had_whole(screen: Screen, lines: Lines) -> None:
    lines(["x" * 10_000_000, "small"], ago=1)
    screen.open()
    screen.until(lambda: len(screen.texts()) == 2)
    assert "10,000,000 characters" in screen.texts()[0]
    screen.find(".row .sev").click()
    link = screen.button("Download all 10,000,000").get_attribute("href") or ""
    with urllib.request.urlopen(link) as response:
        assert response.read().count(b"x") == 10_000_000


def many(lines: Lines, number: int) -> None:
    """`number` containers of one line each, job-0 the first to have spoken."""
    lines.held = True
    for each in range(number):
        lines([f"from {each}"], name=f"job-{each}", ago=10 + (number - each) * 0.01)
        if each % 2000 == 1999:
            lines.write()
    lines.write()


def shows_first(screen: Screen, name: str) -> bool:
    return screen.texts(".service .name")[:1] == [name]


def listed_as_far_as_they_can_be_read(screen: Screen, number: int) -> None:
    screen.open()
    screen.until(lambda: f"The 1,000 that spoke last of {number:,} containers" in screen.body)
    assert len(screen.texts(".service")) == 300
    assert "700 more services: type above" in screen.body
    box = screen.find("#find")
    for name in ("job-0", f"job-{number - 1}"):
        box.clear()
        box.send_keys(name.upper())
        screen.until(partial(shows_first, screen, name))
    box.clear()
    box.send_keys("nobody")
    screen.until(lambda: "No container has such a name" in screen.body)


def test_of_many_containers_the_newest_are_listed_and_the_server_finds_the_others(screen: Screen, lines: Lines) -> None:
    many(lines, 1200)
    listed_as_far_as_they_can_be_read(screen, 1200)


@pytest.mark.soak
def test_fifty_thousand_containers_are_no_burden(screen: Screen, lines: Lines) -> None:
    many(lines, 50_000)
    listed_as_far_as_they_can_be_read(screen, 50_000)
    screen.search("service:job-17")
    screen.until(lambda: screen.texts() == ["from 17"], 60)
    screen.search("nothing-of-the-kind")
    screen.until(lambda: "No line matches" in screen.body, 60)


def test_nodes_and_containers_are_picked_and_taken_away(screen: Screen, lines: Lines) -> None:
    lines(["of one"], name="web.1", ago=3)
    lines(["of two"], name="web.2", ago=2)
    lines(["elsewhere"], name="db.1", node="node2", ago=1)
    screen.open("?since=1h&until=0s")
    screen.until(lambda: len(screen.texts()) == 3 and len(screen.texts("#pick-container option")) == 4)
    assert screen.texts("#pick-node option") == ["Node", "node1", "node2"]
    assert "db.1 on node2" in screen.texts("#pick-container option")
    screen.find("#pick-node option[value=node1]").click()
    screen.until(lambda: screen.texts() == ["of one", "of two"])
    offered = ["Container", "web.1 on node1", "web.2 on node1"]
    screen.until(lambda: screen.texts("#pick-container option") == offered)
    next(node for node in screen.driver.find_elements("css selector", "#pick-container option")
         if node.text.startswith("web.2")).click()  # fmt: skip
    screen.until(lambda: screen.texts() == ["of two"])
    assert {"node", "container"} <= set(parse_qs(urlsplit(screen.driver.current_url).query))
    screen.button("container: web.2 ×").click()
    screen.until(lambda: len(screen.texts()) == 2)
    screen.button("node: node1 ×").click()
    screen.until(lambda: len(screen.texts()) == 3)


def test_a_clicked_value_asks_for_its_field(screen: Screen, lines: Lines) -> None:
    lines(['{"level":"info","user":{"id":7},"msg":"paid"}', '{"level":"info","order":7,"msg":"sent"}',
           'level=info user=ada msg="logged in"', "ada went home"], ago=5)  # fmt: skip
    lines(["of db"], name="db.1", ago=1)

    def click(row: int, value: str) -> None:
        screen.find(f".row:nth-child({row}) .text").click()
        screen.until(lambda: screen.texts(".detail"))
        values = screen.driver.find_elements("css selector", ".tree .value button")
        next(node for node in values if node.text == value).click()

    screen.open("?since=1h&until=0s")
    screen.until(lambda: len(screen.texts()) == 5)
    click(1, "7")  # the id, not the order
    screen.until(lambda: len(screen.texts()) == 1)
    assert "paid" in screen.texts()[0]
    assert screen.find("#q").get_attribute("value") == '"id 7"'
    assert screen.texts(".row mark") == ['id":7']
    screen.driver.back()
    screen.until(lambda: len(screen.texts()) == 5)
    click(3, "ada")
    screen.until(lambda: len(screen.texts()) == 1 and "user=ada" in screen.texts()[0])
    screen.driver.back()
    screen.until(lambda: len(screen.texts()) == 5)
    click(5, "db")  # service.name: a filter of its own
    screen.until(lambda: screen.texts() == ["of db"])
    assert "service: db ×" in screen.texts(".chip")
    assert screen.find("#q").get_attribute("value") == ""


def test_around_a_line_scrolling_goes_on_both_ways(screen: Screen, lines: Lines) -> None:
    lines([f"n {number}" for number in range(2000)], ago=30)
    screen.open("?since=1h&until=0s&q=%22n%201000%22")
    screen.until(lambda: screen.texts() == ["n 1000"])
    screen.find(".row").click()
    screen.button("Lines around it").click()
    screen.until(lambda: "n 1001" in screen.texts())

    def reached(place: str, at: int, text: str) -> bool:
        screen.js(f"document.getElementById('scroller').scrollTop = {place}")
        return screen.texts()[at] == text

    screen.until(lambda: reached("0", 0, "n 0"), 40)
    screen.until(lambda: reached("1e9", -1, "n 1999"), 40)
    assert "2,000 lines loaded" in screen.find("#status").text


COPIED = """
const writeText = (text) => { window.copied = text; return Promise.resolve(); };
Object.defineProperty(navigator, "clipboard", { value: { writeText } });
"""


@pytest.mark.parametrize("view", ["logs", "metrics", "pipeline"])
def test_a_copied_link_shows_the_same_to_somebody_who_opens_it_later(screen: Screen, lines: Lines, view: str) -> None:
    lines(["error: then", "fine"], ago=5)
    screen.open(f"?view={view}&since=5m&level=error&service=web")
    screen.js(COPIED)
    screen.js("document.getElementById('share').click()")
    link = screen.until(lambda: screen.js("return window.copied"))
    lines(["error: afterwards"])
    given = parse_qs(urlsplit(link).query)
    assert (given["level"], given["service"]) == (["error"], ["web"])
    assert given["since"][0].endswith("Z")
    assert given["until"][0].endswith("Z")
    screen.driver.get("about:blank")
    screen.driver.get(link)
    screen.until(lambda: screen.texts() == ["error: then"])
    chosen = screen.texts("nav button[aria-pressed=true]")
    assert chosen == [{"logs": "Lines", "metrics": "Metrics", "pipeline": "Pipeline"}[view]]
