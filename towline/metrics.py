"""Every metric of Towline's own, registered in one place with its help.

The ledger, per service: read = published = confirmed = indexed + dead-lettered, plus dropped{reason}, plus what is in
flight between two of them. `indexed` counts lines that the store has for certain; those of them that were there
already (a repeat after a crash) are also counted as `duplicate`.
"""

from functools import lru_cache
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from towline.measured import Measured

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody reads
REGISTRY = CollectorRegistry()

_SERVICE = ["service"]
_IN_STORE = ["service", "store"]
Metric = TypeVar("Metric", Counter, Gauge)


def of(metric: Metric, service: str) -> Metric:
    """The metric's series of one service; `labels` takes four times as long, and is asked five times for each line
    where lines come one by one."""
    return _series(metric, service)  # type: ignore[return-value]


@lru_cache(maxsize=10_000)
def _series(metric: Counter | Gauge, service: str) -> Counter | Gauge:
    return metric.labels(service)


LINES_READ = Counter(
    "towline_lines_read",
    "Lines read from containers, or taken over from the spool of an earlier process.",
    _SERVICE,
    registry=REGISTRY,
)
LINES_LISTENED = Counter(
    "towline_lines_listened",
    "Of the lines read, those that came by a listener: they are in no container's log.",
    _SERVICE,
    registry=REGISTRY,
)
LINES_PUBLISHED = Counter("towline_lines_published", "Lines handed to the queue.", _SERVICE, registry=REGISTRY)
LINES_CONFIRMED = Counter("towline_lines_confirmed", "Lines that the queue confirmed.", _SERVICE, registry=REGISTRY)
LINES_INDEXED = Counter(
    "towline_lines_indexed",
    "Lines that the store has for certain, or the receiver where lines leave Towline (forward, file, stdout).",
    _SERVICE,
    registry=REGISTRY,
)
LINES_DUPLICATE = Counter(
    "towline_lines_duplicate", "Of the indexed lines, those that the store had already.", _SERVICE, registry=REGISTRY
)
LINES_DEAD_LETTERED = Counter(
    "towline_lines_dead_lettered",
    "Lines that the store refused for good; kept as dead letters.",
    _SERVICE,
    registry=REGISTRY,
)
STORE_CONFIRMED = Counter(
    "towline_store_lines_confirmed",
    "Lines of services that name stores (label towline.store), confirmed by the queue for each of these. Per store: "
    "confirmed = indexed + dead-lettered; the ledger of lines counts each line once, at the first store it goes to.",
    _IN_STORE,
    registry=REGISTRY,
)
STORE_INDEXED = Counter(
    "towline_store_lines_indexed", "Of these, lines that the store has for certain.", _IN_STORE, registry=REGISTRY
)
STORE_DUPLICATE = Counter(
    "towline_store_lines_duplicate",
    "Of these indexed lines, those that the store had already.",
    _IN_STORE,
    registry=REGISTRY,
)
STORE_DEAD_LETTERED = Counter(
    "towline_store_lines_dead_lettered",
    "Of these, lines that the store refused for good; kept as dead letters there.",
    _IN_STORE,
    registry=REGISTRY,
)
STORE_UNSERVED = Counter(
    "towline_store_lines_unserved",
    "Lines for a store that nobody feeds: they are in the default store, or in others that they are for.",
    _IN_STORE,
    registry=REGISTRY,
)
LINES_DROPPED = Counter(
    "towline_lines_dropped", "Lines read and left out on purpose, by reason.", [*_SERVICE, "reason"], registry=REGISTRY
)
UNPROCESSED = Counter(
    "towline_lines_unprocessed",
    "Lines that a rule of their service's labels could not be applied to; kept as they were.",
    [*_SERVICE, "step"],
    registry=REGISTRY,
)
LINES_UNPARSED = Counter(
    "towline_lines_unparsed",
    "Lines not of the form that labels say (unparsed), or whose own time is none (untimed); kept as they were.",
    [*_SERVICE, "reason"],
    registry=REGISTRY,
)
REDACTIONS = Counter(
    "towline_redactions",
    "Secrets that labels had hidden in lines, by kind; withheld: whole lines that could not be looked through.",
    [*_SERVICE, "kind"],
    registry=REGISTRY,
)
MEASURED = Measured("towline_log_")
"""What labels make of services' lines (`towline.metric.NAME`)."""
REGISTRY.register(MEASURED)
LINES_IN_FLIGHT = Gauge(
    "towline_lines_in_flight",
    "Lines read and not yet confirmed: in memory, in the queue's window, in the spool.",
    _SERVICE,
    registry=REGISTRY,
)
LINES_SPLIT = Counter(
    "towline_lines_split", "Pieces made of lines longer than --max-line.", _SERVICE, registry=REGISTRY
)
LINES_DAMAGED = Counter(
    "towline_lines_damaged",
    "Entries of a log file that were torn or damaged and kept as they were found.",
    _SERVICE,
    registry=REGISTRY,
)
GAPS = Counter(
    "towline_gaps",
    "Stretches of a log that were gone before they could be read, by reason; each also has a record in the store.",
    [*_SERVICE, "reason"],
    registry=REGISTRY,
)
UNREADABLE = Counter(
    "towline_containers_unreadable",
    "Containers whose log could not be opened, by reason.",
    ["reason"],
    registry=REGISTRY,
)
CONTAINERS = Gauge("towline_containers", "Container logs that are open, by source.", ["source"], registry=REGISTRY)
INPUT_ERRORS = Counter(
    "towline_input_errors",
    "What came to a listener and could not be taken as it was, by kind; the log says more.",
    ["input", "kind"],
    registry=REGISTRY,
)
INPUT_CONNECTIONS = Gauge(
    "towline_input_connections", "Connections of a listener that are open.", ["input"], registry=REGISTRY
)
INPUT_BYTES = Gauge(
    "towline_input_bytes", "Bytes of lines that listeners took and that are not safe yet.", registry=REGISTRY
)
IN_FLIGHT_BYTES = Gauge("towline_in_flight_bytes", "Bytes of lines read and not yet confirmed.", registry=REGISTRY)
QUEUE_BYTES = Gauge(
    "towline_queue_bytes",
    "Bytes of lines in the queue, waiting or in work, as far as this process knows.",
    registry=REGISTRY,
)
SPOOL_BYTES = Gauge("towline_spool_bytes", "Bytes in the disk spool.", registry=REGISTRY)
LAG = Histogram(
    "towline_lag_seconds",
    "From a line's timestamp to its being searchable, the oldest line of each batch.",
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600),
    registry=REGISTRY,
)
BATCH_BYTES = Histogram(
    "towline_batch_bytes",
    "Bytes of lines, uncompressed, in a batch handed to the queue.",
    buckets=(1 << 10, 8 << 10, 64 << 10, 256 << 10, 512 << 10, 1 << 20, 8 << 20),
    registry=REGISTRY,
)
WRITE_LINES = Histogram(
    "towline_write_lines",
    "Lines in one write to the store, which may hold many batches.",
    buckets=(1, 10, 100, 1000, 3000, 10_000, 30_000),
    registry=REGISTRY,
)
EVENTS_STORED = Counter(
    "towline_events_stored", "Domain events that the store has for certain, by service.", _SERVICE, registry=REGISTRY
)
EVENTS_DUPLICATE = Counter(
    "towline_events_duplicate", "Of the stored events, those that it had already.", _SERVICE, registry=REGISTRY
)
EVENTS_DEAD_LETTERED = Counter(
    "towline_events_dead_lettered",
    "Domain events that the store refused for good; kept as dead letters.",
    _SERVICE,
    registry=REGISTRY,
)
STORE_ERRORS = Counter(
    "towline_store_errors", "Writes that the store could not decide and that are tried again.", registry=REGISTRY
)
SERVICES_WITHOUT_LABELS = Gauge(
    "towline_services_without_labels",
    "Swarm services with containers here whose labels no manager told in time: their lines go on without.",
    registry=REGISTRY,
)
ENGINE_RECONNECTS = Counter(
    "towline_engine_reconnects", "Times the engine's event stream was opened again.", registry=REGISTRY
)
