"""A Swarm whose managers can't be asked: one line says so, the exporter is unready and goes on; `check` has the fix."""

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_manager import Node, serving

ROOT = Path(__file__).parents[2]
RUN = (sys.executable, "-c", "from towline.cli import main; main()")


@pytest.fixture
def node() -> Iterator[tuple[Node, str]]:
    with serving() as made:
        yield made


@pytest.fixture
def exporter(node: tuple[Node, str], tmp_path: Path) -> Iterator[Callable[[str], tuple[int, str]]]:
    """`towline export` beside that node: asks it for a path. Its log is `log` in tmp_path."""
    node[0].lacks_majority()
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*RUN, "export", "--listen", "127.0.0.1:0", "--engine", node[1]], stderr=log, cwd=ROOT
        )
    until(lambda: "url=" in (tmp_path / "log").read_text())
    url = re.findall(r"url=(\S+)/\s", (tmp_path / "log").read_text())[0]

    def ask(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(url + path, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    yield ask
    process.terminate()
    assert process.wait(60) == 0


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def test_a_manager_without_majority_is_said_once_and_makes_the_exporter_unready_until_it_is_back(
    node: tuple[Node, str], exporter: Callable[[str], tuple[int, str]], tmp_path: Path
) -> None:
    until(lambda: "does not have a leader" in exporter("/readyz")[1])
    until(lambda: [line.partition(":")[0] for line in exporter("/readyz")[1].splitlines()] == ["swarm"])
    assert exporter("/readyz")[0] == 503
    for _ in range(3):
        status, text = exporter("/metrics")
        assert status == 200
        assert "node_load1 " in text, "what needs no Swarm is measured"
    log = (tmp_path / "log").read_text()
    assert [line for line in log.splitlines() if "does not have a leader" in line][1:] == []
    assert "swarm metrics are missing" in log
    assert exporter("/sd/targets")[0] == 503
    node[0].is_manager()
    until(lambda: exporter("/readyz") == (200, "ready\n"))


def check(url: str, tmp_path: Path) -> tuple[int, list[str]]:
    """Exit code, and the lines about the Swarm."""
    command = [*RUN, "check", "--engine", url, "--data", str(tmp_path), "--listen", "127.0.0.1:0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert "Traceback" not in done.stderr
    return done.returncode, [line for line in done.stdout.splitlines() if "Swarm" in line or "→" in line]


def test_check_names_what_brings_back_a_majority(node: tuple[Node, str], tmp_path: Path) -> None:
    node[0].lacks_majority()
    code, said = check(node[1], tmp_path)
    assert code == 1
    assert any("manages a Swarm that does not answer" in line for line in said)
    assert any("more than half of its managers" in line for line in said)


def test_check_on_a_worker_that_reaches_no_manager_says_where_to_look(node: tuple[Node, str], tmp_path: Path) -> None:
    node[0].is_worker()
    assert not any("Swarm" in line for line in check(node[1], tmp_path)[1])
    node[0].reaches_no_manager()
    code, said = check(node[1], tmp_path)
    assert code == 1
    assert any("does not reach a manager of its Swarm" in line and "no route to host" in line for line in said)
    assert any("TCP port 2377" in line for line in said)
