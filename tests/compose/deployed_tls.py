"""TLS of the deployed stack: another host name and an expired certificate are refused in a line, new ones taken."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

from lone_node import ROOT, Node, wait_for

SERVERS = ("rabbitmq", "elasticsearch")
QUEUE = "amqps://shipper@towline_rabbitmq/?ca=/run/secrets/ca.pem&password-file=/run/secrets/queue_password"
STORE = "https://towline-read@towline_elasticsearch:9200"
"""The servers as the Swarm calls their services: they answer to that, and their certificates do not know it."""
LISTENING = """
version: "3.9"
services:
  elasticsearch: {environment: {READY_PORT: "9200"}}
"""
"""Its own health check verifies the certificate as well, and a Swarm tells nobody the address of what is unhealthy."""


def another_host_is_refused(node: Node) -> None:
    checked = node.run("exec", node.task("towline_shipper"), "towline", "check", "--queue", QUEUE)
    assert checked.returncode == 1
    told = [line for line in checked.stdout.splitlines() if "towline_rabbitmq" in line]
    assert any("certificate" in line and "mismatch" in line for line in told), checked.stdout
    searched = node.run("exec", node.task("towline_page"), "towline", "search", "--store", STORE, "x")
    assert searched.returncode == 1
    assert len(searched.stderr.splitlines()) == 1, searched.stderr
    assert "TLS" in searched.stderr
    assert "check the host name" in searched.stderr


def expire(secrets: Path) -> None:
    """Certificates of the same authority that were good until yesterday."""
    spec = importlib.util.spec_from_file_location("init", ROOT / "compose/init.py")
    assert spec is not None
    assert spec.loader is not None
    init = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(init)
    init.DAYS = -1
    for server in SERVERS:
        (secrets / server / "server.pem").unlink()
    init.make(secrets)


def said_of_readiness(node: Node, service: str) -> str:
    """What its health check says in a task that runs; nothing where none does."""
    running = node.docker("ps", "-q", "-f", f"label=com.docker.swarm.service.name={service}").split()
    return node.run("exec", running[0], "towline-ready").stdout if running else ""


def expired_certificates_are_refused(node: Node, deploy: Callable[..., None]) -> None:
    """`deploy(node, overlay, secrets=version)`: the stack once more."""
    expire(node.folder / "secrets")
    overlay = node.folder / "listening.yml"
    overlay.write_text(LISTENING)
    deploy(node, overlay, secrets=2)
    for service in ("towline_shipper", "towline_page"):
        wait_for(lambda: expired_is_told(said_of_readiness(node, service)), 300, node.state)  # noqa: B023
    logged = node.run("logs", node.task("towline_shipper")).stderr.splitlines()
    assert any(expired_is_told(line) for line in logged), logged
    assert not any("Traceback" in line for line in logged), logged


def expired_is_told(text: str) -> bool:
    """In one line of it."""
    return len([line for line in text.splitlines() if "certificate has expired" in line]) == 1


def new_ones_are_taken(node: Node, make_secrets: Callable[[Node], None], deploy: Callable[..., None]) -> None:
    """As docs/troubleshooting.md says: delete them, run init.py, raise SECRETS_VERSION."""
    for server in SERVERS:
        (node.folder / "secrets" / server / "server.pem").unlink()
    make_secrets(node)
    deploy(node, secrets=3)
    node.wait_complete(400)
