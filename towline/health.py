"""What every running Towline program answers: its metrics, whether it lives, whether it can do its work."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from werkzeug.wrappers import Request, Response

from towline.errors import TowlineError
from towline.http import Handler

Problem = Callable[[], str]
"""What is wrong with one part right now, in one line; "" where nothing is."""


class _Everything(CollectorRegistry):
    """Towline's metrics and those of this process, as one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._parts = (registry, ProcessCollector(registry=None))

    def collect(self) -> Iterator[Metric]:
        for part in self._parts:
            yield from part.collect()


def handlers(registry: CollectorRegistry, problems: Mapping[str, Problem]) -> dict[str, Handler]:
    """`/metrics` (text or OpenMetrics, as asked), `/healthz`, `/readyz` (503 with a line per problem)."""
    everything = _Everything(registry)

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return Response(encode(everything), content_type=content_type)

    def healthz(request: Request) -> Response:
        return Response("alive\n", content_type="text/plain; charset=utf-8")

    def readyz(request: Request) -> Response:
        lines = [f"{name}: {text}" for name, problem in problems.items() if (text := told(problem))]
        return Response("\n".join(lines or ["ready"]) + "\n", 503 if lines else 200,
                        content_type="text/plain; charset=utf-8")  # fmt: skip

    return {"/metrics": metrics, "/healthz": healthz, "/readyz": readyz}


def told(problem: Problem) -> str:
    """What is wrong, in one line; "" where nothing is."""
    try:
        return " ".join(problem().split())
    except TowlineError as error:
        return " ".join(str(error).split())


def of_check(check: Callable[[], None]) -> Problem:
    """The problem that a `check` (which raises TowlineError) finds."""

    def problem() -> str:
        check()
        return ""

    return problem
