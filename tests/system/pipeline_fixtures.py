"""Fixtures of the pipeline's tests, and the table of faults: printed at the end of the session, kept in .towline/."""

import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import docker
import pytest
from harness import Generators
from pipeline import Pipeline, Row
from scenarios import APART, HARMING, RANDOM, SCENARIOS, Track
from servers import ROOT, Broker, Elastic, Servers

TABLE = pytest.StashKey[list[Row]]()


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> list[Row]:
    return request.config.stash.setdefault(TABLE, [])


class Running:
    """A track and its servers, which start with its first scenario."""

    def __init__(self, track: Track, folder: Path) -> None:
        self._pool = ThreadPoolExecutor(track.at_once)
        self._servers: Servers | None = None
        self._lock = threading.Lock()
        self._folder, self._settings = folder, track.settings

    def servers(self) -> Servers:
        with self._lock:
            if self._servers is None:
                self._servers = Servers(Broker(self._folder), Elastic(self._settings))
                self._servers.broker.start()
                self._servers.broker.admit_remote()
                self._servers.elastic.start()
            return self._servers

    def begin(self, play: Callable[[Servers], None]) -> Future[None]:
        return self._pool.submit(lambda: play(self.servers()))

    def end(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        if self._servers is not None:
            self._servers.broker.stop()
            self._servers.elastic.remove()
            shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="session")
def running(
    tmp_path_factory: pytest.TempPathFactory, missing_part: Callable[[str], NoReturn]
) -> Iterator[dict[Track, Running]]:
    for what, package in missing_packages():
        missing_part(f"no {what} here: apt-get install --no-install-recommends {package}")
    made = {track: Running(track, tmp_path_factory.mktemp(track.name)) for track in (RANDOM, HARMING, APART)}
    yield made
    for each in made.values():
        each.end()


def missing_packages() -> Iterator[tuple[str, str]]:
    if os.geteuid() != 0:
        yield "root, for network namespaces and a small disk", "(run this as root)"
    if not Path("/usr/lib/rabbitmq/bin/rabbitmq-server").exists():
        yield "RabbitMQ", "rabbitmq-server"
    if not any(Path("/usr/lib/jvm").glob("*/bin/java")) and not os.environ.get("ES_JAVA_HOME"):
        yield "Java for Elasticsearch", "openjdk-17-jre-headless maven"
    for program, package in {"ip": "iproute2", "iptables": "iptables"}.items():
        if shutil.which(program) is None:
            yield f"{program}, for network namespaces", package


@pytest.fixture
def servers(running: dict[Track, Running]) -> Servers:
    """Those of the scenarios that harm none."""
    return running[APART].servers()


@pytest.fixture(scope="session")
def played(
    request: pytest.FixtureRequest, running: dict[Track, Running], table: list[Row], engine_url: str, test_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, float], None]:  # fmt: skip
    """The end of a scenario by name and scale. All that were chosen begin at once, as their tracks allow: mostly they
    wait, and they don't touch each other. Where pytest itself runs several tests at a time, each waits for its test.
    """

    def begin(name: str, scale: float) -> Future[None]:
        track, _ = SCENARIOS[name]
        folder = tmp_path_factory.mktemp("scenario")
        return running[track].begin(lambda servers: play(name, scale, folder, servers, engine_url, table))

    several = bool(os.environ.get("PYTEST_XDIST_WORKER"))
    items = [] if several else [item for item in request.session.items if hasattr(item, "callspec")]
    chosen = [item.callspec.params for item in items if "scenario" in item.callspec.params]
    begun = {row["scenario"]: begin(row["scenario"], row["scale"]) for row in chosen}
    return lambda name, scale: (begun.get(name) or begin(name, scale)).result()


def play(name: str, scale: float, folder: Path, servers: Servers, engine_url: str, table: list[Row]) -> None:
    client = docker.DockerClient(base_url=engine_url)
    generators = Generators(client, f"sys{uuid.uuid4().hex[:8]}")
    pipeline = Pipeline(folder, servers, generators, engine_url, scale=scale)
    try:
        SCENARIOS[name][1](pipeline, table)
    finally:
        pipeline.close()
        for container in client.containers.list(all=True, filters={"name": generators.prefix}):
            container.remove(force=True)
        client.close()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The table, written by one process: under xdist no worker has a whole one."""
    rows = session.config.stash.get(TABLE, [])
    if rows and not os.environ.get("PYTEST_XDIST_WORKER"):
        path = table_path(session.config)
        path.parent.mkdir(exist_ok=True)
        path.write_text(markdown(rows))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(TABLE, [])
    if rows:
        terminalreporter.section(f"faults, also in {table_path(config)}")
        terminalreporter.write(markdown(rows))


def table_path(config: pytest.Config) -> Path:
    soak = "soak" in str(config.getoption("markexpr")).replace("not soak", "")
    return ROOT / ".towline" / f"faults{'-soak' if soak else ''}.md"


def markdown(rows: list[Row]) -> str:
    """The rows as README shows them, by fault."""
    head = "| fault | lines | lost | in recorded gaps | duplicated | recovery s |\n|---|---:|---:|---:|---:|---:|\n"
    return head + "".join(
        f"| {row.fault} | {row.lines:,} | {row.lost} | {row.in_gaps} | {row.duplicated} | {row.recovery:.1f} |\n"
        for row in sorted(rows, key=lambda row: row.fault.lower())
    )
