"""A real Chromium before a real server over a real store; only the lines are made by hand."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests/ has no __init__.py

from page_screen import Lines, Screen, Served
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.remote.webdriver import WebDriver

from towline import api_views, page
from towline.metrics import REGISTRY
from towline.stores import Store, open_store


@pytest.fixture(scope="module")
def browser(missing_part: Callable[[str], NoReturn]) -> Iterator[WebDriver]:
    """One Chromium for a module's tests."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        missing_part("no Chromium with its driver: apt-get install chromium chromium-driver (make servers does it)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                   "--window-size=1360,850", "--disable-background-networking"):  # fmt: skip
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite://{tmp_path}/store")
    yield opened
    opened.close()


@pytest.fixture
def lines(store: Store) -> Lines:
    return Lines(store)


@pytest.fixture
def problems() -> dict[str, str]:
    return {"store": ""}


@pytest.fixture
def token() -> str:
    return ""


@pytest.fixture
def served(store: Store, problems: dict[str, str], token: str) -> Iterator[Served]:
    asked: dict[str, Callable[[], str]] = {"store": lambda: problems["store"]}
    pages = api_views.handlers(store) | api_views.pipeline(REGISTRY, asked) | page.handlers()
    pages |= api_views.about("sqlite", ("pipeline",))
    server = Served(store, pages, token)
    yield server
    server.stop()


@pytest.fixture
def screen(browser: WebDriver, served: Served) -> Iterator[Screen]:
    yield Screen(browser, served.url)
    browser.get("about:blank")
    browser.get_log("browser")
