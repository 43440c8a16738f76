"""What Grafana dashboards are made of: queries, the panels that show them, how they look. page.py makes JSON of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]

SOURCE: JSON = {"type": "prometheus", "uid": "${datasource}"}
SEEN = 'job=~"$job",instance=~"$instance"'
"""In every selector, so that one choice on top holds for the whole page."""
NOTHING = "green"
"""The colour of a value that is in order."""


@dataclass(frozen=True)
class Query:
    """A query of Prometheus. `table`: its rows, now, for a table; `legend`: how a series is called."""

    expression: str
    legend: str = ""
    table: bool = False
    now: bool = False


@dataclass(frozen=True)
class Panel:
    """A panel without its place. `unit`: Grafana's id. `steps`: (from value, colour); the first has no lower end."""

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 12
    height: int = 8
    steps: tuple[tuple[float, str], ...] = ()
    links: tuple[JSON, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    overrides: tuple[JSON, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    transformations: tuple[JSON, ...] = ()
    stacked: bool = False


def seen(text: str) -> str:
    """An expression in which each selector (all have braces) begins with the choice of job and instance."""
    return text.replace("{", f"{{{SEEN},").replace(",}", "}")


def grown(metric: str) -> str:
    """How much counters grew in the time shown, those included that began to exist in it: increase() can't see from
    where those come."""
    now, then = f"{metric}{{}}", f"{metric}{{}} offset $__range"
    return f"((sum(increase({now}[$__range]) and {then}) or vector(0)) + (sum({now} unless {then}) or vector(0)))"


def stat(
    title: str,
    description: str,
    expression: str,
    unit: str = "short",
    *,
    bad: float | None = None,
    worse: float | None = None,
    width: int = 4,
    links: tuple[JSON, ...] = (),
    legend: str = "",
    decimals: int | None = None,
    **options: Any,
) -> Panel:
    """One number now. It is orange from `bad` on and red from `worse` on; either may be left out."""
    steps = [(level, colour) for level, colour in ((bad, "orange"), (worse, "red")) if level is not None]
    shown = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "orientation": "auto",
             "textMode": "auto", "colorMode": "background" if steps else "value", "graphMode": "none",
             "justifyMode": "auto", **options}  # fmt: skip
    return Panel(title, description, (Query(seen(expression), legend, now=True),), unit, "stat", width, 4,
                 ((0, NOTHING), *steps) if steps else ((0, "text"),), links, options=shown,
                 defaults={"decimals": decimals} if decimals is not None else {})  # fmt: skip


def lines(title: str, description: str, unit: str, *queries: tuple[str, str], **more: Any) -> Panel:
    """Series over time: (expression, legend) each."""
    return Panel(title, description, tuple(Query(seen(text), legend) for text, legend in queries), unit, **more)


def table(
    title: str,
    description: str,
    queries: Iterable[tuple[str, str]],
    columns: Mapping[str, JSON],
    key: str,
    links: tuple[JSON, ...],
    **more: Any,
) -> Panel:
    """One row for each value of the label `key`; (expression, name of its column) each, `columns` how they look."""
    found = list(queries)
    names = {f"Value #{letter(at)}": name for at, (_, name) in enumerate(found)}
    order = {name: at for at, name in enumerate([key, *names])}
    organize = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": {key: key.capitalize(), **names}}
    overrides = [
        override(key.capitalize(), links=list(links)),
        *(override(name, **look) for name, look in columns.items()),
    ]
    rows = tuple(Query(seen(text), table=True, now=True) for text, _ in found)
    return Panel(title, description, rows, "short", "table",
                 overrides=tuple(overrides), options={"showHeader": True, "footer": {"show": False}},
                 transformations=({"id": "merge", "options": {}}, {"id": "organize", "options": organize}),
                 defaults={"custom": {"minWidth": 50}}, **more)  # fmt: skip


def override(name: str, **properties: Any) -> JSON:
    """How one series, or column, looks."""
    found = [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": found}


def looking_like(pattern: str, **properties: Any) -> JSON:
    """As `override`, for all names that match a regular expression."""
    return {**override(pattern, **properties), "matcher": {"id": "byRegexp", "options": pattern}}


def steps(*levels: tuple[float, str]) -> JSON:
    """Thresholds; the first counts for everything below the second."""
    return {"mode": "absolute", "steps": [{"color": colour, "value": level if at else None}
                                          for at, (level, colour) in enumerate(levels)]}  # fmt: skip


def bar(unit: str, most: float, *levels: tuple[float, str]) -> JSON:
    """The look of a table's column as a gauge."""
    return {"unit": unit, "min": 0, "max": most, "thresholds": steps(*levels),
            "custom__displayMode": "basic", "custom__cellOptions": {"type": "gauge", "mode": "basic"},
            "color": {"mode": "thresholds"}}  # fmt: skip


def coloured(*levels: tuple[float, str]) -> JSON:
    """The look of a table's column whose text has the colour of its value."""
    return {"thresholds": steps(*levels), "custom__displayMode": "color-text",
            "custom__cellOptions": {"type": "color-text"}, "color": {"mode": "thresholds"}}  # fmt: skip


def letter(at: int) -> str:
    return chr(ord("A") + at)
