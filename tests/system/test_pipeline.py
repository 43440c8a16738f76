"""Every line once through RabbitMQ and Elasticsearch, whatever fails on the way."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import faults
import proxy
import pytest
from faults import ITS_OWN, OF_SERVERS, broker_away, random_faults
from harness import Generators, wait_until
from pipeline import Pipeline, Row, Servers, stopped

pytestmark = pytest.mark.engine
pytest_plugins = ("pipeline_fixtures",)

AT_ONCE = 3
KEPT = {"max-size": "300k", "max-file": "50"}
ROTATED = {"max-size": "200k", "max-file": "3"}

Scenario = Callable[[Pipeline, list[Row]], None]


def fault(name: str) -> Scenario:
    def play(pipeline: Pipeline, table: list[Row]) -> None:
        pipeline.start(proxied=True).load(6)
        pipeline.flowing()
        ITS_OWN[name](pipeline)
        pipeline.expect_all(name, table)

    return play


def kill_25_indexers(pipeline: Pipeline, table: list[Row]) -> None:
    """Nothing can be stored meanwhile, so each one dies with everything that it has prefetched."""
    pipeline.start(proxied=True).load(20)
    pipeline.flowing()
    with pipeline.proxy.ruling(faults.BUSY):
        for _ in range(25):
            last = pipeline.indexer
            pipeline.indexer = pipeline.index(proxied=True).start()
            last.kill()
    pipeline.expect_all("25 indexers killed in a row, all with the same messages", table)


def kill_one_of_two_indexers(pipeline: Pipeline, table: list[Row]) -> None:
    pipeline.start().load(6)
    second = pipeline.index().start()
    wait_until(lambda: second.metric("towline_lines_indexed_total") > 0, 30, "both work")
    pipeline.indexer.kill()
    pipeline.expect_all("one of two indexers killed (-9)", table)


def oracle_notices_a_purge(pipeline: Pipeline, _: list[Row]) -> None:
    pipeline.start().load(5)
    pipeline.flowing()
    pipeline.indexer.kill()
    wait_until(lambda: messages(pipeline) > 3, 30, "messages that wait")
    pipeline.broker.ctl("purge_queue", f"{pipeline.name}.logs")
    pipeline.indexer.start()
    expect_loss(pipeline, seconds=6)


def messages(pipeline: Pipeline) -> int:
    rows = dict(row.split("\t") for row in pipeline.broker.ctl("list_queues", "name", "messages").splitlines())
    return int(rows.get(f"{pipeline.name}.logs", 0))


def oracle_notices_early_acks(pipeline: Pipeline, _: list[Row]) -> None:
    """A store that says `stored` and stores nothing is the same as an indexer that doesn't wait for the answer."""
    pipeline.start(proxied=True).load(4)
    pipeline.flowing()
    faults.ruled(proxy.lie)(pipeline)
    expect_loss(pipeline, seconds=6)


def oracle_notices_early_checkpoints(pipeline: Pipeline, _: list[Row]) -> None:
    """The state of another shipper that was faster stands in for a checkpoint that moved too early."""
    pipeline.start().load(5)
    pipeline.flowing()
    pipeline.shipper.kill()
    faster = pipeline.ship(pipeline.folder / "faster", f"{pipeline.name}-elsewhere").start()
    wait_until(lambda: faster.metric("towline_lines_confirmed_total") > pipeline.count() + 1000, 30, pipeline.said)
    assert faster.stop() == 0
    shutil.copy(pipeline.folder / "faster/checkpoints.json", pipeline.state / "checkpoints.json")
    pipeline.shipper.start()
    expect_loss(pipeline, seconds=6)


def oracle_notices_a_second_copy(pipeline: Pipeline, _: list[Row]) -> None:
    """A line under another id, as an indexer that lets the server choose ids would store it when it tries again."""
    pipeline.start().generators.start("web", 100)
    wait_until(lambda: pipeline.count() == 100, 60, pipeline.said)
    found = pipeline.elastic.ask("POST", f"/{pipeline.stream}/_search", {"size": 1})["hits"]["hits"][0]["_source"]
    pipeline.elastic.ask("POST", f"/{pipeline.stream}/_doc", found)
    pipeline.drained()
    assert "duplicate" in pipeline.generators.judge(pipeline.elastic.documents(pipeline.stream)).faults


def expect_loss(pipeline: Pipeline, seconds: float) -> None:
    pipeline.drained(patience=seconds)
    report = pipeline.generators.judge(pipeline.elastic.documents(pipeline.stream))
    assert set(report.faults) == {"lost"}, f"{report.faults}\n{pipeline.said()}"


SCENARIOS: dict[str, Scenario] = {
    "25 indexers killed in a row": kill_25_indexers,
    "one of two indexers killed": kill_one_of_two_indexers,
    **{name: fault(name) for name in ITS_OWN},
    "the oracle notices what is purged between confirm and index": oracle_notices_a_purge,
    "the oracle notices acks before the verdict": oracle_notices_early_acks,
    "the oracle notices a checkpoint before the confirm": oracle_notices_early_checkpoints,
    "the oracle notices a second copy": oracle_notices_a_second_copy,
}


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, servers: Servers, table: list[Row], engine_url: str, test_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], None]]:  # fmt: skip
    """The scenarios that were chosen, a few at a time: mostly they wait, and they don't touch each other.

    Where pytest itself runs several tests at a time, each scenario waits for its test.
    """
    several = bool(os.environ.get("PYTEST_XDIST_WORKER"))
    items = [] if several else [item for item in request.session.items if hasattr(item, "callspec")]
    chosen = {item.callspec.params.get("scenario") for item in items}

    def start(name: str) -> Future[None]:
        return pool.submit(play, name, tmp_path_factory.mktemp("scenario"), servers, engine_url, table)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        begun = {name: start(name) for name in SCENARIOS if name in chosen}
        yield lambda name: (begun.get(name) or start(name)).result()
        pool.shutdown(cancel_futures=True)


def play(name: str, folder: Path, servers: Servers, engine_url: str, table: list[Row]) -> None:
    client = docker.DockerClient(base_url=engine_url)
    pipeline = Pipeline(folder, servers, Generators(client, f"sys{uuid.uuid4().hex[:8]}"), engine_url)
    try:
        SCENARIOS[name](pipeline, table)
    finally:
        pipeline.close()
        for container in pipeline.generators.containers:
            container.remove(force=True)
        client.close()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_pipelines_of_their_own(scenario: str, played: Callable[[str], None]) -> None:
    played(scenario)


@pytest.mark.parametrize("name", OF_SERVERS)
def test_every_line_once_whatever_the_servers_do(name: str, pipeline: Pipeline, table: list[Row]) -> None:
    pipeline.start(proxied=True).load(10)
    pipeline.flowing()
    OF_SERVERS[name](pipeline)
    pipeline.expect_all(name, table)


@pytest.mark.parametrize("source", ["file", "api"])
def test_logs_rotate_while_the_broker_is_away(source: str, pipeline: Pipeline, table: list[Row]) -> None:
    """The outage takes longer than the log goes back: what it began with is in the spool, or held open, or lost."""
    pipeline.start("--source", source).load(14, **ROTATED)
    pipeline.flowing()
    with broker_away(pipeline):
        pipeline.hold(8)
        assert source == "file" or pipeline.shipper.metric("towline_spool_bytes") > 0
    pipeline.expect_all(f"logs rotated away while the broker was away ({source})", table)


def test_the_spool_fills_and_drains(pipeline: Pipeline, table: list[Row]) -> None:
    """Broker and store away, the spool too small: reading waits in the logs, which are kept here."""
    pipeline.start("--source", "api", "--spool", "300K", "--memory", "1M").load(10, **KEPT)
    pipeline.flowing()
    with broker_away(pipeline), stopped(pipeline.elastic.pid):
        wait_until(lambda: pipeline.shipper.metric("towline_spool_bytes") > 100_000, 30, pipeline.said)
        pipeline.hold(5)
    pipeline.expect_all("broker and Elasticsearch away, spool full", table)
    wait_until(lambda: pipeline.shipper.metric("towline_spool_bytes") == 0, 30, pipeline.said)


def test_the_disk_of_the_spool_is_full(
    tmp_path: Path, servers: Servers, generators: Generators, engine_url: str, small_disk: Path, table: list[Row]
) -> None:
    pipeline = Pipeline(tmp_path, servers, generators, engine_url, state=small_disk / "state")
    try:
        pipeline.start("--source", "api").load(10, **KEPT)
        pipeline.flowing()
        with broker_away(pipeline):
            fill(small_disk / "filler")
            wait_until(lambda: "spool" in pipeline.shipper.said(), 30, pipeline.said)
            (small_disk / "filler").unlink()
        pipeline.expect_all("disk of the spool full while the broker is away", table)
    finally:
        pipeline.close()


def fill(path: Path) -> None:
    with path.open("ab", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            return


def test_the_engine_restarts(
    tmp_path: Path, servers: Servers, second_engine: Any, prefix: str, table: list[Row]
) -> None:
    second_engine.stop()
    second_engine.start("--live-restore")
    client = second_engine.client()
    pipeline = Pipeline(tmp_path, servers, Generators(client, prefix), second_engine.url)
    try:
        pipeline.start().load(8)
        pipeline.flowing()
        client.close()
        second_engine.stop()
        second_engine.start("--live-restore")
        pipeline.expect_all("engine restarted (live-restore)", table)
    finally:
        pipeline.close()
        client.close()


def test_random_faults(pipeline: Pipeline, table: list[Row]) -> None:
    random_faults(pipeline, table, float(os.environ.get("TOWLINE_TEST_MINUTES") or 1))
