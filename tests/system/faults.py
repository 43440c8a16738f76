"""Faults that may hit a running pipeline, by name: each does its harm, waits, and repairs it again.

All of them need a pipeline whose indexer goes through the proxy; some need its wires and clocks.
"""

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator

import proxy
from harness import wait_until
from pipeline import Pipeline, Row
from servers import BROKER_STOPPED, STOPPED, stopped

Fault = Callable[[Pipeline], None]


def kill_shipper(pipeline: Pipeline) -> None:
    for _ in range(3):
        pipeline.shipper.kill()
        pipeline.ends()
        pipeline.shipper.start()
        pipeline.hold(0.3)


def kill_indexer(pipeline: Pipeline) -> None:
    for _ in range(3):
        pipeline.indexer.kill()
        pipeline.ends()
        pipeline.indexer.start()
        pipeline.hold(0.3)


@contextlib.contextmanager
def broker_away(pipeline: Pipeline) -> Iterator[None]:
    """Killed, and started again at the end."""
    pipeline.broker.kill()
    try:
        yield
    finally:
        pipeline.broker.start()


def kill_broker(pipeline: Pipeline) -> None:
    with broker_away(pipeline):
        pass


def kill_elasticsearch(pipeline: Pipeline) -> None:
    pipeline.elastic.kill()
    pipeline.hold(10)
    pipeline.elastic.launch()
    pipeline.ends()
    pipeline.elastic.start()


def pausing(pid: Callable[[Pipeline], int], seconds: float = STOPPED) -> Fault:
    def pause(pipeline: Pipeline) -> None:
        with stopped(pid(pipeline)):
            pipeline.hold(seconds)

    return pause


def restart_broker(pipeline: Pipeline) -> None:
    pipeline.broker.stop()
    pipeline.broker.start()


def memory_alarm(pipeline: Pipeline) -> None:
    pipeline.broker.ctl("set_vm_memory_high_watermark", "0.000001")
    try:
        pipeline.hold(4)
    finally:
        pipeline.ends()
        pipeline.broker.ctl("set_vm_memory_high_watermark", "0.4")


def close_connections(pipeline: Pipeline) -> None:
    for _ in range(2):
        pipeline.ends()
        pipeline.broker.ctl("close_all_connections", "the test says so")
        pipeline.hold(1)


@contextlib.contextmanager
def queue_emptied(pipeline: Pipeline) -> Iterator[None]:
    """The publisher stands still, and all that it has published is stored."""
    with stopped(pipeline.shipper.pid):
        for _ in range(30):
            time.sleep(0.5)
            rows = pipeline.broker.ctl("list_queues", "name", "messages").splitlines()
            if f"{pipeline.name}.logs\t0" in rows:
                break
        yield


def delete_queue(pipeline: Pipeline) -> None:
    """Containers write on, but what the broker had confirmed is out of it: that would be lost with any queue."""
    with queue_emptied(pipeline):
        pipeline.broker.ctl("delete_queue", f"{pipeline.name}.logs")


def close_index(pipeline: Pipeline) -> None:
    newest = pipeline.elastic.backing(pipeline.stream)[-1]
    pipeline.elastic.ask("POST", f"/{newest}/_close")
    pipeline.hold(4)
    pipeline.ends()
    pipeline.elastic.ask("POST", f"/{newest}/_open")


def flood_stage(pipeline: Pipeline) -> None:
    """What the server does to an index when its disk is nearly full."""
    block = "index.blocks.read_only_allow_delete"
    pipeline.elastic.ask("PUT", f"/{pipeline.stream}/_settings", {block: True})
    pipeline.hold(4)
    pipeline.ends()
    pipeline.elastic.ask("PUT", f"/{pipeline.stream}/_settings", {block: None})


def rollover(pipeline: Pipeline) -> None:
    for _ in range(3):
        pipeline.elastic.ask("POST", f"/{pipeline.stream}/_rollover")
        pipeline.hold(0.5)


def rollover_in_doubt(pipeline: Pipeline) -> None:
    """Requests are carried out and nobody hears of it, while the data stream rolls over between and under them."""

    def roll() -> None:
        pipeline.elastic.ask("POST", f"/{pipeline.stream}/_rollover")

    def roll_under(body: bytes, forward: proxy.Forward) -> None:
        roll()
        forward(body)

    for rule in (proxy.cut_after, roll_under, proxy.cut_half, proxy.busy_in_parts):
        with pipeline.proxy.ruling(rule):
            pipeline.hold(1.5)
            roll()


def ruled(*rules: proxy.Rule) -> Fault:
    """Elasticsearch, as the indexer sees it, follows each of the rules for a while."""

    def fault(pipeline: Pipeline) -> None:
        for rule in rules:

            def met(before: int = pipeline.proxy.ruled) -> bool:
                return pipeline.proxy.ruled > before

            with pipeline.proxy.ruling(rule):
                pipeline.hold(4 / len(rules))
                wait_until(met, 120, "a request that meets the rule")  # a deaf consumer finds out within 60 s

    return fault


def partition(part: str) -> Fault:
    """No packet passes between the part's host and the servers; nobody is told."""

    def fault(pipeline: Pipeline) -> None:
        wire = pipeline.wires[part]
        before = wire.lost
        with wire.disturbed(cut=True):
            pipeline.hold(8)
        assert wire.lost > before

    return fault


def bad_network(pipeline: Pipeline) -> None:
    """200 ms there and back, and each twentieth packet lost, on both hosts: slow, but lines flow."""
    with contextlib.ExitStack() as both:
        for wire in pipeline.wires.values():
            both.enter_context(wire.disturbed(delay=0.1, loss=0.05))
        pipeline.hold(6)
        pipeline.flowing(100)


def clock_jumps(part: str) -> Fault:
    """An hour ahead, an hour behind, and right again: while it runs, and over a kill."""

    def fault(pipeline: Pipeline) -> None:
        for seconds in (3600, -3600, 0):
            pipeline.clocks[part].move(seconds)
            pipeline.hold(1.5)
            process = pipeline.shipper if part == "ship" else pipeline.indexer
            process.kill()
            pipeline.ends()
            process.start()

    return fault


BUSY = proxy.refuse(429, "es_rejected_execution_exception")
AWAY = proxy.refuse(503, "unavailable_shards_exception")

ITS_OWN: dict[str, Fault] = {
    "shipper killed (-9) 3 times": kill_shipper,
    "indexer killed (-9) 3 times": kill_indexer,
    "shipper stopped (SIGSTOP) beyond the heartbeat": pausing(lambda pipeline: pipeline.shipper.pid),
    "indexer stopped (SIGSTOP) beyond the heartbeat": pausing(lambda pipeline: pipeline.indexer.pid),
    "queue deleted": delete_queue,
    "index closed, then opened": close_index,
    "flood stage (write block), then freed": flood_stage,
    "rollover 3 times": rollover,
    "rollover during retries of unknown outcome": rollover_in_doubt,
    "429 storm, whole requests and single lines": ruled(BUSY, proxy.busy_in_parts),
    "503 storm": ruled(AWAY),
    "no answer within the time-out, request carried out": ruled(proxy.silent_after),
    "connection cut, request carried out or not": ruled(proxy.cut_after, proxy.cut_before, proxy.cut_half),
    "413 for requests over 20 kB": ruled(proxy.at_most(20_000)),
}
"""Faults that no other pipeline on the same servers feels."""

OF_HOSTS: dict[str, Fault] = {
    "network partition of the shipper's host": partition("ship"),
    "network partition of the indexer's host": partition("index"),
    "network of 200 ms and 5 % loss": bad_network,
    "clock of the shipper an hour ahead, behind, right": clock_jumps("ship"),
    "clock of the indexer an hour ahead, behind, right": clock_jumps("index"),
}
"""Faults that no other pipeline feels; they need wires and clocks."""

OF_SERVERS: dict[str, Fault] = {
    "broker killed (-9)": kill_broker,
    "broker restarted in order": restart_broker,
    "broker stopped (SIGSTOP) beyond the heartbeat": pausing(lambda pipeline: pipeline.broker.pid, BROKER_STOPPED),
    "memory alarm": memory_alarm,
    "connections closed by the broker's management": close_connections,
    "Elasticsearch killed (-9), away for 10 s and its start": kill_elasticsearch,
    "Elasticsearch stopped (SIGSTOP)": pausing(lambda pipeline: pipeline.elastic.pid),
}


EVERY = {**ITS_OWN, **OF_HOSTS, **OF_SERVERS}


def random_faults(pipeline: Pipeline, table: list[Row], minutes: float) -> None:
    """One after the other, for so long, under load all the time."""
    seed = int(os.environ.get("TOWLINE_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"TOWLINE_TEST_SEED={seed}")
    chance = random.Random(seed)
    kept = {"max-size": "200k", "max-file": "500"}  # a fault on a slow machine takes long: none may outlast the log
    pipeline.wired().clocked().start(proxied=True).load(minutes * 60 + 15, **kept)  # the last fault meets it too
    pipeline.flowing()
    done: list[str] = []
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end:
        done.append(chance.choice(list(EVERY)))
        with (pipeline.folder / "schedule").open("a") as schedule:
            schedule.write(f"{time.strftime('%X')} {done[-1]}\n")
        pipeline.over = 0
        EVERY[done[-1]](pipeline)
        pipeline.over = pipeline.over or time.time()
        time.sleep(chance.uniform(0, 3))
    pipeline.expect_all(f"{len(done)} random faults in {minutes:g} min (seed {seed})", table)
