"""A RabbitMQ and an Elasticsearch of the tests' own, which may be stopped, killed and started again.

The store is read over HTTP, without any code of ours.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import Document, wait_until
from ports import free_port

ROOT = Path(__file__).parents[2]
HEARTBEAT = 2
"""Seconds. The broker gives up a silent connection after twice that; our client (pika) looks after five seconds more,
so it finds a silent broker after 7 to 14."""
STOPPED, BROKER_STOPPED = 6.0, 15.0
REMOTE = "remote"
"""User and password of who reaches the broker over a wire: `guest` may only come over loopback."""


def script(name: str, *arguments: object, **environment: str) -> str:
    """What a script of ours printed; fails the test where it fails."""
    done = subprocess.run(
        [str(ROOT / "scripts" / name), *map(str, arguments)], capture_output=True, text=True, timeout=200, check=False,
        env={**os.environ, **environment}, stdin=subprocess.DEVNULL)  # fmt: skip
    assert done.returncode == 0, f"{name} {arguments}: {done.stdout} {done.stderr}"
    return done.stdout.strip()


class Broker:
    """A RabbitMQ of our own below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._port = free_port()

    def start(self) -> None:
        script("rabbitmq.sh", "start", self.folder, self._port)

    def admit_remote(self) -> None:
        """Once, after the first start."""
        self.ctl("add_user", REMOTE, REMOTE)
        self.ctl("set_permissions", REMOTE, ".*", ".*", ".*")

    def url(self, name: str, host: str = "") -> str:
        """`host`: where another host finds it."""
        base = script("rabbitmq.sh", "url", self.folder)
        if host:
            base = base.replace("guest:guest@127.0.0.1", f"{REMOTE}:{REMOTE}@{host}")
        return f"{base}?name={name}&heartbeat={HEARTBEAT}"

    def stop(self) -> None:
        script("rabbitmq.sh", "stop", self.folder)

    def kill(self) -> None:
        script("rabbitmq.sh", "kill", self.folder)

    def ctl(self, *arguments: object) -> str:
        return script("rabbitmq.sh", "ctl", self.folder, *arguments)

    @property
    def pid(self) -> int:
        return int(script("rabbitmq.sh", "pid", self.folder))


class Elastic:
    """An Elasticsearch of our own on a free port; its data is removed by `remove`."""

    def __init__(self, settings: Sequence[str] = ()) -> None:
        self.port = free_port()
        self._environment = {
            "TOWLINE_ES_PORT": str(self.port),
            "TOWLINE_ES_KEEP": "1",
            "TOWLINE_ES_HEAP": "384m",
            "TOWLINE_ES_JAVA": "-XX:TieredStopAtLevel=1",  # it does not live long enough to be worth compiling well
            "TOWLINE_ES_SETTINGS": r"\n".join(["cluster.routing.allocation.disk.threshold_enabled: false", *settings]),
        }
        self._folder = Path(script("elasticsearch.sh", "folder", **self._environment))

    def launch(self) -> None:
        """Until it listens."""
        script("elasticsearch.sh", "start", **self._environment)

    def start(self) -> None:
        self.launch()
        wait_until(self._healthy, 60, "a healthy Elasticsearch")

    def stop(self) -> None:
        script("elasticsearch.sh", "stop", **self._environment)

    def kill(self) -> None:
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not running(pid), 30, "the end of Elasticsearch")

    @property
    def pid(self) -> int:
        return int((self._folder / "pid").read_text())

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def backing(self, stream: str) -> list[str]:
        """The data stream's indices, the one that takes writes last."""
        return sorted(self.ask("GET", f"/{stream}/_settings?expand_wildcards=all&filter_path=*.settings.index.uuid"))

    def _healthy(self) -> bool:
        try:
            return bool(self.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=5s")["status"] != "red")
        except (OSError, http.client.HTTPException, AssertionError):
            return False

    def ask(self, method: str, path: str, body: Any = None, timeout: float = 60) -> Any:
        """The answer, parsed; AssertionError where it is an error."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            content = None if body is None else json.dumps(body).encode()
            connection.request(method, path, content, {"content-type": "application/json"})
            response = connection.getresponse()
            told = response.read()
        finally:
            connection.close()
        assert response.status < 300, f"{method} {path}: {response.status} {told[:500]!r}"
        return json.loads(told) if told else None

    def count(self, stream: str, until: str = "", *, refresh: bool = False) -> int:
        """Documents that a search finds, of all times or up to a moment; -1 where the server can't say.

        refresh: count what waits for the server's own refresh, too.
        """
        query = {"query": {"range": {"@timestamp": {"lte": until}}}} if until else None
        try:
            if refresh:
                self.ask("POST", f"/{stream}/_refresh", timeout=5)
            return int(self.ask("POST", f"/{stream}/_count", query, timeout=5)["count"])
        except (OSError, http.client.HTTPException, AssertionError):
            return -1

    def documents(self, stream: str, *fields: str) -> list[Document]:
        """All of them, duplicates in older backing indices too; with these fields only, where some are named."""
        self.ask("POST", f"/{stream}/_refresh")
        query = {"size": 10_000, "sort": "_doc", "_source": list(fields) or True}
        page = self.ask("POST", f"/{stream}/_search?scroll=1m", query)
        rows: list[Document] = []
        while hits := page["hits"]["hits"]:
            rows += [hit["_source"] for hit in hits]
            page = self.ask("POST", "/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})
        self.ask("DELETE", "/_search/scroll", {"scroll_id": page["_scroll_id"]})
        return rows


def running(pid: int) -> bool:
    """Whether the process lives; a dead one that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """SIGSTOP, and SIGCONT in the end."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@dataclass
class Servers:
    broker: Broker
    elastic: Elastic
