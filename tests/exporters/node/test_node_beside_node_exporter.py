"""Debian's node exporter (1.5) on the same machine: the same names, types, labels and values.

The machine is not still, so each of its scrapes is between two of ours. A series agrees if its value is between ours,
or close; it has to agree in one of several rounds, except where the value is another at every look.
"""

import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

import pytest
from ports import free_port

from exporters.exposition import render
from exporters.node import COLLECTORS, OPTIONAL, Host, collectors
from exporters.node.host import IGNORED_INTERFACES, IGNORED_MOUNTS
from exporters.scrape import Scrape

# By choice. Without these, everything that both have is the same.
OTHERWISE = {
    "node_exporter_build_info": "says which Towline this is",
    "node_scrape_collector_success": "a kernel without a feature is no failure here; other collectors",
    "node_scrape_collector_duration_seconds": "other collectors, other times",
}
ONLY_THEIRS = {
    "node_processes_threads_state": "reads a file for each thread of the host, and no dashboard asks for it",
}
ONLY_OURS = {
    "node_kernel_hung_tasks",  # the rest are of later versions, and on their dashboard
    "node_kernel_hung_tasks_total",
    "node_netstat_TcpExt_TCPOFOQueue",
    "node_netstat_TcpExt_TCPRcvQDrop",
    "node_netstat_Tcp_MaxConn",
    "node_pressure_irq_stalled_seconds_total",
    "node_softnet_backlog_len",
    "node_softnet_cpu_collision_total",
    "node_softnet_flow_limit_count_total",
    "node_softnet_received_rps_total",
}
# zram is memory, not a disk: left out since node_exporter 1.6.
OTHER_SERIES = re.compile(r'device="zram')
# Another value at every look: only names and labels are compared.
RESTLESS = re.compile(
    r"node_(processes_|procs_|disk_io_now|sockstat_|tcp_connection_states|udp_queues|load|filefd_allocated"
    r"|memory_|arp_entries|netstat_Tcp_CurrEstab|time_seconds|timex_|entropy|nf_conntrack_entries|softnet_backlog"
    r"|filesystem_(free|avail|files_free))"
)
# Of those, what does not change at all.
CONSTANT = re.compile(
    r"node_(processes_max_|memory_(MemTotal|CommitLimit|SwapTotal|Vmalloc(Total|Chunk)|HugePages_|Hugepagesize)"
    r"|timex_(tick|tai|pps)|entropy_pool|nf_conntrack_entries_limit)"
)
ROUNDS = 3

Labels = tuple[tuple[str, str], ...]
Series = dict[str, dict[Labels, float]]


@dataclass(frozen=True)
class Read:
    types: dict[str, str]
    helps: dict[str, str]
    series: Series


def read(text: str) -> Read:
    types: dict[str, str] = {}
    helps: dict[str, str] = {}
    series: Series = {}
    for line in text.splitlines():
        if line.startswith("# "):
            _, word, name, rest = line.split(" ", 3)
            (types if word == "TYPE" else helps)[name] = rest
            continue
        match = re.fullmatch(r"([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)", line)
        assert match, line
        if match[1].startswith("node_"):
            labels = tuple(sorted(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or "")))
            series.setdefault(match[1], {})[labels] = float(match[3])
    return Read(types, helps, series)


@pytest.fixture(scope="module")
def theirs(missing_part: Callable[[str], NoReturn]) -> Iterator[Callable[[], Read]]:
    """A scrape of Debian's node exporter, told to leave out what we leave out."""
    program = shutil.which("prometheus-node-exporter")
    if program is None:
        missing_part("prometheus-node-exporter is not installed")
    port = free_port()
    command = [
        program,
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.disable-exporter-metrics",
        "--collector.disable-defaults",
        *(f"--collector.{name}" for name in sorted((COLLECTORS | OPTIONAL).keys() - {"build", "kernel_hung"})),
        f"--collector.filesystem.mount-points-exclude={IGNORED_MOUNTS}",
        f"--collector.netdev.device-exclude={IGNORED_INTERFACES}",
        f"--collector.netclass.ignored-devices={IGNORED_INTERFACES}",
    ]
    exporter = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield lambda: read(fetch(f"http://127.0.0.1:{port}/metrics", exporter))
    finally:
        exporter.terminate()
        exporter.wait(60)


def fetch(url: str, exporter: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return str(answer.read().decode())
        except OSError:
            assert exporter.poll() is None, "the node exporter ended"
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture(scope="module")
def ours() -> Callable[[], Read]:
    # Anew for each scrape: what is read once a minute would be behind on a machine whose interfaces come and go.
    return lambda: read(render(Scrape("node", collectors(Host(), also=OPTIONAL)).families()).decode())


Round = tuple[Read, Read, Read]


@pytest.fixture(scope="module")
def look(ours: Callable[[], Read], theirs: Callable[[], Read]) -> Callable[[], Round]:
    """A round: ours, theirs, ours."""
    theirs()
    return lambda: (ours(), theirs(), ours())


@pytest.fixture(scope="module")
def rounds(look: Callable[[], Round]) -> list[Round]:
    return [look() for _ in range(ROUNDS)]


def test_names_are_the_same_but_for_those_that_are_named_here(rounds: list[Round]) -> None:
    before, exporter, after = rounds[0]
    assert exporter.series.keys() - before.series.keys() == ONLY_THEIRS.keys()
    assert (before.series.keys() & after.series.keys()) - exporter.series.keys() <= ONLY_OURS
    assert len(before.series.keys() & exporter.series.keys()) > 200


def test_types_and_helps_are_the_same(rounds: list[Round]) -> None:
    ours, exporter, _ = rounds[0]
    both = ours.series.keys() & exporter.series.keys() - OTHERWISE.keys()
    assert {name: ours.types[name] for name in both} == {name: exporter.types[name] for name in both}
    assert {name: ours.helps[name] for name in both} == {name: exporter.helps[name] for name in both}


def test_labels_are_the_same_in_some_round(look: Callable[[], Round]) -> None:
    wrong = {*differing_labels(*look())}
    deadline = time.monotonic() + 60
    while wrong and time.monotonic() < deadline:
        wrong &= {*differing_labels(*look())}
    assert wrong == set()


def differing_labels(before: Read, exporter: Read, after: Read) -> Iterator[str]:
    for name in before.series.keys() & exporter.series.keys() & after.series.keys() - OTHERWISE.keys():
        first, theirs, last = (set(found.series[name]) for found in (before, exporter, after))
        if {labels for labels in (theirs - (first | last)) | ((first & last) - theirs) if not chosen(labels)}:
            yield name


def chosen(labels: Labels) -> bool:
    return any(OTHER_SERIES.match(f'{name}="{value}') for name, value in labels if (name, value))


def test_values_are_the_same_in_some_round(look: Callable[[], Round]) -> None:
    agreed = values(*look())
    assert len(agreed) > 200
    deadline = time.monotonic() + 60
    while not all(agreed.values()) and time.monotonic() < deadline:
        again = values(*look())  # without the series of an interface that went meanwhile
        agreed = {key: agreed[key] or again[key] for key in agreed.keys() & again.keys()}
    assert {key for key, same in agreed.items() if not same} == set()


def values(before: Read, exporter: Read, after: Read) -> dict[tuple[str, Labels], bool]:
    """Whether values agree, by name and labels."""
    found = {}
    for name in before.series.keys() & exporter.series.keys() & after.series.keys() - OTHERWISE.keys():
        if RESTLESS.match(name) and not CONSTANT.match(name):
            continue
        first, theirs, last = (read.series[name] for read in (before, exporter, after))
        for labels in first.keys() & theirs.keys() & last.keys():
            found[name, labels] = agrees(theirs[labels], first[labels], last[labels])
    return found


def agrees(theirs: float, first: float, last: float) -> bool:
    slack = 1e-9 * abs(theirs)
    return min(first, last) - slack <= theirs <= max(first, last) + slack


def test_restless_values_are_near_in_some_round(look: Callable[[], Round]) -> None:
    """Memory and space in use, within a third: a wrong unit or field would be far off. What others start between two
    looks may take more."""
    far = {*far_off(*look())}
    deadline = time.monotonic() + 60
    while far and time.monotonic() < deadline:
        far &= {*far_off(*look())}
    assert far == set()


def far_off(ours: Read, exporter: Read, _: Read) -> Iterator[tuple[str, Labels]]:
    near = [
        name
        for name in ours.series.keys() & exporter.series.keys()
        if re.match(r"node_(memory_(Mem|Active|Inactive|Slab|SReclaim|KernelStack)|filesystem_|load|time_sec)", name)
    ]
    assert len(near) > 15
    for name in near:
        for labels in ours.series[name].keys() & exporter.series[name].keys():
            if ours.series[name][labels] != pytest.approx(exporter.series[name][labels], rel=0.3, abs=1):
                yield name, labels


def test_counters_do_not_go_back(rounds: list[Round]) -> None:
    for before, _, after in rounds:
        for name in before.series.keys() & after.series.keys():
            if before.types[name] == "counter":
                for labels in before.series[name].keys() & after.series[name].keys():
                    assert after.series[name][labels] >= before.series[name][labels], (name, labels)
