"""Variables on top of a Grafana dashboard: data source, job, instance, and what else there is to choose."""

from dashboards.parts import JSON, SOURCE


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
