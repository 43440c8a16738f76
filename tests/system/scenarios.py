"""What the pipeline goes through: each scenario has names of its own, and is judged in the end. All by name, in tracks.

Scenarios of one track share its servers, and run so many at a time; the tracks run beside each other.
"""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import faults
import proxy
from faults import ITS_OWN, OF_HOSTS, OF_SERVERS, Fault, broker_away, random_faults
from harness import wait_until
from pipeline import Pipeline, Row
from servers import stopped

KEPT = {"max-size": "300k", "max-file": "50"}
ROTATED = {"max-size": "200k", "max-file": "3"}

Scenario = Callable[[Pipeline, list[Row]], None]


@dataclass(frozen=True)
class Track:
    """`settings`: more of elasticsearch.yml."""

    name: str
    at_once: int
    settings: tuple[str, ...] = ()


RANDOM = Track("random", 1)
HARMING = Track("harming", 1, ("http.max_content_length: 512kb",))
APART = Track("apart", 3)


def under(fault: Fault, name: str, seconds: float) -> Scenario:
    """The fault under load, while the log rotates."""

    def play(pipeline: Pipeline, table: list[Row]) -> None:
        if fault in OF_HOSTS.values():
            pipeline.wired().clocked()
        pipeline.start(proxied=True).steady(seconds)
        pipeline.flowing()
        pipeline.rotate(seconds)
        before = wait_until(pipeline.rotations, 30, "a log that is rotated")
        fault(pipeline)
        assert pipeline.rotations() > before, "no log was rotated meanwhile"
        pipeline.expect_all(name, table)

    return play


def random_schedule(pipeline: Pipeline, table: list[Row]) -> None:
    """For 3 minutes; in the soak run for SOAK_MINUTES (20)."""
    minutes = float(os.environ.get("SOAK_MINUTES") or 20) if pipeline.scale > 1 else 3.0
    pipeline.scale = 1.0
    random_faults(pipeline, table, minutes)


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
    second = pipeline.start().index().start()
    pipeline.load(8)
    wait_until(lambda: second.metric("towline_lines_indexed_total") > 0, 30, "both work")
    pipeline.indexer.kill()
    pipeline.expect_all("one of two indexers killed (-9)", table)


def mapping_conflict(pipeline: Pipeline, table: list[Row]) -> None:
    """Somebody's template takes the data stream over: `message` is a number now, so each line is refused."""
    name, elastic = f"foreign-{pipeline.name}", pipeline.elastic
    mappings = {"properties": {"message": {"type": "long"}}}
    template = {
        "index_patterns": [pipeline.stream],
        "priority": 900,
        "data_stream": {},
        "template": {"mappings": mappings},
    }
    pipeline.start().load(5)
    pipeline.flowing()
    elastic.ask("PUT", f"/_index_template/{name}", template)
    elastic.ask("POST", f"/{pipeline.stream}/_rollover")
    pipeline.more()
    wait_until(lambda: elastic.count(pipeline.dead) > 500, 30, "dead letters")
    elastic.ask("DELETE", f"/_index_template/{name}")
    pipeline.ends()
    elastic.ask("POST", f"/{pipeline.stream}/_rollover")
    pipeline.more()
    pipeline.flowing()
    pipeline.expect_all_or_refused("mapping conflict, then repaired (refused lines are dead letters)", table)
    assert all("message" in letter["reason"] for letter in pipeline.letters())


def line_too_large(pipeline: Pipeline, table: list[Row]) -> None:
    """For the server, which takes requests of 512 kB; Towline itself takes such a line."""
    pipeline.start().load(5)
    pipeline.flowing()
    pipeline.generators.shell("large", "head -c 350000 /dev/urandom | od -An -v -tx1 | tr -d ' \\n'; echo").wait()
    wait_until(lambda: pipeline.elastic.count(pipeline.dead) > 0, 60, pipeline.said)
    pipeline.expect_all("line of 700 kB, the server takes 512 kB (a dead letter)", table, letters=1)
    pipeline.expect_closed_ledger()
    (letter,) = pipeline.letters()
    assert "413" in letter["reason"]
    assert re.search(r"[0-9a-f]{3000}", letter["original"]), "the begin of the line is kept"


def oracle_notices_a_purge(pipeline: Pipeline, _: list[Row]) -> None:
    pipeline.start().load(5)
    pipeline.flowing()
    pipeline.indexer.kill()
    pipeline.more()
    wait_until(lambda: messages(pipeline) > 3, 30, "messages that wait")
    pipeline.broker.ctl("purge_queue", f"{pipeline.name}.logs")
    pipeline.indexer.start()
    expect_loss(pipeline, seconds=6)


def messages(pipeline: Pipeline) -> int:
    rows = dict(row.split("\t") for row in pipeline.broker.ctl("list_queues", "name", "messages").splitlines())
    return int(rows.get(f"{pipeline.name}.logs", 0))


def delete_full_queue(pipeline: Pipeline, table: list[Row]) -> None:
    """What the broker had confirmed is gone with the queue; the logs still have it. Nobody writes a line any more that
    would tell the shipper: it has to ask."""
    pipeline.start().load(8)
    pipeline.flowing()
    pipeline.indexer.kill()
    pipeline.more()
    wait_until(lambda: messages(pipeline) > 3, 30, "messages that wait")
    pipeline.broker.ctl("delete_queue", f"{pipeline.name}.logs")
    pipeline.ends()
    pipeline.indexer.start()
    pipeline.expect_all("queue deleted with messages in it", table)


def oracle_notices_early_acks(pipeline: Pipeline, _: list[Row]) -> None:
    """A store that says `stored` and stores nothing is the same as an indexer that doesn't wait for the answer."""
    pipeline.start(proxied=True).load(4)
    pipeline.flowing()
    pipeline.more()
    faults.ruled(proxy.lie)(pipeline)
    expect_loss(pipeline, seconds=6)


def oracle_notices_early_checkpoints(pipeline: Pipeline, _: list[Row]) -> None:
    """The state of another shipper that was faster stands in for a checkpoint that moved too early."""
    pipeline.start().load(5)
    pipeline.flowing()
    pipeline.shipper.kill()
    pipeline.more()
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
    assert "duplicate" in pipeline.generators.judge(pipeline.elastic.documents(pipeline.stream)).faults


def expect_loss(pipeline: Pipeline, seconds: float) -> None:
    pipeline.drained(patience=seconds)
    report = pipeline.generators.judge(pipeline.elastic.documents(pipeline.stream))
    assert set(report.faults) == {"lost"}, f"{report.faults}\n{pipeline.said()}"


def rotated_away(source: str) -> Scenario:
    """The outage takes longer than the log goes back: what it began with is in the spool, or held open, or lost."""

    def play(pipeline: Pipeline, table: list[Row]) -> None:
        pipeline.start("--source", source).load(14, **ROTATED)
        pipeline.flowing()
        with broker_away(pipeline):
            pipeline.more()
            pipeline.hold(8)
            assert source == "file" or pipeline.shipper.metric("towline_spool_bytes") > 0
        pipeline.expect_all(f"logs rotated away while the broker was away ({source})", table)

    return play


def small_spool(pipeline: Pipeline, table: list[Row]) -> None:
    """Broker and store away, the spool too small: reading waits in the logs, which are kept here."""
    pipeline.start("--source", "api", "--spool", "300K", "--memory", "1M").load(10, **KEPT)
    pipeline.flowing()
    with broker_away(pipeline), stopped(pipeline.elastic.pid):
        pipeline.more(10_000)
        wait_until(lambda: pipeline.shipper.metric("towline_spool_bytes") > 100_000, 30, pipeline.said)
        pipeline.hold(5)
    pipeline.expect_all("broker and Elasticsearch away, spool full", table)
    wait_until(lambda: pipeline.shipper.metric("towline_spool_bytes") == 0, 30, pipeline.said)


def full_disk(pipeline: Pipeline, table: list[Row]) -> None:
    with small_disk(pipeline.folder / "disk") as disk:
        pipeline.state = disk / "state"
        pipeline.start("--source", "api").load(10, **KEPT)
        pipeline.flowing()
        with broker_away(pipeline):
            pipeline.more()
            fill(disk / "filler")
            wait_until(lambda: "spool" in pipeline.shipper.said(), 30, pipeline.said)
            (disk / "filler").unlink()
        pipeline.expect_all("disk of the spool full while the broker is away", table)
        pipeline.shipper.kill()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    with path.open("ab", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            return


SCENARIOS: dict[str, tuple[Track, Scenario]] = {
    "25 indexers killed in a row": (APART, kill_25_indexers),
    "one of two indexers killed": (APART, kill_one_of_two_indexers),
    **{name: (APART, under(fault, name, 8)) for name, fault in ITS_OWN.items()},
    "queue deleted with messages in it": (APART, delete_full_queue),
    "mapping conflict": (APART, mapping_conflict),
    **{name: (APART, under(fault, name, 9)) for name, fault in OF_HOSTS.items()},
    "the oracle notices what is purged between confirm and index": (APART, oracle_notices_a_purge),
    "the oracle notices acks before the verdict": (APART, oracle_notices_early_acks),
    "the oracle notices a checkpoint before the confirm": (APART, oracle_notices_early_checkpoints),
    "the oracle notices a second copy": (APART, oracle_notices_a_second_copy),
    **{name: (HARMING, under(fault, name, 10)) for name, fault in OF_SERVERS.items()},
    "line too large for the server": (HARMING, line_too_large),
    "logs rotated away while the broker is away (file)": (RANDOM, rotated_away("file")),
    "logs rotated away while the broker is away (api)": (RANDOM, rotated_away("api")),
    "spool full": (HARMING, small_spool),
    "disk of the spool full": (HARMING, full_disk),
    "random faults": (RANDOM, random_schedule),
}
