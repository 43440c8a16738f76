"""One RabbitMQ for all tests of this folder, and queues on it, each with names of its own."""

import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # rabbitmq_server is no package: tests/ has no __init__.py

from ports import free_port
from rabbitmq_server import SOON, Load, Server

from towline import dead_letters_queue
from towline.queues import Queue, amqp_events, open_queue, rabbitmq


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, missing_part: Callable[[str], NoReturn]) -> Iterator[Server]:
    if not Path("/usr/lib/rabbitmq/bin/rabbitmq-server").exists() or not shutil.which("openssl"):
        missing_part("no rabbitmq-server or openssl: apt-get install --no-install-recommends rabbitmq-server openssl")
    folder = tmp_path_factory.mktemp("rabbitmq")
    certificates(folder)
    server = Server(folder, free_port())
    (folder / "extra.conf").write_text(
        f"listeners.ssl.1 = 127.0.0.1:{server.tls_port}\n"
        f"ssl_options.cacertfile = {folder}/cert.pem\n"
        f"ssl_options.certfile = {folder}/cert.pem\n"
        f"ssl_options.keyfile = {folder}/key.pem\n"
        "ssl_options.verify = verify_peer\n"
    )
    server.start()
    yield server
    server.kill()


def certificates(folder: Path) -> None:
    """A certificate for 127.0.0.1 that is its own authority."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=towline-test", "-days", "2"]
    files = ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *files], check=True, capture_output=True)


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` says what is wrong, not that a broker on a busy machine has not answered yet."""
    for module in (rabbitmq, amqp_events):
        monkeypatch.setattr(module, "PATIENCE", SOON)
    monkeypatch.setattr(dead_letters_queue, "BACK_WITHIN", SOON)


@pytest.fixture
def opened(server: Server, name: str) -> Iterator[Callable[..., Queue]]:
    """opened(url="", max_bytes=…, **options): a queue of this test's own name."""
    queues: list[Queue] = []

    def open_one(url: str = "", max_bytes: int = 8 << 20, **options: object) -> Queue:
        query = "&".join(f"{option.replace('_', '-')}={value}" for option, value in {"name": name, **options}.items())
        queues.append(open_queue(f"{url or server.url}?{query}", max_bytes=max_bytes))
        return queues[-1]

    yield open_one
    for queue in queues:
        queue.close()
    connection, channel = server.channel()
    for each in (f"{name}.logs", f"{name}.dead"):
        channel.queue_delete(each)
    for each in (name, f"{name}.dead"):
        channel.exchange_delete(each)
    connection.close()


@pytest.fixture
def loaded(opened: Callable[..., Queue]) -> Iterator[Load]:
    """Steady load through two queues, as of a shipper and an indexer."""
    load = Load(opened(heartbeat=3), opened(heartbeat=3))
    load.flows()
    yield load
    load.close()
