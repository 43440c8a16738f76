"""CPU for reading a log through the engine's API: ours (user + system), and curl's, which only throws it away.

    PYTHONPATH=. python benchmarks/api_source.py [LINES]

Makes a container with LINES (default 1,000,000) lines of 190 bytes, reads them as a snapshot, and removes it. The
image towline-demo:local must be there.
"""

import os
import resource
import subprocess
import sys
import time

import docker

from shipper.sources.api import ApiSource

ENGINE = os.environ.get("TOWLINE_TEST_ENGINE", "unix:///var/run/docker.sock")
TICKS = (0.02, 0.002)


def main(lines: int) -> None:
    client = docker.DockerClient(base_url=ENGINE)
    script = f"yes {'x' * 189} | head -n {lines}"
    container = client.containers.run(
        "towline-demo:local", ["sh", "-c", script], network_mode="none", detach=True, log_config={"Type": "json-file"}
    )
    try:
        container.wait(timeout=600)
        ours(container.id, lines)
        curl(container.id, lines)
    finally:
        container.remove(force=True)
        client.close()


def ours(container: str, lines: int) -> None:
    source = ApiSource(ENGINE, container, running=False)
    before, start, count, reads = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter(), 0, 0
    while count < lines:
        entries = source.read(1 << 20)
        count += len(entries) if entries else 0
        reads += 1
        time.sleep(TICKS[source.eager])
    after = resource.getrusage(resource.RUSAGE_SELF)
    source.close()
    report("towline", before, after, lines, time.perf_counter() - start)
    print(f"         {reads} reads, largest process size {after.ru_maxrss >> 10} MiB")


def curl(container: str, lines: int) -> None:
    url = f"http://docker/containers/{container}/logs?stdout=1&stderr=1&timestamps=1"
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    socket = ENGINE.removeprefix("unix://")
    subprocess.run(["curl", "-s", "--http1.0", "--unix-socket", socket, "-o", "/dev/null", url], check=True)
    report("curl", before, resource.getrusage(resource.RUSAGE_CHILDREN), lines, time.perf_counter() - start)


def report(name: str, before: resource.struct_rusage, after: resource.struct_rusage, lines: int, took: float) -> None:
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    per = 1e6 / lines
    print(
        f"{name:8} {(user + system) * per:5.2f} us/line ({user * per:.2f} user + {system * per:.2f} system), "
        f"{took:.1f} s"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
