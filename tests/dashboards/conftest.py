"""The world that dashboards and rules are about, started once; where a part of it is missing CI fails."""

import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # world.py; tests/ has no __init__.py

from world import World

TOOLS = {
    "docker": "docker.io",
    "nsenter": "util-linux",
    "prometheus": "prometheus",
    "prometheus-elasticsearch-exporter": "prometheus-elasticsearch-exporter",
    "rabbitmqctl": "rabbitmq-server",
}


@pytest.fixture(scope="session")
def world(
    engine_url: str,
    make_image: Callable[[str], None],
    missing_part: Callable[[str], NoReturn],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    if os.geteuid() != 0:
        missing_part("a second engine needs root")
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            missing_part(f"no {tool}: apt-get install --no-install-recommends {package}")
    store = os.environ.get("TOWLINE_TEST_ELASTICSEARCH", "http://127.0.0.1:9200")
    try:
        urllib.request.urlopen(f"{store}/_cluster/health", timeout=20).close()
    except urllib.error.URLError as error:
        missing_part(f"no Elasticsearch on {store}: {error}")
    made = World(Path(tmp_path_factory.mktemp("w")), store, f"dash.{os.getpid()}")
    try:
        made.start(make_image)
        yield made
    finally:
        made.close()
