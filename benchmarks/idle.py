"""Idle: what the shipper takes while containers say a line a second, or nothing; beside plain followers."""

import multiprocessing
import selectors
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass

from benchmarks.figure import Figure, at_most, ratio_at_most
from benchmarks.ground import Ground
from benchmarks.measuring import Spent, cpu, settle
from benchmarks.program import Program
from benchmarks.replay import forget, taken

GROUP = "idle"
FOLLOWERS = "a plain follower of each log, as logspout has"
FOREVER = 3600.0
SOURCES = ("file", "api")


@dataclass(frozen=True)
class Share:
    """Percent of a core: of the reader itself, and of the engine meanwhile; MB of the reader."""

    own: float
    engine: float
    memory: float = 0.0


def figures(ground: Ground) -> Iterator[Figure]:
    names = ground.writers.make("idle", ground.sizes.speakers)
    with Talking(ground, names):
        rounds = [measured(ground, names) for _ in range(ground.sizes.rounds)]
    bare, followed, *shares = (least(several) for several in zip(*rounds, strict=True))
    what = f"{ground.sizes.speakers} containers x 1 line/s"
    for source, share in zip(SOURCES, shares, strict=True):
        yield Figure(GROUP, f"{what}, {source}", share.own, "% of a core", FOLLOWERS, followed.own, at_most(1.0))
        yield Figure(GROUP, f"{what}, {source}: the engine's share", share.engine - bare.engine, "% of a core",
                     FOLLOWERS, followed.engine - bare.engine, ratio_at_most(1.0))  # fmt: skip
    ground.writers.make("idle", ground.sizes.quiet)
    settle(ground.engine_pids)
    for source in SOURCES:
        quiet = shipped(ground, source)
        what = f"{ground.sizes.quiet} quiet containers, {source}"
        yield Figure(GROUP, what, quiet.own, "% of a core", target=at_most(0.3))
        yield Figure(GROUP, f"{what}: memory", quiet.memory, "MB", target=at_most(60))


def measured(ground: Ground, names: Sequence[str]) -> tuple[Share, ...]:
    """Without a reader, with the followers, with each source: in turn, so that all meet the same machine."""
    nobody = Share(0.0, engine_share(ground))
    return nobody, followers(ground, names), *(shipped(ground, source) for source in SOURCES)


def least(several: Iterable[Share]) -> Share:
    """The cheapest: other work on the machine only ever adds."""
    own, engine, memory = zip(*map(astuple, several), strict=True)
    return Share(min(own), min(engine), min(memory))


class Talking:
    """A line a second from each of these, as long as the block lasts."""

    def __init__(self, ground: Ground, names: Sequence[str]) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=ground.writers.pace, args=(names, 1.0, FOREVER, self._stop))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def engine_share(ground: Ground) -> float:
    """Percent of a core that the engine takes by itself."""
    spent = Spent(ground.engine_pids)
    time.sleep(ground.sizes.idle / 2)
    return 100 * spent.cpu / spent.wall


def shipped(ground: Ground, source: str) -> Share:
    queue = ground.unique("idle")
    with ground.ship(queue, f"{ground.prefix}-idle-*", source=source) as ship, taken(ground, queue):
        started(ship)
        own, engine = Spent([ship.pid]), Spent(ground.engine_pids)
        time.sleep(ground.sizes.idle)
        share = Share(100 * own.cpu / own.wall, 100 * engine.cpu / engine.wall, ship.memory)
        ship.end()  # before what it sends is no longer taken: that waits for a second without a message
    forget(ground, queue)
    return share


def started(ship: Program) -> None:
    """Until the work of its start is done: it takes little for two seconds in a row."""
    settle([ship.pid], quiet=0.03)
    settle([ship.pid], quiet=0.03)


def followers(ground: Ground, names: Sequence[str]) -> Share:
    """One process that reads each follower's bytes as they come, and does nothing with them."""
    process = multiprocessing.get_context("spawn").Process(
        target=follow, args=(ground.engine, list(names)), daemon=True
    )
    process.start()
    assert process.pid
    settle([process.pid])
    before, engine = cpu(process.pid), Spent(ground.engine_pids)
    time.sleep(ground.sizes.idle)
    share = Share(100 * (cpu(process.pid) - before) / engine.wall, 100 * engine.cpu / engine.wall)
    process.kill()
    process.join()
    return share


def follow(engine: str, names: Sequence[str]) -> None:
    waiting = selectors.DefaultSelector()
    for name in names:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(engine.removeprefix("unix://"))
        path = f"/containers/{name}/logs?stdout=1&stderr=1&timestamps=1&follow=1&tail=0"
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        waiting.register(connection, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if not key.fileobj.recv(1 << 16):  # type: ignore[union-attr]
                waiting.unregister(key.fileobj)
