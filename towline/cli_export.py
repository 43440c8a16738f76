"""`towline export`: metrics of this node, its containers and its Swarm, for Prometheus."""

import logging
from typing import Any

import click

from towline import logs
from towline.config import (
    COLLECTOR,
    ENGINE,
    EXPORT_LISTEN,
    KEEP_ENDED,
    LOG_LEVEL,
    METRIC_LABEL,
    NO_COLLECTOR,
    NODE,
    NODE_LABEL,
    PROCFS,
    ROOTFS,
    SD_NETWORK,
    SYSFS,
    TEXTFILES,
    options,
)

log = logging.getLogger(__name__)

MEASURING = (PROCFS, SYSFS, ROOTFS, TEXTFILES, COLLECTOR, NO_COLLECTOR, METRIC_LABEL, KEEP_ENDED, SD_NETWORK)


def export_settings(values: dict[str, Any]) -> Any:
    """ExportSettings from the values of ENGINE, NODE, NODE_LABEL and MEASURING."""
    from exporters.containers import ContainerSettings
    from exporters.serve import ExportSettings

    about = ContainerSettings(
        engine=values["engine"], node=values["node"], procfs=values["procfs"], sysfs=values["sysfs"],
        rootfs=values["rootfs"], keep=values["keep_ended"], labels=values["metric_label"])  # fmt: skip
    return ExportSettings(
        about, values["textfiles"], values["sd_network"], values["collector"], values["no_collector"],
        values["node_label"])  # fmt: skip


@click.command(short_help="Metrics of this node, its containers and its Swarm.")
@options(EXPORT_LISTEN, ENGINE, NODE, NODE_LABEL, *MEASURING, LOG_LEVEL)
def export(listen: tuple[str, int], **values: Any) -> None:
    """Answer /metrics for Prometheus: containers under cAdvisor's names, the node under node_exporter's, the Swarm.

    \b
    towline export
    towline export --listen :9514
    towline export --procfs /host/proc --sysfs /host/sys --rootfs /host

    On a manager of a Swarm /sd/targets is what Prometheus' http_sd_configs asks for, and /api/service-labels what
    shippers do (--service-labels). Only this machine can ask unless --listen says otherwise. Without an engine the node
    is still measured.
    """
    logs.configure(values["log_level"])
    from exporters.serve import Exporter
    from towline import __version__, health, memory
    from towline.http import HttpServer, Site, known_hosts, probe
    from towline.metrics import REGISTRY
    from towline.service import Group, signals

    probe(listen)
    memory.share()
    exporter = Exporter(export_settings(values))
    pages = health.handlers(REGISTRY, {"engine": lambda: exporter.problem, "swarm": lambda: exporter.swarm_problem})
    pages |= {"/metrics": exporter.metrics(REGISTRY), "/sd/targets": exporter.targets}
    pages |= {"/api/service-labels": exporter.service_labels}
    server = HttpServer(Site(pages, hosts=known_hosts(listen[0])), listen)
    log.info("towline %s exports", __version__, extra={"url": server.url})
    group = Group({"http": server, "exporter": exporter})
    with signals(group):
        group.run()
    exporter.close()
    log.info("stopped")


COMMANDS = (export,)
