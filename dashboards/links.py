"""From a panel to the lines of the same service and time, and from page to page.

`${__from:date:iso}`: https://grafana.com/docs/grafana/v9.3/dashboards/variables/add-template-variables/#__from-and-__to
"""

from dashboards.parts import JSON
from dashboards.variables import constant

TOWLINE, KIBANA = "http://localhost:8514", "http://localhost:5601"
VIEW = "towline-logs"
"""Id of the saved search that links open."""

_SINCE, _UNTIL = "${__from:date:iso}", "${__to:date:iso}"
_KEPT = "${__url_time_range}&var-datasource=${datasource}"


def places() -> list[JSON]:
    """Where the logs are: to be changed for every real installation."""
    return [constant("towline", TOWLINE, "Where people reach the page of `towline up`."),
            constant("kibana", KIBANA, "Where people reach Kibana.")]  # fmt: skip


def lines_of(parameter: str, field: str, value: str) -> tuple[JSON, JSON]:
    """Links to lines whose `field` is `value` (a variable of Grafana's), which Towline's page calls `parameter`."""
    towline = f"${{towline}}/?{parameter}={value}&since={_SINCE}&until={_UNTIL}"
    return link("Logs in Towline", towline), link("Logs in Kibana", discover(f'{field}:"{value}"'))


def discover(query: str) -> str:
    """Kibana's Discover with a KQL query, for the time that the dashboard shows."""
    time = f"_g=(time:(from:'{_SINCE}',to:'{_UNTIL}'))"
    return f"${{kibana}}/app/discover#/view/{VIEW}?{time}&_a=(query:(language:kuery,query:'{query}'))"


def lines_of_service(value: str = "${__field.labels.service}") -> tuple[JSON, JSON]:
    return lines_of("service", "service.name", value)


def lines_of_container(value: str = "${__field.labels.name}") -> tuple[JSON, JSON]:
    return lines_of("container", "container.name", value)


def lines_of_node(value: str = "${__field.labels.nodename}") -> tuple[JSON, JSON]:
    return lines_of("node", "host.name", value)


def link(title: str, url: str) -> JSON:
    """A link of a series, a number or a cell."""
    return {"title": title, "url": url, "targetBlank": True}


def page(uid: str, title: str, variable: str, value: str) -> JSON:
    """To another dashboard, about `value`, for the same time."""
    return {"title": title, "url": f"/d/{uid}?var-{variable}={value}&{_KEPT}", "targetBlank": False}


def on_top(*logs: JSON) -> tuple[JSON, ...]:
    """The bar of links: all dashboards of ours, and `logs`."""
    ours = {"type": "dashboards", "title": "Towline", "tags": ["towline"], "asDropdown": True, "includeVars": False,
            "keepTime": True, "icon": "external link", "targetBlank": False, "tooltip": "", "url": ""}  # fmt: skip
    return (ours, *({**each, "type": "link", "icon": "doc", "tags": [], "asDropdown": False, "includeVars": False,
                     "keepTime": False, "tooltip": "The same time"} for each in logs))  # fmt: skip
