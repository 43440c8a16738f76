"""What the page asks Prometheus about containers and nodes, as PromQL over the names that `towline export` shows.

Whatever comes from a reader stands in quotes. Each query is bounded: charts by what is chosen, the list and the marks
by a number of containers.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import orjson

from towline.charts import LEVELS, RATES
from towline.errors import UsageError
from towline.identity import is_id

MOST = 500
"""Containers in a list."""
MOST_MARKS = 40
"""Marks of a kind that one step may bring: the latest."""
MOST_VALUE = 255
"""Longest value of a label that `towline export` shows, in characters."""
_WHO = "id, name, service, stack"
_ONE = "max by (id, name, service, stack, image, interface, device)"
"""Of a container that several exporters tell of, or that is scraped twice, one is told."""
_BY = {"container": _WHO, "service": "service", "node": ""}


@dataclass(frozen=True)
class Chosen:
    """What is looked at; empty: all. `by`: container, service or node. `containers` are whole ids, or names."""

    by: str = "container"
    services: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if 0 < sum(map(is_id, self.containers)) < len(self.containers):
            raise UsageError("container: give either whole ids or names, not both")

    @property
    def everything(self) -> bool:
        return not (self.services or self.containers)

    def only(self, ids: Iterable[str]) -> "Chosen":
        return replace(self, containers=tuple(ids))

    def containers_of(self, name: str, more: str = "", shape: str = "{}") -> str:
        """The series `name` of the chosen containers, in `shape` ("rate({}[1m])"). `more`: another matcher."""
        if not self.containers:
            which = 'id=~"/docker/.+"'
        elif is_id(self.containers[0]):
            which = _one_of("id", [f"/docker/{each}" for each in self.containers])
        else:
            which = _one_of("name", self.containers)
        matchers = (which, _one_of("service", self.services), more)
        return self._here(shape.format(f"{name}{{{','.join(each for each in matchers if each)}}}"))

    def nodes_of(self, name: str, shape: str = "{}") -> str:
        """The series `name` of the chosen nodes, each as a whole."""
        return self._here(shape.format(f'{name}{{id="/"}}'))

    def _here(self, series: str) -> str:
        """Only an exporter's containers tell which node its series are from."""
        matcher = _one_of("node", self.nodes)
        return f"({series} and on (instance, job) container_info{{{matcher}}})" if matcher else series


def charts(chosen: Chosen, series: Iterable[str], window: float) -> str:
    """One query for all `series` (of towline.charts), told apart by the label `series`; rates over `window` seconds."""
    return " or ".join(_tagged(_chart(chosen, name, window), "series", name) for name in series)


def _chart(chosen: Chosen, name: str, window: float) -> str:
    metric, shape = (RATES[name], f"rate({{}}[{window:g}s])") if name in RATES else (LEVELS[name], "{}")
    if chosen.by == "node":
        return f"sum by () ({chosen.nodes_of(metric, shape)})"
    return f"sum by ({_BY[chosen.by]}) ({_ONE} ({chosen.containers_of(metric, shape=shape)}))"


def inventory(chosen: Chosen) -> str:
    """State, health and restarts of up to MOST containers, those that run first; told apart by the label `told`."""
    runs = chosen.containers_of("container_state", 'state="running"')
    state = f"max by ({_WHO}, state) (({runs} == 1) * 2 or {chosen.containers_of('container_state')} == 1)"
    health = f"max by ({_WHO}, status) ({chosen.containers_of('container_health_status')} == 1)"
    restarts = f"max by ({_WHO}) ({chosen.containers_of('container_restarts_total')})"
    parts = {"state": f"topk({MOST}, {state})", "health": health, "restarts": restarts}
    return " or ".join(_tagged(query, "told", name) for name, query in parts.items())


def marks(chosen: Chosen, since: float, until: float, step: float, window: float) -> str:
    """Starts, ends, exit codes, OOM kills, deployments, failing health; told apart by the label `told`.

    The values of started, began (of a run that has ended), finished and deployed are Unix times, so only what lies in
    the range is asked for; those of oom count, and those of unhealthy are 1 or 0.
    """
    latest = f"last_over_time({{}}[{window:g}s])"

    def of(name: str, more: str = "", shape: str = latest) -> str:
        return chosen.containers_of(name, more, shape)

    def newest(name: str, least: float) -> str:
        return f"topk({MOST_MARKS}, max by ({_WHO}, image, instance) ({of(name)} >= {least:.3f}))"

    finished = newest("container_finished_time_seconds", since)
    status = "container_health_status", 'status="unhealthy"'
    ever = of(*status, f"max_over_time({{}}[{until - since + step:.0f}s] @ {until:.3f})")
    parts = {
        "started": newest("container_start_time_seconds", since),
        "began": newest("container_ended_start_time_seconds", since),
        "finished": finished,
        "code": f"max by ({_WHO}, image, instance) ({of('container_exit_code')}) and on (id) {finished}",
        "oom": newest("container_oom_events_total", 1),
        "deployed": newest("container_deployed_time_seconds", since),
        "unhealthy": f"max by ({_WHO}) ({of(*status)}) and on (id) ({ever} == 1)",
    }
    return " or ".join(_tagged(query, "told", name) for name, query in parts.items())


def images(chosen: Chosen, window: float) -> str:
    """Which images each service runs."""
    running = chosen.containers_of("container_start_time_seconds", shape=f"last_over_time({{}}[{window:g}s])")
    return f"count by (service, image) ({running})"


def interval() -> str:
    """Seconds between two scrapes of each exporter, by what it says of its node at each of them."""
    seen = 'container_last_seen{id="/"}[10m]'
    return (f"(max_over_time({seen}) - min_over_time({seen})) / (count_over_time({seen}) - 1)")  # fmt: skip


def _tagged(query: str, label: str, value: str) -> str:
    return f'label_replace({query}, "{label}", "{value}", "", "")'


def _one_of(label: str, values: Sequence[str]) -> str:
    """A matcher; "" for no values. JSON escapes as Go does, and RE2 takes what `re` escapes."""
    kept = [value[:MOST_VALUE] for value in values]
    if len(kept) < 2:
        return f"{label}={_quoted(kept[0])}" if kept else ""
    return f"{label}=~{_quoted('|'.join(map(re.escape, kept)))}"


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()
