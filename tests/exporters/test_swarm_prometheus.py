"""A real Swarm of one node in a network of its own, and the real Prometheus on its overlay network."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from shipper.managers import EngineOfManager
from towline.engine import Engine

sys.path.insert(0, str(Path(__file__).parent))  # as in tests/system: tests/ has no __init__.py

from swarm_manager import IMAGE, Manager, until

ROOT = Path(__file__).parent.parent.parent
CONFIGS = ROOT / "compose/prometheus"
RULES = ROOT / "dashboards/alerts/towline.yml"


@pytest.fixture(scope="module")
def manager(
    engine_url: str,
    make_image: Callable[[str], None],
    missing_part: Callable[[str], NoReturn],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Manager]:
    """With services: web (2 tasks, overlay), flow (the node's network, Docker Flow's labels), inner (host port)."""
    if os.geteuid() != 0:
        missing_part("a second engine needs root")
    for tool in ("prometheus", "nsenter", "docker"):
        if shutil.which(tool) is None:
            missing_part(f"no {tool}; scripts/bootstrap.sh servers")
    made = Manager(Path(tmp_path_factory.mktemp("s")))
    try:
        make_image(made.url)
        made.docker("swarm", "init", "--advertise-addr", "10.77.0.1")
        made.docker("network", "create", "-d", "overlay", "--attachable", "monitor")
        made.docker("network", "create", "-d", "overlay", "private")
        wants = ("--label", "prometheus.io/scrape=true", "--label")
        made.service("shop_web", 8000, "--network", "monitor", "--replicas", "2", "--label",
                     "com.docker.stack.namespace=shop", *wants, "prometheus.io/port=8000", "--publish",
                     "80:8000")  # fmt: skip
        made.service("flow", 8001, "--network", "host", "--mode", "global", "--label", "com.df.notify=true", "--label",
                     "com.df.scrapePort=8001", "--label", "com.df.scrapeInterval=2", "--label",
                     "com.df.metricsPath=metrics")  # fmt: skip
        made.service("inner", 8002, "--network", "private", *wants, "prometheus.io/port=8002", "--publish",
                     "mode=host,published=9002,target=8002")  # fmt: skip
        made.service("nowhere", 8003, "--network", "private", *wants, "prometheus.io/port=8003")
        made.service("broken", 8004, "--network", "monitor", *wants, "prometheus.io/port=http")
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def exporter(manager: Manager) -> Manager:
    towline = [sys.executable, "-c", "from towline.cli import main; main()"]
    command = [*towline, "export", "--listen", ":9514", "--engine", manager.url, "--sd-network", "monitor",
               "--node-label", "zone"]  # fmt: skip
    manager.process(manager.inside(manager.engine.pid, *command), "export")
    return manager


def targets(manager: Manager) -> dict[str, dict[str, str]]:
    found = manager.get(manager.engine.pid, "http://127.0.0.1:9514/sd/targets") or []
    return {group["targets"][0]: group["labels"] for group in found}


def samples(manager: Manager, start: str) -> dict[str, float]:
    text = manager.get(manager.engine.pid, "http://127.0.0.1:9514/metrics") or ""
    rows = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(start))
    return {name: float(value) for name, value in rows}


@pytest.mark.engine
def test_each_task_is_a_target_at_an_address_that_answers(exporter: Manager) -> None:
    found = until(lambda: len(seen := targets(exporter)) == 4 and seen, 90, lambda: str(targets(exporter)))
    assert sorted(labels["job"] for labels in found.values()) == ["flow", "inner", "shop_web", "shop_web"]
    assert {"10.77.0.1:8001", "10.77.0.1:9002"} < found.keys()
    assert found["10.77.0.1:8001"]["__scrape_interval__"] == "2s"
    assert found["10.77.0.1:8001"]["__metrics_path__"] == "/metrics"
    for address, labels in found.items():
        assert labels["__meta_towline_task"].startswith(labels["__meta_towline_service"] + ".")
        if labels["job"] == "shop_web":
            assert labels["__meta_towline_stack"] == "shop"
            assert labels["__meta_towline_network"] == "monitor"
            assert address.endswith(":8000")
    nowhere = 'service="nowhere",reason="not on a network'
    until(lambda: any(nowhere in name for name in samples(exporter, "swarm_scrape_targets_skipped")), 60)
    skipped = samples(exporter, "swarm_scrape_targets_skipped")
    assert any('service="broken",reason="port is no number' in name for name in skipped), skipped


@pytest.mark.engine
def test_shippers_are_told_the_labels_of_services_and_of_nodes_and_nothing_else(exporter: Manager) -> None:
    """By the exporter, for workers; and by the engine itself, for the shipper beside it."""
    wanted = {"towline.parse": "json", "co.elastic.logs/enabled": "true"}
    labels = [part for name, text in wanted.items() for part in ("--label-add", f"{name}={text}")]
    exporter.docker("service", "update", "-d", "--no-resolve-image", *labels, "--label-add", "com.example=x", "inner")
    service_id = exporter.docker("service", "inspect", "inner", "--format", "{{.ID}}").stdout.strip()

    def told() -> dict[str, Any]:
        answer = exporter.get(exporter.engine.pid, "http://127.0.0.1:9514/api/service-labels")
        return dict(answer["services"]) if answer else {}

    found = until(lambda: told().get(service_id) == {"name": "inner", "labels": wanted} and told(), 60)
    assert {key[:12] for key in found} == set(exporter.docker("service", "ls", "-q").stdout.split())
    engine = Engine(exporter.url)
    try:
        of_engine = EngineOfManager(engine).ask()
        assert of_engine is not None
        assert (of_engine.services[service_id], of_engine.node) == (wanted, None)
        _node_labels_are_told(exporter, engine)
    finally:
        engine.close()
    exporter.docker("service", "update", "-d", "--no-resolve-image", "--label-rm", "towline.parse", "inner")
    until(lambda: told().get(service_id, {}).get("labels") == {"co.elastic.logs/enabled": "true"}, 60)


def _node_labels_are_told(exporter: Manager, engine: Engine) -> None:
    """By both, and to Prometheus."""
    node_id = exporter.docker("info", "--format", "{{.Swarm.NodeID}}").stdout.strip()
    exporter.docker("node", "update", "--label-add", "zone=a", "--label-add", "com.example=x", node_id)

    def told() -> Any:
        question = f"node={node_id}&node_label=zone&node_label=disk"
        found = exporter.get(exporter.engine.pid, f"http://127.0.0.1:9514/api/service-labels?{question}")
        return found and found["nodes"][node_id]["labels"]

    until(lambda: told() == {"zone": "a"}, 60)
    of_engine = EngineOfManager(engine).ask("", ["zone", "disk"])
    assert of_engine is not None
    assert of_engine.node == {"zone": "a"}
    (shown,) = samples(exporter, "swarm_node_labels")
    assert shown.endswith(f'node_id="{node_id}",node_label_zone="a"}}')


@pytest.mark.engine
def test_services_wanted_and_running_follow_the_swarm(exporter: Manager) -> None:
    block = '{service="shop_web",stack="shop"}'
    until(lambda: samples(exporter, "swarm_service_replicas").get(f"swarm_service_replicas_running{block}") == 2, 90)
    assert samples(exporter, "swarm_service_replicas")[f"swarm_service_replicas_desired{block}"] == 2
    (meta,) = samples(exporter, "node_meta")
    node_id = exporter.docker("info", "--format", "{{.Swarm.NodeID}}").stdout.strip()
    assert f'node_id="{node_id}",container_label_com_docker_swarm_node_id="{node_id}",node_name="' in meta
    assert samples(exporter, "swarm_nodes")['swarm_nodes{role="manager",state="ready",availability="active"}'] == 1
    exporter.docker("service", "create", "-d", "--no-resolve-image", "--name", "dies", "--restart-delay", "1s",
                    IMAGE, "false")  # fmt: skip
    failures = 'swarm_service_task_failures_total{service="dies",stack="",state="failed"}'
    until(lambda: samples(exporter, "swarm_service_task_failures").get(failures, 0) >= 1, 60)
    exporter.docker("service", "rm", "dies")
    until(lambda: failures not in samples(exporter, "swarm_service_task_failures"), 60)


@pytest.mark.engine
@pytest.mark.parametrize("config", ["http-sd", "dockerswarm-sd"])
def test_prometheus_finds_and_scrapes_the_services(exporter: Manager, config: str, tmp_path: Path) -> None:
    name = f"prometheus-{config}"
    exporter.docker("run", "-d", "--name", name, "--network", "monitor", IMAGE, "sleep", "3600")
    pid = int(exporter.docker("inspect", "-f", "{{.State.Pid}}", name).stdout)
    gateway = exporter.docker("network", "inspect", "docker_gwbridge", "-f", "{{(index .IPAM.Config 0).Gateway}}")
    text = (CONFIGS / f"{config}.yml").read_text().replace("tasks.export", gateway.stdout.strip())
    text = text.replace("unix:///var/run/docker.sock", exporter.url).replace("15s", "1s")
    (tmp_path / "prometheus.yml").write_text(text)
    command = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
               "--web.listen-address=127.0.0.1:9090"]  # fmt: skip
    exporter.process(exporter.inside(pid, *command), name)

    def up() -> set[tuple[str, str, str]]:
        answer = exporter.get(pid, "http://127.0.0.1:9090/api/v1/query?query=up==1")
        rows = answer["data"]["result"] if answer else []
        return {(row["metric"]["job"], row["metric"]["instance"], row["metric"].get("stack", "")) for row in rows}

    overlay = {("shop_web", address, "shop") for address, labels in targets(exporter).items()
               if labels["job"] == "shop_web"}  # fmt: skip
    by_node = {("flow", "10.77.0.1:8001", ""), ("inner", "10.77.0.1:9002", "")} if config == "http-sd" else set()
    assert len(overlay) == 2
    until(lambda: up() == overlay | by_node, 60, lambda: f"{up()} {exporter.said(name)}")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yml")), ids=lambda path: path.name)
def test_promtool_takes_the_configuration(path: Path, missing_part: Callable[[str], NoReturn], tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        missing_part("no promtool; scripts/bootstrap.sh servers")
    copy = tmp_path / path.name  # where the rules are in a container, there is nothing here
    copy.write_text(path.read_text().replace("/etc/prometheus/towline.rules.yml", str(RULES)))
    done = subprocess.run(["promtool", "check", "config", copy], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
