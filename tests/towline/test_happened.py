"""Events of the engine, as they come and as they should not."""

from typing import Any

import pytest

from towline.happened import Happened, read

ID = "4f" * 32
EVENT: dict[str, Any] = {
    "Action": "start",
    "Actor": {"ID": ID, "Attributes": {"name": "web"}},
    "timeNano": 1_700_000_000_000_000_042,
}


def test_an_event_is_read_and_asked_for_again_from_its_moment_on() -> None:
    found = read(EVENT)
    assert found == Happened(1_700_000_000_000_000_042, ID, "start", {"name": "web"})
    assert found is not None
    assert found.since == "1700000000.000000042"
    assert read(EVENT) == found, "the same one, told again"


def test_without_a_time_everything_is_asked_for() -> None:
    assert Happened(0).since is None


@pytest.mark.parametrize(
    "event",
    [
        {},
        EVENT | {"Actor": None},
        EVENT | {"Actor": {}},
        EVENT | {"Actor": {"ID": "../../etc"}},
        EVENT | {"Actor": {"ID": ID, "Attributes": ["name"]}},
        EVENT | {"timeNano": "soon"},
    ],
)
def test_what_makes_no_sense_is_left_out(event: dict[str, Any]) -> None:
    assert read(event) is None
