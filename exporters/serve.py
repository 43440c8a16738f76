"""Everything that is measured on this node, as pages: `/metrics`, and `/sd/targets` where it manages a Swarm."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.samples import Sample
from werkzeug.exceptions import ServiceUnavailable
from werkzeug.wrappers import Request, Response

from exporters.containers import Containers, ContainerSettings
from exporters.exposition import Family, encoded, family, labels
from exporters.node import Host, collectors
from exporters.scrape import Scrape
from exporters.swarm_metrics import Failures, SwarmCollector
from exporters.swarm_watch import SwarmWatch
from exporters.targets import found_targets
from towline import __version__
from towline.engine import Engine
from towline.happening import Happening
from towline.http import Handler, answer
from towline.identity import node_labels


@dataclass(frozen=True)
class ExportSettings:
    """textfiles: folders of *.prom files. network: what Prometheus shares with the tasks that it scrapes.

    also, without: names of node collectors beside the usual ones, and of those to leave out. node_labels: names of
    labels of the Swarm's nodes.
    """

    containers: ContainerSettings = field(default_factory=ContainerSettings)
    textfiles: tuple[str, ...] = ()
    network: str = ""
    also: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    node_labels: tuple[str, ...] = ()

    @property
    def host(self) -> Host:
        seen = self.containers
        return Host(
            procfs=str(seen.procfs), sysfs=str(seen.sysfs), rootfs=str(seen.rootfs), textfiles=self.textfiles,
            nodename=seen.node, version=__version__)  # fmt: skip


class Exporter:
    """An actor that follows the engine, and what it knows. Raises UsageError for settings that can't be."""

    def __init__(self, settings: ExportSettings) -> None:
        about = settings.containers
        failures = Failures()
        self._network = settings.network
        self._containers = Containers(about)
        self._swarm = SwarmWatch(Engine(about.engine), listener=failures.look)
        swarm = SwarmCollector(self._swarm, failures, about.node, settings.network, settings.node_labels)
        self._scrapes = (
            Scrape("container", [*self._containers.collectors, swarm]),
            Scrape("node", collectors(settings.host, settings.also, settings.without)),
        )

    def run(self) -> None:
        """Follow the engine until `stop`; it may be away at any time, also at the start."""
        watching = threading.Thread(target=self._swarm.run, name="swarm", daemon=True)
        watching.start()
        self._containers.run()
        watching.join()

    def stop(self) -> None:
        self._swarm.stop()
        self._containers.stop()

    def close(self) -> None:
        """Let go of the kernel's files, after the last scrape."""
        self._containers.close()

    @property
    def problem(self) -> str:
        """Why the engine's side of the metrics is out of date; "" where it is not."""
        return self._containers.problem

    @property
    def swarm_problem(self) -> str:
        """Why nothing is told of the Swarm although this node has a part in it; "" also while the engine is away."""
        return "" if self._containers.problem else self._swarm.problem

    def families(self) -> list[Family]:
        return [found for scrape in self._scrapes for found in scrape.families()]

    def containers(self) -> list[Family]:
        """Only what is known of containers and the Swarm."""
        return self._scrapes[0].families()

    def happenings(self) -> list[Happening]:
        """What happened to containers lately, oldest first."""
        return self._containers.inventory.happenings()

    def targets(self, request: Request) -> Response:
        """The handler of `/sd/targets`. Prometheus keeps the last list while the answer is an error."""
        if (swarm := self._swarm.swarm) is None:
            raise ServiceUnavailable(self._swarm.problem or "this node manages no Swarm; ask one that does")
        return answer(found_targets(swarm, self._network)[0])

    def service_labels(self, request: Request) -> Response:
        """The handler of `/api/service-labels`: what labels of services tell shippers, who can't ask for it on workers.

        {"services": {"<id>": {"name": "shop_web", "labels": {"towline.parse": "json"}}}}

        Asked with `?node=<id>&node_label=zone&node_label=…` it tells these labels of that node as well:
        "nodes": {"<id>": {"name": "n1", "labels": {"zone": "a"}}}, {} for one that is not in the Swarm.
        """
        if (swarm := self._swarm.swarm) is None:
            raise ServiceUnavailable(self._swarm.problem or "this node manages no Swarm; ask one that does")
        told = {found.id: {"name": found.name, "labels": found.rules} for found in swarm.services.values()}
        if "node" not in request.args:
            return answer({"services": told})
        asked, wanted = request.args["node"], request.args.getlist("node_label")
        nodes = [swarm.nodes[asked]] if asked in swarm.nodes else []
        about = {node.id: {"name": node.name, "labels": node_labels(node.labels, wanted)} for node in nodes}
        return answer({"services": told, "nodes": about})

    def metrics(self, registry: CollectorRegistry) -> Handler:
        """The handler of `/metrics`: the node, its containers, and Towline's own metrics in `registry`."""
        process = ProcessCollector(registry=None)

        def handler(request: Request) -> Response:
            families = [*self.families(), *own(registry.collect()), *own(process.collect())]
            body, headers = encoded(families, request.headers.get("Accept", ""), _encoding(request))
            return Response(body, headers=headers)

        return handler


def _encoding(request: Request) -> str:
    return request.headers.get("Accept-Encoding", "")


def own(metrics: Iterable[Metric]) -> Iterator[Family]:
    """Metrics of prometheus_client as families, of which histograms and summaries are one each."""
    for metric in metrics:
        name = metric.name + "_total" if metric.type == "counter" else metric.name
        kind = metric.type if metric.type != "unknown" else "untyped"
        body = "".join(_line(sample) for sample in metric.samples if not sample.name.endswith("_created"))
        yield Family(name, kind, metric.documentation, body.encode("utf-8", "replace"))


def _line(sample: Sample) -> str:
    made = family(sample.name, "", "", [(labels(sample.labels), sample.value)])
    return made.body.decode()
