"""What ends the shipper's wait, with real inotify and real sockets; and a system that has no inotify to give."""

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shipper.inotify import Inotify
from shipper.sources.json_file import JsonFileSource
from shipper.wake import BEAT, Wake

DEADLINE = 30.0
LATE = 3600.0
ENTRY = b'{"log":"hello\\n","stream":"stdout","time":"2026-11-23T00:00:00.000000001Z"}\n'


@pytest.fixture
def wake() -> Iterator[Wake[str]]:
    wake: Wake[str] = Wake()
    yield wake
    wake.close()


def told(wake: Wake[str]) -> list[str] | None:
    """What is told within two beats and a little; [] where that is nothing."""
    end = time.monotonic() + 3 * BEAT
    while (now := time.monotonic()) < end:
        wake.wait(end - now)
        found = wake.stirred(time.monotonic())
        if found != []:
            return found
    return []


def wait_for(wake: Wake[str], what: list[str]) -> None:
    """Wait until just this was told, however late."""
    end, found = time.monotonic() + DEADLINE, set[str]()
    while found != set(what):
        assert time.monotonic() < end, found
        wake.wait(1.0)
        found |= set(wake.stirred(time.monotonic()) or [])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "c-json.log"
    path.write_bytes(ENTRY)
    return path


def append(path: Path, data: bytes = ENTRY) -> None:
    with path.open("ab") as file:
        file.write(data)


@pytest.fixture
def source(path: Path) -> Iterator[JsonFileSource]:
    source = JsonFileSource(path, None, running=True)
    while source.read(1 << 16) is not None:
        pass
    yield source
    source.close()


def test_another_thread_ends_the_wait(wake: Wake[str]) -> None:
    thread = threading.Thread(target=wake.set)
    thread.start()
    wake.wait(LATE)
    thread.join()


def test_a_call_from_before_the_wait_is_not_lost_and_counts_once(wake: Wake[str]) -> None:
    wake.set()
    wake.set()
    wake.wait(LATE)
    began = time.monotonic()
    wake.wait(0.05)
    assert time.monotonic() - began >= 0.04
    wake.set()
    wake.wait(LATE)


def test_a_line_is_told_once_until_it_is_armed_again(wake: Wake[str], source: JsonFileSource, path: Path) -> None:
    assert source.rest(wake, "a")
    assert told(wake) == []
    append(path)
    wait_for(wake, ["a"])
    append(path)
    assert told(wake) == []
    assert source.read(1 << 16) is not None
    assert source.rest(wake, "a")
    append(path)
    wait_for(wake, ["a"])


def test_what_was_written_before_it_is_armed_lets_nobody_rest(
    wake: Wake[str], source: JsonFileSource, path: Path
) -> None:
    append(path)
    assert not source.rest(wake, "a")


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.rename(path.with_suffix(".log.1")),
        lambda path: path.unlink(),
        lambda path: os.truncate(path, 0),
    ],
    ids=["renamed", "removed", "cut"],
)
def test_rotation_removal_and_cutting_are_told(
    wake: Wake[str], source: JsonFileSource, path: Path, change: Callable[[Path], Any]
) -> None:
    assert source.rest(wake, "a")
    change(path)
    wait_for(wake, ["a"])
    if not path.exists():
        assert not source.rest(wake, "a"), "its next file is not there yet, and nobody would tell of it"


def test_many_in_one_beat_are_told_together(wake: Wake[str], tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}-json.log" for number in range(50)]
    for path in paths:
        path.touch()
    sources = [JsonFileSource(path, None, running=True) for path in paths]
    for number, source in enumerate(sources):
        assert source.rest(wake, str(number))
    for path in paths:
        append(path)
    wait_for(wake, [str(number) for number in range(50)])
    for source in sources:
        source.close()


def test_who_is_forgotten_is_not_told_of(wake: Wake[str], source: JsonFileSource, path: Path) -> None:
    assert source.rest(wake, "a")
    wake.forget("a")
    append(path)
    assert told(wake) == []


def test_a_socket_is_told_once_until_it_is_armed_again(wake: Wake[str]) -> None:
    near, far = socket.socketpair()
    with near, far:
        assert wake.socket(near.fileno(), "s")
        far.send(b"x")
        wait_for(wake, ["s"])
        assert told(wake) == []
        assert wake.socket(near.fileno(), "s")
        wait_for(wake, ["s"])  # what is still there is told at once
        wake.socket(near.fileno(), "s")
        near.recv(10)
        far.close()
        wait_for(wake, ["s"])


def test_a_socket_that_takes_the_number_of_a_closed_one(wake: Wake[str]) -> None:
    first, far = socket.socketpair()
    wake.socket(first.fileno(), "old")
    number = first.fileno()
    first.close()
    far.close()
    near, far = socket.socketpair()
    with near, far:
        assert near.fileno() == number, "the lowest free one"
        wake.forget("old")
        wake.socket(number, "new")
        far.send(b"x")
        wait_for(wake, ["new"])


def test_after_an_overflow_all_have_to_be_looked_at(wake: Wake[str], tmp_path: Path) -> None:
    """Each change takes two places: that it happened, and that the watch is over."""
    room = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    path = tmp_path / "x"
    for number in range(room // 2 + 2):
        path.write_bytes(b"")
        fd = os.open(path, os.O_RDWR)
        assert wake.file(fd, str(number))
        path.unlink()
        os.close(fd)
    wake.wait(DEADLINE)
    time.sleep(BEAT)
    assert wake.stirred(time.monotonic()) is None


class Refused(Inotify):
    """What a system answers whose watches are used up (fs.inotify.max_user_watches)."""

    def watch(self, path: str | Path, mask: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


class Foreign(Inotify):
    """A log on NFS: others write to it, and this kernel does not know."""

    def tells(self, fd: int) -> bool:
        return False


def none_left() -> Inotify:
    raise OSError(errno.EMFILE, "Too many open files")


@pytest.mark.parametrize("notify", [Refused, Foreign, none_left], ids=["watches", "nfs", "instances"])
def test_where_the_system_cannot_tell_logs_are_looked_at_and_calls_still_wake(
    notify: Callable[[], Inotify], source: JsonFileSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    wake: Wake[str] = Wake(notify)
    assert not source.rest(wake, "a")
    assert not source.rest(wake, "a")
    wake.set()
    wake.wait(LATE)
    assert wake.stirred(time.monotonic()) == []
    wake.forget("a")
    wake.close()
    assert len(caplog.records) == (0 if notify is Foreign else 1)


def test_a_file_system_that_is_not_local_is_not_trusted(path: Path) -> None:
    changes = Inotify()
    with path.open("rb") as file, Path("/proc/self/status").open("rb") as foreign:
        assert changes.tells(file.fileno())
        assert not changes.tells(foreign.fileno())
    changes.close()
