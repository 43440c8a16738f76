"""One node: is it full, is it busy, and which container makes it so?"""

from dashboards import links
from dashboards.page import Dashboard, Row
from dashboards.parts import bar, lines, looking_like, stat, table
from dashboards.swarm import CPU, DISK, FULL, MEMORY
from dashboards.variables import chosen, variables

UID = "towline-node"
LOGS = links.lines_of_node("${node}")
REAL = "device!~'lo|veth.*|br-.*|docker.*|vxlan.*'"
KEPT = "fstype!~'tmpfs|ramfs|overlay|squashfs',mountpoint!~'/(run|var/lib/docker|etc)/.+'"

STATE = (
    stat("CPU", "Share of the CPUs that is busy.", f"max({CPU})", "percentunit", bad=0.8, worse=0.95, links=LOGS),
    stat(
        "Memory",
        "Share of the memory that could not be had for new programs.",
        f"max({MEMORY})",
        "percentunit",
        bad=0.85,
        worse=0.95,
        links=LOGS,
    ),
    stat(
        "Fullest file system",
        "Share that is used of the one that is nearest to full.",
        f"max({DISK})",
        "percentunit",
        bad=0.8,
        worse=0.9,
        links=LOGS,
    ),
    stat(
        "Load per CPU",
        "Programs that run or wait, for each CPU, over 5 minutes. Above 1 something waits.",
        "max(node_load5{} / on (instance) count by (instance) (node_cpu_seconds_total{mode='idle'}))",
        bad=1.5,
        worse=4,
        links=LOGS,
    ),
    stat("Up for", "Since the last boot.", "time() - max(node_boot_time_seconds{})", "s", links=LOGS),
    stat(
        "Broken collectors",
        "Parts of the exporter that could not read what they measure; its log says why.",
        "count(node_scrape_collector_success{} == 0 or container_scrape_collector_success{} == 0) or vector(0)",
        bad=1,
        links=LOGS,
    ),
)

USE = (
    lines(
        "CPU",
        "What the CPUs do; the rest is idle. Much iowait is a slow disk, steal a crowded host.",
        "percentunit",
        (
            "sum by (mode) (rate(node_cpu_seconds_total{mode!='idle'}[$__rate_interval])) "
            "/ scalar(count(node_cpu_seconds_total{mode='idle'}))",
            "{{mode}}",
        ),
        stacked=True,
        defaults={"max": 1},
        links=LOGS,
    ),
    lines(
        "Memory",
        "Used by programs, used as cache that can go, free.",
        "bytes",
        ("sum(node_memory_MemTotal_bytes{} - node_memory_MemAvailable_bytes{})", "used"),
        ("sum(node_memory_MemAvailable_bytes{} - node_memory_MemFree_bytes{})", "cache"),
        ("sum(node_memory_MemFree_bytes{})", "free"),
        stacked=True,
        links=LOGS,
    ),
    lines(
        "Waiting",
        "Share of the time in which something stood still for want of it (pressure stall information).",
        "percentunit",
        ("max(rate(node_pressure_cpu_waiting_seconds_total{}[$__rate_interval]))", "CPU"),
        ("max(rate(node_pressure_memory_waiting_seconds_total{}[$__rate_interval]))", "memory"),
        ("max(rate(node_pressure_io_waiting_seconds_total{}[$__rate_interval]))", "disk"),
        defaults={"max": 1},
        links=LOGS,
    ),
    lines(
        "Disk",
        "Read above, written below the line.",
        "Bps",
        ("sum by (device) (rate(node_disk_read_bytes_total{}[$__rate_interval]))", "{{device}} read"),
        ("sum by (device) (rate(node_disk_written_bytes_total{}[$__rate_interval]))", "{{device}} written"),
        defaults={"min": None},
        links=LOGS,
        overrides=(looking_like(".* written", custom__transform="negative-Y"),),
    ),
    lines(
        "Network",
        "Received above, sent below the line; without the inner interfaces of containers.",
        "Bps",
        (f"sum by (device) (rate(node_network_receive_bytes_total{{{REAL}}}[$__rate_interval]))", "{{device}} in"),
        (f"sum by (device) (rate(node_network_transmit_bytes_total{{{REAL}}}[$__rate_interval]))", "{{device}} out"),
        defaults={"min": None},
        links=LOGS,
        overrides=(looking_like(".* out", custom__transform="negative-Y"),),
    ),
    table(
        "File systems",
        "Share that is used, and what is free.",
        (
            (
                f"max by (mountpoint) (1 - node_filesystem_avail_bytes{{{KEPT}}}"
                f" / (node_filesystem_size_bytes{{{KEPT}}} > 0))",
                "Used",
            ),
            (f"max by (mountpoint) (node_filesystem_avail_bytes{{{KEPT}}})", "Free"),
        ),
        {"Used": bar("percentunit", 1, *FULL), "Free": {"unit": "bytes"}},
        "mountpoint",
        (),
    ),
)

OF_CONTAINER = (
    links.page("towline-container", "This container", "container", "${__field.labels.name}"),
    *links.lines_of_container(),
)
WHO = (
    lines(
        "CPU by container",
        "The five that use most.",
        "short",
        ("topk(5, sum by (name) (rate(container_cpu_usage_seconds_total{name!=''}[$__rate_interval])))", "{{name}}"),
        links=OF_CONTAINER,
    ),
    lines(
        "Memory by container",
        "The five that use most.",
        "bytes",
        ("topk(5, max by (name) (container_memory_working_set_bytes{name!=''}))", "{{name}}"),
        links=OF_CONTAINER,
    ),
)


def dashboard() -> Dashboard:
    (
        source,
        job,
        _,
    ) = variables(metric="node_uname_info")
    node = chosen("node", "Node", 'label_values(node_uname_info{job=~"$job"}, nodename)', several=False)
    instance = chosen(
        "instance", "Instance", 'label_values(node_uname_info{job=~"$job",nodename="$node"}, instance)', several=False
    )
    return Dashboard(
        UID,
        "Towline / Node",
        "One node: CPU, memory, disk, network, and who uses them.",
        (source, job, node, instance, *links.places()),
        (Row("", STATE), Row("", USE), Row("", WHO)),
        links.on_top(*LOGS),
    )
