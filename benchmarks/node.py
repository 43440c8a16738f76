"""Cost of a scrape of the host: CPU, bytes, memory; beside Debian's node exporter.

    PYTHONPATH=. python benchmarks/node.py [INTERFACES]

As root: runs in a network namespace of its own, with INTERFACES (default 100) interfaces as Docker makes one for each
container. Both exporters are asked SCRAPES times; ours in this process, without HTTP, which costs the same for all.
"""

import os
import resource
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from exporters.exposition import render
from exporters.node import OPTIONAL, Host, collectors
from exporters.scrape import Scrape

SCRAPES = 50
ADDRESS = "127.0.0.1:19177"
INSIDE = "TOWLINE_BENCH_INSIDE"


def own_namespaces() -> None:
    """Starts this program again where the network and /sys/class/net are its own."""
    if not os.environ.get(INSIDE):
        script = 'mount -t sysfs sysfs /sys && exec "$@"'
        command = ["unshare", "--net", "--mount", "sh", "-c", script, "sh", sys.executable, *sys.argv]
        os.execvpe("unshare", command, {**os.environ, INSIDE: "1"})


def make_interfaces(count: int) -> None:
    lines = ["link set lo up"]
    pairs = range(0, count, 2)  # both ends stay here, and count
    lines += [f"link add name veth{number:07x} type veth peer name veth{number + 1:07x}" for number in pairs]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


def ours(also: list[str]) -> str:
    scrape = Scrape("node", collectors(Host(), also=also))
    body = render(scrape.families())
    begin = time.process_time()
    for _ in range(SCRAPES):
        body = render(scrape.families())
    milliseconds = (time.process_time() - begin) / SCRAPES * 1e3
    return told(milliseconds, body, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def told(milliseconds: float, body: bytes, kibibytes: int) -> str:
    names = body.count(b"# TYPE")
    return f"{milliseconds:6.1f} ms CPU a scrape, {len(body) >> 10} KiB, {names} names, {kibibytes >> 10} MiB RSS"


def theirs(program: str) -> str:
    exporter = subprocess.Popen([program, f"--web.listen-address={ADDRESS}"], stderr=subprocess.DEVNULL)
    try:
        body = fetch()
        begin = ticks(exporter.pid)
        for _ in range(SCRAPES):
            body = fetch()
        milliseconds = (ticks(exporter.pid) - begin) * 1e3 / os.sysconf("SC_CLK_TCK") / SCRAPES
        status = Path(f"/proc/{exporter.pid}/status").read_text().split()
        return told(milliseconds, body, int(status[status.index("VmRSS:") + 1]))
    finally:
        exporter.terminate()
        exporter.wait()


def fetch() -> bytes:
    for _ in range(200):
        try:
            with urllib.request.urlopen(f"http://{ADDRESS}/metrics") as answer:
                return bytes(answer.read())
        except OSError:
            time.sleep(0.05)
    sys.exit("the node exporter does not answer")


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().split()
    return int(fields[13]) + int(fields[14])


def main() -> None:
    own_namespaces()
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    make_interfaces(count)
    print(f"the host with {count} containers' interfaces, {SCRAPES} scrapes:")
    print("  towline            ", ours([]))
    print("  towline, everything", ours(list(OPTIONAL)))
    program = shutil.which("prometheus-node-exporter")
    print("  node_exporter      ", theirs(program) if program else "is not installed")


main()
