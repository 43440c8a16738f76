"""Kibana's saved objects for Towline's lines, as NDJSON for Stack Management, Saved Objects, Import.

Written in the format of 8.8 (`coreMigrationVersion`), which 8.19 and 9 migrate on import. Attributes:
https://github.com/elastic/kibana/blob/8.19/src/platform/plugins/shared/discover/common/types.ts and its neighbours.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.links import VIEW

JSON = dict[str, Any]

LINES, LETTERS = "towline-lines", "towline-dead-letters"
"""Ids of the data views."""
GRAFANA = "http://localhost:3000"
ORDER = [["@timestamp", "desc"], ["event.sequence", "desc"]]
"""`event.sequence` grows with each line of a container: lines of one moment stay in the order they were written in."""
_TYPES = {"index-pattern": "8.0.0", "search": "8.0.0", "lens": "8.9.0", "dashboard": "8.9.0"}
_NO_QUERY: JSON = {"query": {"query": "", "language": "kuery"}, "filter": []}


def saved(kind: str, key: str, attributes: JSON, references: Sequence[JSON] = ()) -> JSON:
    return {"type": kind, "id": key, "attributes": attributes, "references": list(references), "managed": False,
            "coreMigrationVersion": "8.8.0", "typeMigrationVersion": _TYPES[kind]}  # fmt: skip


def refers(kind: str, key: str, name: str) -> JSON:
    return {"type": kind, "id": key, "name": name}


# --- data views


def data_view(key: str, name: str, pattern: str, linked: Mapping[str, str]) -> JSON:
    """`linked`: fields whose values lead to a page of Grafana's, where they are its variable."""
    formats = {field: {"id": "url", "params": {"type": "a", "labelTemplate": "{{value}}", "openLinkInCurrentTab": False,
                                               "urlTemplate": f"{GRAFANA}/d/{page}={{{{value}}}}"}}
               for field, page in linked.items()}  # fmt: skip
    return saved("index-pattern", key, {
        "name": name, "title": pattern, "timeFieldName": "@timestamp", "allowNoIndex": True, "sourceFilters": "[]",
        "fields": "[]", "fieldAttrs": "{}", "fieldFormatMap": _text(formats), "runtimeFieldMap": "{}",
        "typeMeta": "{}"})  # fmt: skip


PAGES = {"service.name": "towline-service?var-service", "container.name": "towline-container?var-container",
         "host.name": "towline-node?var-node"}  # fmt: skip


# --- searches


def search(key: str, title: str, description: str, view: str, columns: Sequence[str], query: str = "",
           order: Sequence[Sequence[str]] = ORDER) -> JSON:  # fmt: skip
    source = {**_NO_QUERY, "query": {"query": query, "language": "kuery"}, "highlightAll": True, "version": True,
              "indexRefName": "kibanaSavedObjectMeta.searchSourceJSON.index"}  # fmt: skip
    return saved("search", key, {
        "title": title, "description": description, "columns": list(columns), "sort": [list(each) for each in order],
        "grid": {}, "hideChart": False, "isTextBasedQuery": False, "timeRestore": False,
        "kibanaSavedObjectMeta": {"searchSourceJSON": _text(source)}},
        [refers("index-pattern", view, "kibanaSavedObjectMeta.searchSourceJSON.index")])  # fmt: skip


# --- charts


@dataclass(frozen=True)
class Chart:
    """Counted documents over time, or in all where `over_time` is false; split by the values of a field."""

    key: str
    title: str
    description: str
    view: str = LINES
    split: str = ""
    query: str = ""
    over_time: bool = True
    most: int = 10

    def json(self) -> JSON:
        """As Lens keeps it: columns of one layer, and how a picture shows them."""
        columns = {**self._bucket(), "count": _COUNT}
        layer = {"columns": columns, "columnOrder": list(columns), "incompleteColumns": {}, "sampling": 1}
        state = {"datasourceStates": {"formBased": {"layers": {"layer": layer}}}, "visualization": self._look(),
                 "query": {"query": self.query, "language": "kuery"}, "filters": [], "internalReferences": [],
                 "adHocDataViews": {}}  # fmt: skip
        kind = "lnsXY" if self.over_time else "lnsMetric"
        return saved("lens", self.key, {"title": self.title, "description": self.description, "visualizationType": kind,
                                        "state": state},
                     [refers("index-pattern", self.view, "indexpattern-datasource-layer-layer")])  # fmt: skip

    def _bucket(self) -> JSON:
        if not self.over_time:
            return {}
        return {**({"split": _values_of(self.split, self.most)} if self.split else {}), "time": _TIME}

    def _look(self) -> JSON:
        if not self.over_time:
            return {"layerId": "layer", "layerType": "data", "metricAccessor": "count"}
        layer = {"layerId": "layer", "layerType": "data", "seriesType": "bar_stacked", "xAccessor": "time",
                 "accessors": ["count"], **({"splitAccessor": "split"} if self.split else {})}  # fmt: skip
        return {"preferredSeriesType": "bar_stacked", "layers": [layer], "valueLabels": "hide",
                "legend": {"isVisible": True, "position": "right"}}  # fmt: skip


_COUNT: JSON = {"operationType": "count", "dataType": "number", "isBucketed": False, "scale": "ratio", "label": "Lines",
                "customLabel": True, "sourceField": "___records___", "params": {"emptyAsNull": True}}  # fmt: skip
_TIME: JSON = {"operationType": "date_histogram", "dataType": "date", "isBucketed": True, "scale": "interval",
               "label": "@timestamp", "sourceField": "@timestamp",
               "params": {"interval": "auto", "includeEmptyRows": True, "dropPartials": False}}  # fmt: skip


def _values_of(field: str, most: int) -> JSON:
    return {"operationType": "terms", "dataType": "string", "isBucketed": True, "scale": "ordinal",
            "label": f"Top {most} of {field}", "sourceField": field,
            "params": {"size": most, "orderBy": {"type": "column", "columnId": "count"}, "orderDirection": "desc",
                       "otherBucket": True, "missingBucket": False, "parentFormat": {"id": "terms"}}}  # fmt: skip


# --- the page


def page(places: Sequence[tuple[str, str, int, int, int, int]]) -> JSON:
    """Panels: (type, id, x, y, width, height) on a grid that is 48 wide."""
    panels, references = [], []
    for at, (kind, key, left, top, width, height) in enumerate(places, 1):
        name = f"p{at}"
        panels.append({"type": kind, "panelIndex": name, "panelRefName": f"panel_{name}",
                       "gridData": {"x": left, "y": top, "w": width, "h": height, "i": name},
                       "embeddableConfig": {"enhancements": {}}})  # fmt: skip
        references.append(refers(kind, key, f"{name}:panel_{name}"))
    return saved("dashboard", "towline-dashboard", {
        "title": "Towline / Logs", "description": "Lines by service, stream and node; refused ones; the newest.",
        "panelsJSON": _text(panels), "optionsJSON": _text({"useMargins": True, "syncColors": True, "syncCursor": True,
                                                           "syncTooltips": False, "hidePanelTitles": False}),
        "timeRestore": True, "timeFrom": "now-1h", "timeTo": "now", "refreshInterval": {"pause": False, "value": 30000},
        "kibanaSavedObjectMeta": {"searchSourceJSON": _text(_NO_QUERY)}, "version": 1}, references)  # fmt: skip


def objects() -> list[JSON]:
    """Everything, what is referred to before what refers to it."""
    columns = ("service.name", "container.name", "stream", "message")
    charts = (
        Chart("towline-by-service", "Lines by service", "The ten services that log most.", split="service.name"),
        Chart("towline-by-stream", "Lines by stream", "What goes to stderr is worth a look.", split="stream"),
        Chart("towline-by-node", "Lines by node", "The ten nodes with most lines.", split="host.name"),
        Chart("towline-refused", "Dead letters", "Lines that Elasticsearch refused for good; see towline dead-letters.",
              view=LETTERS, split="service.name"),
        Chart("towline-gaps", "Gaps", "Stretches of logs that were gone before they could be read.", over_time=False,
              query='event.action : "gap"'),
    )  # fmt: skip
    return [
        data_view(LINES, "Towline lines", "logs-docker-*,towline-*", PAGES),
        data_view(LETTERS, "Towline dead letters", "logs-towline.deadletter-*", PAGES),
        search(VIEW, "Towline / Lines", "All lines, newest first, those of one moment in order.", LINES, columns),
        search("towline-errors", "Towline / stderr", "Lines that containers wrote to stderr.", LINES, columns,
               'stream : "stderr"'),
        search("towline-gap-records", "Towline / Gaps", "What could not be read, and why.", LINES,
               ("service.name", "container.name", "event.reason", "message"), 'event.action : "gap"'),
        search("towline-letters", "Towline / Dead letters", "Lines that were refused, with the reason.", LETTERS,
               ("service.name", "container.name", "reason"), order=[["@timestamp", "desc"]]),
        *(chart.json() for chart in charts),
        page((("lens", "towline-by-service", 0, 0, 32, 12), ("lens", "towline-by-stream", 32, 0, 16, 12),
              ("lens", "towline-by-node", 0, 12, 20, 10), ("lens", "towline-refused", 20, 12, 20, 10),
              ("lens", "towline-gaps", 40, 12, 8, 10), ("search", VIEW, 0, 22, 48, 22))),
    ]  # fmt: skip


def ndjson() -> str:
    return "".join(_text(each) + "\n" for each in objects())


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
