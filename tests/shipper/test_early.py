"""Logs held before their containers' start is told: whatever is removed meanwhile can still be read."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from shipper.early import EarlyLogs
from shipper.sources.json_file import JsonFileSource

DEADLINE = 60.0
ENTRY = b'{"log":"hello\\n","stream":"stdout","time":"2026-11-23T00:00:00.000000001Z"}\n'


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + DEADLINE
    while not (result := condition()):
        assert time.monotonic() < end
        time.sleep(0.005)
    return result


class Engine:
    """Makes folders and logs as the engine does: the folder at `create`, the log at `start`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, letter: str) -> str:
        container_id = letter * 64
        (self.folder / container_id).mkdir()
        (self.folder / container_id / "config.v2.json").write_text("{}")
        return container_id

    def start(self, container_id: str) -> Path:
        path = self.folder / container_id / f"{container_id}-json.log"
        path.write_bytes(ENTRY)
        return path

    def remove(self, container_id: str) -> None:
        shutil.rmtree(self.folder / container_id)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


@pytest.fixture
def early() -> Iterator[EarlyLogs]:
    early = EarlyLogs()
    yield early
    early.close()


def opened(path: Path) -> bool:
    """Whether this process holds the file open, removed or not."""
    found = False
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found = found or str(link.readlink()).startswith(str(path))
    return found


def read_all(source: JsonFileSource) -> list[bytes]:
    found: list[bytes] = []
    while (entries := source.read(1 << 16)) is not None:
        found += entries.texts
    return found


def test_a_log_is_held_before_anybody_asks_and_outlives_its_container(engine: Engine, early: EarlyLogs) -> None:
    early.look_in(engine.folder)
    container = engine.create("a")
    path = engine.start(container)
    until(lambda: opened(path))
    engine.remove(container)
    source = JsonFileSource(path, None, running=True, held=early.take(container))
    source.stopped()
    assert [text[:5] for text in read_all(source)] == [b"hello"]
    assert source.finished
    source.close()
    assert not opened(path)


def test_a_container_that_was_created_before_we_came_and_started_after(engine: Engine, early: EarlyLogs) -> None:
    container, told, ran = engine.create("a"), engine.create("b"), engine.create("c")
    engine.start(ran)
    early.look_in(engine.folder)
    early.look_in(engine.folder)
    path = engine.start(container)
    until(lambda: opened(path))
    assert early.take(told) is None, "never started"
    assert early.take(ran) is None, "its log is no news: it is opened in its turn"


def test_what_nobody_asks_for_is_let_go(engine: Engine) -> None:
    now = [100.0]
    early = EarlyLogs(hold=0.2, clock=lambda: now[0])
    early.look_in(engine.folder)
    paths = [engine.start(engine.create(letter)) for letter in "abc"]
    until(lambda: all(opened(path) for path in paths))
    now[0] += 0.3
    until(lambda: not any(opened(path) for path in paths))
    assert early.take("a" * 64) is None
    early.close()


def test_a_log_is_given_once(engine: Engine, early: EarlyLogs) -> None:
    early.look_in(engine.folder)
    container = engine.create("a")
    engine.start(container)
    file = until(lambda: early.take(container))
    assert early.take(container) is None
    file.close()


def test_hundreds_at_once(engine: Engine, early: EarlyLogs) -> None:
    """More events than one read brings."""
    early.look_in(engine.folder)
    containers = [f"{number:064x}" for number in range(500)]
    for container in containers:
        (engine.folder / container).mkdir()
    for container in containers:
        engine.start(container)
    for container in containers:
        until(lambda name=container: early.take(name)).close()
    assert not early._waiting


def test_folders_that_come_and_go_and_names_that_are_no_containers(engine: Engine, early: EarlyLogs) -> None:
    early.look_in(engine.folder)
    (engine.folder / "lost+found").mkdir()
    (engine.folder / "x-json.log").touch()
    for letter in "abc":
        engine.remove(engine.create(letter))
    path = engine.start(engine.create("d"))
    until(lambda: opened(path))
    until(lambda: not early._waiting)


def test_events_that_the_kernel_had_no_room_for_are_made_good(engine: Engine, early: EarlyLogs) -> None:
    """A container that is created while events are lost is found by the look that follows."""
    from shipper.inotify import OVERFLOW, Event, Inotify

    container = engine.create("a")
    changes = Inotify()
    early._happened(changes, engine.folder, Event(-1, OVERFLOW, ""))
    engine.start(container)
    for event in changes.events():
        early._happened(changes, engine.folder, event)
    file = early.take(container)
    assert file is not None
    file.close()
    changes.close()


def test_an_engine_whose_folder_cannot_be_seen(tmp_path: Path, early: EarlyLogs) -> None:
    early.look_in(tmp_path / "none")
    assert early.take("a" * 64) is None
    (tmp_path / "none").mkdir()
    early.look_in(tmp_path / "none")  # as after a reconnect
    engine = Engine(tmp_path / "none")
    path = engine.start(engine.create("a"))
    until(lambda: opened(path))


def test_a_held_log_whose_later_files_alone_are_left_is_read_first(engine: Engine, early: EarlyLogs) -> None:
    early.look_in(engine.folder)
    container = engine.create("a")
    path = engine.start(container)
    until(lambda: opened(path))
    path.unlink()
    path.write_bytes(ENTRY.replace(b"hello", b"later").replace(b"01Z", b"02Z"))
    source = JsonFileSource(path, None, running=True, held=early.take(container))
    first, second = source.read(1 << 16), source.read(1 << 16)
    assert first is not None
    assert second is not None
    assert [first.texts[0][:5], second.texts[0][:5], second.gap] == [b"hello", b"later", "rotated"]
    source.close()
