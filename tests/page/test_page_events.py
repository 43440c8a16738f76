"""Domain events on the page: beside the lines of the service that sent them, and no place in any log."""

import time

import pytest
from page_screen import Lines, Screen
from selenium.webdriver.common.by import By

from indexer.events import batch_of
from towline.queues.amqp_events import Event
from towline.stores import Store


@pytest.mark.parametrize("live", [False, True], ids=["there before", "live"])
def test_events_of_one_moment_stand_beside_their_services_lines(
    screen: Screen, lines: Lines, store: Store, live: bool
) -> None:
    now = time.time_ns()
    events = [
        Event("events", "order.created", b'{"order":%d}' % number, id=f"m-{number}", type="order.created", app="shop",
              timestamp=now // 10**9 - 5) for number in range(2)]  # fmt: skip
    lines(["order taken"], name="shop")
    if live:
        screen.open("?service=shop")
        screen.until(lambda: len(screen.texts()) == 1)
    store.write([batch_of(event, now) for event in events])
    if not live:
        screen.open("?service=shop")
    screen.until(lambda: len(screen.texts()) == 3)
    assert sorted(screen.texts()) == [" order=0", " order=1", "order taken"]
    row = next(row for row in screen.driver.find_elements(By.CSS_SELECTOR, ".row") if "order=1" in row.text)
    row.click()
    screen.until(lambda: screen.texts(".detail"))
    shown = screen.find(".detail").text
    assert "order.created" in shown
    assert "Lines around it" not in shown, "it is in no container's log"
    assert screen.complaints() == []
