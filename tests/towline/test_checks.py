import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from towline import checks, checks_engine, health
from towline.cli import cli
from towline.finding import Finding, Mark
from towline.http import HttpServer, Site
from towline.metrics import REGISTRY


def container(name: str, driver: str = "json-file", **options: str) -> dict[str, Any]:
    return {"Name": f"/{name}", "HostConfig": {"LogConfig": {"Type": driver, "Config": options}}}


def texts(findings: list[Finding], mark: Mark) -> list[str]:
    return [finding.text for finding in findings if finding.mark is mark]


def test_this_python_and_its_sqlite_are_good_enough() -> None:
    assert checks.python().mark is Mark.GOOD
    assert checks.search_engine().mark is Mark.GOOD
    assert checks.python((3, 10, 9)).mark is Mark.BAD


def test_a_clock_before_this_program_was_written_is_wrong() -> None:
    assert checks.clock(0).text == "the clock says 1970-01-01"
    assert checks.clock(1_800_000_000).mark is Mark.GOOD


def test_a_folder_that_does_not_exist_yet_is_fine_where_it_can_be_made_and_stays_unmade(tmp_path: Path) -> None:
    finding = checks.writable(tmp_path / "a/b", "--data")
    assert (finding.mark, finding.text) == (Mark.GOOD, f"{tmp_path}/a/b can be written (will be made)")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = checks.writable(tmp_path / "file/data", "--data")
    assert finding.mark is Mark.BAD
    assert str(tmp_path / "file") in finding.text
    assert "--data DIR" in finding.fix


def test_little_room_is_a_hint(tmp_path: Path) -> None:
    gib = 1 << 30
    for left, keep, mark in [(gib // 2, 0, Mark.HINT), (5 * gib, 20 * gib, Mark.HINT), (50 * gib, 20 * gib, Mark.GOOD)]:
        assert checks.free(tmp_path, keep, lambda path, left=left: (0, 0, left)).mark is mark  # type: ignore[misc]


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever listens is waited for on a busy machine."""
    monkeypatch.setattr(checks.is_towline, "__defaults__", (60,))


@pytest.mark.usefixtures("_patient")
def test_a_port_that_something_else_uses_is_bad() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
        threading.Thread(target=lambda: taken.accept()[0].close(), daemon=True).start()
        finding = checks.port(address)
    assert finding.mark is Mark.BAD
    assert "--listen" in finding.fix


@pytest.mark.usefixtures("_patient")
def test_a_port_that_towline_holds_is_fine() -> None:
    server = HttpServer(Site(health.handlers(REGISTRY, {})), ("127.0.0.1", 0))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        finding = checks.port(server.address)
    finally:
        server.stop()
        thread.join()
    assert (finding.mark, finding.text) == (Mark.GOOD, f"towline is running at 127.0.0.1:{server.address[1]}")
    assert checks.port(("127.0.0.1", 0)).mark is Mark.GOOD


@pytest.mark.parametrize(
    ("version", "mark"),
    [
        ("20.10.24+dfsg1", Mark.GOOD),
        ("29.0.1", Mark.GOOD),
        ("19.03.15", Mark.BAD),
        ("20.9", Mark.BAD),
        ("?", Mark.GOOD),
    ],
)
def test_old_engines_are_named(version: str, mark: Mark) -> None:
    finding = checks_engine.version(version)
    assert finding.mark is mark
    assert version in finding.text


def test_containers_whose_log_cannot_be_read_are_named_by_driver() -> None:
    rows = [container("web", **{"max-size": "1m"}), container("a", "syslog"), container("b", "syslog"),
            container("quiet", "none"), container("c", "local")]  # fmt: skip
    found = list(checks_engine.containers(rows))
    bad = texts(found, Mark.BAD)
    assert [text.split(":")[0] for text in bad] == [
        "1 container uses log driver none (quiet)", "2 containers use log driver syslog (a, b)"]  # fmt: skip
    assert texts(found, Mark.GOOD) == ["logs of 2 of 5 containers can be read"]
    assert texts(found, Mark.HINT) == []


def test_logs_that_grow_without_bound_are_a_hint_with_some_names() -> None:
    (hint,) = texts(list(checks_engine.containers([container(f"c{n}") for n in range(9)])), Mark.HINT)
    assert hint == "9 containers log without rotation (c0, c1, c2, c3, c4 and 4 more)"


def test_a_log_folder_that_cannot_be_read_is_bad_only_where_files_are_asked_for(tmp_path: Path) -> None:
    assert checks_engine.reading(tmp_path, "auto").mark is Mark.HINT
    assert checks_engine.reading(tmp_path, "file").mark is Mark.BAD
    assert checks_engine.reading(tmp_path, "api").mark is Mark.GOOD
    (tmp_path / "containers").mkdir()
    assert checks_engine.reading(tmp_path, "file").mark is Mark.GOOD


def check(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["check", "--listen", "127.0.0.1:0", *arguments], prog_name="towline")


def test_check_says_that_no_engine_answers_and_fails(tmp_path: Path) -> None:
    result = check("--data", str(tmp_path), "--engine", f"unix://{tmp_path}/none.sock")
    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("✗")]
    assert str(tmp_path / "none.sock") in line
    assert "Traceback" not in result.output


@pytest.mark.engine
def test_check_is_content_with_a_machine_that_can_run_towline(tmp_path: Path, engine_url: str) -> None:
    result = check("--data", str(tmp_path / "data"), "--engine", engine_url)
    assert "✓ Docker engine" in result.stdout
    assert not (tmp_path / "data").exists()
    if os.geteuid() == 0:
        assert "json-file logs can be read" in result.stdout
