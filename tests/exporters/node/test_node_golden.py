"""A whole scrape of a recorded host, and the names that public dashboards ask for."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

from exporters.exposition import Family, render
from exporters.node import OPTIONAL, Host, collectors
from exporters.scrape import Scrape

HERE = Path(__file__).parent
GOLDEN = HERE / "golden.prom"
# Told by the machine that runs the test, not by the files of the recorded host.
LIVE = {"build", "filesystem", "textfile", "time", "timex", "uname"}
# Names as node_exporter gives them, of which promtool says the same.
NOT_OURS = re.compile(r"^node_(memory|netstat)_\S+ metric names should be written in|^node_entropy_\S+ use base unit")


def scrape(host: Host) -> list[Family]:
    found = Scrape("node", collectors(host, also=OPTIONAL)).families()
    return [family for family in found if family.name != "node_scrape_collector_duration_seconds"]  # never the same


def names(families: Iterable[Family]) -> set[str]:
    return {family.name for family in families if family.body}


def test_a_whole_scrape_is_what_it_was(recorded_host: Host) -> None:
    """Changed on purpose? Run with TOWLINE_GOLDEN=write, and read the difference."""
    found = render(family for collector in collectors(recorded_host, OPTIONAL, LIVE) for family in collector.collect())
    if os.environ.get("TOWLINE_GOLDEN") == "write":
        GOLDEN.write_bytes(found)
    assert found.decode().splitlines() == GOLDEN.read_text().splitlines()


def test_every_collector_of_the_recorded_host_succeeds(
    recorded_host: Host, samples: Callable[[Iterable[Family]], dict[str, dict[str, float]]]
) -> None:
    success = samples(scrape(recorded_host))["node_scrape_collector_success"]
    assert {block for block, value in success.items() if value != 1} == set()


def test_the_dashboard_node_exporter_full_finds_every_name_but_those_of_systemd(recorded_host: Host) -> None:
    """node-exporter-full.txt: the node_* names in Grafana's dashboard 1860, August 2026, without node_systemd_*."""
    wanted = set((HERE / "node-exporter-full.txt").read_text().split())
    told = {
        family.name for family in Scrape("node", collectors(recorded_host, also=OPTIONAL)).families() if family.body
    }
    assert len(wanted) > 200
    assert wanted - told == set()


def test_names_of_collectors_that_are_off_by_default(recorded_host: Host) -> None:
    wanted = set((HERE / "node-exporter-full.txt").read_text().split())
    told = names(Scrape("node", collectors(recorded_host)).families())
    assert {name.split("_")[1] for name in wanted - told} == {"interrupts", "processes", "tcp"}


def test_promtool_finds_nothing_wrong_but_names_that_node_exporter_gave(
    recorded_host: Host, missing_part: Callable[[str], NoReturn]
) -> None:
    if not shutil.which("promtool"):
        missing_part("promtool is not installed")
    done = subprocess.run(["promtool", "check", "metrics"], input=render(scrape(recorded_host)), capture_output=True)
    complaints = [line for line in done.stderr.decode().splitlines() if line and not NOT_OURS.match(line)]
    assert complaints == []
    assert done.returncode in (0, 3), done.stderr  # 3: there are complaints
