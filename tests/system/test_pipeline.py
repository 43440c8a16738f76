"""Every line once through RabbitMQ and Elasticsearch, whatever fails on the way; and the oracle notices if not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import Generators
from pipeline import Pipeline, Row
from scenarios import SCENARIOS
from servers import Servers

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
pytest_plugins = ("pipeline_fixtures",)


@pytest.mark.parametrize("scale", [1.0], ids=[""])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_line_once(scenario: str, scale: float, played: Callable[[str, float], None]) -> None:
    played(scenario, scale)


def test_every_line_once_while_the_engine_restarts(
    tmp_path: Path, servers: Servers, second_engine: Any, prefix: str, table: list[Row]
) -> None:
    second_engine.stop()
    second_engine.start("--live-restore")
    client = second_engine.client()
    pipeline = Pipeline(tmp_path, servers, Generators(client, prefix), second_engine.url)
    try:
        pipeline.start().load(8)
        pipeline.flowing()
        client.close()
        second_engine.stop()
        second_engine.start("--live-restore")
        pipeline.expect_all("engine restarted (live-restore)", table)
    finally:
        pipeline.close()
        client.close()
