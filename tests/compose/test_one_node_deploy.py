"""compose/stack.yml as it is, deployed to a Swarm of one node; only the images are made here, under its names.

RabbitMQ, Elasticsearch, HAProxy, Prometheus and Alertmanager are this machine's own packages, Towline's image is built
by its Dockerfile. All of it happens in a network namespace that leads nowhere.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import machine_images
from deployed_tls import another_host_is_refused, expired_certificates_are_refused, new_ones_are_taken
from lone_node import Node, wait_for

ROOT = Path(__file__).parents[2]
STACK = machine_images.STACK
IMAGE = machine_images.TOWLINE
LINES = 1000
SHOP = f"""
version: "3.9"
services:
  web:
    image: {machine_images.BASE}
    command:
      - bash
      - -c
      - for i in {{1..{LINES}}}; do echo "$$HOSTNAME says $$i"; ((i % 10)) || sleep 0.2; done; sleep 9000
    deploy: {{replicas: 2}}
"""
pytestmark = [pytest.mark.timeout(900), pytest.mark.soak]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, missing_part: Callable[[str], NoReturn]) -> Iterator[Node]:
    """An engine without any image."""
    if os.geteuid() != 0:
        missing_part("an engine of its own needs root")
    for tool in ("dockerd", "unshare", "haproxy", "prometheus", "dpkg-query"):
        if not shutil.which(tool):
            missing_part(f"no {tool} here: make servers")
    made = Node(Path(tmp_path_factory.mktemp("n")))
    try:
        made.start()
        yield made
    finally:
        made.stop()


def make_secrets(node: Node) -> None:
    subprocess.run([sys.executable, str(ROOT / "compose/init.py"), f"{node.folder}/secrets"], check=True)


def it_makes_the_secrets_as_the_machine_does(node: Node) -> None:
    """init.py in the image: for who has no Python or openssl on the machine."""
    (node.folder / "made").mkdir()
    mounted = ("-v", f"{node.folder}/made:/secrets", "--entrypoint", "python3", IMAGE)
    node.docker(
        "run", "--rm", "--network", "none", "--user", "0:0", *mounted, "/usr/local/lib/towline/init.py", "/secrets"
    )
    here, there = ({path.relative_to(folder): (path.stat().st_mode, path.stat().st_uid) for path in folder.rglob("*")}
                   for folder in (node.folder / "secrets", node.folder / "made"))  # fmt: skip
    assert here == there
    assert len(here) > 20


def deploy(node: Node, *overlays: Path, secrets: int = 1) -> None:
    """The stack file, with the paths of this engine."""
    files = [word for path in (STACK, ROOT / "tests/compose/one_node.yml", *overlays) for word in ("-c", str(path))]
    node.docker(
        "stack", "deploy", "--resolve-image", "never", *files, "towline",
        environ={
            "SECRETS": f"{node.folder}/secrets",
            "SECRETS_VERSION": str(secrets),
            "DOCKER_ROOT": f"{node.folder}/root",
            "DOCKER_SOCKET": f"{node.folder}/docker.sock",
        })  # fmt: skip


def open_shop(node: Node) -> None:
    """Two tasks that say LINES lines each, over some twenty seconds."""
    stack = node.folder / "shop.yml"
    stack.write_text(SHOP)
    node.docker("stack", "deploy", "--resolve-image", "never", "-c", str(stack), "shop")


def test_the_stack_collects_and_measures_and_an_update_under_load_loses_nothing(node: Node) -> None:
    """One test: each process of pytest-xdist that got a part of it would build all that it needs again."""
    with ThreadPoolExecutor() as pool:
        building = pool.submit(machine_images.make_towline, node.url)
        machine_images.make_servers(node.url)
        make_secrets(node)
        node.become_swarm()
        deploy(node)  # its tasks are tried again until their image is there
        building.result()
    the_image_holds_no_more_than_it_needs(node)  # while Elasticsearch starts
    it_makes_the_secrets_as_the_machine_does(node)
    what_is_wrong_is_said_in_one_line(node)
    node.wait_complete(400)
    open_shop(node)
    wait_for(lambda: len(node.documents("shop_web")) > 0, 120, node.state)
    node.docker("service", "update", "--force", "--detach", "towline_shipper")
    node.docker("service", "update", "--force", "--detach", "towline_indexer")
    wait_for(lambda: len(node.documents("shop_web")) >= 2 * LINES, 240, node.state)
    each_line_is_there_once(node)
    node.wait_complete(120)
    nobody_tells_a_secret(node)
    prometheus_measures(node)
    another_host_is_refused(node)
    expired_certificates_are_refused(node, deploy)
    node.docker("service", "update", "--force", "--detach", "shop_web")  # says its lines again, to nobody for now
    new_ones_are_taken(node, make_secrets, deploy)
    wait_for(lambda: len(node.documents("shop_web")) >= 4 * LINES, 240, node.state)
    each_line_is_there_once(node, containers=4)


def each_line_is_there_once(node: Node, containers: int = 2) -> None:
    said = defaultdict(list)
    for document in node.documents("shop_web"):
        said[document["container"]["id"]].append(document)
    assert len(said) == containers
    tasks = node.docker("service", "ps", "shop_web", "-q", "--no-trunc").split()
    for container, documents in said.items():
        numbers = sorted(int(document["message"].rsplit(" ", 1)[1]) for document in documents)
        assert numbers == [*range(1, LINES + 1)], f"{container}: {len(numbers)} lines, {len(set(numbers))} different"
        first = documents[0]
        assert first["host"]["name"] == node.docker("info", "--format", "{{.Name}}").strip()
        assert first["service"]["name"] == "shop_web"
        labels = first["container"]["labels"]
        assert labels["com.docker.stack.namespace"] == "shop"
        assert labels["com.docker.swarm.task.id"] in tasks


def prometheus_measures(node: Node) -> None:
    """Containers by service, and Towline's own programs, found by the list of the manager's exporter."""

    def shown(query: str) -> bool:
        return bool(node.measured(query))

    for query in (
        'container_memory_working_set_bytes{container_label_com_docker_swarm_service_name="shop_web"}',
        'node_memory_MemTotal_bytes',
        'sum(max_over_time(towline_lines_read_total[10m]))>0',  # also of those that the update has replaced
        'sum(max_over_time(towline_lines_indexed_total[10m]))>0',
        'up{job="rabbitmq"}==1',
        'elasticsearch_indices_docs_primary{index=~"[.]ds-logs-docker-.*"}>0',
    ):  # fmt: skip
        wait_for(lambda: shown(query), 90, lambda: f"{query}: {node.measured('up')}")  # noqa: B023


def nobody_tells_a_secret(node: Node) -> None:
    """Passwords, keys, the token: not in what the engine tells of services and containers, logs, our own words."""
    files = [
        path for path in (node.folder / "secrets").rglob("*") if path.is_file() and path.stat().st_mode & 0o77 == 0
    ]
    secrets = {path.read_text().strip() for path in files}
    secrets |= {match for text in secrets for match in re.findall(r'"password_hash": "([^"]+)"', text)}
    assert len(secrets) > 10
    told = [node.docker("service", "inspect", *node.services())]
    containers = node.docker("ps", "-q", "-f", "label=com.docker.stack.namespace=towline").split()
    told.append(node.docker("inspect", *containers))
    for container in containers:
        done = node.run("logs", container)
        told.append(done.stdout + done.stderr)
    for service in ("shipper", "indexer"):
        told.append(node.run("exec", node.task(f"towline_{service}"), "towline", "check").stdout)
    told.append(node.inside("towline_page", "towline", "config"))
    for text in told:
        assert not [secret[:4] for secret in secrets if secret in text], text[:300]
    assert any("password-file" in text for text in told)


SANDBOX = ("run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL")


def the_image_holds_no_more_than_it_needs(node: Node) -> None:
    """Its user, its volume, its check, its labels; no tool to install things is left."""
    made, base = json.loads(node.docker("image", "inspect", IMAGE, machine_images.TOWLINE_BASE))
    assert made["Size"] - base["Size"] < 70_000_000  # 52 MB were seen: the locked packages, compiled
    image = made["Config"]
    assert image["User"] == "10001:10001"
    assert list(image["Volumes"]) == ["/var/lib/towline"]
    assert image["Entrypoint"] == ["towline"]
    assert image["Healthcheck"]["Test"] == ["CMD", "towline-ready"]
    assert {"org.opencontainers.image.version", "org.opencontainers.image.licenses"} <= image["Labels"].keys()
    assert node.docker(*SANDBOX, IMAGE, "config")
    done = node.run(*SANDBOX, "--entrypoint", "/opt/towline/bin/python", IMAGE, "-m", "pip", "--version")
    assert "No module named pip" in done.stderr


def what_is_wrong_is_said_in_one_line(node: Node) -> None:
    """A missing secret ends the program, with the fix; an engine that refuses is waited for, and it is unhealthy."""
    queue = "TOWLINE_QUEUE=amqps://shipper@rabbitmq/?password-file=/run/secrets/queue_password"
    done = node.run(*SANDBOX, "-e", queue, IMAGE, "ship")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "password-file=/run/secrets/queue_password: No such file" in done.stderr
    checked = node.run(*SANDBOX, "-e", queue, IMAGE, "check")
    assert checked.returncode == 1
    assert "→ name a readable file that holds the password" in checked.stdout

    socket = f"{node.folder}/docker.sock:/var/run/docker.sock"
    refused = node.docker(*SANDBOX, "-d", "-v", socket, "--name", "refused", IMAGE, "export").strip()
    wait_for(lambda: "no permission to use the engine" in node.run("exec", refused, "towline-ready").stdout, 120,
             lambda: node.run("logs", refused).stderr)  # fmt: skip
    assert node.run("exec", refused, "towline-ready").returncode == 1
    assert "group docker" in node.run("exec", refused, "towline", "check").stdout
    assert json.loads(node.docker("inspect", refused))[0]["State"]["Running"]
    node.docker("rm", "-f", refused)
