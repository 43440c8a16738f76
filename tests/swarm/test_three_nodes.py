"""Three nodes, a stack's worth of services, an exporter and Towline on each node, the real Prometheus on their overlay.

One Swarm for all of it: it takes longer to make than all that is asked of it.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from node_programs import TOWLINE, Export, Prometheus
from swarm_nodes import IMAGE, Node, SwarmNodes, until

pytestmark = [pytest.mark.engine, pytest.mark.soak]

CONFIGS = Path(__file__).parents[2] / "compose/prometheus"
SERVE = "mkdir -p /w; echo 'here 1' >/w/metrics; while :; do echo line; sleep 2; done & exec httpd -f -p {port} -h /w"
WANTS = ("--label", "prometheus.io/scrape=true", "--label")
STACK = ("--label", "com.docker.stack.namespace=shop", "--container-label", "com.docker.stack.namespace=shop")


def create(swarm: SwarmNodes, name: str, port: int, *options: str) -> None:
    swarm.first.docker("service", "create", "-d", "--no-resolve-image", "--name", name, *options, IMAGE, "sh", "-c",
                       SERVE.format(port=port))  # fmt: skip


@pytest.fixture(scope="module")
def services(swarm: SwarmNodes) -> SwarmNodes:
    """web: 3 tasks on the overlay; agent: one on each node's network; inner: a host port on each node, not the task's
    own; absent: wants a node that there is none of."""
    network = ("network", "create", "-d", "overlay")
    swarm.first.docker(*network, "--attachable", "monitor")
    swarm.first.docker(*network, "private")
    create(swarm, "shop_web", 8000, *STACK, "--network", "monitor", "--replicas", "3", "--replicas-max-per-node", "1",
           *WANTS, "prometheus.io/port=8000", "--publish", "published=80,target=8000")  # fmt: skip
    create(swarm, "agent", 8001, "--network", "host", "--mode", "global", "--label", "com.df.notify=true", "--label",
           "com.df.scrapePort=8001")  # fmt: skip
    create(swarm, "inner", 8002, "--network", "private", "--mode", "global", *WANTS, "prometheus.io/port=8002",
           "--publish", "mode=host,published=9002,target=8002")  # fmt: skip
    create(swarm, "absent", 8003, "--replicas", "2", "--constraint", "node.labels.disk==fast")
    return swarm


@pytest.fixture(scope="module")
def exports(services: SwarmNodes) -> list[Export]:
    """On each node. All services run everywhere."""
    started = [Export(node, "--sd-network", "monitor", "--node-label", "zone") for node in services.nodes]
    for name in ("shop_web", "agent", "inner"):
        until(lambda name=name: all(len(found) == 1 for found in services.running(name).values()), 120,
              lambda name=name: services.first.told("service", "ps", "--no-trunc", name))  # fmt: skip
    manager = started[0]
    manager.until(lambda seen: all(seen.value("swarm_service_replicas_running", service=name) == 3 for name in
                                   ("shop_web", "agent", "inner")))  # fmt: skip
    return started


def node_of(swarm: SwarmNodes, name: str) -> Node:
    return next(node for node in swarm.nodes if node.name == name)


def test_services_tasks_and_nodes_are_told_by_the_manager(exports: list[Export], services: SwarmNodes) -> None:
    manager, nodes = exports[0].scrape(), services.nodes
    wanted = {labels["service"]: manager.value("swarm_service_replicas_desired", service=labels["service"])
              for labels in manager.labels("swarm_service_info")}  # fmt: skip
    assert wanted == {"shop_web": 3, "agent": 3, "inner": 3, "absent": 2}
    assert manager.value("swarm_service_replicas_running", service="absent") == 0
    assert manager.value("swarm_service_tasks", service="absent", state="pending") == 2
    assert manager.value("swarm_service_tasks", service="shop_web", state="running") == 3
    assert manager.labels("swarm_service_info", service="shop_web")[0].items() >= {
        "stack": "shop", "mode": "replicated", "image": IMAGE}.items()  # fmt: skip
    assert manager.value("swarm_nodes", role="worker", state="ready", availability="active") == 2
    assert manager.value("swarm_nodes", role="manager", state="ready", availability="active") == 1
    for node in nodes:
        (status,) = manager.labels("swarm_node_status", node=node.name)
        assert (status["node_id"], status["address"], status["state"]) == (node.id, node.address, "ready")
        assert manager.value("swarm_node_tasks_running", node=node.name) == 3
        assert manager.value("swarm_node_leader", node=node.name) == (1 if node is services.first else None)


def test_each_node_says_who_it_is_and_workers_tell_nothing_of_the_swarm(
    exports: list[Export], services: SwarmNodes
) -> None:
    for export, node in zip(exports, services.nodes, strict=True):
        seen = export.until(lambda seen: seen.value("container_scrape_collector_success", collector="swarm") == 1)
        (meta,) = seen.labels("node_meta")
        assert (meta["node_id"], meta["node_name"]) == (node.id, node.name)
        assert meta["container_label_com_docker_swarm_node_id"] == node.id
        manages = node is services.first
        assert seen.value("swarm_manager") == int(manages)
        assert (seen.names("swarm_") != {"swarm_manager"}) is manages
    assert exports[1].targets() is None
    assert exports[1].refusal().startswith("503 ")
    assert "ask one that does" in exports[1].refusal()


def test_every_task_on_every_node_is_a_target_where_it_answers(exports: list[Export], services: SwarmNodes) -> None:
    targets = until(lambda: len(found := exports[0].targets() or {}) == 9 and found, 60, exports[0].targets)
    by_node = {(node.address, port) for node in services.nodes for port in ("8001", "9002")}
    assert by_node == {tuple(address.split(":")) for address, labels in targets.items() if labels["job"] != "shop_web"}
    for job in ("shop_web", "agent", "inner"):
        told = {labels["__meta_towline_node"] for labels in targets.values() if labels["job"] == job}
        assert told == {node.name for node in services.nodes}, job
    for address, labels in targets.items():
        node = node_of(services, labels["__meta_towline_node"])
        assert labels["__meta_towline_node_id"] == node.id
        (container,) = services.running(labels["job"])[node.name]
        assert node.told("inspect", "-f", '{{index .Config.Labels "com.docker.swarm.task.name"}}', container) == labels[
            "__meta_towline_task"]  # fmt: skip
        if labels["job"] == "shop_web":
            assert (
                services.first.get(f"http://{address}/metrics", pid=node_pid(services, container, node)) == "here 1\n"
            )
        else:
            assert services.first.get(f"http://{address}/metrics") == "here 1\n", address


def node_pid(swarm: SwarmNodes, container: str, node: Node) -> int:
    """A process on the overlay, on another node than this one: the address has to be right there, too."""
    other = next(each for each in swarm.nodes if each is not node)
    (elsewhere,) = swarm.running("shop_web")[other.name]
    return other.pid(elsewhere)


def test_the_swarm_metrics_are_clean_to_promtool(
    exports: list[Export], missing_part: Callable[[str], NoReturn]
) -> None:
    if shutil.which("promtool") is None:
        missing_part("no promtool; scripts/bootstrap.sh servers")
    text = exports[0].scrape().only("swarm_", "node_meta")
    assert text.count("# TYPE ") >= 15
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# --- the same names in logs


@pytest.fixture(scope="module")
def documents(services: SwarmNodes, exports: list[Export]) -> dict[str, dict[str, Any]]:
    """A log document of each task on a worker, by container id, as `towline up` there stores it."""
    node = services.nodes[1]
    node.run("up", *TOWLINE, "up", "--engine", node.url, "--data", f"{node.folder}/data", "--listen", "127.0.0.1:8514")
    found = {container: of_container(node, container) for name in ("shop_web", "agent", "inner")
             for container in services.running(name)[node.name]}  # fmt: skip
    assert node.end("up") == 0
    return found


def of_container(node: Node, container: str) -> dict[str, Any]:
    until((node.folder / "data/store").exists, 90, lambda: node.said("up"))
    rows: list[dict[str, Any]] = until(lambda: search(node, container), 90, lambda: node.said("up"))
    return rows[0]


def search(node: Node, container: str, folder: str = "data") -> list[dict[str, Any]]:
    """Its newest line."""
    answer = node.answer(*TOWLINE, "search", "--data", f"{node.folder}/{folder}", "--container", container[:12],
                         "--limit", "1", "--json")  # fmt: skip
    return [json.loads(line) for line in answer.splitlines()]


def test_labels_of_metrics_have_the_values_of_the_fields_of_log_lines(
    documents: dict[str, dict[str, Any]], exports: list[Export], services: SwarmNodes
) -> None:
    seen_by = [export.scrape() for export in exports]
    manager, targets = seen_by[0], exports[0].targets() or {}
    assert len(documents) == 3
    for container, document in documents.items():
        swarm, node = document["orchestrator"], node_of(services, document["host"]["name"])
        service, stack = document["service"]["name"], swarm.get("namespace", "")
        assert stack == ("shop" if service == "shop_web" else "")
        (info,) = manager.labels("swarm_service_info", service=service, stack=stack)
        assert info["service_id"] == swarm["resource"]["id"]
        assert info["image"] == document["container"]["image"]["name"]
        assert manager.value("swarm_node_ready", node=document["host"]["name"], node_id=swarm["node"]["id"]) == 1
        (target,) = [each for each in targets.values() if each["__meta_towline_task_id"] == swarm["task"]["id"]]
        assert target["__meta_towline_task"] == swarm["task"]["name"]
        assert target["__meta_towline_task_slot"] == str(swarm["task"].get("slot", ""))
        export = seen_by[services.nodes.index(node)]
        assert export.labels("node_meta", node_name=document["host"]["name"], node_id=swarm["node"]["id"])
        prefix = "container_label_com_docker_swarm_"
        (seen,) = export.labels("container_last_seen", id=f"/docker/{container}")
        assert (seen["service"], seen.get("stack", "")) == (service, stack)
        assert (seen["name"], seen["image"]) == (document["container"]["name"], info["image"])
        assert (seen[prefix + "task_id"], seen[prefix + "task_name"], seen[prefix + "node_id"]) == (
            swarm["task"]["id"], swarm["task"]["name"], node.id)  # fmt: skip


def test_a_worker_learns_labels_of_services_and_of_its_node_from_the_manager(
    exports: list[Export], services: SwarmNodes
) -> None:
    """A label of the service parses its lines, one of the node stands in them; both change while it runs."""
    manager, node = services.first, services.nodes[1]
    manager.docker("node", "update", "--label-add", "zone=a", "--label-add", "other=x", node.id)
    labels = ("towline.parse=regex", r"towline.parse.pattern=(?P<word>\w+)")
    added = [part for label in labels for part in ("--label-add", label)]
    manager.docker("service", "update", "-d", "--no-resolve-image", *added, "agent")
    node.run("labelled", *TOWLINE, "up", "--engine", node.url, "--data", f"{node.folder}/labelled", "--listen",
             "127.0.0.1:8515", "--service-labels", f"http://{manager.address}:9514", "--node-label",
             "zone")  # fmt: skip
    until((node.folder / "labelled/store").exists, 90, lambda: node.said("labelled"))

    def newest(name: str) -> tuple[Any, Any]:
        (container,) = services.running(name)[node.name]
        for row in search(node, container, "labelled"):
            return row.get("fields"), row["orchestrator"]["node"].get("labels")
        return None, None

    for name, fields in (("agent", {"word": "line"}), ("inner", None)):
        until(lambda name=name, fields=fields: newest(name) == (fields, {"zone": "a"}), 120,
              lambda name=name: (newest(name), node.said("labelled")))  # fmt: skip
    exports[0].until(lambda seen: [{"node": node.name, "node_id": node.id, "node_label_zone": "a"}] ==
                     seen.labels("swarm_node_labels", node=node.name))  # fmt: skip
    manager.docker("node", "update", "--label-add", "zone=b", node.id)
    manager.docker("service", "update", "-d", "--no-resolve-image", "--label-rm", "towline.parse", "--label-rm",
                   "towline.parse.pattern", "agent")  # fmt: skip
    until(lambda: newest("agent") == (None, {"zone": "b"}), 120, lambda: (newest("agent"), node.said("labelled")))
    assert node.end("labelled") == 0


# --- Prometheus


@pytest.fixture(scope="module")
def prometheus_on(services: SwarmNodes, missing_part: Callable[[str], NoReturn]) -> Callable[..., Prometheus]:
    """Starts one with a configuration, on the overlay (or another network) of a node."""
    if shutil.which("prometheus") is None:
        missing_part("no prometheus; scripts/bootstrap.sh servers")

    def start(node: Node, name: str, text: str, network: str = "monitor") -> Prometheus:
        node.docker("run", "-d", "--name", name, "--network", network, IMAGE, "sleep", "3600")
        return Prometheus(node, name, name, text)

    return start


def test_prometheus_scrapes_all_tasks_of_all_nodes_by_the_managers_list(
    prometheus_on: Callable[..., Prometheus], exports: list[Export], services: SwarmNodes
) -> None:
    """Prometheus is on a worker, where the overlay alone joins it to the tasks."""
    text = (CONFIGS / "http-sd.yml").read_text().replace("tasks.export", services.first.address)
    prometheus = prometheus_on(services.nodes[2], "by-list", text)
    nodes = {node.name for node in services.nodes}
    wanted = {(job, "shop" if job == "shop_web" else "", node) for job in ("shop_web", "agent", "inner")
              for node in nodes}  # fmt: skip
    until(lambda: prometheus.up("service", "stack", "node") == wanted, 90, lambda: (
        prometheus.query("up"), prometheus.node.said("by-list")))  # fmt: skip
    assert {row["metric"]["task"] for row in prometheus.query("here")} == {
        labels["__meta_towline_task"] for labels in (exports[0].targets() or {}).values()}  # fmt: skip


@pytest.mark.soak  # of one node: tests/exporters/test_swarm_prometheus.py
def test_prometheus_scrapes_the_overlays_tasks_by_its_own_discovery(
    prometheus_on: Callable[..., Prometheus], services: SwarmNodes
) -> None:
    text = (CONFIGS / "dockerswarm-sd.yml").read_text().replace("unix:///var/run/docker.sock", services.first.url)
    prometheus = prometheus_on(services.first, "by-itself", text)
    wanted = {("shop_web", "shop", node.name) for node in services.nodes}
    until(lambda: prometheus.up("job", "stack", "node") == wanted, 90, lambda: (
        prometheus.query("up"), prometheus.node.said("by-itself")))  # fmt: skip
    assert {row["metric"]["instance"].rpartition(":")[2] for row in prometheus.query("up")} == {"8000"}


def test_prometheus_scrapes_containers_of_one_machine_by_their_labels(
    prometheus_on: Callable[..., Prometheus], services: SwarmNodes
) -> None:
    node = services.nodes[1]
    node.docker("network", "create", "-d", "bridge", "alone")

    def run(name: str, port: int, *labels: str) -> None:
        said = [f"--label={label if label.startswith('com.') else f'prometheus.io/{label}'}" for label in labels]
        node.docker("run", "-d", "--name", name, "--network", "alone", *said, IMAGE, "sh", "-c",
                    SERVE.format(port=port))  # fmt: skip

    run("plain", 8100, "scrape=true", "port=8100")
    run("named", 8101, "scrape=true", "port=8101", "job=other", "path=/metrics", "interval=1s", "timeout=1s",
        "com.docker.compose.service=api", "com.docker.compose.project=shop")  # fmt: skip
    text = (CONFIGS / "docker-sd.yml").read_text().replace("unix:///var/run/docker.sock", node.url)
    prometheus = prometheus_on(node, "by-label", text, "alone")
    wanted = {("plain", "plain", "", "8100"), ("other", "api", "shop", "8101")}

    def found() -> set[tuple[str, ...]]:
        up = prometheus.up("job", "service", "stack", "instance")
        return {(job, service, stack, instance.rpartition(":")[2]) for job, service, stack, instance in up}

    until(lambda: found() == wanted, 90, lambda: (prometheus.query("up"), node.said("by-label")))
    assert len(prometheus.query("up")) == 2, "Prometheus' own container has no labels"
