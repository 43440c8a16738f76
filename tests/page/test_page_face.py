"""The page as a whole: keys, themes, phones, accessibility, weight, what it may load, who may see it."""

import base64
import http.client
import json
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from page_screen import Lines, Screen, Served
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from towline import page

CONTRAST = """
const rgb = (text) => {
  const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
  return text.startsWith("color(") ? [r * 255, g * 255, b * 255, a] : [r, g, b, a];
};
const linear = (part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
const behind = (node) => {
  for (; node; node = node.parentElement) {
    const back = rgb(getComputedStyle(node).backgroundColor);
    if (back[3] > 0.99) return back;
  }
  return [255, 255, 255, 1];
};
const ratio = (node) => {
  const pair = [light(rgb(getComputedStyle(node).color)), light(behind(node))].sort((a, b) => b - a);
  return (pair[0] + 0.05) / (pair[1] + 0.05);
};
const says = (node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
const shown = [...document.querySelectorAll("body *")].filter((node) => node.checkVisibility() && says(node));
return shown.filter((node) => ratio(node) < 4.5)
  .map((node) => `${node.className} ${node.textContent.slice(0, 40)}`);
"""
UNNAMED = """
return [...document.querySelectorAll("button, a, input, select, [role=img], [role=log]")].filter((node) =>
  node.checkVisibility() && !(node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length))
  .map((node) => node.outerHTML);
"""
TWICE = """
const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
return ids.filter((id, at) => ids.indexOf(id) !== at);
"""


def get(served: Served, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
    response = connection.getresponse()
    found = response.status, {name.lower(): text for name, text in response.getheaders()}, response.read()
    connection.close()
    return found


def keys(screen: Screen, *pressed: str) -> None:
    ActionChains(screen.driver).send_keys(*pressed).perform()


def test_all_of_it_works_by_keys(screen: Screen, lines: Lines) -> None:
    lines(["one", "two", "three"], ago=1)
    screen.open()
    screen.until(lambda: len(screen.texts()) == 3)
    keys(screen, "?")
    screen.until(lambda: screen.find("#keys").is_displayed())
    keys(screen, Keys.ESCAPE)
    screen.until(lambda: not screen.find("#keys").is_displayed())
    keys(screen, Keys.ARROW_UP, Keys.ARROW_UP)
    screen.until(lambda: screen.js("return document.activeElement.querySelector?.('.text')?.textContent") == "two")
    keys(screen, Keys.ENTER)
    screen.until(lambda: screen.texts(".row.open .text") == ["two"])
    keys(screen, "/")
    screen.until(lambda: screen.js("return document.activeElement.id") == "q")
    keys(screen, "l?w1", Keys.ESCAPE)
    assert screen.find("#q").get_attribute("value") == "l?w1"
    keys(screen, "3")
    screen.until(lambda: screen.find("#pipeline").is_displayed())
    keys(screen, "1")
    screen.until(lambda: screen.find("#logs").is_displayed())


def test_dark_and_light_are_remembered(screen: Screen) -> None:
    screen.open()
    before = screen.js("return getComputedStyle(document.body).backgroundColor")
    keys(screen, "t")
    after = screen.js("return getComputedStyle(document.body).backgroundColor")
    assert before != after
    screen.open()
    assert screen.js("return getComputedStyle(document.body).backgroundColor") == after


def contrast(screen: Screen) -> list[str]:
    """Texts whose contrast to what is behind them is below 4.5 (WCAG 2.2, 1.4.3), among what is shown."""
    found: list[str] = screen.js(CONTRAST)
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", ["logs", "pipeline"])
def test_text_has_contrast_and_everything_that_can_be_pressed_has_a_name(
    screen: Screen, lines: Lines, theme: str, view: str
) -> None:
    for number in range(14):
        lines([f"\x1b[3{number % 8}mcolour\x1b[0m \x1b[9{number % 8}mbright\x1b[0m"], name=f"service-{number}", ago=3)
    lines(["error a", "warn b", "info c", "debug d", '{"level":"info","msg":"x","k":1}'], ago=1)
    screen.open()
    screen.js("localStorage.setItem('theme', arguments[0])", theme)
    screen.open(f"?view={view}")
    screen.until(lambda: len(screen.texts()) == 19 and len(screen.texts(".service")) == 15)
    if view == "logs":
        screen.js("document.querySelector('.row:last-child').click()")
        screen.until(lambda: screen.texts(".detail"))
    assert contrast(screen) == []
    assert screen.js(UNNAMED) == []
    assert screen.js(TWICE) == []
    assert screen.js("return document.documentElement.lang") == "en"
    assert len(screen.texts("h1")) == 1


def test_on_a_phone_nothing_is_cut_off_and_the_services_come_by_a_button(screen: Screen, lines: Lines) -> None:
    lines(["a" * 300, "error: short"], ago=1)
    screen.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    try:
        screen.open()
        screen.until(lambda: len(screen.texts()) == 2)
        assert screen.js("return document.documentElement.scrollWidth") <= 390
        assert not screen.find("#side").is_displayed()
        screen.find("#menu").click()
        screen.until(lambda: screen.find(".service").is_displayed())
        screen.find(".service").click()
        screen.until(lambda: "service=web" in screen.driver.current_url)
    finally:
        screen.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


LOADED = """
const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
return entries.map((entry) => [entry.name, entry.decodedBodySize, entry.transferSize]);
"""
PAINTED = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"


def first_visit(screen: Screen) -> None:
    """Opens the page as somebody who has nothing of it yet."""
    screen.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    screen.open()


def test_it_loads_only_from_its_server_and_is_light(screen: Screen, lines: Lines, served: Served) -> None:
    lines(["x"], ago=1)
    screen.driver.get_log("performance")
    first_visit(screen)
    screen.until(lambda: screen.texts() and screen.texts(".service"))
    asked = [json.loads(row["message"])["message"] for row in screen.driver.get_log("performance")]
    urls = {row["params"]["request"]["url"] for row in asked if row["method"] == "Network.requestWillBeSent"}
    assert urls
    assert all(url.startswith(served.url) for url in urls), urls
    loaded = screen.js(LOADED)
    assert {name for name, _, _ in loaded} <= urls
    files = [row for row in loaded if row[0] == f"{served.url}/" or "/page/" in row[0]]
    assert len(files) > 15
    assert min(transferred for _, _, transferred in files) > 0, "from a cache"
    unpacked, transferred = (sum(row[at] for row in files) for at in (1, 2))
    assert transferred < unpacked < 300_000
    assert screen.complaints() == []


def test_the_first_paint_is_within_a_second(screen: Screen, lines: Lines) -> None:
    lines([f"line {number}" for number in range(1000)], ago=1)
    painted = []
    for _ in range(5):  # this machine may be busy: what the page can do is what counts
        first_visit(screen)
        screen.until(lambda: screen.js(PAINTED))
        painted.append(screen.js(PAINTED))
        if painted[-1] < 1000:
            break
    assert min(painted) < 1000, painted


def test_nothing_moves_for_those_who_do_not_want_it(screen: Screen, lines: Lines) -> None:
    lines(["x"], ago=1)
    screen.open()
    screen.until(lambda: screen.js("return document.getAnimations().length") > 0)
    reduced = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    screen.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": reduced})
    try:
        screen.open()
        screen.until(lambda: "Following" in screen.body)
        assert screen.js("return document.getAnimations().length") == 0
    finally:
        screen.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


FOCUSED = """
const here = document.activeElement;
if (here === document.body) return null;
here.dataset.visited = "yes";
const style = getComputedStyle(here);
return style.outlineStyle === "none" || style.outlineWidth === "0px" ? here.outerHTML.slice(0, 200) : "";
"""
NEVER_FOCUSED = """
const all = [...document.querySelectorAll("button, a[href], input, select, summary, [tabindex='0']")];
return all.filter((node) => node.checkVisibility() && node.tabIndex >= 0 && !node.dataset.visited)
  .map((node) => node.outerHTML.slice(0, 200));
"""


@pytest.mark.parametrize("query", ["", "?view=pipeline", "?view=metrics&q=%22open"])
def test_the_tab_key_reaches_all_that_can_be_used_and_shows_where_it_is(
    screen: Screen, lines: Lines, query: str
) -> None:
    lines(["error", '{"level":"info","msg":"x","k":{"l":1}}'], ago=1)
    screen.open(query)
    screen.until(lambda: screen.texts(".service"))
    if not query:
        screen.until(lambda: len(screen.texts()) == 2)
        keys(screen, Keys.ARROW_DOWN, Keys.ENTER)
        screen.until(lambda: screen.texts(".detail"))
        screen.js("document.activeElement.blur()")
    unseen: list[str] = []
    rounds = 0
    for _ in range(150):
        keys(screen, Keys.TAB)
        told = screen.js(FOCUSED)
        rounds += told is None  # from the end back to the beginning
        unseen += [told] if told else []
        if rounds == 2:
            break
    assert unseen == []
    assert screen.js(NEVER_FOCUSED) == []


def shows(screen: Screen, texts: list[str]) -> bool:
    return screen.texts() == texts


def test_filters_ranges_and_services_are_used_without_a_mouse(screen: Screen, lines: Lines) -> None:
    lines(["ERROR of web", "fine"], ago=1)
    lines(["of db"], name="db", ago=2)
    screen.open()
    screen.until(lambda: len(screen.texts()) == 3 and len(screen.texts(".service")) == 2)
    for selector, pressed, shown in (
        (".service[data-service=web]", Keys.ENTER, ["ERROR of web", "fine"]),
        (".chip.l-error", Keys.SPACE, ["ERROR of web"]),
    ):
        screen.js("document.querySelector(arguments[0]).focus()", selector)
        keys(screen, pressed)
        screen.until(partial(shows, screen, shown))
    screen.js("document.querySelector('#range').focus()")
    keys(screen, "24")
    screen.until(lambda: "since=24h" in screen.driver.current_url)
    keys(screen, "/", Keys.BACKSPACE)
    screen.js("document.querySelector('#q').focus()")
    keys(screen, "fine", Keys.ENTER)
    screen.until(lambda: "No line matches" in screen.body)
    keys(screen, "2")
    screen.until(lambda: "view=metrics" in screen.driver.current_url)


def test_no_file_has_script_or_style_inline_or_names_another_place() -> None:
    for each in resources.files(page).iterdir():
        if Path(each.name).suffix not in page.TYPES:
            continue
        text = each.read_text()
        assert not any(
            word in text for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")
        )
        text = text.replace("http://www.w3.org", "").replace("http://HOST:", "")
        places = [part.split('"')[0] for part in text.split("http")[1:]]
        assert not [place for place in places if place.startswith(("://", "s://"))], each.name
    html = (resources.files(page) / "index.html").read_text()
    assert "style=" not in html
    assert " on" not in html.split("<body>")[0]
    assert html.count("<script") == html.count('<script type="module" src=')


def test_every_file_comes_with_a_strict_policy_and_can_be_kept(served: Served) -> None:
    for path in page.handlers():
        status, headers, body = get(served, path)
        assert status == 200
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert get(served, path, If_None_Match=headers["etag"])[0] == 304
        assert len(get(served, path, Accept_Encoding="gzip")[2]) < len(body)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/", "/page/app.js", "/api/download", "/api/histogram", "/api/pipeline"])
def test_nothing_can_be_changed(served: Served, method: str, path: str) -> None:
    assert get(served, path, method)[0] == 405


@pytest.mark.parametrize(
    "path",
    ["/api/histogram?step=0&since=1d&step=1", "/api/histogram?since=30d&step=1", "/api/histogram?since=1m&until=1h",
     "/api/context", "/api/context?container=a&sequence=-1", "/api/context?container=a&before=99999",
     "/api/download?format=exe", "/api/tail?rate=-1", "/api/search?clip=x", "/api/containers?limit=9999999"],
)  # fmt: skip
def test_what_can_not_be_asked_is_a_400_of_one_line(served: Served, path: str) -> None:
    status, _, body = get(served, path)
    assert status == 400
    assert "\n" not in json.loads(body)["error"]


class TestToken:
    """With a token the page asks for it as browsers can: by basic auth."""

    @pytest.fixture
    def token(self) -> str:
        return "hush"

    def test_without_it_nothing_is_served(self, served: Served) -> None:
        for path in ("/", "/page/app.js", "/api/search", "/api/tail", "/api/download", "/api/pipeline", "/api/about"):
            status, headers, body = get(served, path)
            assert status == 401, path
            assert b"<html" not in body
            assert headers["www-authenticate"].startswith("Bearer" if path.startswith("/api") else "Basic realm=")

    @pytest.mark.parametrize(
        ("given", "status"),
        [("Basic " + base64.b64encode(b"me:hush").decode(), 200), ("Basic " + base64.b64encode(b":hush").decode(), 200),
         ("Basic " + base64.b64encode(b"hush:wrong").decode(), 401), ("Basic !!!", 401), ("Bearer hush", 200),
         ("Bearer wrong", 403), ("Digest hush", 401), ("Basic " + base64.b64encode("é:ü".encode()).decode(), 401)],
    )  # fmt: skip
    def test_it_is_taken_as_a_password_or_as_a_bearer_token(self, served: Served, given: str, status: int) -> None:
        assert get(served, "/", Authorization=given.encode().decode("latin-1"))[0] == status

    def test_the_page_works_with_it(self, browser: Any, served: Served, lines: Lines) -> None:
        lines(["secret line"], ago=1)
        screen = Screen(browser, served.url.replace("//", "//me:hush@"))
        screen.open()
        screen.until(lambda: screen.texts() == ["secret line"])
        lines(["live secret"])
        screen.until(lambda: screen.texts() == ["secret line", "live secret"])
        browser.get("about:blank")


def test_the_pipeline_shows_the_ledger_and_what_is_wrong(screen: Screen, problems: dict[str, str]) -> None:
    from towline import metrics

    name = "ledger-of-the-page-test"
    metrics.LINES_READ.labels(name).inc(1234)
    metrics.LINES_INDEXED.labels(name).inc(1200)
    problems["store"] = "the disk is full: make room"
    screen.open("?view=pipeline")
    screen.until(lambda: name in screen.texts("#pipeline tbody th"))
    row = screen.texts("#pipeline tbody tr")[screen.texts("#pipeline tbody th").index(name)]
    assert "1,234" in row
    assert "1,200" in row
    screen.until(lambda: "the disk is full" in screen.find("#pipeline .problems").text)
    problems["store"] = ""
    screen.until(lambda: "All parts work" in screen.body)


def test_metrics_say_where_they_are_when_this_server_has_none(screen: Screen, lines: Lines) -> None:
    lines(["x"], ago=1)
    screen.open("?view=metrics")
    screen.until(lambda: "Prometheus" in screen.find("#metrics").text)
