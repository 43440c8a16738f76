"""Fixtures of the pipeline's tests, and the table of faults: printed at the end of the session, kept in .towline/."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from harness import Generators
from pipeline import ROOT, Broker, Elastic, Pipeline, Row, Servers

TABLE = pytest.StashKey[list[Row]]()


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> list[Row]:
    return request.config.stash.setdefault(TABLE, [])


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, missing_part: Callable[[str], NoReturn]) -> Iterator[Servers]:
    if not Path("/usr/lib/rabbitmq/bin/rabbitmq-server").exists():
        missing_part("no RabbitMQ here: apt-get install --no-install-recommends rabbitmq-server")
    if not any(Path("/usr/lib/jvm").glob("*/bin/java")) and not os.environ.get("ES_JAVA_HOME"):
        missing_part("no Java here for Elasticsearch: apt-get install openjdk-17-jre-headless maven")
    broker, elastic = Broker(tmp_path_factory.mktemp("rabbitmq")), Elastic()
    broker.start()
    try:
        elastic.start()
        yield Servers(broker, elastic)
    finally:
        broker.stop()
        elastic.remove()
        shutil.rmtree(broker.folder, ignore_errors=True)


@pytest.fixture
def pipeline(
    tmp_path: Path, servers: Servers, generators: Generators, engine_url: str
) -> Iterator[Pipeline]:  # fmt: skip
    made = Pipeline(tmp_path, servers, generators, engine_url)
    yield made
    made.close()


def pytest_sessionfinish(session: pytest.Session) -> None:
    rows = session.config.stash.get(TABLE, [])
    if rows:
        path = table_path(session.config)
        path.parent.mkdir(exist_ok=True)
        path.write_text(markdown(rows))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(TABLE, [])
    if rows:
        terminalreporter.section(f"faults ({table_path(config).relative_to(ROOT)})")
        terminalreporter.write(markdown(rows))


def table_path(config: pytest.Config) -> Path:
    """Where the table goes; each of several pytest processes has one of its own."""
    soak = "soak" in str(config.getoption("markexpr")).replace("not soak", "")
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    return ROOT / ".towline" / f"faults{'-soak' if soak else ''}{f'-{worker}' if worker else ''}.md"


def markdown(rows: list[Row]) -> str:
    head = "| fault | lines | lost | in recorded gaps | duplicated | recovery s |\n|---|---:|---:|---:|---:|---:|\n"
    return head + "".join(
        f"| {row.fault} | {row.lines:,} | {row.lost} | {row.in_gaps} | {row.duplicated} | {row.recovery:.1f} |\n"
        for row in rows
    )
