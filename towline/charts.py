"""What `/api/metrics` may be asked, and the shape of what it tells, whoever answers: exporters.history from memory, or
towline.api_metrics from Prometheus."""

from collections.abc import Mapping
from typing import Any

from werkzeug.datastructures import MultiDict

from towline.errors import UsageError
from towline.times import nanoseconds, parse_time

RATES = {
    "cpu": "container_cpu_usage_seconds_total",
    "receive": "container_network_receive_bytes_total",
    "transmit": "container_network_transmit_bytes_total",
    "read": "container_fs_reads_bytes_total",
    "write": "container_fs_writes_bytes_total",
}
LEVELS = {"memory": "container_memory_working_set_bytes"}
"""Series of the charts, and the metric that each is made of."""
SERIES = ("cpu", "memory", "receive", "transmit", "read", "write")
"""In the order of the charts."""


def refuse_others(given: MultiDict[str, str], known: frozenset[str]) -> None:
    """Raises UsageError for a parameter that is none of `known`."""
    if unknown := set(given) - known:
        raise UsageError(f"unknown parameter {min(unknown)!r}; use {', '.join(sorted(known))}")


def asked_by(given: MultiDict[str, str]) -> str:
    """container, service or node; raises UsageError."""
    by = given.get("by") or "container"
    if by not in ("container", "service", "node"):
        raise UsageError(f"by={by}: use container, service or node")
    return by


def asked_series(given: MultiDict[str, str]) -> tuple[str, ...]:
    """Which of SERIES are wanted, each once; raises UsageError."""
    wanted = tuple(dict.fromkeys(given.getlist("series"))) or SERIES
    if unknown := set(wanted) - set(SERIES):
        raise UsageError(f"series={min(unknown)}: use {', '.join(SERIES)}")
    return wanted


def moment(text: str | None, now: float) -> float | None:
    """Seconds since 1970 that `text` means; raises UsageError."""
    return nanoseconds(parse_time(text, now)) / 1e9 if text else None


def group(by: str, key: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """A group of one container, of which nothing but its labels is known."""
    return {
        "key": key,
        "name": labels.get("name", "") if by == "container" else key,
        "service": labels.get("service", ""),
        "stack": labels.get("stack", ""),
        "containers": 1,
        "state": "",
        "health": "",
        "restarts": 0,
        "series": {},
    }
