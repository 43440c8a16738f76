"""What the tests of the ways out share."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

for folder in (Path(__file__).parent, Path(__file__).parents[2] / "system"):  # tests/ has no __init__.py
    sys.path.insert(0, str(folder))

from forward_receiver import Receiver  # noqa: E402


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    """Makes receivers of the forward protocol; all are closed afterwards."""
    made: list[Receiver] = []

    def make(**options: Any) -> Receiver:
        made.append(Receiver(**options))
        return made[-1]

    yield make
    for each in made:
        each.close()
