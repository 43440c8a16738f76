"""One container, also one that has just ended: what became of it?"""

from dashboards import links
from dashboards.page import Dashboard, Row
from dashboards.parts import lines, looking_like, override, stat
from dashboards.service import LIMIT
from dashboards.variables import chosen, variables

UID = "towline-container"
LOGS = links.lines_of_container("${container}")


def of(metric: str, more: str = "") -> str:
    return f"{metric}{{name='$container'{more}}}"


def per_second(metric: str, more: str = "") -> str:
    return f"sum(rate({of(metric, more)}[$__rate_interval]))"


STATE = (
    stat(
        "State",
        "What the engine says of it.",
        f"max by (state) ({of('container_state')}) == 1",
        textMode="name",
        legend="{{state}}",
        links=LOGS,
    ),
    stat(
        "Health",
        "What its health check says; empty without one.",
        f"max by (status) ({of('container_health_status')}) == 1",
        textMode="name",
        legend="{{status}}",
        links=LOGS,
    ),
    stat(
        "Running for",
        "Since its last start; empty once it has ended.",
        f"time() - max({of('container_start_time_seconds')})",
        "s",
        links=LOGS,
    ),
    stat(
        "Restarts",
        "Starts after the first, in the time shown.",
        f"sum(increase({of('container_restarts_total')}[$__range])) or vector(0)",
        bad=1,
        worse=10,
        decimals=0,
        links=LOGS,
    ),
    stat(
        "OOM kills",
        "Processes killed for want of memory, in all of its runs.",
        f"max({of('container_oom_events_total')}) or vector(0)",
        worse=1,
        decimals=0,
        links=LOGS,
    ),
    stat(
        "Last exit code",
        "Of its last run that has ended; 137 is a kill, 143 a stop. Empty while there is none.",
        f"max({of('container_exit_code')})",
        "none",
        bad=1,
        links=LOGS,
    ),
)

USE = (
    lines(
        "CPU",
        "CPUs in use, by the program and by the kernel for it; the limit where there is one.",
        "short",
        (per_second("container_cpu_user_seconds_total"), "user"),
        (per_second("container_cpu_system_seconds_total"), "system"),
        (f"max({of('container_spec_cpu_quota')} / {of('container_spec_cpu_period')} > 0)", "limit"),
        stacked=True,
        links=LOGS,
        overrides=(override("limit", **LIMIT, custom__stacking={"group": "B", "mode": "none"}),),
    ),
    lines(
        "Memory",
        "Working set is what counts against the limit; page cache goes when others need it.",
        "bytes",
        (f"max({of('container_memory_working_set_bytes')})", "working set"),
        (f"max({of('container_memory_rss')})", "program's own"),
        (f"max({of('container_memory_cache')})", "page cache"),
        (f"max({of('container_spec_memory_limit_bytes')}) > 0", "limit"),
        links=LOGS,
        overrides=(override("limit", **LIMIT),),
    ),
    lines(
        "Network",
        "Received above, sent below the line.",
        "Bps",
        (per_second("container_network_receive_bytes_total"), "in"),
        (per_second("container_network_transmit_bytes_total"), "out"),
        defaults={"min": None},
        links=LOGS,
        overrides=(looking_like("out", custom__transform="negative-Y"),),
    ),
    lines(
        "Disk",
        "Read above, written below the line.",
        "Bps",
        (per_second("container_fs_reads_bytes_total"), "read"),
        (per_second("container_fs_writes_bytes_total"), "written"),
        defaults={"min": None},
        links=LOGS,
        overrides=(looking_like("written", custom__transform="negative-Y"),),
    ),
    lines(
        "Held back by the CPU limit",
        "Share of the periods in which its quota was used up.",
        "percentunit",
        (
            f"{per_second('container_cpu_cfs_throttled_periods_total')} / "
            f"({per_second('container_cpu_cfs_periods_total')} > 0)",
            "held back",
        ),
        defaults={"max": 1},
        links=LOGS,
    ),
    lines(
        "Threads and processes",
        "What a leak of threads looks like: a line that only grows.",
        "short",
        (f"max({of('container_threads')})", "threads"),
        (f"max({of('container_processes')})", "processes"),
        links=LOGS,
    ),
)


def dashboard() -> Dashboard:
    known = 'label_values(container_last_seen{job=~"$job",instance=~"$instance"}, name)'
    return Dashboard(
        UID,
        "Towline / Container",
        "One container: state, CPU, memory, network, disk.",
        (
            *variables(metric="container_last_seen"),
            chosen("container", "Container", known, several=False),
            *links.places(),
        ),
        (Row("", STATE), Row("", USE)),
        links.on_top(*LOGS),
    )
