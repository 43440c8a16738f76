"""Towline's programs and Prometheus on a node of a Swarm, and what they answer."""

import re
import sys
from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from swarm_nodes import Node, until

TOWLINE = (sys.executable, "-c", "from towline.cli import main; main()")
PORT = 9514


class Scrape:
    """One answer of /metrics."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def of(self, metric: str, **labels: str) -> list[Sample]:
        """The samples that have these labels, maybe among others."""
        return [each for each in self.samples if each.name == metric and labels.items() <= each.labels.items()]

    def value(self, metric: str, **labels: str) -> float | None:
        """Their sum; None where there is none."""
        found = [each.value for each in self.of(metric, **labels)]
        return sum(found) if found else None

    def labels(self, metric: str, **labels: str) -> list[dict[str, str]]:
        """Their labels, of those that are not 0."""
        return [each.labels for each in self.of(metric, **labels) if each.value]

    def names(self, start: str) -> set[str]:
        return {each.name for each in self.samples if each.name.startswith(start)}

    def only(self, *starts: str) -> str:
        """The text of the metrics whose names begin so."""
        told = [line for line in self.text.splitlines() if line.removeprefix("# HELP ").removeprefix("# TYPE ")
                .startswith(starts)]  # fmt: skip
        return "".join(f"{line}\n" for line in told)


class Export:
    """`towline export` on a node, in its network."""

    def __init__(self, node: Node, *options: str) -> None:
        self.node, self._options = node, options
        self.start()

    def start(self) -> None:
        self.node.run("export", *TOWLINE, "export", "--listen", f":{PORT}", "--engine", self.node.url, *self._options)

    def scrape(self) -> Scrape:
        """Without any samples where it does not answer."""
        return Scrape(self.node.get(f"http://127.0.0.1:{PORT}/metrics") or "")

    def until(self, condition: Callable[[Scrape], Any], seconds: float = 90) -> Scrape:
        """The first scrape of which that is true."""
        last = self.scrape()

        def come() -> bool:
            nonlocal last
            last = self.scrape()
            return bool(condition(last))

        until(come, seconds, lambda: last.only("swarm_", "node_meta", "container_scrape") + self.node.said("export"))
        return last

    def targets(self) -> dict[str, dict[str, str]] | None:
        """The answer of /sd/targets, labels by address; None where it is an error."""
        groups = self.node.get(f"http://127.0.0.1:{PORT}/sd/targets")
        return None if groups is None else {group["targets"][0]: group["labels"] for group in groups}

    def refusal(self) -> str:
        """The error that /sd/targets answers."""
        program = "import sys,urllib.request as r,urllib.error as e\ntry: r.urlopen(sys.argv[1])\n"
        program += "except e.HTTPError as f: print(f.code, f.read().decode())"
        return str(self.node.answer(sys.executable, "-c", program, f"http://127.0.0.1:{PORT}/sd/targets"))


class Prometheus:
    """The real one in the network of a container: let it be on an overlay network that it shares with the services."""

    def __init__(self, node: Node, name: str, container: str, config: str) -> None:
        self.node, self.name, self.pid = node, name, node.pid(container)
        folder = node.folder / name
        folder.mkdir()
        (folder / "prometheus.yml").write_text(re.sub(r"\b15s\b", "2s", config))
        node.run(name, "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                 "--web.listen-address=127.0.0.1:9090", pid=self.pid)  # fmt: skip

    def query(self, text: str) -> list[dict[str, Any]]:
        answer = self.node.get(f"http://127.0.0.1:9090/api/v1/query?query={text}", pid=self.pid)
        return answer["data"]["result"] if answer else []

    def up(self, *names: str) -> set[tuple[str, ...]]:
        """The labels of these names of all targets that are scraped."""
        return {tuple(row["metric"].get(name, "") for name in names) for row in self.query("up==1")}
