"""compose/stack.yml on the nodes of a Swarm, generators that write on all of them, and what the store has then."""

import json
import sys
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parents[1] / "system"))
sys.path.insert(0, str(Path(__file__).parents[1] / "compose"))

import machine_images
from oracle import GENERATOR, Written, judge
from swarm_nodes import IMAGE, Node, SwarmNodes, until

ROOT = Path(__file__).parents[2]
Document = dict[str, Any]
SERVICE = "com.docker.swarm.service.name"
TASK = "com.docker.swarm.task.id"
NAMESPACE = "com.docker.stack.namespace"
LOAD = """
version: "3.9"
x-writer: &writer
  image: {image}
  command: [sh, -c, {script}]
  environment: {{RUN: "{run}", NAME: "{{{{.Task.Name}}}}", COUNT: "{count}", BURST: "10", PAUSE: "{pause}", HOLD: "",
                STREAMS: stdout stderr}}
  stop_grace_period: 1s
services:
  every: {{<<: *writer, deploy: {{mode: global, update_config: {{parallelism: 0}}}}}}
  some: {{<<: *writer, deploy: {{replicas: {replicas}, update_config: {{parallelism: 0}}}}}}
"""


class Stack:
    """`data`: the node that keeps broker, store and Prometheus; `asked`: the manager that commands go to."""

    def __init__(self, swarm: SwarmNodes, data: Node) -> None:
        self.swarm, self.data, self.asked = swarm, data, swarm.first
        self.secrets = swarm.folder / "secrets"

    # --- its images, credentials, services

    def prepare(self) -> None:
        """All images on all nodes, and what init.py makes, run in Towline's own image."""
        first = self.swarm.first
        machine_images.make_towline(first.url)
        names = [machine_images.TOWLINE, *machine_images.make_servers(first.url)]
        for node in self.swarm.nodes[1:]:
            node.load(*names, source=first.url)
        self.secrets.mkdir()
        first.docker("run", "--rm", "--network", "none", "--user", "0:0", "-v", f"{self.secrets}:/secrets",
                     "--entrypoint", "python3", machine_images.TOWLINE, "/usr/local/lib/towline/init.py",
                     "/secrets")  # fmt: skip
        first.docker("swarm", "update", "--task-history-limit", "50")  # containers of ended tasks, and their logs, stay
        first.docker("node", "update", "--label-add", "towline.data=1", self.data.name)

    def deploy(self, *overlays: Path) -> None:
        """The stack file, with the paths of these engines. Again after a change, also with other overlays."""
        files = [ROOT / "compose/stack.yml", ROOT / "tests/swarm/three_nodes.yml", *overlays]
        given = [f"SECRETS={self.secrets}", f"DOCKER_ROOT={self.swarm.first.seen}/root",
                 f"DOCKER_SOCKET={self.swarm.first.seen}/s"]  # fmt: skip
        self.stack("towline", *files, environment=given)

    def stack(self, name: str, *files: Path, environment: Sequence[str] = ()) -> None:
        options = [word for file in files for word in ("-c", str(file))]
        node = self.asked
        command = ["env", *environment, "docker", "-H", node.url, "stack", "deploy", "--resolve-image", "never"]
        node.answer(*command, *options, name)

    def remove(self, name: str) -> None:
        """A stack, and its tasks' containers."""
        self.asked.docker("stack", "rm", name)
        until(lambda: not self.containers(f"{NAMESPACE}={name}"), 120)

    def replicas(self) -> dict[str, tuple[int, int]]:
        """Of each service: tasks that run and are healthy, and those that are wanted."""
        rows = self.asked.told("service", "ls", "--format", "{{.Name}} {{.Replicas}}").splitlines()
        told = {row.split()[0]: row.split()[1].split("/") for row in rows}
        return {name: (int(run), int(wanted)) for name, (run, wanted) in told.items()}

    def complete(self) -> bool:
        """All that is wanted runs, and no update is under way."""
        found = self.replicas()
        if any(run != wanted for run, wanted in found.values()):
            return False
        states = self.asked.told(
            "service", "inspect", "-f", "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}", *found
        )
        return not {"updating", "rollback_started"} & set(states.split())

    def wait_complete(self, seconds: float = 300) -> None:
        until(self.complete, seconds, self.state)

    def state(self) -> str:
        """For the report of a failure."""
        told = [str(self.replicas()), self.asked.told("node", "ls")]
        for name in self.replicas():
            rows = self.asked.docker("service", "ps", "--no-trunc", name, "--format",
                                     "{{.Name}} {{.Node}} {{.CurrentState}} {{.Error}}").stdout  # fmt: skip
            told += [row for row in rows.splitlines() if " Running " not in row][:3]
        for service in ("shipper", "indexer"):
            for node, container in self.running(f"towline_{service}"):
                done = node.docker("logs", "--tail", "5", container, check=False)
                told.append(f"{node.name} {service}: {done.stdout}{done.stderr}")
        return "\n".join(told)

    # --- containers

    def containers(self, label: str, *options: str) -> list[tuple[Node, str]]:
        """Those with this label, as each engine tells that answers; also those that have ended."""
        return [
            (node, each)
            for node in self.swarm.nodes
            for each in node.docker("ps", "-q", "--no-trunc", "--filter", f"label={label}", *(options or ("-a",)),
                                    check=False).stdout.split()
        ]  # fmt: skip

    def running(self, service: str) -> list[tuple[Node, str]]:
        return self.containers(f"{SERVICE}={service}", "--filter", "status=running")

    def run_in(self, service: str, *command: str) -> str | None:
        """What a command in a running task of the service says; None where it fails, or there is none."""
        for node, container in self.running(service):
            done = node.docker("exec", container, *command, check=False, timeout=300)
            return done.stdout if done.returncode == 0 else None
        return None

    # --- what has come of it

    def documents(self, *filters: str) -> list[Document]:
        """By `towline search` in the page's container: over TLS, as its user, who may only read."""
        said = self.run_in("towline_page", "towline", "search", *filters, "--limit", "0", "--json")
        return [json.loads(line) for line in (said or "").splitlines()]

    def measured(self, query: str) -> list[dict[str, Any]]:
        """What Prometheus answers to a query."""
        url = f"http://localhost:9090/api/v1/query?query={quote(query)}"
        said = self.run_in("towline_prometheus", "wget", "-q", "-O", "-", url)
        return list(json.loads(said)["data"]["result"]) if said else []

    def by(self, label: str, query: str) -> dict[str, float]:
        """The same, as values by one label."""
        return {row["metric"].get(label, ""): float(row["value"][1]) for row in self.measured(query)}


@dataclass
class Load:
    """Services `<name>_every`, a task on each node, and `<name>_some`: they write numbered lines until they end."""

    stack: Stack
    name: str = field(default_factory=lambda: f"load{uuid.uuid4().hex[:6]}")
    replicas: int = 3
    count: int = 1_000_000
    pause: float = 1.0
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    @property
    def services(self) -> tuple[str, str]:
        return f"{self.name}_every", f"{self.name}_some"

    def start(self) -> "Load":
        """Until each node's lines are in the store."""
        file = self.stack.swarm.folder / f"{self.name}.yml"
        script = json.dumps(GENERATOR.replace("$", "$$"))
        file.write_text(LOAD.format(image=IMAGE, script=script, run=self.run, count=self.count, pause=self.pause,
                                    replicas=self.replicas))  # fmt: skip
        self.stack.stack(self.name, file)
        self.flows()
        return self

    def flows(self, seconds: float = 180) -> None:
        """Wait until a new line of every container that runs now is in the store."""
        have: set[str] = set()

        def come() -> bool:
            wanted = {container for service in self.services for _, container in self.stack.running(service)}
            have.update(each["container"]["id"] for each in self._documents("--since", "30s"))
            return bool(wanted) and wanted <= have

        until(come, seconds, self.stack.state)

    def flows_from(self, nodes: set[str], seconds: float = 180) -> None:
        """Wait until lines of the last half minute are there from these nodes."""
        until(lambda: nodes <= {each["host"]["name"] for each in self._documents("--since", "30s")}, seconds,
              self.stack.state)  # fmt: skip

    def end(self) -> None:
        """All tasks end; their containers stay, with their logs."""
        for service in self.services:
            self.stack.asked.docker("service", "update", "-d", "--constraint-add", "node.labels.nowhere==1", service)
        until(lambda: not any(self.stack.running(service) for service in self.services), 180, self.stack.state)

    def accounts(self) -> list[Written]:
        """What each container has written, ended or not, as its node's engine has it."""
        found = [each for service in self.services for each in self.stack.containers(f"{SERVICE}={service}")]
        return [account for node, container in found for account in self._written(node, container)]

    def _written(self, node: Node, container: str) -> Iterator[Written]:
        environment = json.loads(node.told("inspect", "-f", "{{json .Config.Env}}", container))
        name = next(each.partition("=")[2] for each in environment if each.startswith("NAME="))
        said = node.docker("logs", container)
        for stream, text in (("stdout", said.stdout), ("stderr", said.stderr)):
            yield Written(self.run, name, stream, len(text.splitlines()), container)

    def judged(self, seconds: float = 300) -> dict[str, int]:
        """End it, wait until the store has as many lines as the engines, and have every one judged. Lines by node."""
        self.end()
        accounts = self.accounts()
        wanted = sum(account.count for account in accounts)
        found: list[Document] = []

        def come() -> bool:
            found[:] = self._documents()
            return len(found) >= wanted

        until(come, seconds, lambda: f"{len(found)} of {wanted}: {_absent(accounts, found)} {self.stack.state()}")
        report = judge(found, accounts)
        assert not report.faults, report.faults
        assert not report.gaps, report.gaps
        by_node: dict[str, int] = defaultdict(int)
        for each in found:
            by_node[each["host"]["name"]] += 1
        self.stack.remove(self.name)
        return by_node

    def _documents(self, *filters: str) -> list[Document]:
        return [each for service in self.services for each in self.stack.documents("--service", service, *filters)]


def _absent(accounts: list[Written], found: list[Document]) -> dict[str, list[str]]:
    report = judge(found, accounts)
    return {"lost": report.lost[:10], **report.faults}
