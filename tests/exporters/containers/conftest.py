"""Container metrics under test: on the real engine, and on recorded cgroup trees of kernels that this one is not."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporters.containers import Containers, ContainerSettings
from exporters.containers.described import Described
from exporters.exposition import render
from exporters.scrape import Collector, Scrape

DEADLINE = 60.0


class Samples:
    """A scrape, read by Prometheus' own parser."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.all = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def of(self, metric: str, /, **labels: str) -> list[float]:
        """The values of all samples of this metric with these labels."""
        return [
            sample.value for sample in self.all if sample.name == metric and labels.items() <= sample.labels.items()
        ]

    def one(self, metric: str, /, **labels: str) -> float:
        """The value of the only such sample."""
        found = self.of(metric, **labels)
        assert len(found) == 1, f"{metric} {labels}: {found}"
        return found[0]

    def names(self, **labels: str) -> set[str]:
        """Names of all samples with these labels."""
        return {sample.name for sample in self.all if labels.items() <= sample.labels.items()}


def until(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """What `condition` gives as soon as that is true."""
    end = time.monotonic() + DEADLINE
    while not (result := condition()):
        assert time.monotonic() < end, f"{what} did not come true in {DEADLINE:.0f} s"
        time.sleep(0.05)
    return result


class Exporter:
    """Collectors and the engine's watch, as `towline export` runs them."""

    def __init__(self, settings: ContainerSettings) -> None:
        self.containers = Containers(settings)
        self._scrape = Scrape("container", self.containers.collectors)
        self._thread = threading.Thread(target=self.containers.run)

    def start(self) -> None:
        self._thread.start()
        until(lambda: not self.containers.problem, "the engine's first list")

    def stop(self) -> None:
        self.containers.stop()
        self._thread.join(DEADLINE)
        self.containers.close()
        assert not self._thread.is_alive()

    def scrape(self) -> Samples:
        return Samples(render(self._scrape.families()).decode())

    def until(self, condition: Callable[[Samples], Any], what: str = "the samples") -> Samples:
        """The first scrape of which `condition` is true."""

        def found() -> Samples | None:
            samples = self.scrape()
            return samples if condition(samples) else None

        return until(found, what)  # type: ignore[no-any-return]


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    return until


@pytest.fixture
def exporter(engine_url: str, test_image: str) -> Iterator[Exporter]:
    """Running on the real engine."""
    running = Exporter(ContainerSettings(engine=engine_url, keep=60))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def export(engine_url: str) -> Iterator[Callable[..., Exporter]]:
    """Starts one with settings of one's own."""
    started: list[Exporter] = []

    def start(**options: Any) -> Exporter:
        found = Exporter(ContainerSettings(**{"engine": engine_url, **options}))
        started.append(found)
        found.start()
        return found

    yield start
    for found in started:
        found.stop()


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[..., Path]:
    """Writes a recorded tree (`==> path <==` and the file's text, as `head` prints several) below tmp_path."""

    def make(recording: str, **replaced: str) -> Path:
        text = (Path(__file__).parent / recording).read_text()
        for old, new in replaced.items():
            text = text.replace("{" + old + "}", new)
        for part in text.split("==> ")[1:]:
            path, _, body = part.partition(" <==\n")
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(body.rstrip("\n") + "\n")
        return tmp_path

    return make


class Offline:
    """Collectors on a recorded tree, without an engine: what it would have told is told by the test."""

    def __init__(self, root: Path, known: Sequence[Described], clock: Callable[[], float], **options: Any) -> None:
        settings = ContainerSettings(procfs=root / "proc", sysfs=root / "sys", rootfs=root, **options)
        self.containers = Containers(settings, clock)
        for each in known:
            self.containers.inventory.inspected(each)
        self.collectors: list[Collector] = [each for each in self.containers.collectors if each.name != "engine"]
        self._scrape = Scrape("container", self.collectors, clock=lambda: 0.0)

    def text(self) -> str:
        return render(self._scrape.families()).decode()

    def scrape(self) -> Samples:
        return Samples(self.text())


@pytest.fixture
def offline() -> Iterator[Callable[..., Offline]]:
    """Collectors on the tree below a folder, with these containers known, at the time 1700000000."""
    made: list[Offline] = []

    def make(root: Path, *known: Described, **options: Any) -> Offline:
        made.append(Offline(root, known, lambda: 1_700_000_000.0, **options))
        return made[-1]

    yield make
    for each in made:
        each.containers.close()
