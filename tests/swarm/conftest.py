"""A real Swarm of three nodes for the tests of this folder. See swarm_nodes.py for what each node can do."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # as in tests/system: tests/ has no __init__.py

from swarm_nodes import IMAGE, SwarmNodes, swarm_nodes

TOOLS = ("dockerd", "docker", "ip", "nsenter", "unshare", "iptables")


@pytest.fixture(scope="session")
def swarm_parts(missing_part: Callable[[str], NoReturn]) -> None:
    """What a Swarm of several nodes needs of this machine."""
    if os.geteuid() != 0:
        missing_part("engines of our own need root")
    for tool in TOOLS:
        if shutil.which(tool) is None:
            missing_part(f"no {tool}; scripts/bootstrap.sh servers")


@pytest.fixture(scope="module")
def swarm(
    swarm_parts: None, engine_url: str, test_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SwarmNodes]:
    """Three nodes, of which the first manages; the image of the tests is on all. Shared by the module's tests."""
    with swarm_nodes(Path(tmp_path_factory.mktemp("s"))) as made:
        made.load(IMAGE)
        yield made
