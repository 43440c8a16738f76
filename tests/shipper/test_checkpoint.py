import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from shipper.checkpoint import Checkpoints
from towline.errors import TowlineError

ROWS: dict[str, dict[str, Any]] = {
    "c" * 64: {"stream": "stdout", "nth": 3, "place": [1, 2, 3]},
    "d" * 64: {"name": "grüße\n\x00"},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "checkpoints.json"


def aside(path: Path) -> list[Path]:
    return sorted(path.parent.glob(path.name + ".corrupt-*"))


def test_what_was_saved_last_is_loaded_by_the_next_process(path: Path) -> None:
    checkpoints = Checkpoints(path)
    assert checkpoints.load() == {}
    assert checkpoints.save({"old": {"nth": 1}})
    assert checkpoints.save(ROWS)
    assert Checkpoints(path).load() == ROWS
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_unchanged_rows_are_not_written_again(path: Path) -> None:
    checkpoints = Checkpoints(path)
    assert checkpoints.save(ROWS)
    written = path.stat().st_ino
    assert checkpoints.save(dict(ROWS))
    assert path.stat().st_ino == written


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"\0" * 300,
        b"not ours at all",
        b'{"some":"json"}',
        b"[1]",
        b'{"towline-checkpoints":1,"crc32":0}\n{}',
        b'{"towline-checkpoints":"1","crc32":0}\n{}',
    ],
)
def test_a_damaged_file_is_moved_aside_and_said_once(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    checkpoints = Checkpoints(path)
    assert checkpoints.load() == {}
    (moved,) = aside(path)
    assert moved.read_bytes() == content
    (line,) = caplog.messages
    assert str(path) in line
    assert moved.name in line
    assert "read again from the start" in line
    assert checkpoints.save(ROWS)
    assert Checkpoints(path).load() == ROWS


def test_every_cut_and_every_flipped_byte_is_noticed(path: Path) -> None:
    Checkpoints(path).save({"a": {"nth": 1}})
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i])
        assert Checkpoints(path).load() == {}
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        if whole[i : i + 1] == b"1" and b":1," in whole[i - 1 : i + 2]:
            continue  # the version
        assert Checkpoints(path).load() == {}


def test_a_folder_in_the_files_place_is_moved_aside(path: Path) -> None:
    path.mkdir(parents=True)
    assert Checkpoints(path).load() == {}
    assert Checkpoints(path).save(ROWS)
    assert len(aside(path)) == 1


def test_a_file_of_a_newer_version_stops_with_the_fix_and_stays(path: Path) -> None:
    path.parent.mkdir()
    content = orjson.dumps({"towline-checkpoints": 2, "sum": "?"}) + b"\nwhatever"
    path.write_bytes(content)
    with pytest.raises(TowlineError, match=r"version 2.*newer Towline"):
        Checkpoints(path).load()
    assert path.read_bytes() == content


def test_a_save_that_fails_is_said_once_and_works_again_later(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    checkpoints = Checkpoints(path)
    path.parent.write_text("in the way")
    assert not checkpoints.save(ROWS)
    assert not checkpoints.save(ROWS)
    assert len(caplog.messages) == 1
    path.parent.unlink()
    assert checkpoints.save(ROWS)
    assert "written again" in caplog.messages[1]
    assert Checkpoints(path).load() == ROWS


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_leaves_the_old_file(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(path)
    assert checkpoints.save(ROWS)
    draft = path.with_name(path.name + ".tmp")
    draft.symlink_to("/dev/full")
    assert not checkpoints.save({"a": {}})
    assert "No space left" in caplog.messages[0]
    assert Checkpoints(path).load() == ROWS
    assert checkpoints.save({"a": {}})
    assert Checkpoints(path).load() == {"a": {}}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_stops_with_the_fix(path: Path) -> None:
    Checkpoints(path).save(ROWS)
    path.chmod(0)
    with pytest.raises(TowlineError, match="can't be read"):
        Checkpoints(path).load()
