"""The ways out of Towline beside a broker, on real containers and under kill -9: every line, repeats told.

`event.id` names a line. A file holds each once even across kills; behind a pipe or a forward receiver a line may come
again after a kill or a lost acknowledgement, and is there once when repeats are left out by `event.id`.
"""

import json
import os
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import oracle
import pytest
from forward_receiver import Receiver
from harness import Document, Generators, Up, clean_environment, finished, wait_until
from pipeline import Part
from ports import free_port

pytestmark = pytest.mark.engine


class Shipping(Part):
    """`towline ship` whose standard output is collected, line by line, across starts; torn lines are left out."""

    lines: list[bytes]
    readers: list[threading.Thread]

    def start(self, *options: str, wait: bool = True) -> "Shipping":
        self.lines, self.readers = getattr(self, "lines", []), getattr(self, "readers", [])
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, *options], stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL,
                env=clean_environment() | self._environment)  # fmt: skip
        reader = threading.Thread(target=self._read, args=(self.process.stdout,))
        reader.start()
        self.readers.append(reader)
        if wait:
            wait_until(self._ready_or_ended, 60, lambda: f"ready; log:\n{self.tail()}")
            assert self.running, f"it ended at once:\n{self.tail()}"
        return self

    def _read(self, pipe: Iterator[bytes]) -> None:
        for line in pipe:
            if line.endswith(b"\n"):
                self.lines.append(line)
        pipe.close()  # type: ignore[attr-defined]


Make = Callable[..., Shipping]


@pytest.fixture
def ship(tmp_path: Path, engine_url: str, prefix: str) -> Iterator[Make]:
    made: list[Shipping] = []

    def make(queue: str, *options: str) -> Shipping:
        made.append(Shipping(
            tmp_path / "ship.log", "ship", "--queue", queue, "--state", str(tmp_path / "state"), "--engine", engine_url,
            "--include", f"{prefix}*", *options))  # fmt: skip
        return made[-1]

    yield make
    for each in made:
        if each.running:
            each.kill()
        for reader in getattr(each, "readers", []):
            reader.join(30)


def load(generators: Generators, seconds: float) -> None:
    ticks = int(seconds / 0.1)
    generators.start("plain", 40 * ticks, burst=40, pause=0.09)
    generators.start("two", 20 * ticks, burst=20, pause=0.09, streams=("stdout", "stderr"))


def killed_under_load(shipping: Shipping, generators: Generators, kills: int) -> None:
    """Started and killed at random moments while containers write; the last one lives to see the end of them."""
    seed = int(os.environ.get("TOWLINE_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"TOWLINE_TEST_SEED={seed}")
    chance = random.Random(seed)
    load(generators, 2 * kills)
    for _ in range(kills):
        shipping.start()
        time.sleep(chance.uniform(0.1, 1.5))
        shipping.kill()
    shipping.start()
    generators.start("late", 200, burst=20, pause=0.09)  # on a busy machine the others are done by now
    for container in generators.containers:
        finished(container, 120)
    wait_until(lambda: f"{generators.prefix}-late" in shipping.ledger(), 60, "lines of the last container")
    shipping.quiet(120)


def documents(lines: list[bytes]) -> list[Document]:
    return [json.loads(line) for line in lines]


def once(rows: list[Document]) -> list[Document]:
    """Without those that came before, by their identity."""
    return list({row["event"]["id"]: row for row in rows}.values())


def test_a_file_holds_every_line_once_across_kills(ship: Make, generators: Generators, tmp_path: Path) -> None:
    path = tmp_path / "lines.ndjson"
    shipping = ship(f"file://{path}")
    killed_under_load(shipping, generators, kills=3)
    report = generators.judge(documents(path.read_bytes().splitlines()))
    assert (report.faults, report.gaps) == ({}, [])


def test_a_file_that_is_moved_while_it_is_written_loses_nothing(
    ship: Make, generators: Generators, tmp_path: Path
) -> None:
    path = tmp_path / "lines.ndjson"
    shipping = ship(f"file://{path}").start()
    load(generators, 2)
    for number in range(3):
        wait_until(lambda: path.exists() and path.stat().st_size, 60, "lines in the file")
        path.rename(tmp_path / f"lines.ndjson.{number}")
    for container in generators.containers:
        finished(container, 120)
    shipping.quiet(120)
    rows = [line for file in tmp_path.glob("lines.ndjson*") for line in file.read_bytes().splitlines()]
    report = generators.judge(documents(rows))
    assert (report.faults, report.gaps) == ({}, [])


def test_a_pipe_gets_every_line_and_repeats_are_told(ship: Make, generators: Generators) -> None:
    shipping = ship("stdout://")
    killed_under_load(shipping, generators, kills=2)
    ledger = shipping.ledger()
    assert sum(row["read"] for row in ledger.values()) == sum(row["indexed"] for row in ledger.values()) > 0
    assert shipping.stop() == 0
    for reader in shipping.readers:
        reader.join(30)
    report = generators.judge(once(documents(shipping.lines)))
    assert (report.faults, report.gaps) == ({}, [])


def test_ship_ends_when_the_reader_of_its_pipe_does(ship: Make, generators: Generators) -> None:
    shipping = ship("stdout://")
    command = [*shipping.command]
    generators.start("plain", 2000, burst=100, pause=0.05)
    with shipping.log.open("ab") as log:
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=clean_environment())
        assert writer.stdout is not None
        assert json.loads(writer.stdout.readline())["event"]["id"]
        writer.stdout.close()
        assert writer.wait(60) == 0
    assert "whoever read it is gone" in shipping.said()


def test_a_forward_receiver_gets_every_line_though_answers_are_lost(ship: Make, generators: Generators) -> None:
    receiver = Receiver(shared_key="s3cret")
    receiver.acknowledges = lambda number: number % 4 != 1
    shipping = ship(f"forward://127.0.0.1:{receiver.port}?compress=gzip&tag=docker.{{service}}")
    shipping._environment = {"TOWLINE_QUEUE_SHARED_KEY": "s3cret"}
    ending = threading.Event()

    def unsettle() -> None:
        """More and more seldom: on a busy machine half a second is too short for any answer."""
        pause = 0.5
        while not ending.wait(pause):
            receiver.hang_up()
            pause = min(1.1 * pause, 5.0)

    thread = threading.Thread(target=unsettle)
    thread.start()
    try:
        killed_under_load(shipping, generators, kills=2)
    finally:
        ending.set()
        thread.join()
        receiver.close()
    report = generators.judge(once(receiver.records))
    assert (report.faults, report.gaps) == ({}, [])
    assert len(receiver.records) > generators.total, "lost answers mean repeats, or this test shows nothing"
    assert {tag for tag, _, _ in receiver.messages} == {f"docker.{c.name}" for c in generators.containers}


def test_one_towline_hands_lines_to_another(ship: Make, up: Callable[..., Up], generators: Generators) -> None:
    port = free_port()
    other = up("--listen-forward", f"127.0.0.1:{port}", include="nobody").start()
    generators.start("plain", 2000, burst=200, pause=0.05)
    shipping = ship(f"forward://127.0.0.1:{port}").start()
    finished(generators.containers[0], 120)
    shipping.quiet(120)
    other.quiet(120)
    (account,) = generators.accounts
    expected = [oracle.line(account.run, account.name, account.stream, number) for number in range(1, 2001)]
    assert sorted(row["message"] for row in other.search()) == sorted(expected)
