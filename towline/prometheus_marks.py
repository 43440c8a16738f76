"""What happened to containers, read from their series: starts, ends, deployments, OOM kills, failing health.

Starts and ends have the container's own times, as exact as with `towline up`; OOM kills and health the time of the step
in which they show, or of the end that a kill led to. What falls twice into one step is seen once.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from towline.happening import SAME_MOMENT, Happening
from towline.prometheus import Row

ROLLOUT = 900.0
"""Within so many seconds other nodes' share of a deployment is part of it."""


@dataclass(frozen=True, slots=True)
class Mark(Happening):
    """`instance`: who told of it, which the page need not know."""

    instance: str = ""

    def told(self) -> dict[str, Any]:
        told = Happening.told(self)
        del told["instance"]
        return told


def marks(rows: Iterable[Row], before: Iterable[Row], times: Sequence[float], since: float, until: float) -> list[Mark]:
    """Of the answers to prometheus_queries.marks (at `times`) and .images (at the first of them), oldest first."""
    told: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        told[row.labels.get("id", "")][row.labels.get("told", "")].append(row)
    found = [mark for kinds in told.values() for mark in _of_container(kinds, times)]
    ran: dict[str, set[str]] = defaultdict(set)
    for row in before:
        ran[row.labels.get("service", "")].add(row.labels.get("image", ""))
    found = _deployments(sorted(found, key=lambda each: each.time), ran)
    return [mark for mark in found if since <= mark.time <= until]


def _of_container(kinds: Mapping[str, list[Row]], times: Sequence[float]) -> list[Mark]:
    deployed = _moments(kinds.get("deployed", ()), "deployed")
    starts = _moments([*kinds.get("started", ()), *kinds.get("began", ())], "started")
    codes = {moment: value for row in kinds.get("code", ()) for moment, value in row.points.items()}
    ends = _moments(kinds.get("finished", ()), "stopped", codes)
    kills = _kills(kinds.get("oom", ()), ends, times)
    return [*_apart([*deployed, *starts]), *ends, *kills, *_health(kinds.get("unhealthy", ()))]


def _moments(rows: Iterable[Row], what: str, codes: Mapping[float, float] | None = None) -> list[Mark]:
    """One mark for each value, which is a Unix time; about the exit code of its step, or the image."""
    found: dict[float, Mark] = {}
    for row in rows:
        for moment, value in sorted(row.points.items()):
            about = row.labels.get("image", "") if codes is None else f"{codes[moment]:.0f}" if moment in codes else ""
            found.setdefault(value, _mark(row, value, what, about))
    return _apart(found.values())


def _apart(found: Iterable[Mark]) -> list[Mark]:
    """Without those that come right after another: an event and an answer of the engine told of the same."""
    kept: list[Mark] = []
    for mark in sorted(found, key=lambda each: each.time):
        if all(abs(each.time - mark.time) > SAME_MOMENT for each in kept[-1:]):
            kept.append(mark)
        elif mark.what == "deployed":
            kept[-1] = mark
    return kept


def _kills(rows: Sequence[Row], ends: Sequence[Mark], times: Sequence[float]) -> list[Mark]:
    """A count that grew, or is there where it was not before: none is told while it is 0."""
    counts: dict[float, float] = {}
    for moment, value in (pair for row in rows for pair in row.points.items()):
        counts[moment] = max(value, counts.get(moment, 0.0))
    found, last = [], counts.get(times[0], 0.0)
    for earlier, moment in pairwise(times):
        now = counts.get(moment, last)
        if now > last:
            fitting = [each.time for each in ends if 2 * earlier - moment < each.time <= moment]
            found.append(_mark(rows[0], max(fitting) - 0.001 if fitting else moment, "oom"))
        last = now
    return found


def _health(rows: Iterable[Row]) -> list[Mark]:
    found = []
    for row in rows:
        before = None
        for moment, value in sorted(row.points.items()):
            if before is not None and value != before:
                found.append(_mark(row, moment, "unhealthy" if value else "healthy"))
            before = value
    return found


def _deployments(found: Sequence[Mark], ran: Mapping[str, set[str]]) -> list[Mark]:
    """An exporter sees its own node only: what others began is no deployment of its own, and an image that the service
    ran on none of them is one."""
    images = {service: set(names) for service, names in ran.items()}
    rollouts: dict[tuple[str, str], tuple[float, set[str]]] = {}
    told = []
    for mark in found:
        if mark.what in ("started", "deployed"):
            known = images.setdefault(mark.service, {mark.about})
            if mark.what == "deployed" or mark.about not in known:
                mark = _first(mark, rollouts)
            known.add(mark.about)
        told.append(mark)
    return told


def _first(mark: Mark, rollouts: dict[tuple[str, str], tuple[float, set[str]]]) -> Mark:
    """The deployment, or a start where another exporter has told of it."""
    key = mark.service, mark.about
    begun, instances = rollouts.get(key, (0.0, set()))
    again = mark.time - begun < ROLLOUT and mark.instance not in instances
    rollouts[key] = (begun, instances | {mark.instance}) if again else (mark.time, {mark.instance})
    return replace(mark, what="started" if again else "deployed")


def _mark(row: Row, moment: float, what: str, about: str = "") -> Mark:
    labels = row.labels
    return Mark(moment, what, labels.get("id", "").removeprefix("/docker/"), labels.get("name", ""),
                labels.get("service", ""), about, labels.get("instance", ""))  # fmt: skip
