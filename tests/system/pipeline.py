"""`towline ship` and `towline index` as processes of their own, a real RabbitMQ between, a real Elasticsearch behind.

Each pipeline has names of its own on the servers, and may have its two halves on other hosts, or under other clocks.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import TOWLINE, Document, Generators, Up, clean_environment, wait_until
from oracle import Report
from ports import free_port
from proxy import Proxy
from servers import Servers
from wire import Wire

TIMEOUT = 10
"""Seconds that the indexer waits for an answer of the store."""
SEEN = ("message", "stream", "event", "container.id", "container.name")
"""The fields that the judge looks at."""


class Clock:
    """A process's own wall clock, moved by whole seconds at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.move(0)

    def move(self, seconds: int) -> None:
        """How far it is off from now on; the process notices within 0.1 s."""
        new = self._path.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._path)

    @property
    def environment(self) -> dict[str, str]:
        folders = [str(Path(__file__).parent / "moved_clock"), os.environ.get("PYTHONPATH", "")]
        return {"TEST_CLOCK": str(self._path), "PYTHONPATH": ":".join(filter(None, folders))}


class Part(Up):
    """One process of the pipeline: `towline ship …` or `towline index …`."""

    def __init__(
        self, log: Path, *arguments: str, wire: Wire | None = None, clock: Clock | None = None
    ) -> None:  # fmt: skip
        command, *options = arguments
        self.name, self.port, self.log = command, free_port(), log
        self.host = wire.reach if wire else "127.0.0.1"
        inside = wire.inside if wire else []
        self.command = [*inside, str(TOWLINE), command, "--listen", f"{self.host}:{self.port}", *options]
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = clock.environment if clock else {}

    def start(self, *options: str, wait: bool = True) -> "Part":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, *options], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=clean_environment() | self._environment)  # fmt: skip
        if wait:
            wait_until(self._ready_or_ended, 60, lambda: f"ready; log:\n{self.tail()}")
            assert self.running, f"{self.name} ended at once:\n{self.tail()}"
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid


@dataclass
class Row:
    """What one fault did. `recovery`: seconds from its end until all that was written before could be found."""

    fault: str
    lines: int
    lost: int
    in_gaps: int
    duplicated: int
    recovery: float


@dataclass
class Pipeline:
    """Containers, shipper, queue, indexer, data stream: all with names of this test's own.

    `state`: folder of the shipper; `scale` makes loads and faults last so many times longer; `wires` and `clocks` of
    `ship` and `index`, where they have any.
    """

    folder: Path
    servers: Servers
    generators: Generators
    engine: str
    state: Path = Path()
    scale: float = 1.0
    wires: dict[str, Wire] = field(default_factory=dict)
    clocks: dict[str, Clock] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    over: float = 0.0
    """When the fault ended, where that was before its function returned."""

    def __post_init__(self) -> None:
        self.broker, self.elastic = self.servers.broker, self.servers.elastic
        self.name = self.generators.prefix
        self.stream, self.dead = f"logs-docker-{self.name}", f"logs-towline.deadletter-{self.name}"
        self.state = self.folder / "state" if self.state == Path() else self.state
        self.proxy = Proxy(self.elastic.port)

    def wired(self) -> "Pipeline":
        """Shipper and indexer on a host each."""
        for part in ("ship", "index"):
            self.wires[part] = Wire()
        return self

    def clocked(self) -> "Pipeline":
        """Shipper and indexer with a clock each."""
        for part in ("ship", "index"):
            self.clocks[part] = Clock(self.folder / f"{part}.clock")
        return self

    def start(self, *shipping: str, proxied: bool = False) -> "Pipeline":
        self.shipper = self.ship(self.state, self.name, *shipping).start()
        self.indexer = self.index(proxied=proxied).start()
        return self

    def ship(self, state: Path, queue: str, *options: str) -> Part:
        return self._part(
            "ship", "--queue", self.broker.url(queue, self._host("ship")), "--state", str(state),
            "--engine", self.engine, "--include", f"{self.generators.prefix}*", *options)  # fmt: skip

    def index(self, *, proxied: bool = False) -> Part:
        port, host = self.proxy.port if proxied else self.elastic.port, self._host("index")
        store = f"http://{host or '127.0.0.1'}:{port}?namespace={self.name}&refresh=1s&timeout={TIMEOUT}"
        return self._part("index", "--queue", self.broker.url(self.name, host), "--store", store)

    def _host(self, command: str) -> str:
        return self.wires[command].near if command in self.wires else ""

    def _part(self, command: str, *options: str) -> Part:
        log = self.folder / f"{command}{len(self.parts)}.log"
        part = Part(log, command, *options, wire=self.wires.get(command), clock=self.clocks.get(command))
        self.parts.append(part)
        return part

    def load(self, seconds: float, **log: str) -> None:
        """Containers that write about 1,200 lines a second for so long: two streams, bursts, rotation."""
        self.steady(seconds)
        self.rotate(seconds, **log)

    def steady(self, seconds: float) -> None:
        self.generators.start("plain", 100 * self._ticks(seconds), burst=100, pause=0.25)
        streams = ("stdout", "stderr")
        self.generators.start("two", 50 * self._ticks(seconds), burst=50, pause=0.25, streams=streams)

    def rotate(self, seconds: float, **log: str) -> None:
        """A container whose log is rotated each second, and kept."""
        log = log or {"max-size": "100k", "max-file": str(int(50 * self.scale))}
        self.rotating = self.generators.start("rotating", 120 * self._ticks(seconds), burst=120, pause=0.25, log=log)

    def more(self, lines: int = 4000) -> None:
        """One more container, which writes for five seconds: for what must not depend on how far the others are."""
        self.generators.start(f"more{len(self.generators.containers)}", lines, burst=lines // 20, pause=0.25)

    def _ticks(self, seconds: float) -> int:
        return max(1, int(seconds * self.scale / 0.26))

    def rotations(self) -> int:
        """How often that log has been rotated, as far as it goes back."""
        self.rotating.reload()
        log = Path(self.rotating.attrs["LogPath"])
        return len(list(log.parent.glob(f"{log.name}.*")))

    def flowing(self, lines: int = 500) -> None:
        before = max(self.count(), 0)
        wait_until(lambda: self.count() >= before + lines, 60, lambda: f"lines that flow; {self.said()}", every=0.3)

    def hold(self, seconds: float) -> None:
        """How long a fault lasts."""
        time.sleep(seconds * self.scale)

    def ends(self) -> None:
        """The fault is over now, though what it hit is still on its way back."""
        self.over = time.time()

    def count(self) -> int:
        return self.elastic.count(self.stream)

    def drained(self, patience: float = 40, *, refused: bool = False) -> float:
        """Wait until the containers have ended and all lines are there, or for `patience` seconds no more came.

        The seconds from the end of the fault until all that had been written by then could be found by a search.
        refused: among the dead letters, too.
        """
        over, self.over = self.over or time.time(), 0.0
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(over)) + f".{int(over % 1 * 1e9):09d}Z"
        samples: list[tuple[float, int]] = []
        last, news = -1, time.time()
        while time.time() < news + patience:
            samples.append((time.time() - over, self.elastic.count(self.stream, moment)))
            found = self.count() + (max(0, self.elastic.count(self.dead)) if refused else 0)
            if found >= self.generators.total:
                break
            if found != last or any(map(_runs, self.generators.containers)):
                last, news = found, time.time()
            time.sleep(0.3)
        final = self.elastic.count(self.stream, moment, refresh=True)
        samples.append((time.time() - over, final))
        short = [at for at, (_, found) in enumerate(samples) if found != final]
        return samples[short[-1] + 1 if short else 0][0]

    def judge(self, fault: str, table: list[Row], *, refused: bool = False) -> Report:
        """Drain, and let the oracle judge; one more row for the table. refused: dead letters count as found."""
        recovery = self.drained(refused=refused)
        letters = [self.original(letter) for letter in self.letters()] if refused else []
        report = self.generators.judge([*self.elastic.documents(self.stream, *SEEN), *letters])
        lines, lost, gaps = self.generators.total, lines_in(report.lost), lines_in(report.gaps)
        table.append(Row(fault, lines, lost, gaps, len(report.duplicate), round(recovery, 1)))
        print(f"\n{table[-1]}")
        return report

    def expect_all(self, fault: str, table: list[Row], *, gaps: bool = False, letters: int = 0) -> None:
        """Every line once; so many dead letters of others; no program that stumbled."""
        self._expect(self.judge(fault, table), gaps)
        assert max(0, self.elastic.count(self.dead, refresh=True)) == letters, f"dead letters: {self.letters()[:3]}"

    def expect_all_or_refused(self, fault: str, table: list[Row]) -> None:
        """Every line once, in the data stream or among the dead letters, and the ledger says so."""
        self._expect(self.judge(fault, table, refused=True), gaps=False)
        self.expect_closed_ledger()

    def expect_closed_ledger(self) -> None:
        """Read = indexed + dead-lettered, as counted and as found. Neither part was started again."""
        rows = self.indexer.ledger().values()
        ledger = [sum(row[verdict] for row in rows) for verdict in ("indexed", "dead_lettered")]
        found = [self.elastic.count(each, refresh=True) for each in (self.stream, self.dead)]
        assert ledger == found, f"counted {ledger}, found {found}"
        assert self.shipper.metric("towline_lines_read_total") == sum(ledger)

    def _expect(self, report: Report, gaps: bool) -> None:
        assert report.faults == {}, f"{report.faults}\n{self.said()}"
        assert gaps or report.gaps == [], f"{report.gaps}\n{self.said()}"
        for part in self.parts:
            assert "Traceback" not in part.said(), f"{part.log.name}:\n{traceback_in(part.said())}"

    def letters(self) -> list[Document]:
        return self.elastic.documents(self.dead)

    def original(self, letter: Document) -> Document:
        """The line that a dead letter is about."""
        line = re.sub(r"[\x00-\x1f]", "", letter["original"])
        return {**json.loads(line), "container": letter["container"]}

    def said(self) -> str:
        return "\n".join(f"--- {part.log.name}\n{part.tail(12)}" for part in self.parts[:6])

    def close(self) -> None:
        closing: Iterable[Callable[[], None]] = [
            *(part.kill for part in self.parts if part.running),
            self.proxy.close,
            *(wire.close for wire in self.wires.values()),
        ]
        for close in closing:
            close()


def _runs(container: Any) -> bool:
    container.reload()
    return bool(container.status == "running")


def lines_in(ranges: list[str]) -> int:
    """How many lines the oracle's ranges (`web stdout lines 3-7`) hold."""
    return sum(int(last) - int(first) + 1 for first, last in re.findall(r" lines (\d+)-(\d+)", "\n".join(ranges)))


def traceback_in(text: str) -> str:
    at = text.index("Traceback")
    return text[max(0, at - 500) : at + 4000]
