"""Every line once, whatever ends the process: kills at random moments, a clean stop, an engine that goes and comes."""

import json
import os
import random
import time
from collections.abc import Callable

import pytest
from harness import Generators, Up, finished, open_lines, run, wait_until

pytestmark = pytest.mark.engine
Make = Callable[..., Up]


def load(generators: Generators, seconds: float) -> None:
    """Some containers that write for about `seconds`: two streams, rotation (with and without gzip), bursts."""
    ticks = int(seconds / 0.1)
    keep = {"max-size": "200k", "max-file": "100"}
    generators.start("plain", 40 * ticks, burst=40, pause=0.09)
    generators.start("two", 20 * ticks, burst=20, pause=0.09, streams=("stdout", "stderr"))
    generators.start("rotating", 60 * ticks, burst=60, pause=0.09, log=keep)
    generators.start("zipped", 40 * ticks, burst=40, pause=0.09, log={**keep, "compress": "true"})


def kills(count: int, longest: float, source: str, up: Make, generators: Generators) -> None:
    seed = int(os.environ.get("TOWLINE_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"TOWLINE_TEST_SEED={seed}")
    chance = random.Random(seed)
    towline = up("--source", source)
    load(generators, count * (longest / 2 + 0.5))
    for _ in range(count):
        towline.start(wait=False)
        time.sleep(chance.uniform(0.3, longest))
        assert towline.running, towline.tail()
        towline.kill()
    towline.start()
    for container in generators.containers:
        finished(container, 3600)
    rows = towline.collect(generators.total, 120)
    report = generators.judge(rows)
    assert report.faults == {}, f"seed {seed}"
    assert report.gaps == [], "nothing was rotated away, so nothing needs a gap"
    towline.quiet()


def test_killed_30_times_under_load_with_rotation(source: str, up: Make, generators: Generators) -> None:
    kills(30, 2.0, source, up, generators)


@pytest.mark.soak
def test_killed_for_many_minutes(source: str, up: Make, generators: Generators) -> None:
    minutes = float(os.environ.get("SOAK_MINUTES") or 20)
    kills(int(minutes * 60 / 3), 5.0, source, up, generators)


def test_sources_that_change_between_kills(up: Make, generators: Generators) -> None:
    towline = up()
    load(generators, 15)
    for turn in range(10):
        towline.start("--source", ("file", "api")[turn % 2], wait=False)
        time.sleep(1.5)
        towline.kill()
    towline.start()
    for container in generators.containers:
        finished(container, 120)
    assert generators.judge(towline.collect(generators.total)).faults == {}


@pytest.mark.parametrize("number", [15, 2], ids=["SIGTERM", "SIGINT"])
def test_a_clean_stop_leaves_everything_read_delivered(
    number: int, source: str, up: Make, generators: Generators
) -> None:
    towline = up("--source", source).start()
    load(generators, 6)
    wait_until(lambda: len(towline.search()) > 1000, 30, "lines")
    assert towline.stop(number) == 0
    delivered = len(towline.search())
    assert delivered > 1000
    towline.start()
    for container in generators.containers:
        finished(container, 60)
    assert generators.judge(towline.collect(generators.total)).faults == {}
    assert towline.metric("towline_lines_duplicate_total") == 0, "a clean stop makes the next start read nothing again"


def test_the_ledger_closes_and_agrees_with_the_store(source: str, up: Make, generators: Generators) -> None:
    towline = up("--source", source).start()
    generators.start("a", 2000, burst=100, pause=0.05, streams=("stdout", "stderr"))
    generators.start("b", 3000, burst=100, pause=0.05)
    rows = towline.collect(generators.total)
    towline.quiet()
    ledger = towline.ledger()
    assert {service: row["indexed"] for service, row in ledger.items()} == {
        f"{generators.prefix}-a": 4000, f"{generators.prefix}-b": 3000}  # fmt: skip
    for row in ledger.values():
        assert open_lines(row) == 0
        assert row["read"] == row["published"] == row["confirmed"] == row["indexed"]
    assert len(rows) == generators.total


def test_a_flood_does_not_starve_quiet_containers(source: str, up: Make, generators: Generators) -> None:
    """Each quiet one writes twice a second; prints how old its newest line is when a search has found it."""
    towline = up("--source", source).start()
    generators.shell("flood", "yes 'a flood of lines that nobody will ever read again but all must be kept'",
                     mem_limit="64m")  # fmt: skip
    quiet = [generators.shell(f"quiet{i}", "while true; do cat /proc/uptime; sleep 0.5; done") for i in range(3)]
    wait_until(lambda: towline.metric("towline_lines_indexed_total") > 50_000, 60, "a flood")
    lags = []
    for container in quiet * 3:
        written = wait_until(lambda name=container.name: newest(towline, str(name)), 30, f"lines of {container.name}")
        lags.append(time.clock_gettime(time.CLOCK_BOOTTIME) - written)
    print(f"age of a quiet container's newest line beside a flood, {source}: {sorted(round(lag, 1) for lag in lags)} s")
    assert max(lags) < 30


def newest(towline: Up, name: str) -> float:
    done = run("search", "--data", towline.data, "--container", name, "--limit", 1, "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return float(rows[0]["message"].split()[0]) if rows else 0.0
