"""The log pipeline: does every line arrive, how late, and where does it wait?"""

from dashboards import links
from dashboards.page import Dashboard, Row
from dashboards.parts import grown, lines, looking_like, stat
from dashboards.variables import variables

UID = "towline-pipeline"
BY_SERVICE = links.lines_of_service()
SHIPPERS = "and on (instance) count by (instance) (towline_containers{})"


def rate(metric: str, by: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{}}[$__rate_interval]))"


def lag(share: float) -> str:
    return f"histogram_quantile({share}, {rate('towline_lag_seconds_bucket', 'le')})"


STATE = (
    stat(
        "Late by",
        "95 of 100 batches were searchable sooner after their oldest line was written.",
        lag(0.95),
        "s",
        bad=30,
        worse=300,
    ),
    stat(
        "Lost",
        "Lines dropped and stretches of logs that were gone before they could be read, in the time shown.",
        f"{grown('towline_lines_dropped_total')} + {grown('towline_gaps_total')}",
        worse=1,
    ),
    stat(
        "Dead letters",
        "Lines that the store refused for good, in the time shown: towline dead-letters list.",
        grown("towline_lines_dead_lettered_total"),
        bad=1,
    ),
    stat(
        "Not yet confirmed",
        "Lines that were read and that the queue has not yet confirmed.",
        "sum(towline_lines_in_flight{}) or vector(0)",
        bad=100_000,
    ),
    stat(
        "On disk",
        "Bytes in the shippers' spools: lines that wait for the queue.",
        "sum(towline_spool_bytes{})",
        "bytes",
        bad=1 << 20,
        worse=1 << 30,
    ),
    stat(
        "Writes put off",
        "Writes that the store could not decide and that are tried again, in the time shown.",
        "sum(increase(towline_store_errors_total{}[$__range]))",
        bad=1,
        worse=100,
    ),
)

LEDGER = (
    lines(
        "Ledger",
        "Lines per second at each station. In order, all four are one line; a gap is where lines wait.",
        "short",
        (rate("towline_lines_read_total"), "read"),
        (rate("towline_lines_published_total"), "published"),
        (rate("towline_lines_confirmed_total"), "confirmed"),
        (rate("towline_lines_indexed_total"), "indexed"),
    ),
    lines(
        "Lag",
        "From a line's timestamp to its being searchable, the oldest line of each batch.",
        "s",
        (lag(0.5), "half of the batches"),
        (lag(0.95), "95 of 100"),
        (lag(0.99), "99 of 100"),
        defaults={
            "custom": {
                "scaleDistribution": {"type": "log", "log": 10},
                "drawStyle": "line",
                "fillOpacity": 0,
                "showPoints": "never",
                "lineWidth": 1,
            },
            "min": 0.01,
        },
    ),
    lines(
        "Waiting at the shippers",
        "Lines read and not yet confirmed, in memory and in the spool on disk.",
        "bytes",
        (
            f"sum by (instance) (towline_in_flight_bytes{{}}) {SHIPPERS}",
            "{{instance}} in all",
        ),
        (f"sum by (instance) (towline_spool_bytes{{}}) {SHIPPERS}", "{{instance}} on disk"),
    ),
    lines(
        "Lines by service",
        "The ten that log most; click for their lines.",
        "short",
        (f"topk(10, {rate('towline_lines_read_total', 'service')})", "{{service}}"),
        links=BY_SERVICE,
    ),
    lines(
        "Trouble",
        "Per second, by reason: none of these should be there for long.",
        "short",
        (rate("towline_lines_dropped_total", "reason"), "dropped: {{reason}}"),
        (rate("towline_gaps_total", "reason"), "gap: {{reason}}"),
        (rate("towline_lines_dead_lettered_total", "service"), "dead letter: {{service}}"),
        (rate("towline_lines_damaged_total", "service"), "damaged: {{service}}"),
        (rate("towline_store_errors_total"), "write put off"),
        links=BY_SERVICE,
    ),
    lines(
        "Size of writes",
        "Lines in one write to the store, and in memory in one batch. Small ones cost the servers.",
        "short",
        (f"{rate('towline_write_lines_sum')} / ({rate('towline_write_lines_count')} > 0)", "lines in a write"),
        (f"{rate('towline_batch_bytes_sum')} / ({rate('towline_batch_bytes_count')} > 0)", "bytes in a batch"),
        overrides=(looking_like("bytes.*", unit="bytes", custom__axisPlacement="right"),),
    ),
)

BROKER = (
    lines(
        "Messages in queues",
        "Ready: nobody has taken them. Taken: an indexer has not yet acknowledged them.",
        "short",
        ("sum(rabbitmq_queue_messages_ready{})", "ready"),
        ("sum(rabbitmq_queue_messages_unacked{})", "taken"),
        width=8,
    ),
    lines(
        "Messages through the broker",
        "Each holds a batch of lines. The two lines part where the queue grows.",
        "short",
        (rate("rabbitmq_global_messages_received_total"), "received"),
        (rate("rabbitmq_global_messages_acknowledged_total"), "acknowledged"),
        width=8,
    ),
    lines(
        "Room left in the broker",
        "At 0 of either it takes no more, and shippers begin to spool.",
        "percentunit",
        ("1 - min(rabbitmq_process_resident_memory_bytes{} / rabbitmq_resident_memory_limit_bytes{})", "memory"),
        ("min(1 - rabbitmq_disk_space_available_limit_bytes{} / rabbitmq_disk_space_available_bytes{})", "disk"),
        width=8,
    ),
)

STORE = (
    stat(
        "Cluster",
        "What Elasticsearch says of itself.",
        "max by (color) (elasticsearch_cluster_health_status{}) == 1",
        "none",
        width=3,
        textMode="name",
        legend="{{color}}",
    ),
    stat(
        "Rejected writes",
        "Writes that a full queue of a node turned away, in the time shown; they are tried again.",
        "sum(increase(elasticsearch_thread_pool_rejected_count{type='write'}[$__range]))",
        bad=1,
        width=3,
    ),
    lines(
        "Documents indexed",
        "Per second, on all nodes, copies included.",
        "short",
        (rate("elasticsearch_indices_indexing_index_total"), "documents"),
        width=9,
    ),
    lines(
        "Full to",
        "The fullest node's heap and disk. At 85 % of its disk a node takes no new shards, at 95 % no writes.",
        "percentunit",
        (
            "max(elasticsearch_jvm_memory_used_bytes{area='heap'} / elasticsearch_jvm_memory_max_bytes{area='heap'})",
            "heap",
        ),
        (
            "max(1 - elasticsearch_filesystem_data_available_bytes{} / elasticsearch_filesystem_data_size_bytes{})",
            "disk",
        ),
        width=9,
        defaults={"max": 1},
    ),
)


def dashboard() -> Dashboard:
    return Dashboard(
        UID,
        "Towline / Pipeline",
        "Every line once: the ledger, the lag, and where lines wait.",
        (*variables(), *links.places()),
        (Row("", STATE), Row("", LEDGER), Row("RabbitMQ", BROKER), Row("Elasticsearch", STORE)),
        links.on_top(),
    )
