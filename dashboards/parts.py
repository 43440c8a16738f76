"""What Grafana dashboards are made of, as the JSON that Grafana 9.3 (schema 37) and later load and migrate.

Names: https://grafana.com/docs/grafana/v9.3/dashboards/build-dashboards/view-dashboard-json-model/
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = dict[str, Any]

SCHEMA = 37
WIDTH = 24
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


# --- variables


def chosen(name: str, label: str, query: str, *, several: bool = True, hide: int = 0) -> JSON:
    """A variable with values from Prometheus; one of `several` starts with all of them."""
    every = {"includeAll": True, "allValue": ".+", "multi": True,
             "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}  # fmt: skip
    one = {"includeAll": False, "multi": False, "current": {}}
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE, "definition": query, "hide": hide,
            "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1, "regex": "", "options": [],
            "skipUrlSync": False, **(every if several else one)}  # fmt: skip


def constant(name: str, value: str, description: str) -> JSON:
    """A value that is set once, in the file or under Settings, Variables."""
    return {"name": name, "label": name.capitalize(), "type": "constant", "query": value, "hide": 2,
            "description": description, "skipUrlSync": False}  # fmt: skip


def variables(*, metric: str = "up") -> list[JSON]:
    """Data source, job and instance: those whose targets tell `metric`."""
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "regex": "",
              "hide": 0, "refresh": 1, "current": {}, "options": [], "includeAll": False, "multi": False,
              "skipUrlSync": False}  # fmt: skip
    return [source, chosen("job", "Job", f"label_values({metric}, job)"),
            chosen("instance", "Instance", f'label_values({metric}{{job=~"$job"}}, instance)')]  # fmt: skip


# --- JSON


@dataclass(frozen=True)
class Row:
    """Panels below a heading; no heading where `title` is empty."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Dashboard:
    """A page. `uid` never changes: links and bookmarks hold it."""

    uid: str
    title: str
    description: str
    variables: tuple[JSON, ...]
    rows: tuple[Row, ...]
    links: tuple[JSON, ...] = ()
    since: str = "now-1h"

    def json(self) -> JSON:
        return {
            "uid": self.uid, "title": self.title, "description": self.description, "tags": ["towline"],
            "schemaVersion": SCHEMA, "version": 1, "editable": False, "graphTooltip": 1, "fiscalYearStartMonth": 0,
            "liveNow": False, "style": "dark", "timezone": "", "weekStart": "", "refresh": "30s",
            "time": {"from": self.since, "to": "now"}, "timepicker": {}, "annotations": {"list": []},
            "templating": {"list": list(self.variables)}, "links": list(self.links),
            "panels": list(_placed(self.rows))}  # fmt: skip


def _placed(rows: Iterable[Row]) -> Iterable[JSON]:
    """Panels from left to right, in a new line where one does not fit beside the last."""
    number, top = 0, 0
    for row in rows:
        if row.title:
            number += 1
            yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "panels": [],
                   "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1}}  # fmt: skip
            top += 1
        left = height = 0
        for panel in row.panels:
            if left + panel.width > WIDTH:
                left, top, height = 0, top + height, 0
            number += 1
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": panel.height})
            left, height = left + panel.width, max(height, panel.height)
        top += height


def _panel(panel: Panel, number: int, place: JSON) -> JSON:
    linked = panel.kind in ("timeseries", "stat")
    return {
        "id": number, "type": panel.kind, "title": panel.title, "description": panel.description, "gridPos": place,
        "datasource": SOURCE, "targets": [_target(query, at) for at, query in enumerate(panel.queries)],
        "options": {**_OPTIONS.get(panel.kind, {}), **panel.options},
        "fieldConfig": {"defaults": _defaults(panel, linked), "overrides": list(panel.overrides)},
        "transformations": list(panel.transformations), "links": []}  # fmt: skip


_OPTIONS: dict[str, JSON] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
}
_DRAWN: JSON = {
    "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1, "fillOpacity": 10, "gradientMode": "none",
    "showPoints": "never", "spanNulls": False, "pointSize": 5, "axisPlacement": "auto", "axisLabel": "",
    "scaleDistribution": {"type": "linear"}, "hideFrom": {"legend": False, "tooltip": False, "viz": False},
    "thresholdsStyle": {"mode": "off"}}  # fmt: skip


def _defaults(panel: Panel, linked: bool) -> JSON:
    custom: JSON = {}
    if panel.kind == "timeseries":
        stacking = {"group": "A", "mode": "normal" if panel.stacked else "none"}
        drawn = {**_DRAWN, "fillOpacity": 40 if panel.stacked else 10, "stacking": stacking}
        if panel.steps:
            drawn["thresholdsStyle"] = {"mode": "line"}
        custom = {"custom": drawn, "min": 0}
    colour = "thresholds" if panel.kind == "stat" else "palette-classic"
    made = {"unit": panel.unit, "color": {"mode": colour}, "mappings": [],
            "thresholds": steps(*(panel.steps or ((0, NOTHING),))),
            "links": list(panel.links) if linked else []}  # fmt: skip
    return {**made, **custom, **panel.defaults}


def _target(query: Query, at: int) -> JSON:
    found: JSON = {"refId": letter(at), "datasource": SOURCE, "expr": query.expression, "editorMode": "code",
                   "legendFormat": query.legend or "__auto", "range": not query.now, "instant": query.now}  # fmt: skip
    return {**found, "format": "table"} if query.table else found
