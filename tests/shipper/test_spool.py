import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper import spool as spool_module
from shipper.segment import pack
from shipper.spool import Spool, Token
from towline.batch import Batch, Origin, Section
from towline.errors import TowlineError, UsageError

NOISE = random.Random(7)


def batch(number: int, service: str = "web", lines: int = 2, size: int = 200) -> Batch:
    origin = Origin({"container": {"id": "c", "name": "c"}, "host": {"name": "n"}, "service": {"name": service}})
    docs = b"".join(b'{"create":{}}\n%d %s\n' % (number, NOISE.randbytes(size).hex().encode()) for _ in range(lines))
    stamp = "2026-11-23T00:00:00.000000000Z"
    return Batch([Section(origin, docs, lines, stamp, stamp)], node="n")


def number_of(found: Batch) -> int:
    return int(found.sections[0].docs.split(b"\n")[1].split()[0])


def drain(spool: Spool) -> list[tuple[Token, int]]:
    found = []
    while head := spool.head():
        found.append((head[0], number_of(head[1])))
    return found


def numbers(spool: Spool) -> list[int]:
    return [number for _, number in drain(spool)]


def filled(folder: Path, count: int, max_bytes: int = 1 << 20) -> Path:
    """A spool folder with batches 0 … count-1 of an earlier process; answers its first file."""
    spool = Spool(folder, max_bytes)
    for i in range(count):
        assert spool.append(batch(i))
    assert spool.sync()
    spool.close()
    return sorted(folder.glob("*.spool"))[0]


def records(content: bytes) -> list[int]:
    """Where each record starts, and the end."""
    starts = [0]
    while (at := content.find(b"\x93towline", starts[-1] + 1)) > 0:
        starts.append(at)
    return [*starts, len(content)]


def aside(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.corrupt-*"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    spool = Spool(folder, 1 << 20)
    yield spool
    spool.close()


def test_batches_come_back_whole_in_order_and_leave_nothing_behind(spool: Spool) -> None:
    first, second = batch(0, "web", 3), batch(1, "db", 2)
    assert spool.append(first)
    assert spool.append(second)
    assert spool.sync()
    assert spool.lines() == {"web": 3, "db": 2}
    one, two = spool.head(), spool.head()
    assert one is not None
    assert two is not None
    assert one[1].sections[0] == first.sections[0]
    assert spool.head() is None
    spool.forget(two[0])
    assert spool.lines() == {"web": 3}
    spool.forget(two[0])
    spool.forget(one[0])
    assert (spool.lines(), spool.bytes) == ({}, 0)
    assert not list(spool.directory.glob("*.spool"))


def test_an_emptied_spool_takes_batches_again(spool: Spool) -> None:
    for i in range(5):
        assert spool.append(batch(i))
        assert spool.sync()
        ((token, number),) = drain(spool)
        assert number == i
        spool.forget(token)
    assert spool.bytes == 0


def test_a_full_spool_refuses_and_keeps_the_oldest(folder: Path) -> None:
    spool = Spool(folder, 40_000)
    taken = 0
    while spool.append(batch(taken)):
        taken += 1
        assert spool.bytes <= 40_000
    assert taken > 20
    on_disk = sum(path.stat().st_size for path in folder.glob("*.spool"))
    assert on_disk == spool.bytes
    found = drain(spool)
    assert [number for _, number in found] == list(range(taken))
    for token, _ in found[: taken // 2]:
        spool.forget(token)
    assert spool.append(batch(taken))
    spool.close()


def test_a_batch_beyond_the_bound_is_refused(folder: Path) -> None:
    spool = Spool(folder, 1000)
    assert not spool.append(batch(0, size=5000))
    assert spool.bytes == 0
    spool.close()


def test_a_spool_of_zero_bytes_only_drains(folder: Path) -> None:
    filled(folder, 3)
    spool = Spool(folder, 0)
    assert not spool.append(batch(3))
    assert numbers(spool) == [0, 1, 2]
    spool.close()


def test_what_was_not_forgotten_is_there_after_a_restart(folder: Path) -> None:
    filled(folder, 300, max_bytes=1_000_000)
    assert len(list(folder.glob("*.spool"))) > 1
    spool = Spool(folder, 1 << 20)
    assert spool.lines() == {"web": 600}
    assert numbers(spool) == list(range(300))
    spool.close()


def test_a_restart_goes_on_after_what_was_forgotten_in_order(folder: Path) -> None:
    filled(folder, 10)
    spool = Spool(folder, 1 << 20)
    found = drain(spool)
    for i in [0, 2, 1, 5]:
        spool.forget(found[i][0])
    spool.close()
    again = Spool(folder, 1 << 20)
    assert again.lines() == {"web": 14}
    assert numbers(again) == [3, 4, 5, 6, 7, 8, 9]
    again.close()


def test_rewind_hands_out_again_all_that_was_not_forgotten(spool: Spool) -> None:
    for i in range(6):
        spool.append(batch(i))
    found = drain(spool)
    spool.forget(found[1][0])
    spool.forget(found[4][0])
    spool.append(batch(6))
    spool.rewind()
    spool.forget(found[2][0])
    assert numbers(spool) == [0, 3, 5, 6]


def test_a_batch_put_back_is_the_next_one(spool: Spool) -> None:
    for i in range(3):
        spool.append(batch(i))
    spool.head()
    second = spool.head()
    assert second is not None
    spool.put_back(second[0])
    assert numbers(spool) == [1, 2]


def test_random_use_loses_and_repeats_nothing(folder: Path) -> None:
    dice = random.Random(11)
    spool = Spool(folder, 60_000)
    added, out, done = 0, {}, Counter[int]()
    for _ in range(1500):
        act = dice.random()
        if act < 0.45:
            added += spool.append(batch(added, size=dice.choice([10, 200, 2000])))
        elif act < 0.8:
            if head := spool.head():
                out[number_of(head[1])] = head[0]
        elif act < 0.97 and out:
            number = dice.choice(list(out))
            spool.forget(out.pop(number))
            done[number] += 1
        elif act >= 0.99:
            spool.rewind() if dice.random() < 0.5 else spool.close()
            out = {}
            spool = Spool(folder, 60_000) if spool._cursor is None else spool
        assert sum(path.stat().st_size for path in folder.glob("*.spool")) <= 60_000
    spool.rewind()
    left = numbers(spool)
    assert left == sorted(left)
    assert set(left) | set(done) == set(range(added))
    spool.close()


def test_a_torn_tail_is_cut_said_and_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = filled(folder, 3)
    whole = path.read_bytes()
    last = records(whole)[2]
    for size in [last + 1, last + 20, last + 40, len(whole) - 1]:
        path.write_bytes(whole[:size])
        (folder / "cursor").write_bytes(b"")
        caplog.clear()
        spool = Spool(folder, 1 << 20)
        assert spool.damaged == 1
        assert spool.lost() == {}
        assert "torn" in caplog.messages[0]
        assert path.stat().st_size == last
        assert numbers(spool) == [0, 1]
        spool.close()
    assert not aside(folder)


def test_a_tail_of_nuls_is_cut(folder: Path) -> None:
    path = filled(folder, 3)
    with path.open("ab") as file:
        file.write(b"\0" * 5000)
    spool = Spool(folder, 1 << 20)
    assert numbers(spool) == [0, 1, 2]
    assert spool.damaged == 1
    spool.close()


@pytest.mark.parametrize("where", ["head", "tally", "payload"])
def test_a_damaged_record_is_kept_aside_and_the_others_come_out(
    folder: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = filled(folder, 5)
    content = bytearray(path.read_bytes())
    start, end = records(bytes(content))[2:4]
    content[start + {"head": 13, "tally": 30, "payload": 100}[where]] ^= 0xFF
    path.write_bytes(content)
    spool = Spool(folder, 1 << 20)
    assert numbers(spool) == [0, 1, 3, 4]
    assert spool.lines() == {"web": 8}
    assert spool.lost() == ({"web": 2} if where == "payload" else {})
    assert spool.damaged == 1
    (kept,) = aside(folder)
    assert kept.read_bytes() == bytes(content[start:end])
    assert kept.name in caplog.text
    spool.close()


def test_bytes_taken_out_of_the_middle_cost_only_the_record_they_were_in(folder: Path) -> None:
    path = filled(folder, 5)
    content = path.read_bytes()
    middle = records(content)[2] + 200
    path.write_bytes(content[:middle] + content[middle + 50 :])
    spool = Spool(folder, 1 << 20)
    assert numbers(spool) == [0, 1, 3, 4]
    spool.close()


def test_damage_in_an_older_file_is_found_when_it_is_read(folder: Path) -> None:
    path = filled(folder, 300, max_bytes=1_000_000)
    content = bytearray(path.read_bytes())
    content[records(bytes(content))[5] + 100] ^= 1
    path.write_bytes(content)
    spool = Spool(folder, 1 << 20)
    assert spool.lines() == {"web": 600}
    found = drain(spool)
    assert [number for _, number in found] == [i for i in range(300) if i != 5]
    assert spool.lines() == {"web": 598}
    assert spool.lost() == {"web": 2}
    for token, _ in found:
        spool.forget(token)
    assert spool.bytes == 0
    spool.close()


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"someone else's file\n" * 100])
def test_an_empty_or_foreign_file_is_moved_aside(folder: Path, content: bytes) -> None:
    path = filled(folder, 2)
    other = path.with_name("0000000000000009.spool")
    other.write_bytes(content)
    (folder / "notes.txt").write_text("not touched")
    spool = Spool(folder, 1 << 20)
    assert numbers(spool) == [0, 1]
    assert spool.damaged == 1
    (kept,) = aside(folder)
    assert kept.read_bytes() == content
    assert not other.exists()
    assert (folder / "notes.txt").exists()
    assert spool.append(batch(2))
    assert spool.sync()
    spool.close()


def test_a_folder_named_like_a_file_is_moved_aside(folder: Path) -> None:
    (folder / "0000000000000001.spool").mkdir(parents=True)
    spool = Spool(folder, 1 << 20)
    assert spool.append(batch(0))
    assert numbers(spool) == [0]
    assert len(aside(folder)) == 1
    spool.close()


def test_any_damage_to_any_file_never_crashes(folder: Path) -> None:
    path = filled(folder, 4)
    whole = path.read_bytes()
    dice = random.Random(5)
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(content))
            content[at : at + dice.randint(0, 60)] = dice.randbytes(dice.randint(0, 60))
        path.write_bytes(content)
        (folder / "cursor").write_bytes(dice.randbytes(dice.randint(0, 60)))
        spool = Spool(folder, 1 << 20)
        assert set(numbers(spool)) <= {0, 1, 2, 3}
        assert sum(spool.lines().values()) % 2 == 0
        spool.close()
        for other in folder.iterdir():
            other.unlink()


def test_a_batch_that_this_program_cannot_decode_is_kept_aside(folder: Path) -> None:
    path = filled(folder, 2)
    with path.open("ab") as file:
        file.write(pack({"web": 7}, b"no batch"))
    spool = Spool(folder, 1 << 20)
    assert numbers(spool) == [0, 1]
    assert spool.lost() == {"web": 7}
    assert len(aside(folder)) == 1
    spool.close()


def test_a_file_of_a_newer_version_stops_with_the_fix_and_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shipper.segment.VERSION", 2)
    path = filled(folder, 2)
    monkeypatch.undo()
    with pytest.raises(TowlineError, match="newer Towline"):
        Spool(folder, 1 << 20)
    assert path.exists()
    assert not aside(folder)


def test_a_file_taken_away_under_us_is_said_and_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = filled(folder, 300, max_bytes=1_000_000)
    spool = Spool(folder, 1 << 20)
    path.unlink()
    left = numbers(spool)
    assert 0 < len(left) < 300
    assert spool.lost() == {"web": 2 * (300 - len(left))}
    assert "is gone" in caplog.text
    spool.close()


def test_a_file_deleted_before_it_was_synced_is_written_anew(spool: Spool) -> None:
    assert spool.append(batch(0))
    (path,) = spool.directory.glob("*.spool")
    path.unlink()
    assert spool.sync()
    assert path.exists()
    assert spool.append(batch(1))
    assert spool.sync()
    assert numbers(spool) == [0, 1]


def test_after_a_failed_fsync_only_a_fresh_copy_counts(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert spool.append(batch(0))
    (path,) = spool.directory.glob("*.spool")
    before = path.stat().st_ino
    fsync = os.fsync

    def failing(file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    assert not spool.sync()
    assert not spool.sync()
    monkeypatch.setattr(os, "fsync", fsync)
    assert spool.append(batch(1))
    assert spool.sync()
    assert path.stat().st_ino != before
    assert numbers(spool) == [0, 1]


def test_a_disk_that_fills_up_refuses_whole_batches_and_takes_them_later(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    spool = Spool(folder, 1 << 20)
    assert spool.append(batch(0))
    pwrite, room = os.pwrite, [150]

    def nearly_full(file: int, data: bytes, offset: int) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        written = pwrite(file, memoryview(data)[: room[0]], offset)
        room[0] -= written
        return written

    monkeypatch.setattr(os, "pwrite", nearly_full)
    size = spool.bytes
    assert not spool.append(batch(1))
    assert not spool.append(batch(1))
    assert sum(path.stat().st_size for path in folder.glob("*.spool")) == spool.bytes == size
    assert len([line for line in caplog.messages if "No space left" in line]) == 1
    monkeypatch.undo()
    assert spool.append(batch(2))
    assert "works again" in caplog.messages[-1]
    assert numbers(spool) == [0, 2]
    spool.close()


def test_a_folder_that_cannot_be_made_is_said_once_and_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    spool = Spool(folder, 1 << 20)
    assert not spool.append(batch(0))
    assert spool.head() is None
    assert len(caplog.messages) == 1
    monkeypatch.undo()
    assert spool.append(batch(0))
    assert numbers(spool) == [0]
    spool.close()


def test_a_file_in_the_folders_place_is_a_usage_error(folder: Path) -> None:
    folder.write_text("in the way")
    with pytest.raises(UsageError, match="--state"):
        Spool(folder, 1 << 20)


def test_a_second_process_on_the_same_folder_is_told_the_fix(spool: Spool) -> None:
    with pytest.raises(UsageError, match=r"in use by another.*--state"):
        Spool(spool.directory, 1 << 20)
    spool.close()
    Spool(spool.directory, 1 << 20).close()


def test_what_was_synced_survives_a_kill(folder: Path) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from shipper.spool import Spool
from towline.batch import Batch, Origin, Section
origin = Origin({"container": {"id": "c", "name": "c"}, "host": {"name": "n"}, "service": {"name": "web"}})
spool = Spool(Path(sys.argv[1]), 1 << 20)
for i in range(50):
    assert spool.append(Batch([Section(origin, b"{}\\n%d\\n" % i, 1, "", "")]))
assert spool.sync()
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script, str(folder)], check=False, timeout=60)
    spool = Spool(folder, 1 << 20)
    assert numbers(spool) == list(range(50))
    spool.close()


def test_files_roll_over_at_their_size(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 3000)
    spool = Spool(folder, 1 << 20)
    for i in range(20):
        assert spool.append(batch(i))
    assert all(path.stat().st_size <= 3000 for path in folder.glob("*.spool"))
    for token, _ in drain(spool):
        spool.forget(token)
    assert spool.bytes == 0
    spool.close()
