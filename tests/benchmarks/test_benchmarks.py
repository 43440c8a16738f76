"""`make bench` works: groups run, figures are printed, kept and drawn. What they say is no matter here."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from benchmarks import peers
from benchmarks.__main__ import GROUPS
from benchmarks.figure import Figure, at_least, at_most, ratio_at_least, ratio_at_most
from benchmarks.ground import QUICK, Ground
from benchmarks.measuring import wait_for
from benchmarks.picture import share
from benchmarks.table import as_text

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SERVER = os.environ.get("TOWLINE_TEST_ELASTICSEARCH", "http://127.0.0.1:9200")


def bench(folder: Path, *arguments: str, engine: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--engine", engine, *arguments]
    kept = ["--results", str(folder / "results.json"), "--picture", str(folder / "figures.svg")]
    return subprocess.run(
        [*command, *kept], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"})  # fmt: skip


def stand_ins(folder: Path, *names: str) -> None:
    """Programs named as the peers."""
    for name in names:
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "peer_stand_in.py"} {name} "$@"\n')
        program.chmod(0o755)


@pytest.mark.engine
def test_a_quick_run_prints_keeps_and_draws_its_figures(tmp_path: Path, engine_url: str) -> None:
    stand_ins(tmp_path, "vector")
    done = bench(tmp_path, "shipper", "embedded", engine=engine_url)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = json.loads((tmp_path / "results.json").read_text())
    names = {f"{row['group']}: {row['name']}" for row in kept["figures"]}
    assert {"shipper: backlog, file", "shipper: live, api", "embedded: on disk"} <= names
    beside = {row["reference"]: (row["name"], row["asked"]) for row in kept["figures"] if "beside" in row["name"]}
    assert beside["Vector 6.5.4, docker_logs to its blackhole"] == ("live, api, beside Vector", "≤ 0.15x")
    # what a start takes is taken off a backlog's figures: of few lines, nothing may be left
    judged = [row for row in kept["figures"] if row["target"] and not row["name"].startswith("backlog")]
    assert all(row["value"] > 0 for row in judged), kept["figures"]
    table = done.stdout.partition("\n\n")[2]
    drawn = "".join(ET.parse(tmp_path / "figures.svg").getroot().itertext())
    for row in kept["figures"]:
        assert f"{row['group']}: {row['name']}" in table
        assert not row["target"] or f"{row['group']}: {row['name']}" in drawn


class Elsewhere(Ground):
    """Stands on the Elasticsearch that all tests share."""

    @property
    def elastic(self) -> str:
        return SERVER


@pytest.mark.engine
def test_fluent_bit_is_measured_until_elasticsearch_finds_each_of_its_documents(
    tmp_path: Path, engine_url: str, monkeypatch: pytest.MonkeyPatch, missing_part: Callable[[str], NoReturn]
) -> None:
    try:
        urllib.request.urlopen(f"{SERVER}/_cluster/health", timeout=30).close()
    except urllib.error.URLError as error:
        missing_part(f"no Elasticsearch on {SERVER}: {error}")
    stand_ins(tmp_path, "fluent-bit")
    monkeypatch.setenv("PATH", str(tmp_path))
    ground = Elsewhere(replace(QUICK, backlog=300), engine_url)
    try:
        (row,) = peers.figures(ground, file=3.0, api=7.0)
        log = Path(ground.client.api.inspect_container(ground.backlog)["LogPath"])
        monkeypatch.setattr(peers, "SECONDS", 3)
        with pytest.raises(TimeoutError, match="not within 3 s: 301 lines of Fluent Bit in Elasticsearch"):
            peers._tail(ground, str(tmp_path / "fluent-bit"), log, 301)
    finally:
        ground.close()
    assert row.name == "backlog, file, beside Fluent Bit"
    assert row.reference == "Fluent Bit 9.8.7, tail of the same log to Elasticsearch, with ids"
    assert (row.value, str(row.target)) == (3.0, "≤ 0.4x")


def test_peers_that_are_not_there_have_no_rows_and_a_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ground = Ground(QUICK)
    assert list(peers.figures(ground, file=3.0, api=7.0)) == []
    ground.close()
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["fluent-bit", "vector"]


def test_a_peer_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    ended = peers.Peer(tmp_path / "log", "sh", "-c", "echo no such input; exit 1")
    with ended, pytest.raises(RuntimeError, match="no such input"):
        wait_for(lambda: not ended.alive(), 30, "its end")


@pytest.mark.engine
def test_containers_made_by_hand_are_found_measured_and_removed(tmp_path: Path, engine_url: str) -> None:
    done = bench(tmp_path, "exporter", engine=engine_url)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = {row["name"]: row for row in json.loads((tmp_path / "results.json").read_text())["figures"]}
    assert kept["6 containers: memory"]["value"] > 20
    assert kept["3 containers: whole answer"]["beside"] > 0
    assert not list(Path("/sys/fs/cgroup").glob("**/towline-bench-*"))


def test_a_group_that_can_not_be_measured_is_told_and_the_run_fails(tmp_path: Path) -> None:
    done = bench(tmp_path, "idle", engine=f"unix://{tmp_path}/nobody.sock")
    assert done.returncode == 1
    assert "idle could not be measured" in done.stderr
    assert "idle" in json.loads((tmp_path / "results.json").read_text())["failed"]


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_explains_itself_in_a_line(group: str) -> None:
    first = (ROOT / "benchmarks" / f"{group}.py").read_text().splitlines()[0]
    assert first.startswith('"""')
    assert first.endswith('."""')


@pytest.mark.parametrize(
    ("value", "beside", "target", "met"),
    [
        (2.9, None, at_most(3), True),
        (3.1, None, at_most(3), False),
        (61_000, None, at_least(60_000), True),
        (59_000, None, at_least(60_000), False),
        (1.2, 1.0, ratio_at_most(1.3), True),
        (1.4, 1.0, ratio_at_most(1.3), False),
        (96, 100, ratio_at_least(0.95), True),
        (94, 100, ratio_at_least(0.95), False),
        (5, None, ratio_at_most(1.3), False),
        (5, 4, None, None),
    ],
)
def test_a_figure_knows_whether_it_is_what_was_asked_for(value, beside, target, met) -> None:  # type: ignore[no-untyped-def]
    figure = Figure("group", "name", value, "µs", "reference", beside, target)
    assert figure.met is met
    assert as_text([figure]).splitlines()[1].endswith({True: "yes", False: "no", None: "1.25"}[met])
    assert target is None or (share(figure) <= 1) is met
