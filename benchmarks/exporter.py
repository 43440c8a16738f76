"""Exporter: a scrape of 100 and of 500 containers, in time, CPU and memory; beside Debian's node exporter."""

import gzip
import json
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isnan, nan

from benchmarks.figure import Figure, at_most
from benchmarks.ground import Ground
from benchmarks.made import Made
from benchmarks.measuring import cpu, memory, wait_for
from benchmarks.program import ROOT, free_port
from exporters.containers import Containers, ContainerSettings
from exporters.exposition import compress, pieces
from exporters.scrape import Scrape

GROUP = "exporter"
INTERVAL = 15.0
SCRAPES = 12
"""As many as a server has threads: each has answered before anything is measured, and again meanwhile."""
THEIRS = "Debian's node exporter: a host without containers"
SEEN = b"container_last_seen{"


@dataclass(frozen=True)
class Cost:
    """Of a program that is scraped: milliseconds (least), % of a core at a scrape each INTERVAL, MB at most."""

    time: float
    share: float
    memory: float


def figures(ground: Ground) -> Iterator[Figure]:
    """Of containers made by hand (needs root): so many real ones would be what is measured. Both programs are whole,
    and asked as Prometheus asks: over HTTP, with gzip."""
    few, many = ground.sizes.exported
    theirs = node_exporter(ground)
    with Made(ground.folder / "made", many) as made:
        for count, milliseconds, share in ((few, 30, 1.0), (many, 100, 2.0)):
            with made.engine(count) as url:
                times = alone(url, count)
                ours = towline(ground, url, count)
            what = f"{count} containers"
            making = times["read"] + times["render"]
            yield Figure(GROUP, f"{what}: CPU time to read and render", making, "ms", target=at_most(milliseconds))
            yield Figure(GROUP, f"{what}: CPU time of gzip", times["gzip"], "ms")
            yield beside(theirs.time, Figure(GROUP, f"{what}: whole answer", ours.time, "ms"))
            yield beside(theirs.share, Figure(GROUP, f"{what}: CPU", ours.share, "% of a core", target=at_most(share)))
            yield beside(theirs.memory, Figure(GROUP, f"{what}: memory", ours.memory, "MB", target=at_most(60)))


def beside(value: float, figure: Figure) -> Figure:
    """With the figure of Debian's node exporter, where that is known."""
    return figure if isnan(value) else replace(figure, reference=THEIRS, beside=value)


# --- whole programs


def towline(ground: Ground, url: str, count: int) -> Cost:
    starter = [sys.executable, "-c", "from towline.cli import main; main()", "export", "--engine", url]
    return cost(ground, [*starter, "--log-level", "warning", "--listen"], count)


def node_exporter(ground: Ground) -> Cost:
    """Not a number where it is not installed."""
    path = shutil.which("prometheus-node-exporter")
    return cost(ground, [path, "--web.listen-address"], 0) if path else Cost(nan, nan, nan)


def cost(ground: Ground, command: list[str], containers: int) -> Cost:
    """Start the command (an address is added), scrape it when it shows so many containers, and end it."""
    address = f"127.0.0.1:{free_port()}"
    with (ground.folder / "exporter.log").open("ab") as log:
        process = subprocess.Popen([*command, address], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(lambda: shown(address) >= containers, 60, f"{containers} containers at {address}")
        for _ in range(SCRAPES):
            fetch(address)
        return measured(process.pid, address, ground.sizes.idle / 2)
    finally:
        process.kill()
        process.wait()


def measured(pid: int, address: str, quiet: float) -> Cost:
    began = cpu(pid)
    least = min(fetch(address)[0] for _ in range(SCRAPES))
    scrape = (cpu(pid) - began) / SCRAPES
    before = cpu(pid)
    time.sleep(quiet)
    between = (cpu(pid) - before) / quiet
    return Cost(1000 * least, 100 * (scrape / INTERVAL + between), memory(pid, "VmHWM") * 1.048576)


def shown(address: str) -> int:
    """How many containers it tells of; -1 where nobody answers yet."""
    try:
        return max(0, gzip.decompress(fetch(address)[1]).count(SEEN) - 1)  # one is the machine
    except OSError:
        return -1


def fetch(address: str) -> tuple[float, bytes]:
    """Seconds from the question to the whole answer, and the answer, packed."""
    asked = urllib.request.Request(f"http://{address}/metrics", headers={"Accept-Encoding": "gzip"})
    start = time.perf_counter()
    with urllib.request.urlopen(asked) as answer:
        body = bytes(answer.read())
        return time.perf_counter() - start, body


# --- a process that holds nothing but the exporter


def alone(url: str, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.exporter", url, str(count)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return {name: float(value) for name, value in json.loads(done.stdout).items()}


def child(url: str, count: int) -> None:
    """Milliseconds of CPU for each part of a scrape, the least of SCRAPES, as JSON."""
    containers = Containers(ContainerSettings(engine=url))
    threading.Thread(target=containers.run, daemon=True).start()
    wait_for(lambda: len(containers.inventory.running()) >= count, 60, f"{count} containers of {url}")
    scrape = Scrape("container", containers.collectors)
    columns = zip(*(one(scrape) for _ in range(SCRAPES)), strict=True)
    print(json.dumps(dict(zip(("read", "render", "gzip"), (1000 * min(column) for column in columns), strict=True))))


def one(scrape: Scrape) -> tuple[float, float, float]:
    """Seconds of CPU for reading, rendering, packing; the last two alternate, family by family."""
    start = time.thread_time()
    families = scrape.families()
    read = time.thread_time()
    spans: list[float] = []
    for _ in compress(timed(pieces(families), spans)):
        pass
    rendering = sum(spans)
    return read - start, rendering, time.thread_time() - read - rendering


def timed(parts: Iterator[bytes], spans: list[float]) -> Iterator[bytes]:
    """The same parts; how long each took goes to `spans`."""
    start = time.thread_time()
    for part in parts:
        spans.append(time.thread_time() - start)
        yield part
        start = time.thread_time()


if __name__ == "__main__":
    child(sys.argv[1], int(sys.argv[2]))
