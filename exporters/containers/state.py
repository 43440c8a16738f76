"""What cAdvisor does not tell: state, exit code, health, restarts, deployments, and OOM kills that count.

From the inventory, so also of containers that have ended.
"""

from collections.abc import Iterable

from exporters.containers.described import ALIVE, HEALTH, STATES
from exporters.containers.inventory import Inventory, Known
from exporters.containers.table import Column, Row, Value, families
from exporters.exposition import Family, labels
from towline.identity import SWARM

_STATE = tuple(
    Column("container_state", "gauge", "1 for the state that it is in.", f',state="{name}"') for name in STATES
)
_HEALTH = tuple(
    Column("container_health_status", "gauge", "1 for what its health check says.", f',status="{name}"')
    for name in HEALTH
)
_COUNTS = (
    Column("container_restarts_total", "counter", "Starts after the first, by the engine or by hand."),
    Column("container_oom_events_total", "counter", "Processes killed for want of memory, in all of its runs."),
    Column("container_exit_code", "gauge", "Exit code of its last run that has ended."),
    Column("container_finished_time_seconds", "gauge", "When its last run ended, seconds since 1970."),
    Column("container_ended_start_time_seconds", "gauge", "When the run that ended last began, seconds since 1970."),
    Column("container_deployed_time_seconds", "gauge", "First start, where it was a deployment, seconds since 1970."),
)
_INFO = (Column("container_info", "gauge", "1; its labels tell of its node and its Swarm task."),)


class State:
    """Collector "state"."""

    name = "state"

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory

    def collect(self) -> Iterable[Family]:
        known = self._inventory.shown()
        rows: list[Row] = [(each.block, _states(each)) for each in known]
        rows_of_health: list[Row] = [(each.block, _health(each)) for each in known if each.told.health]
        deployed = self._inventory.deployed()
        counts: list[Row] = [(each.block, _counts(each, deployed.get(each.told.id))) for each in known]
        yield from families(_STATE, rows)
        yield from families(_HEALTH, rows_of_health)
        yield from families(_COUNTS, counts)
        yield from families(_INFO, [(self._info(each), (b"1",)) for each in known])

    def _info(self, known: Known) -> bytes:
        task = known.told.labels.get(SWARM + "task.name", "")
        pairs = {"node": self._inventory.node, "task": task}
        shown = labels({name: value for name, value in pairs.items() if value})[1:-1]
        return known.block + (b"," + shown.encode() if shown else b"")


_ONE_OF_STATES = {name: tuple(b"%d" % (name == other) for other in STATES) for name in STATES}
_ONE_OF_HEALTH = {name: tuple(b"%d" % (name == other) for other in HEALTH) for name in HEALTH}


def _states(known: Known) -> tuple[Value, ...]:
    return _ONE_OF_STATES[known.told.state]


def _health(known: Known) -> tuple[Value, ...]:
    return _ONE_OF_HEALTH[known.told.health]


def _counts(known: Known, deployed: float | None) -> tuple[Value, ...]:
    told = known.told
    return (
        b"%d" % known.restarts,
        b"%d" % known.oom_kills,
        b"%d" % told.exit_code if told.exit_code is not None else None,
        b"%.3f" % told.finished if told.finished else None,
        b"%.3f" % told.started if told.started and told.state not in ALIVE else None,
        b"%.3f" % deployed if deployed else None,
    )
