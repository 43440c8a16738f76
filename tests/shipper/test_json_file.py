"""The json-file log read in place: each entry once, in order, whatever rotation, compression, cuts and restarts do."""

import contextlib
import gzip
import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from shipper.entries import Entries, Position, from_json, to_json
from shipper.sources.json_file import JsonFileSource
from shipper.sources.logfile import close, open_all


class Engine:
    """Writes and rotates as moby's json-file driver does (daemon/logger/loggerutils/logfile.go)."""

    def __init__(self, folder: Path, max_file: int = 3, compress: bool = False) -> None:
        self.path = folder / "c-json.log"
        self.max_file, self.compress = max_file, compress
        self.written = 0
        self.path.touch()

    def write(self, lines: int = 1, text: str = "line %d\n") -> None:
        with self.path.open("ab") as file:
            for _ in range(lines):
                self.written += 1
                stamp = f"2026-11-23T00:{self.written // 60 % 60:02d}:{self.written % 60:02d}.{self.written:09d}Z"
                row = {"log": text % self.written, "stream": "stdout", "time": stamp}
                file.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")

    def rotate(self) -> None:
        if self.max_file < 2:
            self.path.write_bytes(b"")
            return
        ending = ".gz" if self.compress else ""
        self.at(self.max_file - 1, ending).unlink(missing_ok=True)
        for number in range(self.max_file - 1, 1, -1):
            if self.at(number - 1, ending).exists():
                self.at(number - 1, ending).rename(self.at(number, ending))
        self.path.rename(self.at(1))
        self.path.touch()
        if self.compress:
            self.at(1, ".gz").write_bytes(gzip.compress(self.at(1).read_bytes()))
            self.at(1).unlink()

    def at(self, number: int, ending: str = "") -> Path:
        return self.path.with_name(f"{self.path.name}.{number}{ending}")


class Reader:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.position: Position | None = None
        self.seen: list[int] = []
        self.gaps: list[str] = []
        self.open()

    def open(self) -> None:
        self.source = JsonFileSource(self.engine.path, self.position, running=True)
        self.source.look_every = 0.0

    def restart(self) -> None:
        self.source.close()
        self.position = from_json(to_json(self.position)) if self.position else None
        self.open()

    def read(self, times: int = 1000, limit: int = 2000) -> None:
        for _ in range(times):
            entries = self.source.read(limit)
            if entries is not None:
                self.take(entries)
            elif not self.source.eager:
                return

    def take(self, entries: Entries) -> None:
        if entries.gap:
            self.gaps.append(entries.gap)
        self.seen += [int(text.split()[1].removesuffix(b"\\n")) for text in entries.texts]
        self.position = entries.position(len(entries))

    def close(self) -> None:
        self.source.close()


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path)


@pytest.fixture
def reader(engine: Engine) -> Iterator[Reader]:
    reader = Reader(engine)
    yield reader
    reader.close()


def test_lines_come_as_they_are_written(engine: Engine, reader: Reader) -> None:
    for count in (1, 10, 1000):
        engine.write(count)
        reader.read()
        assert reader.seen == list(range(1, engine.written + 1))


def test_a_line_being_written_waits_for_its_end(engine: Engine, reader: Reader) -> None:
    engine.write(2)
    whole = engine.path.read_bytes()
    engine.path.write_bytes(whole[:-20])
    reader.read()
    assert reader.seen == [1]
    engine.path.write_bytes(whole)
    reader.read()
    assert reader.seen == [1, 2]


def test_a_log_that_does_not_exist_yet_is_read_once_it_does(tmp_path: Path) -> None:
    source = JsonFileSource(tmp_path / "c-json.log", None, running=True)
    assert source.read(1000) is None
    Engine(tmp_path).write(3)
    entries = source.read(1000)
    source.close()
    assert entries is not None
    assert len(entries) == 3


def test_one_rotation_between_reads_loses_nothing(engine: Engine, reader: Reader) -> None:
    engine.write(100)
    reader.read(times=1)
    engine.write(50)
    engine.rotate()
    engine.write(5)
    reader.read()
    assert reader.seen == list(range(1, 156))
    assert not reader.gaps


def test_files_removed_while_it_lags_are_read_because_they_are_held(engine: Engine, reader: Reader) -> None:
    for _ in range(8):
        engine.write(100)
        reader.read(times=1, limit=500)
        engine.rotate()
        reader.read(times=1, limit=500)
    engine.write(1)
    reader.read()
    assert reader.seen == list(range(1, engine.written + 1))
    assert not reader.gaps


def test_files_removed_unseen_are_a_gap(engine: Engine, reader: Reader) -> None:
    engine.write(10)
    reader.read()
    for _ in range(5):
        engine.rotate()
        engine.write(10)
    reader.read()
    assert reader.gaps == ["rotated"]
    assert reader.seen == [*range(1, 11), *range(31, 61)]


@pytest.mark.parametrize("compress", [False, True])
def test_a_restart_goes_on_in_the_file_where_it_stopped(tmp_path: Path, compress: bool) -> None:
    engine = Engine(tmp_path, max_file=5, compress=compress)
    reader = Reader(engine)
    engine.write(100)
    reader.read(times=1, limit=500)
    for _ in range(3):
        engine.rotate()
        engine.write(20)
    reader.restart()
    reader.read()
    reader.close()
    assert reader.seen == list(range(1, 161))
    assert not reader.gaps


def test_a_file_rotated_away_during_a_restart_is_a_gap(engine: Engine, reader: Reader) -> None:
    engine.write(10)
    reader.read()
    for _ in range(4):
        engine.rotate()
        engine.write(10)
    reader.restart()
    reader.read()
    assert reader.gaps == ["rotated"]
    assert reader.seen == [*range(1, 11), *range(21, 51)]


def test_a_log_cut_in_place_is_read_from_its_start(tmp_path: Path) -> None:
    engine = Engine(tmp_path, max_file=1)
    reader = Reader(engine)
    engine.write(10)
    reader.read()
    engine.rotate()
    engine.write(3)
    reader.read()
    engine.rotate()
    engine.write(30)  # longer than what was read of it before
    reader.read()
    reader.close()
    assert reader.gaps == ["truncated", "truncated"]
    assert reader.seen == list(range(1, 44))


def test_a_position_without_place_is_found_by_its_stamp(engine: Engine, reader: Reader) -> None:
    engine.write(100)
    engine.rotate()
    engine.write(50)
    reader.read()
    assert reader.position is not None
    reader.position = from_json({**to_json(reader.position), "place": None})
    engine.write(7)
    reader.restart()
    reader.read()
    assert reader.seen == list(range(1, 158))
    assert not reader.gaps


def test_it_is_finished_only_when_stopped_and_read(engine: Engine, reader: Reader) -> None:
    engine.write(3)
    assert not reader.source.finished
    reader.source.stopped()
    assert not reader.source.finished
    reader.read()
    assert reader.source.finished
    reader.source.started()
    assert not reader.source.finished


def test_a_removed_log_is_read_to_its_end(engine: Engine, reader: Reader) -> None:
    engine.write(100)
    reader.read(times=1, limit=500)
    engine.path.unlink()
    reader.source.stopped()
    reader.read()
    assert reader.seen == list(range(1, 101))
    assert reader.source.finished


def test_rewinding_reads_what_it_holds_and_what_is_there_without_a_gap(engine: Engine, reader: Reader) -> None:
    for _ in range(8):  # the first files are held alone by now, the next ones are there as well
        engine.write(100)
        reader.read(times=1, limit=500)
        engine.rotate()
        reader.read(times=1, limit=500)
    assert len(reader.source._files) > engine.max_file
    before = len(reader.seen)
    assert reader.source.rewind()
    engine.write(1)
    reader.read()
    again = reader.seen[before:]
    assert again == list(range(again[0], engine.written + 1))
    assert again[0] == 1
    assert not reader.gaps


def test_rewinding_after_all_was_read_begins_with_the_oldest_file_there_is(engine: Engine, reader: Reader) -> None:
    for _ in range(4):
        engine.write(10)
        reader.read()
        engine.rotate()
    engine.write(10)
    reader.read()
    reader.seen.clear()
    reader.source.rewind()
    reader.read()
    assert reader.seen == list(range(21, 51))
    assert not reader.gaps


def test_rewinding_over_rotations_that_nobody_saw_tells_of_the_gap(engine: Engine, reader: Reader) -> None:
    engine.write(10)
    reader.read()
    for _ in range(5):
        engine.rotate()
        engine.write(10)
    reader.seen.clear()
    reader.source.rewind()
    reader.read()
    assert reader.seen == [*range(1, 11), *range(31, 61)]
    assert reader.gaps == ["rotated"]


def test_rewinding_reads_a_removed_log_again_while_it_is_held(engine: Engine, reader: Reader) -> None:
    engine.write(100)
    reader.read(times=1, limit=500)
    engine.path.unlink()
    reader.source.stopped()
    reader.seen.clear()
    reader.source.rewind()
    reader.read()
    assert reader.seen == list(range(1, 101))
    assert reader.source.finished


@pytest.mark.parametrize("seed", range(60))
def test_random_writes_rotations_and_restarts(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    engine = Engine(tmp_path, max_file=chance.choice([2, 3, 5]), compress=chance.random() < 0.5)
    reader = Reader(engine)
    unread_rotations = 0
    for _ in range(120):
        act = chance.random()
        if act < 0.5:
            engine.write(chance.randint(1, 40))
        elif act < 0.7 and unread_rotations < engine.max_file - 1:
            engine.write()  # an empty file is never rotated
            engine.rotate()
            unread_rotations += 1
        elif act < 0.93:
            reader.read(times=chance.randint(1, 4), limit=chance.randint(300, 3000))
            unread_rotations = unread_rotations if act < 0.75 else 0
            reader.read() if unread_rotations == 0 else None
        else:
            reader.read()
            reader.restart()
            unread_rotations = 0
    reader.read()
    reader.close()
    assert reader.seen == list(range(1, engine.written + 1))
    assert not reader.gaps


def test_files_that_are_renamed_while_they_are_opened_leave_no_hole(tmp_path: Path) -> None:
    """A rotation in the middle of opening gives a name to another file; the files must still follow on one another."""
    path, most, done = tmp_path / "x-json.log", 40, threading.Event()
    path.write_text("0\n")

    def rotate() -> None:
        for number in range(1, 500):
            for age in range(most, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{path}.{age - 1}" if age > 1 else path).rename(f"{path}.{age}")
            path.write_text(f"{number}\n")
            time.sleep(0.001)
        done.set()

    with ThreadPoolExecutor(1) as pool:
        rotating = pool.submit(rotate)
        looked = 0
        while not done.is_set():
            files = open_all(path)
            numbers = [int(file.read(10, 0)) for file in files if file.size()]
            close(files)
            looked += len(numbers) > 1
            assert [pair for pair in pairwise(numbers) if pair[1] != pair[0] + 1] == []
        rotating.result()
    assert looked > 10
