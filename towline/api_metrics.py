"""`/api/metrics` of `towline page`: what exporters.history answers from memory, answered from Prometheus.

The same JSON, over any stretch of time that Prometheus keeps and for any number of nodes: `node=` (repeatable) chooses
among them, and by=node is the sum of those. `interval` is the step that fits the stretch. `more` is there where only
MOST containers are told of, those that run first; `why` says what to do where nothing was measured.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import ceil
from statistics import median
from typing import Any

from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Request, Response

from towline import charts
from towline import prometheus_queries as queries
from towline.api_views import fitting_step
from towline.errors import UsageError
from towline.http import Handler, answer
from towline.prometheus import Prometheus, Row
from towline.prometheus_marks import marks
from towline.prometheus_queries import MOST, Chosen

PARAMETERS = frozenset({"by", "service", "container", "node", "series", "since", "until", "happened"})
HOUR = 3600.0
INTERVAL = 15.0
"""Seconds between two scrapes where it can't be told."""
PULSE = 60.0
"""Seconds for which a scrape interval is believed."""
SHORTEST = 60.0
"""Seconds in which a container's series are looked for: a scrape may have failed."""
NOTHING = "Prometheus has no numbers of these for this stretch of time."
NOBODY = ("Prometheus {shown} scrapes no `towline export`: give it a job with the address of each, as "
          "compose/prometheus has it, and `honor_labels: true`.")  # fmt: skip


@dataclass(frozen=True)
class _Stretch:
    """Its steps are multiples of `step` seconds, so that who asks a little later asks the same."""

    since: float
    until: float
    step: float
    scrape: float

    @property
    def steps(self) -> list[float]:
        """One more than `times`: what is new at the first of these shows only beside the step before it."""
        first, last = (int(moment // self.step) for moment in (self.since, self.until))
        return [each * self.step for each in range(first, last + 1)]

    @property
    def times(self) -> list[float]:
        return [moment for moment in self.steps if moment >= self.since]

    @property
    def rate_window(self) -> float:
        """Four scrapes: two must lie in it, also where one has failed."""
        return max(self.step, 4 * self.scrape)


@dataclass
class _Pulse:
    """How often exporters are scraped, and whether any is."""

    asked: float = float("-inf")
    seconds: float | None = None


@dataclass
class PrometheusMetrics:
    """Answers from `prometheus`; `clock`: Unix time."""

    prometheus: Prometheus
    clock: Callable[[], float] = time.time
    pulse: _Pulse = field(default_factory=_Pulse)

    def handlers(self) -> dict[str, Handler]:
        def metrics(request: Request) -> Response:
            return answer(self._told(request.args))

        return {"/api/metrics": metrics}

    def _told(self, given: MultiDict[str, str]) -> dict[str, Any]:
        """Raises UsageError for what can't be asked, StoreUnavailable where Prometheus gives no answer."""
        charts.refuse_others(given, PARAMETERS)
        for name in ("by", "since", "until", "happened"):
            if len(given.getlist(name)) > 1:
                raise UsageError(f"parameter {name!r} is there twice; give it once")
        chosen, series = _chosen(given), charts.asked_series(given)
        now = self.clock()
        until = min(charts.moment(given.get("until"), now) or now, now)
        since = charts.moment(given.get("since"), now) or until - HOUR
        if since >= until:
            raise UsageError("the range is empty: since must be earlier than until, and than now")
        scrape = self._scrape(now)
        step = max(1.0, ceil(scrape or 1), fitting_step(int((until - since) * 1000)) // 1000)
        stretch = _Stretch(since, until, step, scrape or INTERVAL)
        found = self._groups(chosen, series, stretch)
        happened = self._happened(chosen, stretch) if given.get("happened") != "no" else []
        content = {"interval": step, "times": stretch.times, "groups": found, "happened": happened[-MOST:]}
        if len(found) >= MOST:
            content["more"] = True
        if not (found and stretch.times):
            content["why"] = NOTHING if scrape else NOBODY.format(shown=self.prometheus.shown)
        return content

    def _scrape(self, now: float) -> float | None:
        """Seconds between two scrapes, None where there are none."""
        if now - self.pulse.asked > (PULSE if self.pulse.seconds else 1.0):
            found = [value for row in self.prometheus.instant(queries.interval(), now)
                     for value in row.points.values()]  # fmt: skip
            self.pulse = _Pulse(now, max(1.0, median(found)) if found else None)
        return self.pulse.seconds

    def _groups(self, chosen: Chosen, series: tuple[str, ...], stretch: _Stretch) -> list[dict[str, Any]]:
        groups: dict[str, dict[str, Any]] = {}
        if chosen.by != "node":
            groups = _listed(chosen.by, self.prometheus.instant(queries.inventory(chosen), stretch.until))
        asked = chosen
        if chosen.by == "container" and len(groups) >= MOST:
            asked = chosen.only(groups)
        steps, times = stretch.steps, stretch.times
        query = queries.charts(asked, series, stretch.rate_window)
        places = {moment: place for place, moment in enumerate(times)}
        for row in self.prometheus.range(query, steps[0], steps[-1], stretch.step):
            key = _key(chosen.by, row)
            if key not in groups and (len(groups) >= MOST or (chosen.by == "container" and chosen.everything)):
                continue  # it has gone, or is one too many
            group = groups.setdefault(key, charts.group(chosen.by, key, row.labels))
            values: list[float | None] = [None] * len(times)
            for moment, value in row.points.items():
                if moment in places:
                    values[places[moment]] = round(value, 6)
            group["series"][row.labels.get("series", "")] = values
        for group in groups.values():
            group["series"] = {name: group["series"].get(name) or [None] * len(times) for name in series}
        return [group for _, group in sorted(groups.items())]

    def _happened(self, chosen: Chosen, stretch: _Stretch) -> list[dict[str, Any]]:
        steps, window = stretch.steps, max(stretch.step, SHORTEST)
        asked = queries.marks(chosen, steps[0], steps[-1], stretch.step, window)
        rows = self.prometheus.range(asked, steps[0], steps[-1], stretch.step)
        before = self.prometheus.instant(queries.images(chosen, window), steps[0]) if rows else []
        return [mark.told() for mark in marks(rows, before, steps, stretch.since, stretch.until)]


def _chosen(given: MultiDict[str, str]) -> Chosen:
    names = (tuple(dict.fromkeys(each for each in given.getlist(name) if each)) for name in
             ("service", "container", "node"))  # fmt: skip
    return Chosen(charts.asked_by(given), *names)


def _key(by: str, row: Row) -> str:
    if by == "node":
        return "node"
    return row.labels.get("service", "") if by == "service" else row.labels.get("id", "").removeprefix("/docker/")


def _listed(by: str, rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """Of an answer to prometheus_queries.inventory: one group for each container or service that has a state."""
    rows = list(rows)
    groups: dict[str, dict[str, Any]] = {}
    for row in (row for row in rows if row.labels.get("told") == "state"):
        key = _key(by, row)
        if key in groups:
            groups[key]["containers"] += 1
            continue
        groups[key] = charts.group(by, key, row.labels)
        if by == "container":
            groups[key]["state"] = row.labels.get("state", "")
    for row in rows:
        group = groups.get(_key(by, row))
        if group is not None and row.labels.get("told") == "health" and by == "container":
            group["health"] = row.labels.get("status", "")
        elif group is not None and row.labels.get("told") == "restarts":
            group["restarts"] += int(next(iter(row.points.values()), 0))
    return groups
