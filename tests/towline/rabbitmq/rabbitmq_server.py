"""A RabbitMQ node that tests may stop, kill and starve, and steady load on a queue."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from towline.batch import Batch, Origin, Section
from towline.errors import QueueUnavailable
from towline.queues import Delivery, Queue

SCRIPT = Path(__file__).parents[3] / "scripts/rabbitmq.sh"
SOON = 90.0
"""Seconds that a recovery may take on a busy machine; only a failure waits so long."""


def until(condition: Callable[[], Any], what: str = "it does not come true") -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def trouble(queue: Queue) -> str:
    """What a queue says is wrong, "" where nothing is just then."""
    try:
        queue.check()
    except QueueUnavailable as error:
        return str(error)
    return ""


class Server:
    """One RabbitMQ node below `folder`."""

    def __init__(self, folder: Path, tls_port: int) -> None:
        self.folder = folder
        self.tls_port = tls_port
        self.url = ""

    def run(self, command: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(SCRIPT), command, str(self.folder), *arguments], capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, f"rabbitmq.sh {command} {arguments}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def start(self) -> None:
        self.url = self.run("start", "0")

    def kill(self) -> None:
        """SIGKILL. A node notes half a second later which queues it has; killed before, it comes back without them."""
        self.ctl("eval", "dets:sync(ra_directory_reverse).")
        self.run("kill")

    def signal(self, number: signal.Signals) -> None:
        os.kill(int(self.run("pid")), number)

    def ctl(self, *arguments: str) -> str:
        return self.run("ctl", *arguments)

    def channel(self, url: str = "") -> tuple[pika.BlockingConnection, BlockingChannel]:
        connection = pika.BlockingConnection(pika.URLParameters(url or self.url))
        return connection, connection.channel()


def make(number: int, size: int = 100, lines: int = 1) -> Batch:
    """A batch whose `lines` lines hold the number and `size` bytes that can't be compressed."""
    origin = Origin({"container": {"id": "c", "name": "c"}, "host": {"name": "n"}, "service": {"name": "s"}})
    docs = b"".join(b'{"create":{}}\n%d %s\n' % (number, os.urandom(size // 2).hex().encode()) for _ in range(lines))
    return Batch([Section(origin, docs, lines, "2026-11-23T00:00:00.0Z", "2026-11-23T00:00:00.0Z")], node="n")


def number_of(delivery: Delivery) -> int:
    return int(delivery.batch.sections[0].docs.split(b"\n")[1].split()[0])


class Load:
    """Offers numbered batches and stores what is taken, in two threads, until `drain` has seen all of them stored."""

    def __init__(self, publish: Queue, consume: Queue) -> None:
        self.publishing = publish
        self.offered = 0
        self.confirmed: list[int] = []
        self.stored: list[int] = []
        self._stop = threading.Event()
        self._end = threading.Event()
        self._threads = [
            threading.Thread(target=self._offer, args=(publish,)),
            threading.Thread(target=self._store, args=(consume,)),
        ]
        for thread in self._threads:
            thread.start()

    def _offer(self, queue: Queue) -> None:
        while not self._stop.wait(0.002):
            if queue.offer(make(self.offered), lambda number=self.offered: self.confirmed.append(number)):  # type: ignore[misc]
                self.offered += 1

    def _store(self, queue: Queue) -> None:
        while not self._end.is_set():
            for delivery in queue.take(100, 0.05):
                self.stored.append(number_of(delivery))
                delivery.done()

    def flows(self) -> None:
        """Wait until a hundred more have come through."""
        goal = len(self.confirmed) + 100
        until(lambda: len(self.confirmed) >= goal and len(self.stored) >= goal, "nothing flows")

    def drain(self) -> None:
        self._stop.set()
        self._threads[0].join()
        until(lambda: len(self.confirmed) >= self.offered, "not all is confirmed")

    def close(self) -> None:
        self._stop.set()
        self._end.set()
        for thread in self._threads:
            thread.join()
