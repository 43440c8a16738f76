"""One service: are all of its tasks there and well, and what do they use?"""

from dashboards import links
from dashboards.page import Dashboard, Row
from dashboards.parts import Panel, lines, looking_like, override, stat
from dashboards.variables import chosen, variables

UID = "towline-service"
LOGS = links.lines_of_service("${service}")
HERE = (
    links.page("towline-container", "This container", "container", "${__field.labels.name}"),
    *links.lines_of_container(),
)
LIMIT = {
    "custom__lineStyle": {"fill": "dash", "dash": [8, 8]},
    "custom__fillOpacity": 0,
    "color": {"mode": "fixed", "fixedColor": "red"},
}


def of(metric: str, more: str = "") -> str:
    return f"{metric}{{service='$service'{more}}}"


def per_second(metric: str, more: str = "") -> str:
    return f"sum by (name) (rate({of(metric, more)}[$__rate_interval]))"


STATE = (
    stat(
        "Running",
        "Containers of the service that run, on all nodes.",
        f"sum({of('container_state', ',state=' + chr(39) + 'running' + chr(39))})",
        width=3,
        links=LOGS,
    ),
    stat(
        "Wanted",
        "Tasks that the Swarm should run; empty outside of a Swarm.",
        f"max({of('swarm_service_replicas_desired')})",
        width=3,
        links=LOGS,
    ),
    stat(
        "Unhealthy",
        "Containers whose health check fails.",
        f"sum({of('container_health_status', ',status=' + chr(39) + 'unhealthy' + chr(39))}) or vector(0)",
        worse=1,
        width=3,
        links=LOGS,
    ),
    stat(
        "Failed tasks",
        "Tasks that failed or were rejected in the time shown.",
        f"sum(max by (state) (increase({of('swarm_service_task_failures_total')}[$__range]))) or vector(0)",
        bad=1,
        worse=10,
        width=3,
        decimals=0,
        links=LOGS,
    ),
    stat(
        "Restarts",
        "Starts of its containers after the first, in the time shown.",
        f"sum(increase({of('container_restarts_total')}[$__range])) or vector(0)",
        bad=1,
        worse=10,
        width=3,
        decimals=0,
        links=LOGS,
    ),
    stat(
        "OOM kills",
        "Processes killed for want of memory, in the time shown.",
        f"sum(increase({of('container_oom_events_total')}[$__range])) or vector(0)",
        worse=1,
        width=3,
        decimals=0,
        links=LOGS,
    ),
    stat(
        "Memory limit",
        "Share used by the container that is nearest to its limit; beyond it is killed.",
        f"max({of('container_memory_working_set_bytes')} / ({of('container_spec_memory_limit_bytes')} > 0))",
        "percentunit",
        bad=0.8,
        worse=0.95,
        width=3,
        links=LOGS,
    ),
    stat(
        "CPU held back",
        "The worst share of periods in which a container had used up its quota.",
        f"max(rate({of('container_cpu_cfs_throttled_periods_total')}[$__rate_interval])"
        f" / (rate({of('container_cpu_cfs_periods_total')}[$__rate_interval]) > 0))",
        "percentunit",
        bad=0.1,
        worse=0.5,
        width=3,
        links=LOGS,
    ),
)


def both_ways(title: str, description: str, inwards: str, outwards: str, names: tuple[str, str]) -> Panel:
    """Bytes per second, one way above and the other below the line."""
    return lines(
        title,
        description,
        "Bps",
        (inwards, "{{name}} " + names[0]),
        (outwards, "{{name}} " + names[1]),
        defaults={"min": None},
        links=HERE,
        overrides=(looking_like(f".* {names[1]}", custom__transform="negative-Y"),),
    )


USE = (
    lines(
        "CPU",
        "CPUs in use by each container.",
        "short",
        (per_second("container_cpu_usage_seconds_total"), "{{name}}"),
        links=HERE,
    ),
    lines(
        "Memory",
        "Memory that each container can't give back, and the limit.",
        "bytes",
        (f"max by (name) ({of('container_memory_working_set_bytes')})", "{{name}}"),
        (f"max({of('container_spec_memory_limit_bytes')}) > 0", "limit"),
        links=HERE,
        overrides=(override("limit", **LIMIT),),
    ),
    both_ways(
        "Network",
        "Received above, sent below the line.",
        per_second("container_network_receive_bytes_total"),
        per_second("container_network_transmit_bytes_total"),
        ("in", "out"),
    ),
    both_ways(
        "Disk",
        "Read above, written below the line.",
        per_second("container_fs_reads_bytes_total"),
        per_second("container_fs_writes_bytes_total"),
        ("read", "written"),
    ),
    lines(
        "Log lines",
        "Lines that the service logs; click for the lines themselves.",
        "short",
        (f"sum by (service) (rate({of('towline_lines_read_total')}[$__rate_interval]))", "lines per second"),
        links=links.lines_of_service(),
    ),
    lines(
        "Restarts and failures",
        "Starts after the first by container, and tasks that failed, per minute.",
        "short",
        (f"60 * {per_second('container_restarts_total')}", "{{name}} restarted"),
        (f"60 * max by (state) (rate({of('swarm_service_task_failures_total')}[$__rate_interval]))", "task {{state}}"),
        links=LOGS,
    ),
)


def dashboard() -> Dashboard:
    service = chosen("service", "Service", 'label_values(container_last_seen{job=~"$job"}, service)', several=False)
    return Dashboard(
        UID,
        "Towline / Service",
        "One service: its tasks, their state, and what they use.",
        (*variables(metric="container_last_seen"), service, *links.places()),
        (Row("", STATE), Row("", USE)),
        links.on_top(*LOGS),
    )
