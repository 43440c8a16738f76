"""What the page's tests share: lines made by hand, a server that can be stopped, and a person before the screen."""

import threading
import time
from collections.abc import Callable
from typing import Any

import orjson
from ports import free_port
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement

from towline import api
from towline.batch import ORIGIN_MARK, Batch, Origin, Section
from towline.http import HttpServer, Site, Tails, known_hosts
from towline.stores import Store
from towline.times import format_time

WAIT = 60.0
"""Seconds that anything may take on a busy machine; only a failure waits so long."""


class Lines:
    """Writes lines into a store as an indexer does. Each container has its own numbers."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.numbers: dict[str, int] = {}
        self.waiting: list[Section] = []
        self.held = False

    def __call__(
        self, messages: list[str], *, name: str = "web", stack: str = "", ago: float = 0.0, step: float = 0.001,
        stream: str = "stdout", labels: dict[str, str] | None = None, end: int = 0,
        node: str = "node1", level: str = "",
    ) -> list[str]:  # fmt: skip
        """The last one was written `ago` seconds before `end` (nanoseconds; 0: now), each `step` seconds after the one
        before it; gives the stamps. level: their `log.level`, as a rule has found it."""
        identity = (name.encode().hex() * 64)[:64]
        first = self.numbers.get(name, 0)
        self.numbers[name] = first + len(messages)
        end = (end or time.time_ns()) - int(ago * 1e9)
        given = {**({"com.docker.stack.namespace": stack} if stack else {}), **(labels or {})}
        fields: dict[str, Any] = {
            "container": {"id": identity, "name": name, "image": {"name": "demo"}, "labels": given},
            "host": {"name": node}, "service": {"name": name.split(".")[0]},
        }  # fmt: skip
        docs, stamps = [], []
        for index, message in enumerate(messages):
            stamp = format_time(end - int((len(messages) - 1 - index) * step * 1e9))
            row = {"@timestamp": stamp, "message": message, "stream": stream, "event": {"sequence": first + index},
                   **({"log": {"level": level}} if level else {})}  # fmt: skip
            docs += [orjson.dumps({"create": {"_id": f"{stamp}-{name}-{first + index}"}}), b"\n",
                     orjson.dumps(row)[:-1], ORIGIN_MARK, b"}\n"]  # fmt: skip
            stamps.append(stamp)
        section = Section(Origin(fields), b"".join(docs), len(messages), min(stamps), max(stamps))
        self.waiting.append(section)
        if not self.held:
            self.write()
        return stamps

    def write(self) -> None:
        """Store what waits; with `held` the lines of many containers go in one batch."""
        total = sum(section.count for section in self.waiting)
        (verdict,) = self.store.write([Batch(self.waiting, node="node1")])
        assert sum(verdict.stored) == total
        self.waiting = []


class Served:
    """The page's server, which can be stopped and started again on its port."""

    def __init__(self, store: Store, handlers: dict[str, Any], token: str = "") -> None:
        self.store, self.handlers, self.token = store, handlers, token
        self.port = free_port()  # one asked for by number can be taken again at once
        self.start()

    def start(self) -> None:
        tails = Tails(8)
        pages = {**api.handlers(self.store, tails), **self.handlers}
        site = Site(api.with_index(pages), hosts=known_hosts("127.0.0.1"), token=self.token)
        self.server = HttpServer(site, ("127.0.0.1", self.port), tails)
        self.port = self.server.address[1]
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()

    def stop(self) -> None:
        self.server.stop()
        self.thread.join(60)
        assert not self.thread.is_alive()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Screen:
    """What somebody sees and does."""

    def __init__(self, driver: WebDriver, url: str) -> None:
        self.driver, self.url = driver, url

    def open(self, query: str = "") -> "Screen":
        self.driver.get(f"{self.url}/{query}")
        self.until(lambda: self.driver.find_elements(By.CSS_SELECTOR, "#status:not(:empty), #trouble:not([hidden])"))
        return self

    def until(self, ask: Callable[[], Any], seconds: float = WAIT) -> Any:
        deadline = time.monotonic() + max(seconds, WAIT)
        while True:
            try:
                if found := ask():
                    return found
            except Exception:
                if time.monotonic() > deadline:
                    raise
            assert time.monotonic() < deadline, (
                f"it did not happen; the page says: {self.body[:300]} … {self.body[-300:]}"
            )
            time.sleep(0.05)

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    @property
    def body(self) -> str:
        return str(self.js("return document.body.innerText"))

    def texts(self, selector: str = ".row .text") -> list[str]:
        found: list[str] = self.js(
            "return [...document.querySelectorAll(arguments[0])].map((node) => node.textContent)", selector
        )
        return found

    def find(self, selector: str) -> WebElement:
        found: WebElement = self.until(lambda: self.driver.find_element(By.CSS_SELECTOR, selector))
        return found

    def button(self, text: str) -> WebElement:
        found: WebElement = self.until(
            lambda: next(
                node
                for node in self.driver.find_elements(By.CSS_SELECTOR, "button, a.button")
                if node.is_displayed() and text in node.text
            )
        )
        return found

    def search(self, text: str) -> None:
        box = self.find("#q")
        box.clear()
        box.send_keys(text + "\n")

    def complaints(self) -> list[str]:
        """What the browser complained of: errors of scripts, breaches of the policy."""
        return [row["message"] for row in self.driver.get_log("browser") if row["level"] == "SEVERE"]
