"""A whole Grafana dashboard, as the JSON that Grafana 9.3 (schema 37) and later load and migrate.

Names: https://grafana.com/docs/grafana/v9.3/dashboards/build-dashboards/view-dashboard-json-model/
"""

from collections.abc import Iterable
from dataclasses import dataclass

from dashboards.parts import JSON, NOTHING, SOURCE, Panel, Query, letter, steps

SCHEMA = 37
WIDTH = 24


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
