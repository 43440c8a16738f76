"""`towline labels`, and what `towline check` says about the labels of containers and services."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from towline.errors import EngineUnavailable, TowlineError
from towline.finding import Finding, Mark
from towline.terminal import escape

if TYPE_CHECKING:
    from shipper.rules.layers import Rules
    from shipper.rules.table import Reading
    from towline.engine import Engine


@click.command(short_help="List every label, and what it does.")
@click.option("--markdown", is_flag=True, help="As the table of the README.")
def labels(markdown: bool) -> None:
    """List the labels by which containers and Swarm services say what becomes of their lines.

    \b
    towline labels
    docker run --label towline.parse=json --label towline.multiline=java …
    docker service update --label-add towline.parse=json shop_web

    Labels of the container win over those of its service, and both over the file of --rules. `towline try` shows what
    they do to lines, `towline check` names those that can't be understood.
    """
    from shipper.rules.table import LABELS, as_markdown

    if markdown:
        click.echo(as_markdown())
        return
    for label in LABELS:
        name = f"{label.name}[.NAME]" if label.many else label.name
        click.echo(f"{name}\n    {label.doc}\n    for example {label.name}={label.example}")


class Told:
    """The labels of services as they were told once (shipper.rules.layers.Services)."""

    def __init__(self, labels: Mapping[str, Mapping[str, str]]) -> None:
        self.labels = labels

    def of(self, service_id: str) -> Mapping[str, str]:
        return self.labels.get(service_id, {})


def told(engine: "Engine", urls: tuple[str, ...]) -> tuple[Told, list[TowlineError]]:
    """The labels of services, of whom of these tells them first, and why others don't."""
    from shipper.managers import EngineOfManager, Manager, Url

    problems: list[TowlineError] = []
    sources: tuple[Manager, ...] = (EngineOfManager(engine), *map(Url, urls))
    for source in sources:
        try:
            found = source.ask()
        except TowlineError as error:
            problems.append(error)
            continue
        if found is not None:
            return Told(found.services), problems
    return Told({}), problems


def rules_of(rules: Path | None, services: Told) -> "Rules":
    """All that is said; raises UsageError for a file that can't be used."""
    from shipper.rules.defaults import Defaults
    from shipper.rules.layers import Rules

    return Rules(Defaults(rules) if rules else None, services)


def findings(
    engine: "Engine", rules: Path | None, urls: tuple[str, ...]
) -> Generator[Finding, None, dict[str, list[str]]]:
    """One finding for each label that can't be understood, or one that all can. Returns the stores that labels name,
    each with the services that name it; nothing where that can't be known."""
    known = True
    try:
        rules_of(rules, Told({}))
    except TowlineError as error:
        yield _bad(str(error))
        rules, known = None, False
    try:
        rows = engine.containers()
        services, problems = told(engine, urls)
    except EngineUnavailable:
        return {}  # said already
    except TowlineError as error:
        yield _bad(str(error))
        return {}
    yield from (_bad(str(problem)) for problem in problems if not isinstance(problem, EngineUnavailable))
    readings = [*_readings(rows, rules_of(rules, services))]
    wrong = _wrong(((service, reading.problems) for service, reading in readings), _services(services))
    for problem, names in sorted(wrong.items()):
        some = ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        what, _, fix = problem.rpartition("; ")
        mark = Mark.HINT if problem.startswith("label co.elastic.logs/") else Mark.BAD
        yield Finding(mark, f"{what or problem} ({some})", fix if what else "")
    if not wrong:
        yield Finding(Mark.GOOD, "all labels of containers and services are understood")
    return _stores(readings) if known else {}


def _stores(readings: Iterable[tuple[str, "Reading"]]) -> dict[str, list[str]]:
    from shipper.rules.routing import STORE_LABEL

    asked: dict[str, list[str]] = {}
    for service, reading in readings:
        for store in reading.values.get(STORE_LABEL.name, ()):
            if service not in asked.setdefault(store, []):
                asked[store].append(service)
    return asked


def _readings(rows: Iterable[Mapping[str, Any]], rules: "Rules") -> Iterator[tuple[str, "Reading"]]:
    """Each container's service, and what is said about it."""
    from shipper.container import attributes_of, labels_in
    from towline.identity import service_of

    for row in rows:
        attributes = attributes_of(row)
        found = labels_in(attributes)
        service = service_of(attributes["name"], found)
        yield service, rules.values(service, found)


def _services(told: Told) -> Iterator[tuple[str, list[str]]]:
    """Of services by themselves: those without a container here, too."""
    from shipper.rules.layers import Rules

    alone = Rules()
    for service_id, found in told.labels.items():
        yield f"service {service_id[:12]}", alone.values("", found).problems


def _wrong(*found: Iterator[tuple[str, list[str]]]) -> dict[str, list[str]]:
    """Who has each problem; services are named by their containers where these have it, too."""
    by_problem: dict[str, list[str]] = {}
    for rows in found:
        known = frozenset(by_problem)
        for name, problems in rows:
            for problem in problems:
                if problem not in known and name not in by_problem.setdefault(problem, []):
                    by_problem[problem].append(name)
    return by_problem


def _bad(text: str) -> Finding:
    """The error's text, which ends with the fix behind a semicolon."""
    what, _, fix = text.rpartition("; ")
    return Finding(Mark.BAD, what or text, fix if what else "")


def shown(found: Mapping[str, Any]) -> str:
    """Labels on one line."""
    return "  ".join(f"{escape(name)}={escape(text)}" for name, text in sorted(found.items()))


COMMANDS = (labels,)
