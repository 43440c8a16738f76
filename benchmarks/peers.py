"""Peers of the shipper, where they are on the path: Fluent Bit's tail of the same file, Vector's docker_logs, live."""

import http.client
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.client import count
from benchmarks.figure import Figure, ratio_at_most
from benchmarks.ground import Ground
from benchmarks.measuring import cpu, wait_for
from benchmarks.program import end, free_port

GROUP = "shipper"
SECONDS = 300
"""Each measurement of a peer ends by then, with a TimeoutError."""
_FLUENT_BIT = """\
[SERVICE]
    Flush 1
    scheduler.cap 5
    Log_Level warn
[INPUT]
    Name tail
    Path {log}
    multiline.parser docker
    Read_from_Head On
    Mem_Buf_Limit 20MB
[OUTPUT]
    Name es
    Match *
    Host {host}
    Port {port}
    Index {index}
    Suppress_Type_Name On
    Generate_ID On
    Buffer_Size False
    Retry_Limit False
"""
"""As it is run on Docker's logs: parts joined and times read by its parser `docker`, and ids, so that what is sent
again is stored once. Without a limit it floods the server, which refuses, and each retry costs it the whole chunk
again; with the 5 MB of its Helm chart it waits most of the time. It reads whole answers, since what does not fit into
its buffer would go unchecked. It keeps no positions on disk, adds no names or labels and compresses nothing: less than
the shipper does.
"""


class Peer:
    """A program of others; used as a context manager, which ends it. Its output goes to `log`."""

    def __init__(self, log: Path, *command: str) -> None:
        self._log, self._command = log, command
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        end(self._process, 10)

    @property
    def cpu(self) -> float:
        return cpu(self._process.pid)

    def alive(self) -> bool:
        """True; RuntimeError with the end of its output where it has ended."""
        if self._process.poll() is None:
            return True
        raise RuntimeError(f"{' '.join(self._command)} ended: {self._log.read_text(errors='replace')[-500:]}")


def figures(ground: Ground, file: float, api: float) -> Iterator[Figure]:
    """`file`, `api`: µs of CPU per line of the shipper itself: of a backlog in the file, of live lines by the API."""
    if fluent_bit := on_the_path("fluent-bit"):
        name = f"Fluent Bit {version(fluent_bit)}, tail of the same log to Elasticsearch, with ids"
        beside = min(tailed(ground, fluent_bit) for _ in range(min(2, ground.sizes.rounds)))
        yield Figure(GROUP, "backlog, file, beside Fluent Bit", file, "µs/line", name, beside, ratio_at_most(0.4))
    if vector := on_the_path("vector"):
        name = f"Vector {version(vector)}, docker_logs to its blackhole"
        yield Figure(
            GROUP, "live, api, beside Vector", api, "µs/line", name, followed(ground, vector), ratio_at_most(0.15)
        )


def on_the_path(program: str) -> str:
    """Where a program is; empty, with a line that says so, where it is not."""
    place = shutil.which(program) or ""
    if not place:
        print(f"    {program} is not on the path: no row beside it", flush=True)
    return place


def version(program: str) -> str:
    """Digits and dots of what `PROGRAM --version` says first; empty where it says none."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=False)
    told = re.search(r"\d+(\.\d+)+", done.stdout)
    return told[0] if told else ""


def tailed(ground: Ground, program: str) -> float:
    """Fluent Bit's µs per line of the backlog's log, as many as are stored elsewhere, each found in Elasticsearch;
    without those of a start."""
    lines = min(ground.sizes.backlog, ground.sizes.stored)
    start = _tail(ground, program, beginning(ground, 1), 1)
    return 1e6 * (_tail(ground, program, beginning(ground, lines), lines) - start) / lines


def beginning(ground: Ground, lines: int) -> Path:
    """A copy of the first lines of the backlog's log."""
    copy = ground.folder / f"{ground.unique('beginning')}.log"
    with Path(ground.client.api.inspect_container(ground.backlog)["LogPath"]).open("rb") as log:
        copy.write_bytes(b"".join(islice(log, lines)))
    return copy


def _tail(ground: Ground, program: str, log: Path, lines: int) -> float:
    """CPU seconds until a search finds these."""
    index = ground.unique(f"fluentbit-{ground.prefix}-")
    host, _, port = ground.elastic.removeprefix("http://").rpartition(":")
    settings = ground.folder / f"{index}.conf"
    settings.write_text(_FLUENT_BIT.format(log=log, host=host, port=port, index=index))
    ground.ask("PUT", f"/{index}")
    try:
        with Peer(ground.folder / "fluent-bit.log", program, "-c", str(settings)) as peer:
            told = f"{lines} lines of Fluent Bit in Elasticsearch"
            wait_for(lambda: peer.alive() and count(ground, index) >= lines, SECONDS, told, every=0.5)
            return peer.cpu
    finally:
        ground.ask("DELETE", f"/{index}")


def followed(ground: Ground, program: str) -> float:
    """Vector's µs per line of live lines as fast as the engine takes them; it reads none from before its start."""
    (name,) = ground.writers.make("livevector")
    port, lines = free_port(), ground.sizes.live
    settings = ground.folder / "vector.json"
    settings.write_text(json.dumps(_vector(ground, name, port)))
    with Peer(ground.folder / "vector.log", program, "--config", str(settings)) as peer:

        def reached(count: float) -> bool:
            return peer.alive() and received(port) >= count

        def attached() -> bool:
            ground.writers.say(name, b"ready\n")
            return reached(1)

        wait_for(attached, 60, "a first line from Vector", every=1.5)
        before, used = received(port), peer.cpu
        ground.writers.burst([name], lines)
        wait_for(lambda: reached(before + lines), SECONDS, f"{lines} lines from Vector")
        used = peer.cpu - used
    ground.writers.remove([name])
    return 1e6 * used / lines


def _vector(ground: Ground, name: str, port: int) -> dict[str, object]:
    sources = {
        "containers": {"type": "docker_logs", "docker_host": ground.engine, "include_containers": [name]},
        "itself": {"type": "internal_metrics", "scrape_interval_secs": 1},
    }
    sinks = {
        "nowhere": {"type": "blackhole", "inputs": ["containers"]},
        "told": {"type": "prometheus_exporter", "inputs": ["itself"], "address": f"127.0.0.1:{port}"},
    }
    return {"data_dir": str(ground.folder), "sources": sources, "sinks": sinks}


def received(port: int) -> float:
    """Lines that Vector's sink `nowhere` has been given, by its metrics; 0 while there are none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
    pattern = r'(?m)^vector_component_received_events_total\{[^}]*component_id="nowhere"[^}]*\} (\S+)'
    return sum(map(float, re.findall(pattern, text)))
