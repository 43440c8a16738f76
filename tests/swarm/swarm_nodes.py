"""A real Swarm of several nodes on one machine: an engine and a network namespace each, and a switch between them.

The switch is a bridge in a network namespace of its own; nothing of it shows in the machine's network. The kernel's
vxlan carries overlay networks from node to node, and each node masquerades for its containers, as on real machines.
Where the kernel has no IPVS (`/proc/net/ip_vs`) nobody answers at a service's virtual address: `tasks.<service>` and
`--endpoint-mode dnsrr` work.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

IMAGE = "towline-demo:local"
SUBNET = "10.78.0"
_GET = (
    "import sys,urllib.request as r;q=r.Request(sys.argv[1],headers={'Accept':sys.argv[2]});"
    "sys.stdout.buffer.write(r.urlopen(q,timeout=10).read())"
)


def until(ask: Callable[[], Any], seconds: float = 90, what: Callable[[], object] = lambda: "") -> Any:
    """What `ask` gives as soon as that is true; `what`: told where it does not come true."""
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < deadline, f"it did not happen in {seconds:.0f} s; {what()}"
        time.sleep(0.2)
    return found


def _run(*command: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
    return done


class Node:
    """One node. `url`: its engine's; `address`: its own, at which the others reach it; `name`: its host name, as
    the Swarm tells it; `netns`: its network's name for `ip netns exec`; `seen`: where it sees its folder itself."""

    def __init__(self, folder: Path, prefix: str, number: int, options: Sequence[str], alike: bool = False) -> None:
        self.name, self.netns = f"{prefix}-{number}", f"{prefix}-{number}"
        self.folder = folder / str(number)
        self.seen = folder / "n" if alike else self.folder
        self._machine: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self.folder}/s"
        self.address = f"{SUBNET}.{number}"
        self.id = ""
        self._switch = prefix
        self._port = f"port{number}"
        self._options = options
        self.engine: subprocess.Popen[bytes] | None = None
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.folder.mkdir(parents=True)
        self.seen.mkdir(exist_ok=True)

    # --- its network

    def connect(self) -> None:
        """Make its network namespace, and plug it into the switch."""
        _run("ip", "netns", "add", self.netns)
        _run("ip", "-n", self._switch, "link", "add", self._port, "type", "veth", "peer", "name", "eth0", "netns",
             self.netns)  # fmt: skip
        _run("ip", "-n", self._switch, "link", "set", self._port, "master", "switch", "up")
        _run("ip", "-n", self.netns, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _run("ip", "-n", self.netns, "link", "set", device, "up")

    def partition(self) -> None:
        """Pull its cable: it reaches no other node, and none reaches it."""
        _run("ip", "-n", self._switch, "link", "set", self._port, "down")

    def heal(self) -> None:
        _run("ip", "-n", self._switch, "link", "set", self._port, "up")

    # --- its engine

    def start(self) -> None:
        """Start its engine, also again after `stop`."""
        self._machine = self._machine or self._boot()
        command = ["nsenter", f"--target={self._machine.pid}", "--uts", "--mount", "--",
                   "dockerd", "--data-root", f"{self.seen}/root", "--exec-root", f"{self.folder}/exec", "--pidfile",
                   f"{self.folder}/pid", "-H", self.url, "--bridge=none", *self._options]  # fmt: skip
        self.engine = self._spawn(command, "engine")

    def _boot(self) -> subprocess.Popen[bytes]:
        """A process that holds the host name and the mounts as this node sees them. Mounts are shared with the engine's
        containers, as on a machine that systemd has started."""
        script = f"hostname {self.name}; mount --make-rshared /; mount --bind {self.folder} {self.seen}; echo; exec cat"
        machine = subprocess.Popen(["unshare", "--uts", "--mount", "--propagation", "private", "sh", "-ec", script],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
        assert machine.stdout is not None
        assert machine.stdout.readline(), f"{self.name}: no namespaces of its own"
        return machine

    def wait(self) -> None:
        """Until its engine answers."""

        def answers() -> bool:
            assert self.engine is not None
            assert self.engine.poll() is None, self.said("engine")
            return self.docker("version", check=False).returncode == 0

        until(answers, 120, lambda: self.said("engine"))

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End its engine; after a SIGKILL its containers go on."""
        if self.engine is None:
            return
        self.engine.send_signal(number)
        try:
            self.engine.wait(60)
        except subprocess.TimeoutExpired:
            self.engine.kill()
            self.engine.wait(60)
        self.engine = None
        # After a kill dockerd takes its containerd for alive as long as nobody has reaped it, and waits in vain.
        (self.folder / "exec/containerd/containerd.pid").unlink(missing_ok=True)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def crash(self) -> None:
        """Its engine and all its containers end in the same moment."""
        self.kill()
        self._end_orphans()

    def docker(self, *arguments: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """The docker command on this node's engine."""
        return _run("docker", "-H", self.url, *arguments, check=check, timeout=timeout)

    def told(self, *arguments: str) -> str:
        """The docker command's answer, without the last line's end."""
        return self.docker(*arguments).stdout.strip()

    def load(self, *images: str, source: str = "unix:///var/run/docker.sock") -> None:
        """Copy images from the engine at `source`; those that are here already are not sent again."""
        wanted = [name for name in images if self.docker("image", "inspect", name, check=False).returncode]
        if not wanted:
            return
        with subprocess.Popen(["docker", "-H", source, "save", *wanted], stdout=subprocess.PIPE) as saving:
            subprocess.run(["docker", "-H", self.url, "load", "-q"], stdin=saving.stdout, check=True,
                           stdout=subprocess.DEVNULL, timeout=600)  # fmt: skip
        assert saving.returncode == 0, f"docker save {wanted}"

    # --- processes on it

    def inside(self, *command: str, pid: int = 0) -> list[str]:
        """A command line that runs `command` in this node's network, or in that of a container by its process. Unlike
        `ip netns exec` it leaves /sys, and so the cgroups, where they are."""
        return ["nsenter", f"--net=/proc/{pid}/ns/net" if pid else f"--net=/run/netns/{self.netns}", "--", *command]

    def run(self, name: str, *command: str, pid: int = 0, environment: dict[str, str] | None = None) -> None:
        """Start a process of this name there; ended by `end`, or with the node."""
        self.processes[name] = self._spawn(command, name, pid, environment)

    def end(self, name: str, number: int = signal.SIGTERM) -> int:
        """End that process; its exit code."""
        process = self.processes.pop(name)
        process.send_signal(number)
        return process.wait(60)

    def said(self, name: str, most: int = 3000) -> str:
        """The end of what a process has written; the engine's is called "engine"."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-most:]

    def answer(self, *command: str, pid: int = 0) -> str:
        """What a command there writes."""
        return _run(*self.inside(*command, pid=pid)).stdout.strip()

    def get(self, url: str, pid: int = 0, accept: str = "*/*") -> Any:
        """JSON or text at a URL as seen from there; None where it does not answer, or answers an error."""
        done = _run(*self.inside(sys.executable, "-c", _GET, url, accept, pid=pid), check=False, timeout=60)
        if done.returncode:
            return None
        return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout

    def pid(self, container: str) -> int:
        """The process id of a container, for its network."""
        return int(self.told("inspect", "-f", "{{.State.Pid}}", container))

    def _spawn(
        self, command: Sequence[str], name: str, pid: int = 0, environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                self.inside(*command, pid=pid), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})}, start_new_session=True)  # fmt: skip

    # --- the end

    def close(self) -> None:
        """End all that was started here, and remove what it left. Any number of times."""
        for name in list(self.processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.end(name, signal.SIGKILL)
        if self.engine is not None and self.engine.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired, AssertionError):
                self._empty()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop()
        self._end_orphans()
        if self._machine is not None:
            self._machine.communicate()
            self._machine = None
        _run("ip", "netns", "del", self.netns, check=False)
        self._unmount()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _empty(self) -> None:
        self.docker("swarm", "leave", "--force", check=False, timeout=60)
        left = self.docker("ps", "-aq", check=False).stdout.split()
        if left:
            self.docker("rm", "-f", *left, check=False)

    def _end_orphans(self) -> None:
        """Containers' shims, and an engine's containerd, that a kill left: they name this node's folder."""
        folder = str(self.folder).encode()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"containerd" in words[0] and any(word.startswith(folder) for word in words):
                    for child in (entry / f"task/{entry.name}/children").read_text().split():
                        os.kill(int(child), signal.SIGKILL)
                    os.kill(int(entry.name), signal.SIGKILL)

    def _unmount(self) -> None:
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for path in sorted((path for path in mounted if path.startswith(f"{self.folder}/")), reverse=True):
            _run("umount", "-l", path, check=False)


class SwarmNodes:
    """`nodes[0]` made the Swarm; `managers` of them manage it. `folder`: short, socket paths end at 107 bytes.

    alike: each node sees its engine's folder under the same path, since a stack file names one path for all nodes."""

    def __init__(
        self, folder: Path, number: int = 3, managers: int = 1, options: Sequence[str] = (), alike: bool = False
    ) -> None:
        self.folder = folder
        self.prefix = f"tws{uuid.uuid4().hex[:6]}"
        self.nodes = [Node(folder, self.prefix, place, options, alike) for place in range(1, number + 1)]
        self._managers = managers

    @property
    def first(self) -> Node:
        return self.nodes[0]

    def start(self) -> None:
        _run("ip", "netns", "add", self.prefix)
        for command in ("link set lo up", "link add switch type bridge", "link set switch up"):
            _run("ip", "-n", self.prefix, *command.split())
        for node in self.nodes:
            node.connect()
            node.start()
        for node in self.nodes:
            node.wait()
        self._join()

    def _join(self) -> None:
        self.first.docker("swarm", "init", "--advertise-addr", self.first.address)
        for place, node in enumerate(self.nodes):
            if place:
                role = "manager" if place < self._managers else "worker"
                token = self.first.told("swarm", "join-token", "-q", role)
                node.docker("swarm", "join", "--advertise-addr", node.address, "--token", token,
                            f"{self.first.address}:2377")  # fmt: skip
            node.id = node.told("info", "-f", "{{.Swarm.NodeID}}")

    def make(self, image: Callable[[str], None]) -> None:
        """Call with the URL of each node's engine: `make_image` of tests/conftest.py for example."""
        for node in self.nodes:
            image(node.url)

    def load(self, *images: str) -> None:
        """Copy images of the machine's engine to all nodes."""
        for node in self.nodes:
            node.load(*images)

    def running(self, service: str) -> dict[str, list[str]]:
        """Container ids of a service's running tasks, by name of their node: as each engine tells itself."""
        label = f"label=com.docker.swarm.service.name={service}"
        return {node.name: node.told("ps", "-q", "--no-trunc", "--filter", label).split() for node in self.nodes}

    def close(self) -> None:
        """Also where it was half started; any number of times."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(Node.close, self.nodes))
        _run("ip", "netns", "del", self.prefix, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def swarm_nodes(
    folder: Path, number: int = 3, managers: int = 1, options: Sequence[str] = (), alike: bool = False
) -> Iterator[SwarmNodes]:
    """A Swarm while the context lasts. options: more of dockerd's, such as "--log-opt=max-size=10m"."""
    made = SwarmNodes(folder, number, managers, options, alike)
    try:
        made.start()
        yield made
    finally:
        made.close()
