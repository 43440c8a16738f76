"""Recent metrics for the page of `towline up`: a few series per container and of the node, in memory, for an hour.

`/api/metrics` answers, oldest first and `null` where nothing is known:

    {"interval": 15, "times": [seconds since 1970, …],
     "groups": [{"key": "web", "name": "web", "service": "web", "stack": "shop", "state": "running",
                 "health": "", "restarts": 0,
                 "series": {"cpu": [cores, …], "memory": [bytes, …], "receive": [bytes/s, …], "transmit": […],
                            "read": […], "write": […]}}, …],
     "happened": [{"time": …, "what": "stopped", "id": "4f…", "container": "web.1", "service": "web",
                   "about": "137"}, …]}

`what` is started, stopped, deployed, oom, unhealthy or healthy (towline.happening).

`by=container` (default; key is the id), `by=service` (sums; key is the name) or `by=node` (key "node": what the whole
machine uses); `service=`, `container=` (name or id) choose, both repeatable; `since=`, `until=` as in /api/search;
`series=` (repeatable) says which are wanted, `happened=no` that marks are not. towline.api_metrics answers the same
from Prometheus.
"""

import re
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Any

from werkzeug.wrappers import Request, Response

from exporters.exposition import Family
from towline import charts
from towline.charts import SERIES
from towline.happening import Happening
from towline.http import Handler, answer

INTERVAL, POINTS, MOST = 15.0, 240, 500
"""Seconds between two points, points kept, containers kept: 12 MB at most."""

RATES = {metric: name for name, metric in charts.RATES.items()}
LEVELS = {metric: name for name, metric in charts.LEVELS.items()}
STATE, HEALTH, RESTARTS = "container_state", "container_health_status", "container_restarts_total"
_ABOUT = frozenset({STATE, HEALTH, RESTARTS})
PARAMETERS = frozenset({"by", "service", "container", "series", "since", "until", "happened"})

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


@dataclass(slots=True)
class Track:
    """One container's rows. `series`: rings of `POINTS`, by point modulo; `totals`: what counters last said."""

    labels: dict[str, str]
    series: dict[str, "array[float]"] = field(
        default_factory=lambda: {name: array("d", [nan]) * POINTS for name in SERIES}
    )
    totals: dict[str, float] = field(default_factory=dict)
    state: str = ""
    health: str = ""
    restarts: int = 0
    seen: int = 0


class History:
    """An actor that takes a point every `interval` seconds from `families`; `happened` tells marks, oldest first."""

    def __init__(
        self,
        families: Callable[[], Iterable[Family]],
        happened: Callable[[], Iterable[Happening]] = tuple,
        *,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._families = families
        self._happened = happened
        self._interval = interval
        self._clock = clock
        self._times: deque[float] = deque(maxlen=POINTS)
        self._count = 0
        self._tracks: dict[str, Track] = {}
        self._blocks: dict[str, dict[str, str]] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(self._interval if self._count > 1 else 1.0):
            self.take()

    def stop(self) -> None:
        self._stopping.set()

    def take(self) -> None:
        """One point, now."""
        found = [each for each in self._families() if each.name in RATES or each.name in LEVELS or each.name in _ABOUT]
        rows = [(each.name, list(_samples(each))) for each in found]
        with self._lock:
            self._add(self._clock(), rows)

    def _add(self, now: float, rows: list[tuple[str, list[tuple[str, float]]]]) -> None:
        spent = now - self._times[-1] if self._times else 0.0
        self._times.append(now)
        self._count += 1
        place = (self._count - 1) % POINTS
        for track in self._tracks.values():
            for ring in track.series.values():
                ring[place] = nan
        before = {key: dict(track.totals) for key, track in self._tracks.items()}
        for track in self._tracks.values():
            track.totals.clear()
        for name, samples in rows:
            self._learn(name, samples, place)
        for key, track in self._tracks.items():
            for name, total in track.totals.items():
                earlier = before.get(key, {}).get(name)
                if earlier is not None and total >= earlier and spent > 0:
                    track.series[name][place] = (total - earlier) / spent
        self._forget()

    def _learn(self, name: str, samples: list[tuple[str, float]], place: int) -> None:
        for block, value in samples:
            labels = self._labels(block)
            track = self._track(labels)
            if track is None:
                continue
            track.seen = self._count
            if name == STATE:
                track.state = labels.get("state", "") if value else track.state
            elif name == HEALTH:
                track.health = labels.get("status", "") if value else track.health
            elif name == RESTARTS:
                track.restarts = int(value)
            elif name in LEVELS:
                track.series[LEVELS[name]][place] = value
            else:
                track.totals[RATES[name]] = track.totals.get(RATES[name], 0.0) + value

    def _labels(self, block: str) -> dict[str, str]:
        if block not in self._blocks:
            self._blocks[block] = {name: _ESCAPED.sub(_unescaped, text) for name, text in _LABEL.findall(block)}
        return self._blocks[block]

    def _track(self, labels: dict[str, str]) -> Track | None:
        key = labels.get("id", "")
        if key not in self._tracks:
            if not (key == "/" or key.startswith("/docker/")) or len(self._tracks) > MOST:
                return None
            self._tracks[key] = Track(labels)
        return self._tracks[key]

    def _forget(self) -> None:
        """What has left the window; label blocks that nobody says any more go with them, sometimes."""
        for key in [key for key, track in self._tracks.items() if self._count - track.seen >= POINTS]:
            del self._tracks[key]
        if self._count % POINTS == 0:
            self._blocks.clear()

    # --- answers

    def handler(self) -> Handler:
        """The handler of `/api/metrics`; raises UsageError for what can't be asked."""

        def metrics(request: Request) -> Response:
            arguments = request.args
            charts.refuse_others(arguments, PARAMETERS)
            by, now = charts.asked_by(arguments), self._clock()
            since, until = (charts.moment(arguments.get(name), now) for name in ("since", "until"))
            chosen = set(arguments.getlist("service")), set(arguments.getlist("container"))
            told = self.told(by, *chosen, since=since, until=until, series=charts.asked_series(arguments))
            return answer(told | {"happened": []} if arguments.get("happened") == "no" else told)

        return metrics

    def told(
        self,
        by: str,
        services: set[str],
        containers: set[str],
        *,
        since: float | None,
        until: float | None,
        series: Iterable[str] = SERIES,
    ) -> dict[str, Any]:
        """The answer of `/api/metrics`, times in seconds since 1970."""
        with self._lock:
            first = self._count - len(self._times)
            wanted = [
                (moment, (first + index) % POINTS) for index, moment in enumerate(self._times)
                if (since is None or moment >= since) and (until is None or moment <= until)]  # fmt: skip
            places = [place for _, place in wanted]
            groups = [_group(key, by, tracks, places, series) for key, tracks in self._chosen(by, services, containers)]
        happened = [
            each.told()
            for each in self._happened()
            if (since is None or each.time >= since)
            and (until is None or each.time <= until)
            and (not services or each.service in services)
            and _is_chosen(each.container, each.id, containers)
        ]
        return {"interval": self._interval, "times": [round(moment, 3) for moment, _ in wanted], "groups": groups,
                "happened": happened[-MOST:]}  # fmt: skip

    def _chosen(self, by: str, services: set[str], containers: set[str]) -> list[tuple[str, list[Track]]]:
        if by == "node":
            return [("node", [track]) for key, track in self._tracks.items() if key == "/"]
        groups: dict[str, list[Track]] = {}
        for key, track in self._tracks.items():
            labels = track.labels
            if key == "/" or (services and labels.get("service", "") not in services):
                continue
            if not _is_chosen(labels.get("name", ""), key.removeprefix("/docker/"), containers):
                continue
            group = labels.get("service", "") if by == "service" else key.removeprefix("/docker/")
            groups.setdefault(group, []).append(track)
        return sorted(groups.items())


def _group(key: str, by: str, tracks: list[Track], places: list[int], series: Iterable[str]) -> dict[str, Any]:
    return charts.group(by, key, tracks[0].labels) | {
        "containers": len(tracks),
        "state": tracks[0].state if by == "container" else "",
        "health": tracks[0].health if by == "container" else "",
        "restarts": sum(track.restarts for track in tracks),
        "series": {name: [_sum(tracks, name, place) for place in places] for name in series},
    }


def _is_chosen(name: str, identity: str, containers: set[str]) -> bool:
    return not containers or name in containers or identity in containers


def _sum(tracks: list[Track], name: str, place: int) -> float | None:
    values = [value for track in tracks if not isnan(value := track.series[name][place])]
    return round(sum(values), 6) if values else None


def _samples(family: Family) -> Iterator[tuple[str, float]]:
    start = len(family.name)
    for line in family.body.decode("utf-8", "replace").splitlines():
        text, _, value = line.rpartition(" ")
        yield text[start:], float(value)


def _unescaped(found: "re.Match[str]") -> str:
    return "\n" if found[1] == "n" else found[1]
