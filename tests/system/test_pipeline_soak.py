"""The pipeline's scenarios, each SOAK_SCALE (5) times as long; faults at random for SOAK_MINUTES (20)."""

import os
from collections.abc import Callable

import pytest
from scenarios import SCENARIOS

pytestmark = [pytest.mark.engine, pytest.mark.soak]
pytest_plugins = ("pipeline_fixtures",)

LONGER = float(os.environ.get("SOAK_SCALE") or 5)


@pytest.mark.parametrize("scale", [LONGER], ids=[""])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_line_once_for_long(scenario: str, scale: float, played: Callable[[str, float], None]) -> None:
    played(scenario, scale)
