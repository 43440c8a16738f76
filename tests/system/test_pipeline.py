"""Every line once through RabbitMQ and Elasticsearch, whatever fails on the way."""

import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import faults
import proxy
import pytest
from faults import FAULTS
from harness import Generators, wait_until
from pipeline import Pipeline, Row, Servers, stopped

pytestmark = pytest.mark.engine
pytest_plugins = ("pipeline_fixtures",)

ROTATED = {"max-size": "100k", "max-file": "2"}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_line_once(fault: str, pipeline: Pipeline, table: list[Row]) -> None:
    pipeline.start(proxied=True).load(5)
    pipeline.flowing()
    FAULTS[fault](pipeline)
    pipeline.expect_all(fault, table)


def test_25_kills_of_the_indexer_in_a_row(pipeline: Pipeline, table: list[Row]) -> None:
    """Nothing can be stored meanwhile, so each one dies with everything that it has prefetched."""
    pipeline.start(proxied=True).load(10)
    pipeline.flowing()
    with pipeline.proxy.ruling(faults.BUSY):
        turns = [pipeline.indexer]
        for _ in range(25):
            turns.append(pipeline.index(proxied=True).start())
            turns[-2].kill()
    pipeline.expect_all("25 indexers killed in a row, all with the same messages", table)


def test_two_indexers_of_which_one_dies(pipeline: Pipeline, table: list[Row]) -> None:
    pipeline.start().load(6)
    second = pipeline.index().start()
    pipeline.flowing(2000)
    assert second.metric("towline_lines_indexed_total") > 0, "both work"
    pipeline.indexer.kill()
    pipeline.flowing(1000)
    pipeline.expect_all("one of two indexers killed (-9)", table)


@pytest.mark.parametrize("source", ["file", "api"])
def test_logs_rotate_while_the_broker_is_away(source: str, pipeline: Pipeline, table: list[Row]) -> None:
    """More than all files of a log together: what the outage takes longer than, only the spool still has."""
    pipeline.start("--source", source).load(8, **ROTATED)
    pipeline.flowing()
    with stopped(pipeline.broker.pid):
        pipeline.hold(7)
    pipeline.expect_all(f"logs rotated away during an outage of the broker ({source})", table)


def test_the_spool_fills_and_drains(pipeline: Pipeline, table: list[Row]) -> None:
    """Broker and store away, the spool too small: reading waits in the logs, which are kept here."""
    pipeline.start("--source", "api", "--spool", "300K", "--memory", "1M").load(
        8, **{"max-size": "300k", "max-file": "50"}
    )
    pipeline.flowing()
    with stopped(pipeline.broker.pid), stopped(pipeline.elastic.pid):
        wait_until(lambda: pipeline.shipper.metric("towline_spool_bytes") > 100_000, 30, lambda: pipeline.said())
        pipeline.hold(4)
    pipeline.expect_all("broker and Elasticsearch away, spool full", table)
    wait_until(lambda: pipeline.shipper.metric("towline_spool_bytes") == 0, 30, lambda: pipeline.said())


def test_the_disk_of_the_spool_is_full(
    tmp_path: Path, servers: Servers, generators: Generators, engine_url: str, small_disk: Path, table: list[Row]
) -> None:
    pipeline = Pipeline(tmp_path, servers, generators, engine_url, state=small_disk / "state")
    try:
        pipeline.start("--source", "api").load(8, **{"max-size": "300k", "max-file": "50"})
        pipeline.flowing()
        with stopped(pipeline.broker.pid):
            fill(small_disk / "filler")
            pipeline.hold(6)
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


def random_faults(pipeline: Pipeline, table: list[Row], minutes: float) -> None:
    seed = int(os.environ.get("TOWLINE_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"TOWLINE_TEST_SEED={seed}")
    chance = random.Random(seed)
    pipeline.start(proxied=True).load(minutes * 60)
    pipeline.flowing()
    done, end = [], time.monotonic() + minutes * 60
    while time.monotonic() < end:
        done.append(chance.choice(list(FAULTS)))
        print(f"{time.strftime('%X')} {done[-1]}", flush=True)
        FAULTS[done[-1]](pipeline)
        time.sleep(chance.uniform(0, 3))
    pipeline.expect_all(f"{len(done)} random faults in {minutes:g} min (seed {seed})", table)


def test_the_oracle_notices_what_is_purged_between_confirm_and_index(pipeline: Pipeline) -> None:
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


def test_the_oracle_notices_acks_before_the_verdict(pipeline: Pipeline) -> None:
    """A store that says `stored` and stores nothing is the same as an indexer that doesn't wait for the answer."""
    pipeline.start(proxied=True).load(4)
    pipeline.flowing()
    faults.ruled(proxy.lie)(pipeline)
    expect_loss(pipeline, seconds=6)


def test_the_oracle_notices_a_checkpoint_before_the_confirm(pipeline: Pipeline) -> None:
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


def test_the_oracle_notices_a_second_copy(pipeline: Pipeline) -> None:
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
