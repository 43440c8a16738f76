"""The first page: is a service short of tasks, is a node away, and which one?"""

from dashboards import links
from dashboards.page import Dashboard, Row
from dashboards.parts import NOTHING, bar, coloured, lines, looking_like, stat, table
from dashboards.variables import variables

UID = "towline-swarm"
FULL = ((0, NOTHING), (0.8, "orange"), (0.9, "red"))
NAMED = " * on (instance) group_left (node) label_replace(node_uname_info{}, 'node', '$1', 'nodename', '(.*)')"
"""Gives samples of an instance the name of their node, which is what `node` is in the Swarm's own metrics."""
CPU = "1 - avg by (instance) (rate(node_cpu_seconds_total{mode='idle'}[$__rate_interval]))"
MEMORY = "1 - node_memory_MemAvailable_bytes{} / node_memory_MemTotal_bytes{}"
DISK = (
    "max by (instance) (1 - node_filesystem_avail_bytes{fstype!~'tmpfs|ramfs|overlay|squashfs',readonly!='1'} "
    "/ (node_filesystem_size_bytes{fstype!~'tmpfs|ramfs|overlay|squashfs'} > 0))"
)


def of_node(expression: str) -> str:
    return f"max by (node) (({expression}){NAMED})"


STATE = (
    stat(
        "Services short of tasks",
        "Services with fewer running tasks than they ask for.",
        "count(max by (service) (swarm_service_replicas_running{})"
        " < max by (service) (swarm_service_replicas_desired{}))"
        " or vector(0)",
        worse=1,
    ),
    stat(
        "Nodes away",
        "Nodes of the Swarm that do not answer their managers.",
        "count(max by (node_id) (swarm_node_ready{}) == 0) or vector(0)",
        worse=1,
    ),
    stat(
        "Failed tasks",
        "Tasks that failed or were rejected in the time shown.",
        "sum(max by (service, state) (increase(swarm_service_task_failures_total{}[$__range]))) or vector(0)",
        bad=1,
        worse=10,
        decimals=0,
    ),
    stat(
        "OOM kills",
        "Processes in containers that were killed for want of memory, in the time shown.",
        "sum(increase(container_oom_events_total{}[$__range])) or vector(0)",
        bad=1,
        decimals=0,
    ),
    stat("Targets down", "What Prometheus can't scrape.", "count(up{} == 0) or vector(0)", worse=1),
    stat("Alerts", "Alerts that fire now.", 'count(ALERTS{alertstate="firing"}) or vector(0)', bad=1),
)

SERVICES = table(
    "Services",
    "Tasks wanted and running, failures in the time shown, and what the services use now.",
    (
        ("max by (service) (swarm_service_replicas_desired{})", "Wanted"),
        ("max by (service) (swarm_service_replicas_running{})", "Running"),
        (
            "sum by (service) (max by (service, state) (increase(swarm_service_task_failures_total{}[$__range])))",
            "Failed",
        ),
        ("sum by (service) (rate(container_cpu_usage_seconds_total{service!=''}[$__rate_interval]))", "CPUs"),
        ("sum by (service) (container_memory_working_set_bytes{service!=''})", "Memory"),
        ("sum by (service) (rate(towline_lines_read_total{}[$__rate_interval]))", "Lines"),
    ),
    {
        "Running": coloured((0, "red"), (1, "text")),
        "Failed": {"decimals": 0, **coloured((0, "text"), (1, "orange"))},
        "CPUs": {"decimals": 2},
        "Memory": {"unit": "bytes"},
        "Lines": {"unit": "short", "decimals": 1},
    },
    "service",
    (
        links.page("towline-service", "This service", "service", "${__value.text}"),
        *links.lines_of_service("${__value.text}"),
    ),
    height=8,
)

YES = {
    "mappings": [
        {
            "type": "value",
            "options": {
                "1": {"text": "yes", "color": NOTHING, "index": 0},
                "0": {"text": "no", "color": "red", "index": 1},
            },
        }
    ],
    "custom__displayMode": "color-text",
    "custom__cellOptions": {"type": "color-text"},
}
NODES = table(
    "Nodes",
    "Whether a node answers and takes tasks, and how full it is.",
    (
        ("max by (node) (swarm_node_ready{})", "Ready"),
        ("max by (node) (swarm_node_active{})", "Active"),
        ("max by (node) (swarm_node_tasks_running{})", "Tasks"),
        (of_node(CPU), "CPU"),
        (of_node(MEMORY), "Memory"),
        (of_node(DISK), "Disk"),
    ),
    {
        "Ready": YES,
        "Active": YES,
        **{name: bar("percentunit", 1, *FULL) for name in ("CPU", "Memory", "Disk")},
    },
    "node",
    (links.page("towline-node", "This node", "node", "${__value.text}"), *links.lines_of_node("${__value.text}")),
    height=8,
)

TIME = (
    lines(
        "CPU of nodes",
        "Share of each node's CPUs that is busy.",
        "percentunit",
        (of_node(CPU), "{{node}}"),
        defaults={"max": 1},
        links=links.lines_of_node("${__field.labels.node}"),
        width=8,
    ),
    lines(
        "Memory of nodes",
        "Share of each node's memory that could not be had for new programs.",
        "percentunit",
        (of_node(MEMORY), "{{node}}"),
        defaults={"max": 1},
        links=links.lines_of_node("${__field.labels.node}"),
        width=8,
    ),
    lines(
        "Tasks wanted and running",
        "All services together: the gap between the two is what the Swarm owes.",
        "short",
        ("sum(max by (service) (swarm_service_replicas_desired{}))", "wanted"),
        ("sum(max by (service) (swarm_service_replicas_running{}))", "running"),
        overrides=(looking_like("wanted", custom__lineStyle={"fill": "dash", "dash": [8, 8]}, custom__fillOpacity=0),),
        width=8,
    ),
)


def dashboard() -> Dashboard:
    return Dashboard(
        UID,
        "Towline / Swarm",
        "What a Swarm wants and what runs; where to look first.",
        (*variables(metric="container_last_seen"), *links.places()),
        (Row("", STATE), Row("", (SERVICES, NODES)), Row("", TIME)),
        links.on_top(),
    )
