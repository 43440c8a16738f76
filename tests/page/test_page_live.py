"""The live tail in a real browser: what arrives is shown once, in order, inert, and never freezes the tab."""

import threading
import time
from typing import Any

import pytest
from page_screen import Lines, Screen, Served
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

FRAMES = """
window.frames = 0;
(function look() { window.frames++; requestAnimationFrame(look); })();
"""
HOSTILE = [
    '<img src=x onerror="document.title=1">', "<script>window.hacked = 1</script>",
    "</span><svg onload=window.hacked=1>",
    "{{constructor.constructor('window.hacked=1')()}}", "javascript:window.hacked=1", '"><iframe srcdoc="x">',
    '{"<b>k</b>":"<img src=x onerror=window.hacked=1>","__proto__":{"x":1},"msg":"<u>m</u>"}',
    "\x1b]8;;javascript:window.hacked=1\x07click\x1b]8;;\x07", "\x1b[2J\x1b[H\x1b]0;title\x07cleared",
    "nul \0 bell \x07 back \x08",
    "\u202egnp.exe", "\ud7ff\ufffe", "e\u0301" * 50,
]  # fmt: skip


def test_lines_written_before_and_while_looking_are_shown_once_and_in_order(screen: Screen, lines: Lines) -> None:
    lines([f"early {number}" for number in range(5)], ago=2)
    screen.open()
    screen.until(lambda: len(screen.texts()) == 5)
    lines(["live one"], name="db")
    lines(["live two"])
    screen.until(lambda: len(screen.texts()) == 7)
    assert screen.texts() == [*(f"early {number}" for number in range(5)), "live one", "live two"]
    screen.until(lambda: "Following" in screen.find("#status").text)


def test_several_services_are_merged_in_time_order_also_when_they_arrive_late(screen: Screen, lines: Lines) -> None:
    now = time.time_ns()
    lines(["first", "third", "fifth"], ago=1, step=0.2, end=now)
    screen.open()
    screen.until(lambda: len(screen.texts()) == 3)
    lines(["second", "fourth"], name="db", ago=1.1, step=0.2, end=now)
    screen.until(lambda: len(screen.texts()) == 5)
    assert screen.texts() == ["first", "second", "third", "fourth", "fifth"]
    assert screen.texts(".row .who") == ["web", "db", "web", "db", "web"]
    assert (
        len({node.value_of_css_property("color") for node in screen.driver.find_elements("css selector", ".who")}) == 2
    )


def test_scrolling_up_pauses_and_the_button_goes_back_to_the_newest(screen: Screen, lines: Lines) -> None:
    lines([f"line {number}" for number in range(200)], ago=2)
    screen.open()
    screen.until(lambda: len(screen.texts()) == 200)
    ActionChains(screen.driver).scroll_from_origin(_middle(screen), 0, -1500).perform()
    screen.until(lambda: "Paused" in screen.find("#status").text)
    place = screen.js("return document.getElementById('scroller').scrollTop")
    lines(["new one", "new two"])
    button = screen.button("2 new lines")
    assert screen.js("return document.getElementById('scroller').scrollTop") == place
    assert "new two" not in screen.texts()
    button.click()
    screen.until(lambda: screen.texts()[-1] == "new two")
    screen.until(lambda: "Following" in screen.find("#status").text)


def _middle(screen: Screen) -> Any:
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    return ScrollOrigin.from_element(screen.find("#scroller"))


def test_a_service_is_chosen_at_the_left_and_the_address_says_so(screen: Screen, lines: Lines) -> None:
    lines(["of web"], name="web.1", stack="shop", ago=2)
    lines(["of db"], name="db.1", stack="shop", ago=1)
    lines(["alone"], name="scratch", ago=1)
    screen.open()
    screen.until(lambda: len(screen.texts(".service .name")) == 3)
    assert screen.texts("#services h2") == ["shop", "without a stack"]
    screen.find(".service[data-service=web]").click()
    screen.until(lambda: screen.texts() == ["of web"])
    assert "service=web" in screen.driver.current_url
    assert screen.find(".service[data-service=web]").get_attribute("aria-pressed") == "true"
    screen.find(".service[data-service=db]").click()
    screen.until(lambda: screen.texts() == ["of web", "of db"])
    lines(["not shown"], name="scratch")
    lines(["shown"], name="web.1")
    screen.until(lambda: screen.texts() == ["of web", "of db", "shown"])
    screen.driver.back()
    screen.until(lambda: screen.texts() == ["of web", "shown"])


def test_levels_and_terminal_colours_are_shown(screen: Screen, lines: Lines) -> None:
    coloured = ["\x1b[31mred\x1b[0m plain \x1b[1;38;5;46mgreen\x1b[0m", "\x1b[33mWARN\x1b[0m careful"]
    lines([*coloured, '{"level":50,"msg":"bad"}', "level=debug msg=x"], ago=1)
    screen.open()
    screen.until(lambda: len(screen.texts()) == 4)
    assert screen.texts()[0] == "red plain green"
    assert screen.texts(".row .a-fg1") == ["red"]
    assert screen.js("return document.querySelector('.a-bold').style.color") == "rgb(0, 255, 0)"
    assert screen.texts(".row .sev") == ["", "warn", "error", "debug"]
    named = screen.driver.find_elements("css selector", ".row .sev:not(:empty)")
    assert len({node.value_of_css_property("color") for node in named}) == 3


def test_json_lines_are_folded_and_unfold_into_a_tree_whose_values_search(screen: Screen, lines: Lines) -> None:
    lines(['{"level":"info","msg":"paid","user":{"name":"ada","id":7}}', "other"], ago=1)
    screen.open()
    screen.until(lambda: len(screen.texts()) == 2)
    assert screen.texts()[0] == 'paid user={"name":"ada","id":7}'
    screen.find(".row").click()
    screen.until(lambda: "ada" in screen.texts(".tree .value button"))
    assert "web" in screen.texts(".tree .value button")
    next(
        node for node in screen.driver.find_elements("css selector", ".tree .value button") if node.text == "ada"
    ).click()
    screen.until(lambda: screen.find("#q").get_attribute("value") == '"name ada"')
    screen.until(lambda: len(screen.texts()) == 1)
    assert screen.texts(".row mark") == ['name":"ada']


def test_hostile_lines_names_and_labels_stay_text(screen: Screen, lines: Lines) -> None:
    name = "<img src=x onerror=alert(1)>"
    labels = {"<b>": "</dl><script>window.hacked=1</script>"}
    lines(HOSTILE, name=name, stack="<svg onload=window.hacked=1>", labels=labels, ago=1)
    lines([f"{line} live" for line in HOSTILE], name=name, labels={"<b>": "x"})
    screen.open()
    screen.until(lambda: len(screen.texts()) == 2 * len(HOSTILE))
    screen.until(lambda: screen.texts(".service .name") == [name])
    for row in screen.driver.find_elements("css selector", ".row")[: len(HOSTILE)]:
        screen.js("arguments[0].click()", row)
    screen.until(lambda: len(screen.texts(".detail")) == len(HOSTILE))
    made = ", ".join(f"#body {tag}" for tag in ("img", "script", "iframe", "svg[onload]", "b", "u"))
    assert screen.js("return document.querySelectorAll(arguments[0]).length", made) == 0
    assert screen.js("return [window.hacked, document.title]") == [None, "Towline"]
    assert screen.texts()[0] == HOSTILE[0]
    shown = "".join(screen.texts())
    assert not any(sign in shown for sign in "\x1b\0\x07\x08\u202e")
    assert "cleared" in shown
    assert "␀" in shown
    assert screen.complaints() == []


def load(first: int, number: int) -> list[str]:
    """Lines as services write them: plain, coloured, JSON."""
    return [
        (f"load {each} GET /path?x={each} 200 in a usual line", f"load {each} \x1b[3{each % 8}mWARN\x1b[0m of {each}",
         f'{{"msg":"load {each} served","level":"info","path":"/x/{each}","ms":{each % 100}}}')[each % 3]
        for each in range(first, first + number)]  # fmt: skip


def worked(screen: Screen) -> float:
    """Seconds of CPU that the page's main thread has spent: what a busy machine does not make longer."""
    found = screen.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(next(row["value"] for row in found if row["name"] == "TaskDuration"))


def test_five_thousand_lines_a_second_do_not_freeze_the_tab_and_what_is_left_out_is_told(
    screen: Screen, lines: Lines
) -> None:
    screen.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    screen.open()
    screen.until(lambda: "Following" in screen.body)
    screen.js(FRAMES)
    stop = threading.Event()
    begun, spent = time.monotonic(), worked(screen)
    written = 0

    def flood() -> None:
        nonlocal written
        while not stop.is_set() and written < 60_000:
            lines(load(written, 1250), step=0.0001)
            written += 1250
            stop.wait(max(0.0, begun + written / 5000 - time.monotonic()))

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        screen.until(lambda: "left out to keep up" in screen.body)
        screen.until(lambda: written > 15_000, 60)
        assert screen.js("return document.querySelectorAll('.row').length") <= 400
        # While it pours, the page draws and does what it is told.
        frames = screen.js("return window.frames")
        ActionChains(screen.driver).send_keys("?").perform()
        screen.until(lambda: screen.find("#keys").is_displayed())
        ActionChains(screen.driver).send_keys(Keys.ESCAPE).perform()
        screen.until(lambda: screen.js("return window.frames") > frames + 2)
        spent, frames = worked(screen) - spent, screen.js("return window.frames")
    finally:
        stop.set()
        thread.join(60)
    busy = spent / (time.monotonic() - begun)
    assert (busy < 0.5, spent / frames < 0.1) == (True, True), f"{spent:.2f} s of CPU, {busy:.0%}, {frames} frames"
    last = f"load {written - 1} "
    screen.until(lambda: screen.texts()[-1].startswith(last))
    # Every line is either shown or told to be left out.
    told = screen.js("return document.getElementById('left').textContent").split()[0].replace(",", "")
    loaded = (
        screen.js("return document.getElementById('status').textContent").split(" · ")[1].split()[0].replace(",", "")
    )
    assert int(told) + int(loaded) == written
    screen.button("Show all").click()
    screen.until(lambda: "History" in screen.find("#status").text)


def test_the_tail_goes_on_without_loss_or_doubles_when_the_server_comes_back(
    screen: Screen, lines: Lines, served: Served
) -> None:
    screen.open()
    lines(["one", "two"])
    screen.until(lambda: screen.texts() == ["one", "two"])
    served.stop()
    screen.until(lambda: screen.find("#trouble").is_displayed())
    lines(["three", "four"])
    served.start()
    screen.until(lambda: len(screen.texts()) == 4, 40)
    lines(["five"])
    screen.until(lambda: screen.texts() == ["one", "two", "three", "four", "five"])
    screen.until(lambda: not screen.find("#trouble").is_displayed())


@pytest.mark.parametrize("key", ["l"])
def test_live_can_be_stopped_and_taken_up_again_by_key(screen: Screen, lines: Lines, key: str) -> None:
    lines(["before"], ago=1)
    screen.open()
    screen.until(lambda: screen.texts() == ["before"])
    ActionChains(screen.driver).send_keys(key).perform()
    screen.until(lambda: "History" in screen.find("#status").text)
    assert "until=" in screen.driver.current_url
    lines(["while stopped"])
    ActionChains(screen.driver).send_keys(key).perform()
    screen.until(lambda: screen.texts() == ["before", "while stopped"])
