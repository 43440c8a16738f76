"""compose/elasticsearch-cluster.yml over compose/stack.yml: a store that has lines grows to three nodes; one dies."""

import json
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from stack_swarm import ROOT, Load, Stack
from swarm_nodes import IMAGE, Node, swarm_nodes, until

pytestmark = [pytest.mark.engine, pytest.mark.soak]

NEEDED = 65535
"""Files that Elasticsearch wants to be allowed to open where it is one of several."""
SMALL = """
version: "3.9"
x-small: &small
  ulimits: {nofile: 10000}
  configs: [{source: nofile, target: /usr/local/lib/nofile.so, mode: 0444}]
x-settings: &settings
  LD_PRELOAD: PRELOADED
  node.store.allow_mmap: "false"
  cluster.routing.allocation.disk.threshold_enabled: "false"
  ES_JAVA_OPTS: -Xms512m -Xmx512m -XX:TieredStopAtLevel=1
  CLI_JAVA_OPTS: -XX:TieredStopAtLevel=1
services:
  elasticsearch: {<<: *small, environment: *settings}
  elasticsearch-2: &joining
    <<: *small
    environment: *settings
    healthcheck: {interval: 10s, timeout: 30s, start_period: 15m, retries: 60}
  elasticsearch-3: *joining
configs:
  nofile: {name: towline_nofile, file: FILE}
"""
"""Without mmap nobody asks for vm.max_map_count, which is the machine's."""


@pytest.fixture(scope="module")
def nofile(tmp_path_factory: pytest.TempPathFactory, missing_part: Callable[[str], NoReturn]) -> Path | None:
    """nofile.c, where this machine lets nobody open as many files as Elasticsearch wants; its limits bind root, too."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= NEEDED:
        return None
    if shutil.which("cc") is None:
        missing_part(f"fewer than {NEEDED} files may be opened here, and there is no C compiler to make nofile.c")
    made = Path(tmp_path_factory.mktemp("c")) / "nofile.so"
    source = ROOT / "tests/swarm/nofile.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(made), str(source)], check=True)
    return made


@pytest.fixture(scope="module")
def stack(swarm_parts: None, test_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack file alone, ready: one store, on the second node."""
    with swarm_nodes(Path(tmp_path_factory.mktemp("e")), alike=True) as nodes:
        nodes.load(IMAGE)
        made = Stack(nodes, nodes.nodes[1])
        made.prepare()
        made.deploy()
        made.wait_complete(600)
        yield made


def grow(stack: Stack, nofile: Path | None) -> None:
    """As docs/install-swarm.md says: two labels, and the stack once more with the file for three."""
    for number, node in ((2, stack.swarm.nodes[0]), (3, stack.swarm.nodes[2])):
        stack.asked.docker("node", "update", "--label-add", f"towline.data={number}", node.id)
    small, nothing = stack.swarm.folder / "small.yml", stack.swarm.folder / "nothing"
    nothing.write_text("as the machine allows\n")
    text = SMALL.replace("FILE", str(nofile or nothing))
    small.write_text(text.replace("PRELOADED", "/usr/local/lib/nofile.so" if nofile else '""'))
    stack.deploy(ROOT / "compose/elasticsearch-cluster.yml", small)
    stack.wait_complete(900)


def asked_of_store(stack: Stack, service: str, path: str) -> Any:
    """What a node of the store answers its administrator; None where it does not."""
    password = (stack.secrets / "admin/elasticsearch_password").read_text()
    url = f"https://localhost:9200/{path}"
    said = stack.run_in(service, "curl", "-sf", "--cacert", "config/certs/ca.pem", "-u", f"admin:{password}", url)
    return json.loads(said) if said else None


def healthy(stack: Stack, nodes: int) -> bool:
    """As many nodes as that, and every line on two of them."""
    told = asked_of_store(stack, "towline_elasticsearch", "_cluster/health") or {}
    return (told.get("number_of_nodes"), told.get("status")) == (nodes, "green")


def copies(stack: Stack) -> dict[str, set[str]]:
    """The nodes of the store that hold each index of lines."""
    rows = asked_of_store(stack, "towline_elasticsearch", "_cat/shards/.ds-logs-docker-*?format=json") or []
    held: dict[str, set[str]] = {}
    for row in rows:
        held.setdefault(row["index"], set()).add(row["node"])
    return held


def told(stack: Stack) -> str:
    """For the report of a failure."""
    logs = [str(asked_of_store(stack, "towline_elasticsearch", "_cluster/health"))]
    for number in ("", "-2", "-3"):
        for node, each in stack.running(f"towline_elasticsearch{number}"):
            logs.append(f"{node.name}: {node.docker('logs', '--tail', '10', each, check=False).stdout[-3000:]}")
    return "\n".join([*logs, stack.state()])


def up(stack: Stack, node: Node) -> bool:
    return stack.asked.told("node", "inspect", "-f", "{{.Status.State}}", node.id) == "ready"


def test_a_store_that_has_lines_grows_to_three_of_which_one_dies(stack: Stack, nofile: Path | None) -> None:
    """Lines are written all the while; what is there before gets its copy, too."""
    load = Load(stack).start()
    grow(stack, nofile)
    until(lambda: healthy(stack, 3), 300, lambda: told(stack))
    held = copies(stack)
    assert held, told(stack)
    assert all(len(nodes) == 2 for nodes in held.values()), held
    load.flows()
    lost = stack.swarm.nodes[2]
    lost.crash()
    until(lambda: not up(stack, lost), 120, stack.state)
    load.flows_from({node.name for node in stack.swarm.nodes if node is not lost}, 300)
    lost.start()
    lost.wait()
    until(lambda: up(stack, lost), 120, stack.state)
    stack.wait_complete(600)
    until(lambda: healthy(stack, 3), 300, lambda: told(stack))
    load.flows()
    assert load.judged().keys() >= {node.name for node in stack.swarm.nodes}
