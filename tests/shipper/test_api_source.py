"""Logs through a real engine's API: every line once, whatever is cut, rotated, stopped or removed."""

import contextlib
import json
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import orjson
import pytest
from docker.models.containers import Container

from shipper.entries import STDERR, STDOUT, Entries, Position
from shipper.sources.api import ApiSource, Clocks
from towline.errors import UsageError

pytestmark = pytest.mark.engine

IMAGE = "towline-demo:local"
DEADLINE = 60.0
Row = tuple[bytes, str, bool]
Run = Callable[..., Container]


class Reader:
    """Reads a source as the shipper does, and keeps what came."""

    def __init__(self, source: ApiSource) -> None:
        self.source = source
        self.entries: list[Entries] = []
        self.rows: list[Row] = []

    def once(self, limit: int = 1 << 20) -> None:
        before = self.source.position
        entries = self.source.read(limit)
        if entries:
            assert entries.before == before
            self.entries.append(entries)
            self.rows += rows(entries)
        elif not self.source.eager:
            time.sleep(0.002)

    def until(self, condition: Callable[[], bool], limit: int = 1 << 20) -> "Reader":
        end = time.monotonic() + DEADLINE
        while not condition():
            assert time.monotonic() < end, (len(self.rows), self.rows[-3:], self.source.problem, self.source.refused)
            self.once(limit)
        return self

    def all(self) -> list[Row]:
        self.until(lambda: self.source.finished or bool(self.source.refused))
        assert self.source.refused == ""
        self.source.close()
        return self.rows

    def have(self, count: int) -> "Reader":
        return self.until(lambda: len(self.rows) >= count)

    @property
    def texts(self) -> list[str]:
        return [text for _, text, _ in self.rows]

    @property
    def gaps(self) -> list[str]:
        return [entries.gap for entries in self.entries if entries.gap]


def rows(entries: Entries) -> list[Row]:
    return [
        (entries.stream(i), orjson.loads(b'"' + entries.texts[i] + b'"'), i in entries.parts)
        for i in range(len(entries))
    ]


def merged(pieces: list[Entries]) -> Entries:
    """All entries as one."""
    return Entries(
        [stamp for piece in pieces for stamp in piece.stamps],
        [text for piece in pieces for text in piece.texts],
        [piece.stream(i) for piece in pieces for i in range(len(piece))],
    )


def lines(found: list[Row]) -> list[str]:
    """Lines of one stream, their parts joined."""
    joined, open_line = [], ""
    for _, text, part in found:
        open_line += text
        if not part:
            joined.append(open_line)
            open_line = ""
    return joined + ([open_line] if open_line else [])


@pytest.fixture
def run(engine: docker.DockerClient, prefix: str) -> Run:
    """Starts a container with this shell script, without a network."""

    def start(script: str, **more: Any) -> Container:
        number = random.randrange(1 << 30)
        command = ["sh", "-c", script]
        return engine.containers.run(
            IMAGE, command, name=f"{prefix}-{number}", network_mode="none", detach=True, stop_signal="KILL", **more
        )

    return start


@pytest.fixture
def source(engine_url: str) -> Iterator[Callable[..., Reader]]:
    opened: list[Reader] = []

    def open_source(container: Container | str, position: Position | None = None, **more: Any) -> Reader:
        name = container if isinstance(container, str) else container.id
        more = {"running": False, **more}
        url = more.pop("url", engine_url)
        opened.append(Reader(ApiSource(url, name, position, **more)))
        return opened[-1]

    yield open_source
    for reader in opened:
        reader.source.close()


def ended(container: Container) -> Container:
    container.wait()
    container.reload()
    return container


def craft(container: Container, entries: list[tuple[str, str, str]]) -> None:
    """Make (stream, stamp, text) the log of a stopped container."""
    path = Path(container.attrs["LogPath"])
    try:
        path.write_text(
            "".join(
                json.dumps({"log": text, "stream": stream, "time": stamp}) + "\n" for stream, stamp, text in entries
            )
        )
    except OSError as error:
        pytest.skip(f"the engine's log can't be written here: {error}")


def stamp(second: int) -> str:
    return f"2026-01-01T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.500000001Z"


Open = Callable[..., Reader]


def test_streams_empty_lines_and_a_last_line_without_end(run: Run, source: Open) -> None:
    container = ended(
        run('echo a; sleep 0.05; echo "b \\"q\\"" >&2; sleep 0.05; echo; printf "\\000\\033[1m\\n"; printf end')
    )
    assert source(container).all() == [
        (STDOUT, "a", False),
        (STDERR, 'b "q"', False),
        (STDOUT, "", False),
        (STDOUT, "\0\x1b[1m", False),
        (STDOUT, "end", True),
    ]


def test_a_tty(run: Run, source: Open) -> None:
    container = ended(
        run("echo a; echo b >&2; head -c 40000 /dev/zero | tr '\\000' x; echo; printf 'prompt$ '", tty=True)
    )
    found = source(container).all()
    assert lines(found) == ["a", "b", "x" * 40000, "prompt$ "]
    assert found[-1][2]


@pytest.mark.parametrize("tty", [False, True])
def test_long_lines_come_in_parts(run: Run, source: Open, tty: bool) -> None:
    sizes = [16383, 16384, 16385, 32768, 10_000_000, 1]
    script = ";".join(f"head -c {size} /dev/zero | tr '\\000' x; echo" for size in sizes)
    found = source(ended(run(script, tty=tty))).all()
    assert [len(line) for line in lines(found)] == sizes


def test_bytes_that_are_no_utf8(run: Run, source: Open) -> None:
    container = ended(run("printf 'a\\377b\\n'; head -c 100000 /dev/urandom"))
    found = source(container).all()
    assert found[0] == (STDOUT, "a\ufffdb", False)
    assert len(found) > 100


@pytest.mark.parametrize("tty", [False, True])
def test_goes_on_at_any_position_of_a_stopped_log(run: Run, source: Open, tty: bool) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    script = "seq 3000; head -c 40000 /dev/zero | tr '\\000' x; echo;"
    script += "for i in $(seq 300); do echo o$i; echo e$i >&2; done; printf end"
    container = ended(run(script, tty=tty))
    everything = source(container)
    found = everything.all()
    assert lines([row for row in found if row[0] == STDOUT])[:3000] == [str(i) for i in range(1, 3001)]
    entries = merged(everything.entries)
    for start in [chance.randrange(1, len(found) + 1) for _ in range(20)]:
        again = source(container, entries.position(start))
        assert again.all() == found[start:]
        assert again.gaps == []


def test_goes_on_among_equal_stamps_and_clock_jumps(run: Run, source: Open) -> None:
    container = ended(run("true"))
    seconds = [100, 100, 100, 101, 50, 50, 51, 102, 102, 20, 103] + [60] * 400 + [61, 104]
    streams = ["stdout" if i % 3 else "stderr" for i in range(len(seconds))]
    craft(container, [(stream, stamp(s), f"{i}\n") for i, (stream, s) in enumerate(zip(streams, seconds, strict=True))])
    whole = source(container)
    assert [int(text) for _, text, _ in whole.all()] == list(range(len(seconds)))
    entries = merged(whole.entries)
    for count in [*range(1, 20), 200, 410, 411, 412, 413]:
        again = source(container, entries.position(count))
        again.all()
        assert (again.texts, again.gaps) == (whole.texts[count:], [])


def test_lines_stamped_before_the_position_are_not_hidden(run: Run, source: Open) -> None:
    container = ended(run("true"))
    craft(container, [("stdout", stamp(5000), "anchor\n")] + [("stdout", stamp(i), f"{i}\n") for i in range(500)])
    text = stamp(5000).encode()
    reader = source(container, Position(STDOUT, text, 1, text))
    reader.all()
    assert reader.texts == [str(i) for i in range(500)]
    assert reader.gaps == []


def test_what_is_fetched_before_a_read_comes_once_and_in_its_place(run: Run, source: Open) -> None:
    reader = source(ended(run("seq 20000; seq 20001 20010 >&2")))
    turns = 0

    def finished() -> bool:
        nonlocal turns
        turns += 1
        for _ in range(turns % 3):
            reader.source.fetch()
        return reader.source.finished

    reader.until(finished, limit=4000)
    assert sorted(reader.texts, key=int) == [str(i) for i in range(1, 20_011)]
    assert [text for stream, text, _ in reader.rows if stream == STDOUT] == [str(i) for i in range(1, 20_001)]
    assert turns > 3


def test_follows_stops_and_starts_again(run: Run, source: Open) -> None:
    container = run("echo up; exec sleep 1000")
    reader = source(container, running=True, fresh=True).have(1)
    assert not reader.source.finished
    container.kill()
    container.wait()
    reader.source.stopped()
    reader.until(lambda: reader.source.finished)
    container.start()
    reader.source.started()
    assert not reader.source.finished
    reader.have(2)
    container.kill()
    container.wait()
    reader.source.stopped()
    reader.until(lambda: reader.source.finished)
    assert (reader.texts, reader.gaps, reader.source.problem) == (["up", "up"], [], "")


def test_catches_up_with_a_running_container_and_follows(run: Run, source: Open) -> None:
    container = run("seq 10000; i=10000; while true; do i=$((i+1)); echo $i; sleep 0.01; done")
    reader = source(container, running=True).have(10100)
    assert reader.texts == [str(i) for i in range(1, len(reader.texts) + 1)]
    position = reader.source.position
    count = len(reader.texts)
    reader.source.close()
    again = source(container, position, running=True).have(100)
    assert again.texts == [str(i) for i in range(count + 1, count + len(again.texts) + 1)]
    assert again.gaps == []


UNTIL_TOLD = "while [ ! -e /go ]; do sleep 0.05; done"


def go(container: Container) -> None:
    """Have it go on, and perhaps be removed at once, before the engine can say how that went."""
    with contextlib.suppress(docker.errors.APIError):
        container.exec_run(["sh", "-c", "echo > /go"])


@pytest.mark.parametrize("tty", [False, True])
def test_short_lived_containers_that_remove_themselves(run: Run, source: Open, tty: bool) -> None:
    for _ in range(5):
        container = run(f"seq 500; echo end; {UNTIL_TOLD}", auto_remove=True, tty=tty)
        reader = source(container, running=True, fresh=True).have(1)
        go(container)
        reader.until(lambda reader=reader: reader.source.finished or bool(reader.source.refused))
        assert reader.source.refused == ""
        assert reader.texts == [*map(str, range(1, 501)), "end"]


def test_a_removed_container_is_refused(source: Open) -> None:
    reader = source("0" * 64, running=True)
    reader.until(lambda: bool(reader.source.refused))
    assert reader.source.refused.startswith("removed")


def test_a_driver_that_can_not_be_read_is_refused(run: Run, source: Open) -> None:
    reader = source(ended(run("echo x", log_config={"Type": "none", "Config": {}})))
    reader.until(lambda: bool(reader.source.refused))
    assert "does not support reading" in reader.source.refused


ROTATED = {"Type": "json-file", "Config": {"max-size": "20k", "max-file": "3"}}


def test_rotation_while_away_leaves_one_gap(run: Run, source: Open) -> None:
    container = ended(run("seq 100", log_config=ROTATED))
    reader = source(container)
    reader.all()
    assert len(reader.texts) == 100
    other = ended(run("seq 100; sleep 1; seq 101 5000", log_config=ROTATED))
    known = source(other, first_position(other, reader))
    known.all()
    assert known.gaps == ["rotated"]
    assert int(known.texts[0]) > 100
    assert known.texts == [str(i) for i in range(int(known.texts[0]), 5001)]


def first_position(container: Container, like: Reader) -> Position:
    """A position in the container's log that rotation has taken away: its first second."""
    started = container.attrs["State"]["StartedAt"][:29].ljust(29, "0").encode() + b"Z"
    position = like.source.position
    assert position
    return replace(position, stamp=started, high=started)


def test_rotation_is_followed(run: Run, source: Open) -> None:
    script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i; [ $((i % 50)) = 0 ] && sleep 0.05; done"
    # Often rotated, and no file is removed that a reader on a busy machine has not come to.
    container = run(script, log_config={"Type": "json-file", "Config": {"max-size": "20k", "max-file": "40"}})
    reader = source(container, running=True, fresh=True).have(3000)
    assert reader.texts == [str(i) for i in range(1, 3001)]
    assert reader.gaps == []


def test_a_log_emptied_from_outside_is_noticed(run: Run, source: Open) -> None:
    shift = [0.0]
    container = run("seq 50; while [ ! -e /go ]; do sleep 0.05; done; seq 51 60; exec sleep 1000")
    clocks = Clocks(steady=lambda: time.monotonic() + shift[0])
    reader = source(container, running=True, fresh=True, clocks=clocks).have(50)
    container.reload()
    craft(container, [])
    shift[0] = 1000.0
    reader.once()
    container.exec_run(["sh", "-c", "echo > /go"])
    reader.have(60)
    assert reader.texts == [str(i) for i in range(1, 61)]
    assert reader.gaps in (["truncated"], ["rotated"])


class Proxy:
    """A way to the engine that can be cut: at once, or after so many bytes of each answer (with junk behind them)."""

    def __init__(self, engine_path: str, path: Path) -> None:
        self.path, self._engine_path = path, engine_path
        self.url = f"unix://{path}"
        self.length: Callable[[], int] = lambda: 1 << 60
        self.junk = b""
        self.connections = 0
        self.left = 0
        """Answers that the client did not wait for the end of."""
        self._threads: list[threading.Thread] = []
        self._away = threading.Event()
        self.back()

    def back(self) -> None:
        self.path.unlink(missing_ok=True)
        self._away.clear()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(50)
        self._start(self._accept, self._listener)

    def cut(self) -> None:
        self._away.set()
        self.path.unlink(missing_ok=True)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _start(self, target: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while not self._away.is_set():
                if select.select([listener], [], [], 0.02)[0]:
                    self.connections += 1
                    self._start(self._pass, listener.accept()[0])

    def _pass(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self._engine_path)
            left = self.length()
            while left > 0 and not self._away.is_set():
                for ready in select.select([client, engine], [], [], 0.02)[0]:
                    data = ready.recv(min(65536, left) if ready is engine else 65536)
                    if not data:
                        self.left += ready is client
                        return
                    if ready is client:
                        engine.sendall(data)
                    else:
                        left -= len(data)
                        client.sendall(data if left else data + self.junk)


@pytest.fixture
def proxy(engine_url: str, tmp_path: Path) -> Iterator[Proxy]:
    proxy = Proxy(engine_url.removeprefix("unix://"), tmp_path / "engine.sock")
    yield proxy
    proxy.cut()


def hasty() -> Clocks:
    """A clock on which waiting takes a hundredth of the time."""
    return Clocks(steady=lambda: time.monotonic() * 100)


@pytest.mark.parametrize("tty", [False, True])
def test_connections_that_break_anywhere_lose_and_repeat_nothing(
    run: Run, source: Open, proxy: Proxy, tty: bool
) -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    proxy.length = lambda: chance.randrange(100, 60000) if proxy.connections < 12 else 1 << 60
    container = run("seq 5000; sleep 0.5; seq 5001 6000; exec sleep 1000", tty=tty)
    reader = source(container, url=proxy.url, running=True, clocks=hasty()).have(6000)
    assert reader.texts == [str(i) for i in range(1, 6001)]
    assert reader.gaps == []
    assert proxy.connections > 3


def test_a_torn_stream_is_opened_again_and_counted(run: Run, source: Open, proxy: Proxy) -> None:
    proxy.length = lambda: 3 if proxy.connections < 3 else 1 << 60
    proxy.junk = b"P/1.0 200 OK\r\n\r\n\x09 this is no frame at all"
    reader = source(ended(run("seq 10")), url=proxy.url, clocks=hasty())
    reader.all()
    assert reader.texts == [str(i) for i in range(1, 11)]
    assert reader.source.reopened == 2


def test_an_engine_that_is_away_is_waited_for(run: Run, source: Open, proxy: Proxy) -> None:
    container = run("seq 10; while [ ! -e /go ]; do sleep 0.05; done; seq 11 2000; exec sleep 1000")
    reader = source(container, url=proxy.url, running=True, fresh=True, clocks=hasty()).have(10)
    proxy.cut()
    reader.until(lambda: reader.source.problem != "")
    assert proxy.url in reader.source.problem
    assert not reader.source.finished
    container.exec_run(["sh", "-c", "echo > /go"])
    proxy.back()
    reader.have(2000)
    assert reader.texts == [str(i) for i in range(1, 2001)]
    assert (reader.gaps, reader.source.problem) == ([], "")


def test_an_engine_that_is_away_at_first(run: Run, source: Open, proxy: Proxy) -> None:
    container = ended(run("seq 10"))
    proxy.cut()
    reader = source(container, url=proxy.url, clocks=hasty())
    reader.until(lambda: reader.source.reopened > 2)
    proxy.back()
    reader.all()
    assert reader.texts == [str(i) for i in range(1, 11)]


def test_a_quiet_connection_is_asked_again_now_and_then_without_repeating(run: Run, source: Open, proxy: Proxy) -> None:
    shift = [0.0]
    container = run("seq 10; while [ ! -e /go ]; do sleep 0.05; done; echo 11; exec sleep 1000")
    clocks = Clocks(steady=lambda: time.monotonic() + shift[0])
    reader = source(container, url=proxy.url, running=True, fresh=True, clocks=clocks).have(10)

    def later() -> bool:
        shift[0] += 1.0
        return proxy.connections >= 3

    reader.until(later)
    container.exec_run(["sh", "-c", "echo > /go"])
    reader.have(11)
    assert reader.texts == [str(i) for i in range(1, 12)]


def test_a_snapshot_is_read_to_its_end_before_the_next(run: Run, source: Open, proxy: Proxy) -> None:
    """While it is open, the engine may answer the next one with other files than it has: see shipper/sources/api.py."""
    container = ended(run("seq 60000"))
    begun = source(container).have(1)
    reader = source(container, begun.source.position, url=proxy.url)
    reader.all()
    assert begun.texts + reader.texts == [str(i) for i in range(1, 60_001)]
    assert proxy.connections > 3
    assert proxy.left == 0


@pytest.mark.parametrize("url", ["ssh://host", "unix://", "tcp://", "tcp://host:99999", "nonsense"])
def test_an_engine_url_that_can_not_be_one(url: str) -> None:
    with pytest.raises(UsageError, match="engine URL"):
        ApiSource(url, "x", running=True)
