"""Containers that write what they are told: each is a `cat` of a named pipe, so that the host sets lines and pace."""

import fcntl
import os
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import docker
from docker.errors import DockerException
from docker.types import LogConfig

IMAGE = "towline-demo:local"
WIDTH = 190
"""Bytes of a line with its end, as in the figures that the targets were made from."""
_POOL = 20_000
_CHUNK = 64 << 10
_PIPE = 1 << 20
_F_SETPIPE_SZ = 1031


def access_line(chooser: random.Random, number: int) -> str:
    """What a web server writes, cut or filled to WIDTH - 1 characters."""
    text = (
        f"10.{chooser.randrange(256)}.{chooser.randrange(256)}.9 - user{chooser.randrange(5000)} "
        f'"{chooser.choice(("GET", "PUT", "POST"))} /api/v1/orders/{chooser.randrange(10**6)}/items?page={number % 50} '
        f'HTTP/1.1" {chooser.choice((200, 200, 200, 204, 404, 500))} {chooser.randrange(10**5)} '
        f'"https://shop.example/cart" "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0" rt=0.{number % 1000:03} '
        f"trace={chooser.getrandbits(64):016x}"
    )
    return text[: WIDTH - 1].ljust(WIDTH - 1, ".")


def pool() -> list[bytes]:
    """Distinct lines, always the same ones."""
    chooser = random.Random(7)
    return [access_line(chooser, number).encode() + b"\n" for number in range(_POOL)]


class Writers:
    """Containers of one prefix, made when they are first asked for, and removed by `close`."""

    def __init__(self, client: docker.DockerClient, prefix: str, folder: Path) -> None:
        self.prefix = prefix
        self._client = client
        self._folder = folder
        self._pipes: dict[str, int] = {}
        self._lines = pool()
        self._blob = b"".join(self._lines)
        self._at = 0

    def make(self, group: str, count: int = 1) -> list[str]:
        """Names of `count` running containers `PREFIX-GROUP-N`, four started at a time."""
        names = [f"{self.prefix}-{group}-{number}" for number in range(count)]
        with ThreadPoolExecutor(4) as several:
            list(several.map(self._start, [name for name in names if name not in self._pipes]))
        return names

    def identity(self, name: str) -> str:
        return str(self._client.api.inspect_container(name)["Id"])

    def remove(self, names: Sequence[str]) -> None:
        with ThreadPoolExecutor(4) as several:
            list(several.map(self._remove, names))

    def close(self) -> None:
        self.remove(list(self._pipes))

    def burst(self, names: Sequence[str], each: int) -> int:
        """`each` lines from every container as fast as the engine takes them; how many that are in all."""
        left = dict.fromkeys(names, each * WIDTH)
        offsets = {name: self._offset() for name in names}
        while left:
            wrote = 0
            for name in list(left):
                wrote += self._push(name, left, offsets)
            if not wrote:
                time.sleep(0.001)
        return each * len(names)

    def pace(self, names: Sequence[str], rate: float, seconds: float, stop: threading.Event | None = None) -> int:
        """`rate` lines a second from each container, spread evenly, for so long or until `stop`; the lines written."""
        start, sent = time.perf_counter(), [0] * len(names)
        while (now := time.perf_counter() - start) < seconds and not (stop and stop.is_set()):
            for at, name in enumerate(names):
                due = int(now * rate + at / len(names)) - sent[at]
                if due > 0:
                    self.say(name, b"".join(self._lines[(sent[at] + n) % _POOL] for n in range(due)))
                    sent[at] += due
            time.sleep(0.01)
        return sum(sent)

    def say(self, name: str, text: bytes) -> None:
        """These bytes, whole, whenever the container takes them."""
        view = memoryview(text)
        while view:
            try:
                view = view[os.write(self._pipes[name], view) :]
            except BlockingIOError:
                time.sleep(0.001)

    def _offset(self) -> int:
        self._at = (self._at + 997 * WIDTH) % len(self._blob)
        return self._at

    def _push(self, name: str, left: dict[str, int], offsets: dict[str, int]) -> int:
        at = offsets[name]
        try:
            wrote = os.write(self._pipes[name], self._blob[at : at + min(left[name], _CHUNK)])
        except BlockingIOError:
            return 0
        offsets[name] = (at + wrote) % len(self._blob)
        left[name] -= wrote
        if not left[name]:
            del left[name]
        return wrote

    def _start(self, name: str) -> None:
        path = self._folder / name
        os.mkfifo(path)
        self._client.containers.run(
            IMAGE,
            ["sh", "-c", f"exec cat /bench/{name}"],
            name=name,
            detach=True,
            network_mode="none",
            stop_signal="KILL",
            volumes={str(self._folder): {"bind": "/bench", "mode": "rw"}},
            labels={"com.docker.compose.project": "shop", "com.docker.compose.service": name.rpartition("-")[0]},
            log_config=LogConfig(type="json-file"),
        )
        pipe = os.open(path, os.O_WRONLY)  # waits for the container's cat
        os.set_blocking(pipe, False)
        with suppress(OSError):
            fcntl.fcntl(pipe, _F_SETPIPE_SZ, _PIPE if name.endswith("-0") else _CHUNK)
        self._pipes[name] = pipe

    def _remove(self, name: str) -> None:
        pipe = self._pipes.pop(name, None)
        if pipe is not None:
            os.close(pipe)
        with suppress(DockerException):
            self._client.api.remove_container(name, force=True)
