"""`/api/pipeline`: the ledger by service, what waits, how late lines are, and what is wrong.

Of this process (`towline up`), or of others added up, by their `/metrics` and `/readyz` (`towline page --metrics`).
"""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.wrappers import Request, Response

from towline import health
from towline.errors import UsageError
from towline.http import Handler, answer

TIMEOUT = 3.0
FRESH = 1.0
"""Seconds for which an answer of others is told again: many may look at the page at once."""
MOST_AT_ONCE = 16

_COUNTS = {
    f"towline_lines_{name}_total": name
    for name in ("read", "published", "confirmed", "indexed", "duplicate", "dead_lettered")
}
_SUMS = {"towline_in_flight_bytes": "in_flight_bytes", "towline_spool_bytes": "spool_bytes",
         "towline_queue_bytes": "queue_bytes", "towline_lag_seconds_count": "lag_count",
         "towline_lag_seconds_sum": "lag_sum", "towline_store_errors_total": "store_errors"}  # fmt: skip
_OURS = "towline_lines_read"


def pipeline(registry: CollectorRegistry, problems: Mapping[str, health.Problem]) -> dict[str, Handler]:
    """The pipeline that runs in this process; `registry` has its metrics."""

    def shown(request: Request) -> Response:
        content = ledger(registry.collect())
        content["problems"] = {name: text for name, problem in problems.items() if (text := health.told(problem))}
        content["time"] = round(time.time(), 3)
        return answer(content)

    return {"/api/pipeline": shown}


def elsewhere(urls: Sequence[str]) -> dict[str, Handler]:
    """The pipeline of the processes that show their metrics at `urls`; raises UsageError for what is no such URL."""
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"--metrics {_shown(url)!r}: write http://HOST:8514/metrics, as `ship` and `index` serve it"
            )
    others = _Others(urls)

    def shown(request: Request) -> Response:
        return answer(others.ledger())

    return {"/api/pipeline": shown}


def ledger(families: Iterable[Metric]) -> dict[str, Any]:
    """What the page draws of the metrics of one process, or of those of several: they are added up.

    `queue_messages`, what the broker says of itself, is the same whoever asks: the largest; None where nobody asks.
    """
    services: dict[str, dict[str, Any]] = {}
    content: dict[str, Any] = {"gaps": {}, "containers": {}, "queue_messages": None}
    for metric in families:
        for sample in metric.samples:
            name, labels, value = sample.name, sample.labels, sample.value
            row = services.setdefault(labels["service"], {"dropped": {}}) if "service" in labels else {}
            if name in _COUNTS:
                _add(row, _COUNTS[name], value)
            elif name == "towline_lines_in_flight":
                _add(row, "in_flight", value)
            elif name == "towline_lines_dropped_total":
                _add(row["dropped"], labels["reason"], value)
            elif name == "towline_gaps_total":
                _add(content["gaps"], labels["reason"], value)
            elif name == "towline_containers":
                _add(content["containers"], labels["source"], value)
            elif name == "towline_queue_messages":
                content["queue_messages"] = max(content["queue_messages"] or 0, value)
            elif name in _SUMS:
                _add(content, _SUMS[name], value)
    return {"services": services, **content}


def _add(row: dict[str, Any], name: str, value: float) -> None:
    row[name] = row.get(name, 0) + value


@dataclass
class _Others:
    """Asks all of `urls` at once, at most every FRESH seconds."""

    urls: Sequence[str]
    lock: threading.Lock = field(default_factory=threading.Lock)
    asked: float = float("-inf")
    told: dict[str, Any] = field(default_factory=dict)

    def ledger(self) -> dict[str, Any]:
        with self.lock:
            if time.monotonic() - self.asked > FRESH:
                self.told = self._ask()
                self.asked = time.monotonic()
            return self.told

    def _ask(self) -> dict[str, Any]:
        with ThreadPoolExecutor(min(MOST_AT_ONCE, len(self.urls))) as pool:
            answers = list(pool.map(_asked, self.urls))
        problems = {_shown(url): why for url, (_, why) in zip(self.urls, answers, strict=True) if why}
        content = ledger(each for found, _ in answers for each in found)
        return {**content, "problems": problems, "time": round(time.time(), 3), "processes": len(self.urls)}


def _asked(url: str) -> tuple[list[Metric], str]:
    """What a process counts, and what is wrong with it, "" where nothing is."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            families = list(text_string_to_metric_families(response.read().decode()))
    except (OSError, ValueError) as error:
        return [], f"no ledger here: {' '.join(str(error).split())}; what it counts is missing below"
    if not any(family.name == _OURS for family in families):
        return [], "what answers here has no counters of Towline's; name the /metrics of each `ship` and `index`"
    return families, _ready(url)


def _ready(url: str) -> str:
    """What a process says is wrong with it, "" where nothing is, or where it can't be asked."""
    parts = urlsplit(url)
    if not parts.path.endswith("/metrics"):
        return ""
    place = urlunsplit(parts._replace(path=parts.path.removesuffix("metrics") + "readyz", query="", fragment=""))
    try:
        with urllib.request.urlopen(place, timeout=TIMEOUT):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return "; ".join(error.read(2000).decode("utf-8", "replace").split("\n")).strip("; ")
    except (OSError, ValueError):
        return ""


def _shown(url: str) -> str:
    """Without a password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
