"""An hour of metrics in memory, and what /api/metrics says of it."""

from collections.abc import Iterable
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from exporters.exposition import Family, family, labels
from exporters.history import POINTS, History
from towline.errors import UsageError
from towline.happening import Happening


class Machine:
    """Two containers of one service, and a clock; `cpu` is what each has used."""

    def __init__(self) -> None:
        self.now, self.cpu, self.state = 1000.0, 0.0, "running"
        self.names = ["a", "b"]
        self.happened: list[Happening] = []
        self.history = History(self.families, lambda: self.happened, interval=10, clock=lambda: self.now)

    def families(self) -> Iterable[Family]:
        blocks = {name: {"id": f"/docker/{name}", "name": name, "service": 'we"b'} for name in self.names}
        yield family("container_cpu_usage_seconds_total", "counter", "", [
            (labels(block | {"cpu": "total"}), self.cpu) for block in blocks.values()])  # fmt: skip
        yield family("container_memory_working_set_bytes", "gauge", "", [
            (labels(block), 100) for block in [{"id": "/"}, *blocks.values()]])  # fmt: skip
        yield family("container_state", "gauge", "", [
            (labels(block | {"state": state}), int(state == self.state))
            for block in blocks.values() for state in ("running", "exited")])  # fmt: skip
        yield family("node_load1", "gauge", "", [("", 1)])

    def step(self, used: float) -> None:
        self.now, self.cpu = self.now + 10, self.cpu + used
        self.history.take()

    def ask(self, query: str) -> dict[str, Any]:
        request = Request(EnvironBuilder(query_string=query).get_environ())
        found = self.history.handler()(request).get_json()
        assert isinstance(found, dict)
        return found


def test_counters_become_rates_and_a_service_is_the_sum_of_its_containers() -> None:
    machine = Machine()
    for used in (0, 5, 20):
        machine.step(used)
    (group,) = machine.ask("by=service")["groups"]
    assert group["key"] == 'we"b'
    assert group["series"]["cpu"] == [None, 1.0, 4.0]
    assert group["series"]["memory"] == [200, 200, 200]
    assert group["series"]["read"] == [None, None, None]
    assert [each["key"] for each in machine.ask("container=b")["groups"]] == ["b"]
    (group,) = machine.ask("container=b&series=cpu&series=memory")["groups"]
    assert group["series"] == {"cpu": [None, 0.5, 2.0], "memory": [100, 100, 100]}
    assert machine.ask("by=node")["groups"][0]["series"]["memory"] == [100, 100, 100]


def test_a_counter_that_starts_again_leaves_a_hole_and_no_negative_rate() -> None:
    machine = Machine()
    machine.step(50)
    machine.step(-50)
    machine.step(10)
    assert machine.ask("container=a")["groups"][0]["series"]["cpu"] == [None, None, 1.0]


def test_what_happened_is_told_for_the_chosen_containers_and_times() -> None:
    machine = Machine()
    machine.happened = [
        Happening(1005.0, "started", "a" * 64, "a", 'we"b', "web:1"), Happening(1015.0, "oom", "a" * 64, "a", 'we"b'),
        Happening(1016.0, "stopped", "b" * 64, "b", 'we"b', "137"), Happening(1017.0, "started", "c" * 64, "c", "c"),
    ]  # fmt: skip
    machine.step(1)
    machine.state = "exited"
    machine.step(0)
    found = machine.ask("service=we%22b&since=10s")
    assert [group["state"] for group in found["groups"]] == ["exited", "exited"]
    assert [(each["time"], each["what"], each["about"]) for each in found["happened"]] == [
        (1015.0, "oom", ""), (1016.0, "stopped", "137")]  # fmt: skip
    assert [each["container"] for each in machine.ask("container=c")["happened"]] == ["c"]
    assert [each["container"] for each in machine.ask("container=" + "b" * 64)["happened"]] == ["b"]


def test_it_holds_no_more_than_its_window_and_forgets_who_has_left_it() -> None:
    machine = Machine()
    machine.step(1)
    machine.names = ["b"]
    for _ in range(POINTS):
        machine.step(1)
    found = machine.ask("")
    assert len(found["times"]) == POINTS
    assert found["times"][-1] == machine.now
    assert [each["key"] for each in found["groups"]] == ["b"]


def test_a_range_of_time() -> None:
    machine = Machine()
    for _ in range(5):
        machine.step(10)
    found = machine.ask("since=20s&until=10s&service=we%22b&container=a")
    assert found["times"] == [1030.0, 1040.0]
    assert found["groups"][0]["series"]["cpu"] == [1.0, 1.0]


@pytest.mark.parametrize("query", ["by=pod", "since=soon", "limit=3", "series=fame"])
def test_what_cannot_be_asked_is_refused(query: str) -> None:
    with pytest.raises(UsageError):
        Machine().ask(query)
