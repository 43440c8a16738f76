"""`towline try`: what labels make of lines, before anything is deployed."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
import orjson

from towline.cli_labels import Told, rules_of, shown, told
from towline.config import ENGINE, MAX_LINE, RULES, SERVICE_LABELS, options
from towline.errors import TowlineError, UsageError
from towline.identity import service_of
from towline.terminal import Painter, escape, wants_colour

if TYPE_CHECKING:
    from shipper.entries import Entries
    from shipper.rules.table import Reading
    from shipper.rules.trial import Trial, Tried
    from towline.engine import Engine

PREFIXES = ("towline.", "co.elastic.logs/")
CHUNK = 64 << 10


@dataclass(frozen=True)
class _Asked:
    """Whose lines they are, and what is said about them. `id` "": nobody's, they come from a file."""

    id: str
    service: str
    labels: Mapping[str, str]
    reading: "Reading"


@click.command("try", short_help="Feed lines through labels; see what becomes of them.")
@click.option("--labels", "-l", "given", metavar="NAME=VALUE", multiple=True, help="A label. Repeatable; wins over "
              "those of the container.")  # fmt: skip
@click.option("--container", metavar="NAME", help="Take its labels, and its recent lines where no FILE is given: its "
              "name, its service, or the start of its id.")  # fmt: skip
@click.option("--last", type=click.IntRange(1, 1_000_000), default=100, show_default=True, help="So many of its lines.")
@click.option("--service", default="", metavar="NAME", help="Whose tables of the rules file count. Default: the "
              "container's.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each event, then one for all.")
@click.argument("file", required=False, metavar="[FILE|-]", type=click.File("rb"))
@options(RULES, SERVICE_LABELS, ENGINE, MAX_LINE)
def trial(
    given: tuple[str, ...], container: str | None, last: int, service: str, as_json: bool, file: IO[bytes] | None,
    **values: Any,
) -> None:  # fmt: skip
    """Feed lines, or a container's recent log, through labels: each line before and after, the fields that were found,
    what is joined, what is dropped and why, and what each step costs. Nothing is stored.

    \b
    towline try -l towline.parse=nginx access.log
    docker logs web 2>&1 | towline try -l towline.multiline=java -l 'towline.drop=^DEBUG'
    towline try --container shop_web --last 20
    towline try --container shop_web -l towline.parse=logfmt --json
    towline try --rules rules.toml --service shop_web access.log
    """
    from shipper.rules.trial import Trial

    labels = dict(map(_label, given))
    if container is None:
        asked = _nobody(labels, service, values["rules"])
        entries = _of_file(file)
    else:
        asked = _of_container(container, labels, service, values)
        entries = _recent(values["engine"], asked.id, last) if file is None else _of_file(file)
    tried = Trial(asked.reading.values, asked.service, values["max_line"])
    (_as_json if as_json else _as_text)(asked, tried, tried.of(entries))


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.startswith(PREFIXES):
        raise UsageError(f"--labels {text}: write towline.NAME=VALUE; `towline labels` lists those that there are")
    return name, value


def _nobody(labels: Mapping[str, str], service: str, rules: Path | None) -> _Asked:
    return _checked(_Asked("", service, *_said(labels, service, rules, Told({}))), labels)


def _of_container(name: str, given: Mapping[str, str], service: str, values: Mapping[str, Any]) -> _Asked:
    from shipper.container import attributes_of, labels_in
    from towline.engine import Engine

    with closing(Engine(values["engine"])) as engine:
        row = _find(engine, name)
        services, problems = told(engine, values["service_labels"])
    for problem in problems:
        click.echo(f"! {escape(str(problem))}", err=True)
    attributes = attributes_of(row)
    own = labels_in(attributes)
    service = service or service_of(attributes["name"], own)
    found = _Asked(str(row["Id"]), service, *_said({**own, **given}, service, values["rules"], services))
    return _checked(found, given)


def _said(
    labels: Mapping[str, str], service: str, rules: Path | None, services: Told
) -> tuple[Mapping[str, str], "Reading"]:
    asked = rules_of(rules, services)
    return asked.effective(service, labels)[0], asked.values(service, labels)


def _checked(asked: _Asked, given: Mapping[str, str]) -> _Asked:
    """What is wrong with labels that were given here is wrong usage; what is with others is said."""
    for problem in asked.reading.problems:
        if any(problem.startswith((f"label {name}:", f"label {name}=")) for name in given):
            raise UsageError(problem)
        click.echo(f"! {escape(problem)}", err=True)
    return asked


def _find(engine: "Engine", name: str) -> dict[str, Any]:
    """The row of a container; of a service's, one that runs. Raises UsageError."""
    from shipper.container import attributes_of, labels_in

    rows = sorted(engine.containers(), key=lambda row: row.get("State") != "running")
    wanted = name.removeprefix("/")
    for row in rows:
        if attributes_of(row)["name"] == wanted:
            return row
    for row in rows:
        attributes = attributes_of(row)
        by_id = len(wanted) >= 4 and str(row.get("Id", "")).startswith(wanted)
        if by_id or service_of(attributes["name"], labels_in(attributes)) == wanted:
            return row
    raise UsageError(f"--container {name}: there is none of that name, service or id here; `docker ps -a` lists them")


def _recent(engine: str, container_id: str, last: int) -> Iterator["Entries"]:
    from shipper.recent import recent

    return recent(engine, container_id, last)


def _of_file(file: IO[bytes] | None) -> Iterator["Entries"]:
    from shipper.rules.trial import entries_of

    if file is None:
        file = sys.stdin.buffer
        if sys.stdin.isatty():
            raise UsageError("try needs lines: name a FILE, pipe them in, or name a --container")
    return entries_of(_chunks(file))


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    """What is there, as it comes; raises TowlineError."""
    read = getattr(file, "read1", file.read)
    try:
        while chunk := read(CHUNK):
            yield chunk
    except OSError as error:
        raise TowlineError(f"{getattr(file, 'name', 'input')}: {(error.strerror or str(error)).lower()}") from error


# --- showing


def _as_json(asked: _Asked, trial: "Trial", events: Iterable["Tried"]) -> None:
    sums = _Sums()
    for event in events:
        sums.add(event)
        row = {"line": event.number, "lines": event.lines, "stream": event.stream, "before": event.before}
        if event.document is None:
            row |= {"dropped": event.dropped, "step": event.step}
        else:
            row |= {"document": event.document}
        click.echo(orjson.dumps(row))
    about = {"labels": dict(asked.labels), "problems": asked.reading.problems, "service": asked.service}
    click.echo(orjson.dumps({**about, "lines": trial.lines, **sums.told(), "seconds": trial.seconds}))


def _as_text(asked: _Asked, trial: "Trial", events: Iterable["Tried"]) -> None:
    painter = Painter(colour=wants_colour(sys.stdout))
    click.echo(painter.paint(f"labels: {shown(asked.labels) or 'none'}", 1))
    sums = _Sums()
    for event in events:
        sums.add(event)
        click.echo("\n".join(_event(painter, event)))
    click.echo()
    for line in _summary(trial, sums.told()):
        click.echo(line)


def _event(painter: Painter, event: "Tried") -> Iterator[str]:
    first, *others = event.before.split("\n")
    bar = painter.paint("!", 31) if event.stream == "stderr" else painter.paint("|", 2)
    yield f"{event.number:>6} {bar} {escape(first)}"
    for number, text in enumerate(others, event.number + 1):
        yield f"{number:>6} {bar} {escape(text)}"
    margin = " " * 9
    if event.lines > 1:
        yield margin + painter.paint(f"joined from {event.lines} lines", 36)
    if event.document is None:
        yield margin + painter.paint(f"dropped: {escape(event.dropped)}", 31)
        return
    message = str(event.document.get("message", ""))
    if message != event.before:
        yield margin + painter.paint("message ", 32) + escape(message)
    for name, value in sorted(_flat(event.document)):
        yield margin + painter.paint(f"{escape(name)} ", 32) + escape(_plain(value))


def _flat(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What steps have added: dotted names and values. Its own time counts where the line has said it."""
    flat = dict(_dotted({name: value for name, value in document.items() if name not in ("message", "stream")}))
    del flat["event.sequence"]
    if "event.created" not in flat:
        del flat["@timestamp"]
    yield from flat.items()


def _dotted(found: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in found.items():
        if isinstance(value, dict) and value:
            yield from _dotted(value, f"{above}{name}.")
        else:
            yield above + name, value


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


class _Sums:
    """What became of events, counted."""

    def __init__(self) -> None:
        self._stored = 0
        self._dropped: Counter[str] = Counter()
        self._flags: Counter[str] = Counter()

    def add(self, event: "Tried") -> None:
        if event.document is None:
            self._dropped[event.dropped] += 1
        else:
            self._stored += 1
            self._flags.update(event.document.get("log", {}).get("flags", ()))

    def told(self) -> dict[str, Any]:
        return {"stored": self._stored, "dropped": dict(self._dropped), "flags": dict(self._flags)}


def _summary(trial: "Trial", sums: Mapping[str, Any]) -> Iterator[str]:
    dropped, flags = sums["dropped"], sums["flags"]
    why = ", ".join(f"{escape(reason)}: {count}" for reason, count in sorted(dropped.items()))
    marked = "".join(f"; {count} {escape(flag)}" for flag, count in sorted(flags.items()))
    lost = f", {sum(dropped.values())} dropped ({why})" if dropped else ""
    yield f"{trial.lines} lines: {sums['stored']} events stored{lost}{marked}"
    for name, seconds in trial.seconds.items():
        each = seconds / trial.lines * 1e6 if trial.lines else 0.0
        yield f"{name:>12} {seconds * 1e3:9.2f} ms {each:9.2f} µs a line"


COMMANDS = (trial,)
