"""A full disk, damaged files, and everything that a person may type wrong: said in one line, survived, nothing lost."""

import os
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Generators, Up, finished, run, wait_until
from ports import free_port

Make = Callable[..., Up]


@pytest.mark.engine
def test_a_full_disk_is_survived(
    source: str, up: Make, generators: Generators, small_disk: Path, tmp_path: Path
) -> None:
    towline = up("--source", source, data=small_disk / "data", log=tmp_path / "up.log").start()
    generators.start("before", 500)
    wait_until(lambda: len(towline.search()) == 500, 30, "lines before")
    filler = small_disk / "filler"
    fill(filler)
    container = generators.start("during", 20_000, burst=500, pause=0.05)
    wait_until(
        lambda: towline.status("/readyz") == 503, 60, lambda: f"not ready on a full disk; log:\n{towline.tail()}"
    )
    assert towline.status("/healthz") == 200
    finished(container)
    fill(filler)
    assert "disk" in towline.said().lower(), towline.tail()
    assert "Traceback" not in towline.said()
    filler.unlink()
    wait_until(lambda: towline.status("/readyz") == 200, 60, lambda: f"ready again; log:\n{towline.tail()}")
    assert generators.judge(towline.collect(generators.total)).faults == {}
    towline.quiet()


def fill(path: Path) -> None:
    with path.open("ab", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            return


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.engine
@pytest.mark.parametrize("damage", ["garbage", "empty", "cut"])
@pytest.mark.parametrize("what", ["state", "store", "everything"])
def test_damaged_files_are_moved_aside_and_nothing_is_lost(
    what: str, damage: str, up: Make, generators: Generators
) -> None:
    towline = up("--source", "file").start()
    container = generators.start("web", 2000, burst=100, pause=0.1)
    wait_until(lambda: len(towline.search()) >= 500, 30, "some lines")
    towline.kill()
    files = files_below(towline.data)
    chosen = [path for path in files if what == "everything" or ("state" in path.parts) == (what == "state")]
    assert chosen, f"no file to damage among {files}"
    for path in chosen:
        spoil(path, damage)
    towline.start()
    finished(container)
    rows = towline.collect(generators.total)
    report = generators.judge(rows)
    assert report.faults == {}, towline.tail()
    assert "Traceback" not in towline.said()


def spoil(path: Path, damage: str) -> None:
    content = path.read_bytes()
    spoiled = {"garbage": os.urandom(max(len(content), 100)), "empty": b"", "cut": content[: len(content) // 2]}[damage]
    path.write_bytes(spoiled)


@pytest.mark.engine
def test_a_damaged_store_is_kept_beside_the_new_one(up: Make, generators: Generators) -> None:
    towline = up().start()
    generators.start("web", 100)
    wait_until(lambda: len(towline.search()) == 100, 30, "lines")
    towline.stop()
    databases = [path for path in files_below(towline.data) if path.read_bytes()[:6] == b"SQLite"]
    before = {path.name for path in files_below(towline.data)}
    garbage = os.urandom(5000)
    for path in databases:
        path.write_bytes(garbage)
    towline.start()
    aside = [path for path in files_below(towline.data) if path.name not in before and path.read_bytes() == garbage]
    assert len(aside) == len(databases), files_below(towline.data)
    assert databases[0].name in towline.said(), towline.tail()


@pytest.mark.engine
def test_searching_while_it_runs_and_after_it_stopped(up: Make, generators: Generators) -> None:
    towline = up().start()
    generators.start("web", 100)
    wait_until(lambda: len(towline.search()) == 100, 30, "lines")
    assert towline.stop() == 0
    assert len(towline.search()) == 100
    for path in files_below(towline.data):
        if path.read_bytes()[:6] == b"SQLite":
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
                assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
            connection.close()


@pytest.mark.engine
def test_a_second_one_on_the_same_data_is_refused(up: Make, generators: Generators) -> None:
    first = up().start()
    done = run("up", "--data", first.data, "--listen", f"127.0.0.1:{free_port()}", timeout=120)
    assert done.returncode == 1
    expect_one_line(done.stderr, str(first.data))
    assert first.running


@pytest.mark.engine
def test_a_taken_port_is_named(up: Make, tmp_path: Path) -> None:
    first = up().start()
    done = run("up", "--data", tmp_path / "other", "--listen", f"127.0.0.1:{first.port}", timeout=120)
    assert done.returncode == 1
    expect_one_line(done.stderr, str(first.port))


WRONG = [
    (["search", "--store", "ftp://x/y"], 2, "ftp"),
    (["search", "--store", "sqlite:///"], 2, "sqlite"),
    (["search", "--store", "sqlite://host/x"], 2, "sqlite"),
    (["search", "--since", "yesterdayish"], 2, "yesterdayish"),
    (["search", "--since", "15m", "--until", "2h"], 2, ""),
    (["search", "--limit", "many"], 2, "many"),
    (["search", "--limit", "-5"], 2, "-5"),
    (["search", "--order", "sideways"], 2, "sideways"),
    (["search", '"no end'], 2, ""),
    (["search", "AND"], 2, ""),
    (["search", "(("], 2, "(("),
    (["up", "--listen", "127.0.0.1:99999"], 2, "99999"),
    (["up", "--listen", "127.0.0.1:http"], 2, "http"),
    (["up", "--source", "telepathy"], 2, "telepathy"),
    (["up", "--memory", "lots"], 2, "lots"),
    (["up", "--keep-age", "soon"], 2, "soon"),
    (["ship", "--queue", "carrier-pigeon://x"], 2, "carrier-pigeon"),
    (["index", "--queue", "carrier-pigeon://x", "--store", "sqlite:///tmp/x"], 2, "carrier-pigeon"),
    (["frobnicate"], 2, "frobnicate"),
    (["search", "--frobnicate"], 2, "--frobnicate"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "named"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_wrong_input_is_one_line_that_names_it(arguments: list[str], code: int, named: str, tmp_path: Path) -> None:
    done = run(*arguments, TOWLINE_DATA=str(make_data(tmp_path)), timeout=120)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    expect_one_line(done.stderr, named)


def make_data(tmp_path: Path) -> Path:
    """A data folder that has an empty store."""
    done = run("setup", "--data", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    return tmp_path / "data"


def expect_one_line(text: str, named: str) -> None:
    """Besides Click's usage hint and the log's own lines there is one, and it says what is wrong."""
    assert "Traceback" not in text
    lines = [
        line for line in text.strip().splitlines() if line and not re.match(r"Usage:|Try '|\d{4}-\d\d-\d\dT", line)
    ]
    assert len(lines) == 1, text
    assert named in lines[0]


def test_an_unreachable_socket_is_named_by_check(tmp_path: Path) -> None:
    done = run("check", "--data", tmp_path / "data", "--engine", f"unix://{tmp_path}/none.sock", timeout=60)
    assert done.returncode == 1
    assert f"{tmp_path}/none.sock" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_no_store_yet_is_said_plainly(tmp_path: Path) -> None:
    done = run("search", "--data", tmp_path / "nothing")
    assert done.returncode in (1, 2)
    expect_one_line(done.stderr, str(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists(), "looking makes nothing"


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = run("up", "--data", tmp_path / "file", "--listen", f"127.0.0.1:{free_port()}", timeout=120)
    assert done.returncode in (1, 2)
    expect_one_line(done.stderr, str(tmp_path / "file"))
