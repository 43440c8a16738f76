"""What tests on a real engine share. Without an engine such a test is skipped on a desk and fails in CI."""

import os
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import docker
import pytest
from docker.errors import DockerException

sys.path.insert(0, str(Path(__file__).parent))  # for ports.py: tests/ is no package

ROOT = Path(__file__).parent.parent
IMAGE = "towline-demo:local"


def missing(what: str) -> NoReturn:
    """Skip where a person works, fail where CI counts on it."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} (CI must not skip this)", pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="session")
def missing_part() -> Callable[[str], NoReturn]:
    """`missing`, for conftest files further down, which can't import this one."""
    return missing


def engine_address() -> str:
    return os.environ.get("TOWLINE_TEST_ENGINE", "unix:///var/run/docker.sock")


@pytest.fixture(scope="session")
def engine_url() -> str:
    """The address of an engine that answers."""
    path = engine_address().removeprefix("unix://")
    try:
        with socket.socket(socket.AF_UNIX) as probe:  # docker-py would leave a refused socket open
            probe.settimeout(10)
            probe.connect(path)
            probe.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            probe.recv(100)
    except OSError as error:
        missing(f"no Docker engine on {path}: {error}")
    return engine_address()


@pytest.fixture(scope="session")
def make_image() -> Callable[[str], None]:
    """Makes the image on the engine of an address where it is missing."""

    def make(address: str) -> None:
        command = [sys.executable, str(ROOT / "scripts/demo.py"), "image"]
        subprocess.run(command, env={**os.environ, "TOWLINE_TEST_ENGINE": address}, check=True)

    return make


@pytest.fixture(scope="session")
def test_image(engine_url: str, make_image: Callable[[str], None]) -> str:
    """Name of a busybox image, made on this machine where it is missing."""
    make_image(engine_url)
    return IMAGE


@pytest.fixture
def engine(engine_url: str, test_image: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=engine_url)
    yield client
    client.close()


@pytest.fixture
def prefix(engine: docker.DockerClient) -> Iterator[str]:
    """A start of container names that nobody else has; whatever bears it is removed afterwards."""
    name = f"sys{uuid.uuid4().hex[:8]}"
    yield name
    for row in engine.api.containers(all=True, filters={"name": name}):
        try:
            engine.api.remove_container(row["Id"], force=True, v=True)
        except DockerException as error:
            if "already in progress" not in str(error) and "No such container" not in str(error):
                raise


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("engine"):
            item.add_marker(pytest.mark.usefixtures("test_image"))
