"""Metrics that labels make of services' lines, as one collector: any service may declare any name.

prometheus_client's own metrics have one set of labels and buckets for all; here each service has its own under a common
name, which the exposition formats allow. What is shared is the type: a name that is a counter already becomes
`NAME_histogram` where another service makes a histogram of it, and the other way round. So does a name that differs
from another by no more than a suffix of samples.

Bounds: MOST_SERIES series of a service and metric, MOST_SERVICES services of a metric; the rest is added up under label
values OTHER. A service that declares other buckets than before begins at 0 with them, as after a restart.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from threading import Lock

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

MOST_SERIES, MOST_SERVICES = 100, 1000
OTHER = "other"
COUNTER, HISTOGRAM = "counter", "histogram"
_SUFFIXES = ("_total", "_created", "_bucket", "_count", "_sum")

Pairs = tuple[tuple[str, str], ...]
"""The labels of a series, beside its service: names and values."""


@dataclass
class _Series:
    """A counter's value, or a histogram's sum and its lines by bucket, the last of which is +Inf."""

    value: float = 0.0
    buckets: list[int] = field(default_factory=list)


@dataclass
class _Declared:
    """A metric of one service."""

    bounds: tuple[float, ...]
    series: dict[Pairs, _Series] = field(default_factory=dict)

    def of(self, pairs: Pairs) -> _Series:
        if pairs not in self.series:
            if len(self.series) >= MOST_SERIES:
                pairs = tuple((name, OTHER) for name, _ in pairs)
            self.series.setdefault(pairs, _Series(0.0, [0] * (len(self.bounds) + 1)))
        return self.series[pairs]


@dataclass
class _Family:
    kind: str
    services: dict[str, _Declared] = field(default_factory=dict)


class Measured(Collector):
    """Safe to use from several threads. `prefix` begins each name."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._lock = Lock()
        self._families: dict[str, _Family] = {}

    def declare(self, name: str, kind: str, service: str, bounds: Sequence[float] = (), plain: bool = False) -> str:
        """The key for `add` and `observe`: the name under which this metric is shown. plain: it has no labels beside
        the service, and so is there from the first scrape on, with 0."""
        key = name
        with self._lock:
            while not self._free(key, kind):
                key += f"_{kind}"
            services = self._families[key].services
            known = services.get(service)
            if known is None and len(services) >= MOST_SERVICES:
                return key
            if known is None or known.bounds != tuple(bounds):
                known = services[service] = _Declared(tuple(bounds))
            if plain:
                known.of(())
            return key

    def add(self, key: str, service: str, amounts: Mapping[Pairs, float]) -> None:
        """Counters of one service go up by so much."""
        with self._lock:
            declared = self._declared(key, service)
            for pairs, amount in amounts.items():
                declared.of(pairs).value += amount

    def observe(self, key: str, service: str, values: Mapping[Pairs, Sequence[float]]) -> None:
        """What was seen, for histograms of one service."""
        with self._lock:
            declared = self._declared(key, service)
            for pairs, seen in values.items():
                series = declared.of(pairs)
                series.value += sum(seen)
                for each in seen:
                    series.buckets[bisect_left(declared.bounds, each)] += 1

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            return iter([self._metric(key, family) for key, family in sorted(self._families.items())])

    def describe(self) -> Iterator[Metric]:
        """No name is known before labels are read."""
        return iter(())

    def _free(self, key: str, kind: str) -> bool:
        """Whether a metric of this kind may be called so; it is then."""
        if key not in self._families and not any(map(self._families.__contains__, _near(key))):
            self._families[key] = _Family(kind)
        return key in self._families and self._families[key].kind == kind

    def _declared(self, key: str, service: str) -> _Declared:
        services = self._families[key].services
        return services.get(service) or services.setdefault(OTHER, _Declared(()))

    def _metric(self, key: str, family: _Family) -> Metric:
        name = self._prefix + key
        metric = Metric(name, f"Made of lines by a label towline.metric.{key}.", family.kind)
        for service, declared in family.services.items():
            for pairs, series in declared.series.items():
                labels = {"service": service, **dict(pairs)}
                if family.kind == COUNTER:
                    metric.add_sample(name + "_total", labels, series.value)
                else:
                    _histogram(metric, labels, declared.bounds, series)
        return metric


def _near(key: str) -> list[str]:
    """Names that can't be beside this one, since samples of one could be those of the other."""
    shorter = [key.removesuffix(suffix) for suffix in _SUFFIXES if key.endswith(suffix)]
    return shorter + [key + suffix for suffix in _SUFFIXES]


def _histogram(metric: Metric, labels: dict[str, str], bounds: Sequence[float], series: _Series) -> None:
    total = 0
    for bound, count in zip([*bounds, inf], series.buckets, strict=True):
        total += count
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": "+Inf" if bound == inf else repr(bound)}, total)
    metric.add_sample(f"{metric.name}_count", labels, total)
    metric.add_sample(f"{metric.name}_sum", labels, series.value)
