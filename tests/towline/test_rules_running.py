"""What is said about containers beside their own labels, while a shipper runs: it holds from the first line on, and a
change holds without a restart of anything."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import orjson
import pytest
from click.testing import CliRunner
from werkzeug.wrappers import Request, Response

from shipper.managers import PATH
from shipper.ship import Shipper, ShipSettings
from towline.cli import cli
from towline.http import HttpServer, Site, answer
from towline.queues import open_queue

IMAGE = "towline-demo:local"
SCRIPT = "echo one; echo ' more'; until [ -e /go ]; do sleep 0.1; done; echo two; echo ' more'; sleep 3600"
SERVICE = "com.docker.swarm.service."


def until(ask: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


class Running:
    """A shipper, and the messages that came out of it."""

    def __init__(self, settings: ShipSettings) -> None:
        self.messages: list[str] = []
        self.zones: list[str | None] = []
        """The label `zone` of the node, as each of them tells it."""
        self._queue = open_queue("memory://", max_bytes=64 << 20)
        self.shipper = Shipper(self._queue, settings)
        self.shipper._services._every = 0.2
        self.shipper._services._hold = 3600.0  # however long a busy machine takes
        self._thread = threading.Thread(target=self.shipper.run)
        self._thread.start()

    def look(self) -> list[str]:
        for delivery in self._queue.take(10_000, 0.05):
            for section in delivery.batch.sections:
                lines = [orjson.loads(line) for line in section.expand().splitlines()[1::2]]
                self.messages += [line["message"] for line in lines]
                nodes = [line.get("orchestrator", {}).get("node", {}) for line in lines]
                self.zones += [node.get("labels", {}).get("zone") for node in nodes]
            delivery.done()
        return self.messages

    def tails(self) -> list[Any]:
        """Those of now: the shipper's thread opens and closes some meanwhile."""
        return list(self.shipper._logs._tails.values())

    def stop(self) -> None:
        self.shipper.stop()
        self._thread.join(60)
        self._queue.close()
        assert not self._thread.is_alive()


@pytest.fixture
def running(engine_url: str, prefix: str, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(**more: Any) -> Running:
        settings = ShipSettings(engine=engine_url, state=tmp_path / "state", include=(f"{prefix}*",), spool=0, **more)
        (tmp_path / "state").mkdir(exist_ok=True)
        started.append(Running(settings))
        return started[-1]

    yield start
    for each in started:
        each.stop()


class Manager:
    """`towline export` of a manager, as far as shippers ask it."""

    def __init__(self) -> None:
        self.labels: dict[str, dict[str, str]] = {}
        self.asked = 0
        self._server = HttpServer(Site({PATH: self._tell}), ("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        self.url = self._server.url

    def _tell(self, request: Request) -> Response:
        self.asked += 1
        return answer({"services": {key: {"name": key, "labels": labels} for key, labels in self.labels.items()}})

    def stop(self) -> None:
        self._server.stop()
        self._thread.join()


@pytest.fixture
def manager() -> Iterator[Manager]:
    made = Manager()
    yield made
    made.stop()


def start(engine: docker.DockerClient, name: str, **labels: str) -> Any:
    return engine.containers.run(IMAGE, ["sh", "-c", SCRIPT], name=name, labels=labels, network_mode="none",
                                 detach=True)  # fmt: skip


@pytest.mark.engine
def test_labels_of_a_service_hold_from_the_first_line_on_and_change_while_it_runs(
    running: Callable[..., Running], engine: docker.DockerClient, prefix: str, manager: Manager
) -> None:
    shipper = running(service_labels=(manager.url,))
    labels = {f"{SERVICE}id": f"{prefix}id", f"{SERVICE}name": f"{prefix}web"}
    container = start(engine, f"{prefix}-1", **labels)
    until(lambda: container.logs() and manager.asked > 1)
    assert shipper.look() == [], "nobody knows yet what is to become of its lines"
    manager.labels = {f"{prefix}id": {"towline.multiline": "indented"}}
    until(lambda: shipper.look() == ["one\n more"])
    manager.labels = {f"{prefix}id": {"towline.enable": "true"}}
    until(lambda: not any(tail.values.get("towline.multiline") for tail in shipper.tails()))
    container.exec_run(["sh", "-c", ": > /go"])
    until(lambda: shipper.look() == ["one\n more", "two", " more"])


@pytest.mark.engine
def test_labels_of_the_node_change_while_it_runs(
    running: Callable[..., Running], engine: docker.DockerClient, prefix: str
) -> None:
    """The engine here is in no Swarm: what a manager told last is put in its place."""
    shipper = running(node_label=("zone",))
    services = shipper.shipper._services
    container = start(engine, f"{prefix}-1")
    until(lambda: len(shipper.look()) == 2)
    until(lambda: services._own.node is not None)

    def told() -> bool:
        services._known = replace(services._known, node={"zone": "a"})
        shipper.shipper._rule_again()
        return any("orchestrator" in tail.origin.fields for tail in shipper.tails() if tail.origin)

    until(told)
    container.exec_run(["sh", "-c", ": > /go"])
    until(lambda: len(shipper.look()) == 4)
    assert shipper.zones == [None, None, "a", "a"]


@pytest.mark.engine
def test_a_service_that_is_left_out_by_its_label_is_not_read(
    running: Callable[..., Running], engine: docker.DockerClient, prefix: str, manager: Manager
) -> None:
    manager.labels = {f"{prefix}id": {"towline.enable": "false"}}
    shipper = running(service_labels=(manager.url,))
    start(engine, f"{prefix}-out", **{f"{SERVICE}id": f"{prefix}id", f"{SERVICE}name": f"{prefix}web"})
    start(engine, f"{prefix}-in")
    until(lambda: len(shipper.look()) >= 2)
    until(lambda: len(shipper.shipper._logs._tails) == 1)
    assert shipper.look() == ["one", " more"]
    manager.labels = {f"{prefix}id": {}}
    until(lambda: shipper.look() == ["one", " more"] * 2)


@pytest.mark.engine
def test_the_rules_file_changes_while_it_runs(
    running: Callable[..., Running], engine: docker.DockerClient, prefix: str, tmp_path: Path
) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(f'[service."{prefix}*"]\n"towline.multiline" = "indented"\n')
    shipper = running(rules=path)
    container = start(engine, f"{prefix}-1")
    until(lambda: shipper.look() == ["one\n more"])
    path.write_text('"towline.multiline" = "java"\n')
    until(lambda: any(tail.values == {"towline.multiline": "java"} for tail in shipper.tails()))
    container.exec_run(["sh", "-c", ": > /go"])
    until(lambda: shipper.look() == ["one\n more", "two", " more"])


@pytest.mark.engine
def test_an_audit_that_knows_the_rules_file_joins_and_drops_as_the_shipper_did(
    engine: docker.DockerClient, engine_url: str, prefix: str, tmp_path: Path
) -> None:
    rules, data = tmp_path / "rules.toml", str(tmp_path / "data")
    rules.write_text('"towline.multiline" = "indented"\n"towline.drop" = "^no"\n')
    chosen = ["--data", data, "--engine", engine_url, "--include", f"{prefix}*"]
    command = [sys.executable, "-c", "from towline.cli import main; main()", "up", *chosen, "--rules", str(rules)]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("TOWLINE_")}
    engine.containers.run(IMAGE, ["sh", "-c", "echo one; echo ' more'; echo no; echo last"], name=f"{prefix}-1",
                          network_mode="none", detach=True).wait(timeout=60)  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        up = subprocess.Popen([*command, "--listen", "127.0.0.1:0"], stderr=log, stdout=log, env=environment)
    try:
        runner = CliRunner()
        until(lambda: (tmp_path / "data/store").exists())
        until(lambda: len(runner.invoke(cli, ["search", "--json", "--data", data]).stdout.splitlines()) == 2)
    finally:
        up.terminate()
        assert up.wait(60) == 0
    span = [
        "--no-ledger",
        "--since",
        "1h",
        "--until",
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60)),
    ]
    told = runner.invoke(cli, ["audit", *chosen, *span, "--rules", str(rules)])
    assert (told.exit_code, "2 in the log, 2 in the store, 0 missing" in told.stdout) == (0, True), told.output
    assert "4 in the log, 2 in the store, 2 missing" in runner.invoke(cli, ["audit", *chosen, *span]).stdout
