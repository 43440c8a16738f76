"""What the tests of the listeners share."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shipper.inputs import owners
from shipper.inputs.settings import InputSettings

sys.path.insert(0, str(Path(__file__).parent))  # tests/ has no __init__.py

from input_world import Start, World


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts worlds: settings are those of InputSettings, and of ShipSettings. Where no engine is named there is none,
    and nothing waits for its answers."""
    worlds: list[World] = []

    def make(**settings: Any) -> World:
        inputs = InputSettings(**{key: value for key, value in settings.items() if hasattr(InputSettings, key)})
        own = {key: value for key, value in settings.items() if not hasattr(InputSettings, key)}
        if "engine" not in own:
            monkeypatch.setattr(owners, "HOLD", 0.0)
        worlds.append(World(tmp_path / f"state{len(worlds)}", inputs, **own))
        return worlds[-1]

    yield make
    for world in worlds:
        world.stop()
