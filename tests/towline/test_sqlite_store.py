"""What only the embedded store promises: files that break, disks that fill, processes that die, retention."""

import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from towline.batch import Batch, Origin, Section
from towline.errors import StoreUnavailable, UsageError
from towline.query import Query, parse
from towline.stores import Retention
from towline.stores.sqlite import SqliteStore
from towline.times import format_time

ROOT = Path(__file__).parents[2]
START = 1_790_000_000_000_000_000


def lines(first: int, count: int, name: str = "web", text: str = "line {}") -> Batch:
    origin = Origin(
        {"container": {"id": name.ljust(64, "0"), "name": name}, "host": {"name": "n"}, "service": {"name": name}}
    )
    stamps = [format_time(START + number * 10**6) for number in range(first, first + count)]
    docs = "".join(
        f'{{"create":{{"_id":"{name}-{number}"}}}}\n{{"@timestamp":"{stamp}","message":"{text.format(number)}",'
        f'"stream":"stdout","event":{{"sequence":{number}}}\x1e}}\n'
        for number, stamp in enumerate(stamps, first)
    )
    return Batch([Section(origin, docs.encode(), count, stamps[0], stamps[-1])])


def numbers(store: SqliteStore, **asked: object) -> list[int]:
    query = Query(limit=0, order="asc", **asked)  # type: ignore[arg-type]
    return [document["event"]["sequence"] for document in store.search(query)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(folder)
    yield opened
    opened.close()


def filled(folder: Path, count: int = 2000) -> None:
    opened = SqliteStore(folder)
    opened.write([lines(0, count)])
    opened.close()


def ours(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What stores have said; other tests' threads may still say something."""
    return [record for record in caplog.records if record.name.startswith("towline.stores")]


def aside(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if ".corrupt-" in file.name)


def test_a_second_writer_is_told_to_stop_the_first(folder: Path, store: SqliteStore) -> None:
    with pytest.raises(StoreUnavailable, match="another process writes to it; stop that one"):
        SqliteStore(folder)
    SqliteStore(folder, read_only=True).close()


def test_the_folder_is_free_again_after_close(folder: Path) -> None:
    filled(folder)
    filled(folder)


def test_reading_what_is_not_there_names_the_fix(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"no such folder; start `towline up` first, or give --data or --store"):
        SqliteStore(folder, read_only=True)
    assert not folder.exists()


def test_a_file_in_place_of_the_folder_is_named(folder: Path) -> None:
    folder.write_text("here")
    with pytest.raises(UsageError, match="there is a file in its place"):
        SqliteStore(folder)


def test_a_reader_does_not_write(folder: Path) -> None:
    filled(folder)
    reader = SqliteStore(folder, read_only=True)
    with pytest.raises(UsageError, match="for reading only"):
        reader.write([lines(0, 1)])
    with pytest.raises(StoreUnavailable, match="for reading only"):
        reader.check()
    reader.close()


BREAKAGES = {
    "empty": lambda data: b"",
    "cut short": lambda data: data[: len(data) // 2],
    "cut to a header": lambda data: data[:50],
    "another program's text": lambda data: b"hello, I am a text file\n" * 1000,
    "zeros": lambda data: bytes(len(data)),
    "first page scribbled": lambda data: data[:100] + b"\xa5" * 8092 + data[8192:],
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_broken_file_is_moved_aside_at_the_start(folder: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    filled(folder)
    file = folder / "000001.db"
    broken = BREAKAGES[name](file.read_bytes())
    file.write_bytes(broken)
    with caplog.at_level(logging.WARNING):
        store = SqliteStore(folder)
    assert [record.levelname for record in ours(caplog)] == ["WARNING"]
    assert f"store file {file} can't be read" in caplog.text
    assert "moved aside to 000001.db.corrupt-" in caplog.text
    (kept,) = aside(folder)
    assert (folder / kept).read_bytes() == broken
    store.write([lines(0, 10)])
    assert numbers(store) == list(range(10))
    store.close()


def test_another_programs_database_is_moved_aside(folder: Path) -> None:
    folder.mkdir()
    connection = sqlite3.connect(folder / "000003.db")
    connection.execute("CREATE TABLE theirs(a)")
    connection.close()
    store = SqliteStore(folder)
    store.write([lines(0, 3)])
    assert numbers(store) == [0, 1, 2]
    assert len(aside(folder)) == 1
    store.close()


def _newest(folder: Path, read_only: bool) -> None:
    store = SqliteStore(folder, read_only=read_only)
    next(store.search(Query()))


def test_a_newer_format_is_refused_and_left_in_place(folder: Path) -> None:
    filled(folder)
    connection = sqlite3.connect(folder / "000001.db")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    for read_only in (False, True):
        with pytest.raises(StoreUnavailable, match=r"written by a newer Towline .*upgrade"):
            _newest(folder, read_only)
    assert aside(folder) == []


def _scribble(file: Path, at: float) -> None:
    """Break pages in the middle without SQLite noticing: same inode, same size."""
    with file.open("r+b") as opened:
        opened.seek(int(file.stat().st_size * at) // 8192 * 8192)
        opened.write(os.urandom(8192 * 40))


def test_damage_met_while_reading_costs_that_file_only(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SqliteStore(folder, retention=Retention(size=1 << 20))
    first = 0
    while len(list(folder.glob("*.db"))) < 2:
        store.write([lines(first, 2000)])
        first += 2000
    store.close()
    with (folder / "000001.db").open("r+b") as opened:
        opened.seek(8192 * 3)
        opened.write(b"\xa5" * (opened.seek(0, 2) - 8192 * 3))
        opened.seek(8192 * 3)
        opened.write(b"\xa5" * 8192 * 20)
    store = SqliteStore(folder)
    store.write([lines(first, 10)])
    with caplog.at_level(logging.WARNING):
        got = numbers(store, where=parse("line"))
    assert got[-10:] == list(range(first, first + 10))
    assert aside(folder)
    store.check()
    store.close()


def test_damage_of_the_active_file_met_while_writing_starts_a_new_one(folder: Path) -> None:
    filled(folder, 20000)
    _scribble(folder / "000001.db", 0.02)
    _scribble(folder / "000001.db", 0.3)
    _scribble(folder / "000001.db", 0.6)
    store = SqliteStore(folder)
    for first in range(0, 40000, 2000):
        store.write([lines(first, 2000, "fresh")])
    assert numbers(store, service=("fresh",))[-2000:] == list(range(38000, 40000))
    store.check()
    store.close()


def test_a_reader_leaves_a_broken_file_and_says_so_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(folder)
    (folder / "000000.db").write_bytes(b"rubbish" * 1000)
    reader = SqliteStore(folder, read_only=True)
    with caplog.at_level(logging.WARNING):
        assert len(numbers(reader)) == 2000
        assert len(numbers(reader)) == 2000
    assert len(ours(caplog)) == 1
    assert "left out of this search" in caplog.text
    assert (folder / "000000.db").exists()
    reader.close()


def test_a_folder_removed_under_the_writer_is_made_again(folder: Path, store: SqliteStore) -> None:
    store.write([lines(0, 5)])
    for file in folder.iterdir():
        file.unlink()
    store.write([lines(5, 5)])
    assert numbers(store) == [5, 6, 7, 8, 9]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_is_said_and_survived(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    store = SqliteStore(small_disk / "store")
    written, said = 0, ""
    while not said and written < 400_000:
        try:
            store.write([lines(written, 2000, text="line {} of a disk that fills " + os.urandom(16).hex())])
            written += 2000
        except StoreUnavailable as error:
            said = str(error)
    assert "the disk is full; make room there, or keep less with --keep-size" in said
    assert 0 < written < 400_000
    assert len(numbers(store)) == written
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            store.write([lines(written, 2000)])
    ballast.unlink(missing_ok=True)
    subprocess.run(["mount", "-o", "remount,size=40m", small_disk], check=True)
    (verdict,) = store.write([lines(written - 1000, 2000)])
    assert (list(verdict.stored), list(verdict.duplicate)) == ([1000], [1000])
    store.check()
    assert numbers(store) == list(range(written + 1000))
    store.close()


def test_a_disk_full_from_the_start_is_said(small_disk: Path) -> None:
    (small_disk / "store").mkdir()
    with pytest.raises(OSError, match="No space"):
        (small_disk / "ballast").write_bytes(bytes(8 << 20))
    store = SqliteStore(small_disk / "store")
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        store.write([lines(0, 10)])
    with pytest.raises(StoreUnavailable, match="the disk is full"):
        store.check()
    (small_disk / "ballast").unlink()
    store.check()
    store.write([lines(0, 10)])
    assert numbers(store) == list(range(10))
    assert not list((small_disk / "store").glob("*.new*"))
    store.close()


WRITER = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
from pathlib import Path
import test_sqlite_store as t
store = t.SqliteStore(Path({folder!r}))
first = int(sys.argv[1])
while True:
    store.write([t.lines(first, 500), t.lines(first, 500, "db")])
    first += 500
    print(first, flush=True)
"""


def test_kill_at_any_moment_loses_no_acknowledged_line_and_doubles_none(folder: Path) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chooser = random.Random(seed)
    program = WRITER.format(root=str(ROOT), tests=str(Path(__file__).parent), folder=str(folder))
    acknowledged = 0
    for _ in range(8):
        again = max(0, acknowledged - 700)
        with subprocess.Popen(
            [sys.executable, "-c", program, str(again)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(chooser.randrange(1, 12)):
                acknowledged = max(acknowledged, int(process.stdout.readline()))
            deadline = time.monotonic() + chooser.random() * 0.02
            while time.monotonic() < deadline:
                pass
            process.send_signal(signal.SIGKILL)
            acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
    store = SqliteStore(folder)
    for name in ("web", "db"):
        got = numbers(store, service=(name,))
        assert got == list(range(len(got)))
        assert len(got) >= acknowledged
    assert len(numbers(store, where=parse("line"))) == sum(store.totals().values())
    assert aside(folder) == []
    store.close()


def test_retention_by_size_runs_beside_writing_and_reading(folder: Path) -> None:
    limit = 4 << 20
    store = SqliteStore(folder, retention=Retention(size=limit))
    stop = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        while not stop.is_set():
            try:
                got = numbers(store, where=parse("line"))
                assert got == sorted(set(got))
            except BaseException as error:
                failures.append(error)
                return

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for first in range(0, 120_000, 2000):
        store.write([lines(first, 2000)])
        store.maintain()
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    got = numbers(store)
    assert got == list(range(got[0], 120_000))
    assert got[0] > 0
    assert len(got) > 10_000
    assert sum(file.stat().st_size for file in folder.iterdir()) <= limit + (1 << 20)
    store.close()


def test_retention_by_age_forgets_old_arrivals_only(folder: Path) -> None:
    now = [1_790_000_000.0]
    store = SqliteStore(folder, retention=Retention(age=20 * 3600), clock=lambda: now[0])
    for hour in range(60):
        store.write([lines(hour * 10, 10)])
        store.maintain()
        now[0] += 3601
    got = numbers(store)
    assert got[-1] == 599
    assert 20 * 10 <= len(got) <= 23 * 10
    store.close()


def test_a_search_under_way_survives_the_removal_of_its_file(folder: Path) -> None:
    store = SqliteStore(folder, retention=Retention(size=1))
    for first in range(0, 30_000, 3000):
        store.write([lines(first, 3000)])
    hits = store.search(Query(limit=0))
    next(hits)
    store.maintain()
    rest = [document["event"]["sequence"] for document in hits]
    assert rest == sorted(rest, reverse=True)
    store.close()


def test_repeats_are_known_across_partitions(folder: Path) -> None:
    store = SqliteStore(folder, retention=Retention(size=1 << 20))
    first = 0
    while len(list(folder.glob("*.db"))) < 4:
        store.write([lines(first, 2000)])
        first += 2000
    for again in range(0, first, 2000):
        (verdict,) = store.write([lines(again, 2000)])
        assert list(verdict.duplicate) == [2000]
    store.close()
    store = SqliteStore(folder)
    (verdict,) = store.write([lines(0, first + 5)])
    assert (list(verdict.stored), list(verdict.duplicate)) == ([5], [first])
    assert numbers(store) == list(range(first + 5))
    store.close()


READER = """
import sys
sys.path[:0] = [{root!r}]
from pathlib import Path
from towline.query import Query
from towline.stores.sqlite import SqliteStore
import os
if os.geteuid() == 0: os.setgid(65534); os.setuid(65534)
store = SqliteStore(Path({folder!r}), read_only=True)
print(sum(1 for _ in store.search(Query(limit=0))))
store.close()
"""


def _read_elsewhere(folder: Path) -> int:
    program = READER.format(root=str(ROOT), folder=str(folder))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def _open_to_all(folder: Path) -> None:
    for parent in folder.parents:
        if parent.stat().st_mode & 0o777 == 0o700:  # as pytest makes its folders
            parent.chmod(0o755)
    for file in folder.iterdir():
        file.chmod(0o444 if file.name != "lock" else 0o644)
    folder.chmod(0o555)


def test_another_user_reads_a_folder_that_it_can_not_write(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    store = SqliteStore(folder)
    store.write([lines(0, 1500)])
    _open_to_all(folder)
    while_running = _read_elsewhere(folder)
    folder.chmod(0o755)
    store.close()
    _open_to_all(folder)
    assert (while_running, _read_elsewhere(folder)) == (1500, 1500)


def test_small_batches_of_one_container_share_blocks(folder: Path, store: SqliteStore) -> None:
    store.write([lines(number, 1) for number in range(200)])
    connection = sqlite3.connect(folder / "000001.db")
    assert connection.execute("SELECT count(*), sum(count) FROM blocks").fetchone() == (1, 200)
    connection.close()


def test_many_lines_of_one_instant_keep_their_order(store: SqliteStore) -> None:
    batch = lines(0, 5000)
    (section,) = batch.sections
    stamp = section.first.encode()
    same = b"\n".join(b'{"@timestamp":"' + stamp + row[45:] if row.startswith(b'{"@t') else row
                      for row in section.docs.split(b"\n"))  # fmt: skip
    store.write([Batch([Section(section.origin, same, 5000, section.first, section.first)])])
    assert numbers(store) == list(range(5000))
    assert numbers(store, where=parse("line")) == list(range(5000))


def test_a_write_of_many_containers_is_one_segment_of_the_word_index(folder: Path, store: SqliteStore) -> None:
    store.write([lines(number, 1, name=f"web{number}") for number in range(50)])
    index = sqlite3.connect(folder / "000001.db")
    assert index.execute("SELECT count(DISTINCT segid) FROM words_idx").fetchone() == (1,)
    index.close()
    assert numbers(store, where=parse("line")) == list(range(50))
    assert numbers(store, where=parse("line 17"), service=("web17",)) == [17]


def test_a_write_that_takes_several_statements_is_found_whole(store: SqliteStore) -> None:
    large = "word {} " + 300_000 * "x"
    store.write([lines(0, 5000, name="one"), lines(0, 5000, name="two", text="word {}"),
                 lines(5000, 20, name="three", text=large)])  # fmt: skip
    assert numbers(store, service=("one",), where=parse("line")) == list(range(5000))
    assert numbers(store, service=("two",), where=parse("word 4321")) == [4321]
    assert numbers(store, where=parse("word -line"), service=("three",)) == list(range(5000, 5020))
