"""The page as it is installed and started: package data, `towline page`, `towline up`."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import orjson
import pytest
import requests
from page_screen import Lines, Screen

from towline import page
from towline.stores import Store, open_store

ROOT = Path(__file__).parent.parent.parent
RUN = [sys.executable, "-c", "from towline.cli import main; main()"]
SERVER = os.environ.get("TOWLINE_TEST_ELASTICSEARCH", "http://127.0.0.1:9200")


class Process:
    """A towline command that serves."""

    def __init__(self, log: Path, *arguments: str, **environment: str) -> None:
        self.log = log
        clean = {name: text for name, text in os.environ.items() if not name.startswith("TOWLINE_")}
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [*RUN, *arguments], stdout=file, stderr=file, env={**clean, **environment}, cwd=ROOT
            )

    @property
    def url(self) -> str:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"url=(\S+)/\s", self.log.read_text())):
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        return found[1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def run(*arguments: str, **environment: str) -> Process:
        started.append(Process(tmp_path / f"log{len(started)}", *arguments, **environment))
        return started[-1]

    yield run
    for each in started:
        each.process.terminate()
        assert each.process.wait(60) == 0, each.log.read_text()


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.read()


def test_the_wheel_holds_every_file_of_the_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    copy = tmp_path / "tree"
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in files:
        wanted = name.endswith((".py", ".toml", ".md")) or name.startswith("towline/page/")
        if wanted and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*command, str(copy)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    names = {f"towline/page/{each.name}" for each in (ROOT / "towline/page").iterdir() if each.suffix in page.TYPES}
    assert len(names) > 10
    assert names <= held


def test_page_serves_a_store_on_disk_that_another_process_fills(
    browser: Any, store: Store, lines: Lines, tmp_path: Path, start: Callable[..., Process]
) -> None:
    lines(["written before"], ago=1)
    running = start("page", "--store", f"sqlite://{tmp_path}/store", "--listen", "127.0.0.1:0")
    screen = Screen(browser, running.url)
    screen.open()
    screen.until(lambda: screen.texts() == ["written before"])
    lines(["written now"])
    screen.until(lambda: screen.texts() == ["written before", "written now"])
    assert get(running.url + "/readyz") == b"ready\n"
    browser.get("about:blank")


@pytest.fixture
def elasticsearch(missing_part: Callable[[str], NoReturn]) -> None:
    try:
        requests.get(f"{SERVER}/_cluster/health", timeout=10)
    except requests.ConnectionError as error:
        missing_part(f"no Elasticsearch on {SERVER}: {error}")


def test_page_serves_elasticsearch(browser: Any, start: Callable[..., Process], elasticsearch: None) -> None:
    name = f"page{time.time_ns()}"
    url = f"{SERVER}/?namespace=page.{os.getpid()}&refresh=now"
    writing = open_store(url)
    try:
        lines = Lines(writing)
        lines(["ERROR in the cluster", "fine"], name=name, ago=1)
        screen = Screen(browser, start("page", "--store", url, "--listen", "127.0.0.1:0").url)
        screen.open(f"?service={name}")
        screen.until(lambda: screen.texts() == ["ERROR in the cluster", "fine"])
        screen.until(lambda: name in screen.texts(".service .name"))
        screen.until(lambda: "2 lines" in screen.find("#histogram .told").text)
        lines(["and live"], name=name)
        screen.until(lambda: screen.texts() == ["ERROR in the cluster", "fine", "and live"], 30)
        screen.button("error").click()
        screen.until(lambda: screen.texts() == ["ERROR in the cluster"])
        browser.get("about:blank")
    finally:
        writing.close()
        stream = (
            f"{SERVER}/logs-docker-page.{os.getpid()}"  # not every server can remove a stream; its old indices can go
        )
        requests.post(f"{stream}/_rollover", timeout=60)
        for index in sorted(requests.get(f"{stream}/_settings", timeout=60).json())[:-1]:
            requests.delete(f"{SERVER}/{index}", timeout=60).raise_for_status()


class Bridge:
    """A port that nobody listens on, until it is opened: then it leads to the server."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self.target = (parts.hostname or "", parts.port or 80)
        self.server = socket.socket()
        self.server.bind(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]

    def open(self) -> None:
        self.server.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, far = self.server.accept()[0], socket.create_connection(self.target)
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    @staticmethod
    def _pass_on(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError), one, other:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_RDWR)


def test_page_over_an_elasticsearch_that_is_away_says_so_and_shows_it_when_it_comes(
    browser: Any, start: Callable[..., Process], elasticsearch: None
) -> None:
    bridge = Bridge(SERVER)
    url = f"http://127.0.0.1:{bridge.port}/?namespace=nobody.writes.here"
    screen = Screen(browser, start("page", "--store", url, "--listen", "127.0.0.1:0").url)
    screen.open()
    screen.until(lambda: "can't be reached" in screen.find("#trouble").text)
    assert "Nothing to show: see the message above." in screen.body
    bridge.open()
    screen.until(lambda: "No line was written in the last 15m" in screen.body, 60)
    screen.until(lambda: not screen.find("#trouble").is_displayed())
    browser.get("about:blank")
    bridge.server.close()


@pytest.mark.parametrize("command", ["page", "up"])
def test_beyond_loopback_a_token_is_required(command: str, tmp_path: Path, store: Store) -> None:
    options = ["--store", f"sqlite://{tmp_path}/store"] if command == "page" else ["--data", str(tmp_path / "up")]
    clean = {name: text for name, text in os.environ.items() if not name.startswith("TOWLINE_")}
    done = subprocess.run(
        [*RUN, command, *options, "--listen", "0.0.0.0:0"],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean,
        cwd=ROOT,
    )
    assert done.returncode == 2
    assert "TOWLINE_TOKEN" in done.stderr


def test_page_beyond_loopback_asks_for_the_token(store: Store, tmp_path: Path, start: Callable[..., Process]) -> None:
    running = start(
        "page", "--store", f"sqlite://{tmp_path}/store", "--listen", "0.0.0.0:0", TOWLINE_TOKEN="secret-of-test"
    )
    url = running.url.replace("0.0.0.0", "127.0.0.1")
    for path in ("/", "/api/search"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            get(url + path)
        assert refused.value.code == 401
        refused.value.close()
    assert "secret-of-test" not in running.log.read_text()


def redeployed(engine: Any, image: str, prefix: str) -> None:
    """What compose does when something in its file has changed; and another container that needs more than it may."""
    about = {"com.docker.compose.project": "shop", "com.docker.compose.service": f"{prefix}-api"}
    old, new = ({**about, "com.docker.compose.config-hash": text} for text in "12")
    given: dict[str, Any] = {"detach": True, "network_mode": "none"}
    engine.containers.run(image, ["sleep", "300"], name=f"{prefix}-api-1", labels=old, **given).remove(force=True)
    engine.containers.run(image, ["sleep", "300"], name=f"{prefix}-api-1", labels=new, init=True, **given)
    hungry = "x=x; while true; do x=$x$x; done"
    engine.containers.run(image, ["sh", "-c", hungry], name=f"{prefix}-hungry", labels=new, mem_limit="8m", **given)


@pytest.mark.engine
def test_up_serves_the_page_with_lines_state_metrics_and_ledger(
    browser: Any,
    start: Callable[..., Process],
    engine: Any,
    engine_url: str,
    prefix: str,
    test_image: str,
    tmp_path: Path,
) -> None:
    running = start("up", "--data", str(tmp_path / "up"), "--listen", "127.0.0.1:0", "--include", f"{prefix}*",
                    "--engine", engine_url)  # fmt: skip
    script = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.2; done"
    engine.containers.run(test_image, ["sh", "-c", script], name=prefix, detach=True, network_mode="none",
                          labels={"com.docker.compose.project": "shop"})  # fmt: skip
    screen = Screen(browser, running.url)
    screen.open()
    screen.until(lambda: "line 3" in screen.texts())
    assert screen.texts()[:3] == ["line 1", "line 2", "line 3"]
    screen.until(
        lambda: any("running" in text for text in screen.texts(f".service[data-service='{prefix}'] small")), 40
    )
    screen.open("?view=pipeline")
    screen.until(lambda: prefix in screen.texts("#pipeline tbody th"))
    screen.until(lambda: "All parts work" in screen.body)
    screen.open(f"?view=metrics&service={prefix}")
    screen.until(lambda: screen.texts("#metrics figcaption") or "Nothing was measured" in screen.body)
    answer = orjson.loads(get(running.url + "/api/containers"))
    assert [row["name"] for row in answer["containers"]] == [prefix]
    redeployed(engine, test_image, prefix)
    screen.open(f"?view=metrics&service={prefix}-api")
    screen.until(lambda: {"started", "stopped", "deployed", "killed"} <= set(" ".join(
        screen.texts(".changes button")).replace(":", "").replace(",", "").split()), 60)  # fmt: skip
    changes = screen.texts(".changes button")
    assert sum(f"{prefix}-api-1 deployed" in text for text in changes) == 1
    assert any(f"{prefix}-hungry out of memory" in text for text in changes)
    assert not any(f"{prefix}-hungry deployed" in text for text in changes)
    browser.get("about:blank")
