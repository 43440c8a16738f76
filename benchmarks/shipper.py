"""Shipper: CPU per line from log to confirm, for a backlog and for live lines, by both sources; beside curl."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks import peers
from benchmarks.figure import Figure, Target, at_most, ratio_at_most
from benchmarks.ground import Ground
from benchmarks.measuring import Spent, cpu, cpu_of
from benchmarks.replay import forget, taken

GROUP = "shipper"
TARGETS = {"file": at_most(3.0), "api": at_most(7.0)}
CURL = "curl of the same log to a file"


@dataclass(frozen=True)
class Cost:
    """Microseconds of CPU per line: of the reader itself, and of the engine meanwhile."""

    own: float
    engine: float

    @property
    def both(self) -> float:
        return self.own + self.engine


def figures(ground: Ground) -> Iterator[Figure]:
    curl = best(ground, lambda: drained_by_curl(ground))
    backlogs = {source: best(ground, lambda source=source: backlog(ground, source)) for source in TARGETS}  # type: ignore[misc]
    for source, cost in backlogs.items():
        yield row(f"backlog, {source}", cost.own, curl.own, TARGETS[source])
    yield row(
        "backlog, api with the engine's share", backlogs["api"].both, curl.both, ratio_at_most(1.3), "engine and curl"
    )
    yield Figure(GROUP, "backlog, file: the engine's share", backlogs["file"].engine, "µs/line", CURL, curl.engine)
    lives = {}
    for source, target in TARGETS.items():
        cost = lives[source] = live(ground, source)
        yield row(f"live, {source}", cost.own, curl.own, target)
        yield Figure(GROUP, f"live, {source}: engine, which also writes the log", cost.engine, "µs/line")
    yield from peers.figures(ground, backlogs["file"].own, lives["api"].own)


def row(name: str, value: float, beside: float, target: Target, reference: str = CURL) -> Figure:
    return Figure(GROUP, name, value, "µs/line", reference, beside, target)


def best(ground: Ground, measure: Callable[[], Cost]) -> Cost:
    """The cheapest of two: other work on the machine only ever adds."""
    return min((measure() for _ in range(min(2, ground.sizes.rounds))), key=lambda cost: cost.own)


def drained_by_curl(ground: Ground) -> Cost:
    address = f"http://docker/containers/{ground.backlog}/logs?stdout=1&stderr=1&timestamps=1"
    spent = Spent(ground.engine_pids)
    target = ground.folder / "curl"
    command = [
        "curl",
        "-s",
        "--http1.0",
        "--unix-socket",
        ground.engine.removeprefix("unix://"),
        "-o",
        str(target),
        address,
    ]
    process = subprocess.Popen(command)
    used = 0.0
    while process.poll() is None:
        used = max(used, cpu(process.pid))
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
    target.unlink()
    return Cost(*(1e6 * seconds / ground.sizes.backlog for seconds in (used, spent.cpu)))


def backlog(ground: Ground, source: str) -> Cost:
    """A start with a backlog in the log; what a start without lines takes is not counted."""
    idle = starting(ground, source)
    queue, lines = ground.unique("backlog"), ground.sizes.backlog
    assert ground.backlog
    engine = Spent(ground.engine_pids)
    with ground.ship(queue, ground.backlog, source=source) as ship, taken(ground, queue):
        ship.reach("towline_lines_confirmed_total", lines)
        own, engine_share = ship.cpu - idle, engine.cpu
    forget(ground, queue)
    return Cost(1e6 * own / lines, 1e6 * engine_share / lines)


def starting(ground: Ground, source: str) -> float:
    """CPU seconds of a start with nothing to read."""
    queue = ground.unique("nothing")
    with ground.ship(queue, f"{ground.prefix}-nobody", source=source) as ship:
        used = ship.cpu
    forget(ground, queue)
    return used


def live(ground: Ground, source: str) -> Cost:
    """Lines as fast as the engine takes them, while the shipper reads."""
    (name,) = ground.writers.make(f"live{source}")
    queue, lines = ground.unique("live"), ground.sizes.live
    with ground.ship(queue, name, source=source) as ship, taken(ground, queue):
        before, engine = ship.cpu, cpu_of(ground.engine_pids)
        ground.writers.burst([name], lines)
        ship.reach("towline_lines_confirmed_total", lines)
        own, engine_share = ship.cpu - before, cpu_of(ground.engine_pids) - engine
    forget(ground, queue)
    ground.writers.remove([name])
    return Cost(1e6 * own / lines, 1e6 * engine_share / lines)
