"""Which questions `/api/metrics` of `towline page` asks, and what it makes of the answers."""

from typing import Any, cast

from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from towline.api_metrics import PrometheusMetrics
from towline.prometheus import Prometheus, Row
from towline.prometheus_queries import MOST

NOW = 1_700_000_007.0


class Asked:
    """Answers as a Prometheus that scrapes every 30 seconds and knows of many containers."""

    shown = "http://asked"

    def __init__(self, containers: int) -> None:
        self.containers = containers
        self.queries: list[str] = []
        self.stretch: tuple[float, float, float] = 0.0, 0.0, 0.0

    def instant(self, query: str, when: float) -> list[Row]:
        self.queries.append(query)
        if "container_last_seen" in query:
            return [Row({}, {when: 30.0})]
        told = {"told": "state", "state": "running"}
        return [Row(who(number) | told, {when: 1.0}) for number in range(self.containers)] if "topk" in query else []

    def range(self, query: str, since: float, until: float, step: float) -> list[Row]:
        self.queries.append(query)
        self.stretch = since, until, step
        return [Row(who(7) | {"series": "cpu"}, {until: 0.25, until + 1: 9.0})] if "rate(" in query else []


def who(number: int) -> dict[str, str]:
    return {"id": f"/docker/{number:064x}", "name": f"web.{number}", "service": "web", "stack": "shop"}


def told(asked: Asked, query: str) -> dict[str, Any]:
    metrics = PrometheusMetrics(cast(Prometheus, asked), clock=lambda: NOW).handlers()["/api/metrics"]
    found: dict[str, Any] = metrics(Request(EnvironBuilder(query_string=query).get_environ())).get_json()
    return found


def test_steps_are_whole_and_no_shorter_than_between_two_scrapes() -> None:
    asked = Asked(8)
    found = told(asked, "since=5m&series=cpu")
    assert found["interval"] == 30
    assert asked.stretch == (1_699_999_680.0, 1_700_000_000.0 - 1_700_000_000.0 % 30, 30)
    assert found["times"][0] >= NOW - 300
    assert found["times"] == sorted(each for each in found["times"] if each % 30 == 0)
    assert 'rate(container_cpu_usage_seconds_total{id=~"/docker/.+"}[120s])' in "".join(asked.queries)
    (group,) = [each for each in found["groups"] if each["name"] == "web.7"]
    assert group["series"] == {"cpu": [None] * (len(found["times"]) - 1) + [0.25]}
    assert (group["state"], group["stack"]) == ("running", "shop")


def test_a_long_time_has_no_more_points_than_a_short_one() -> None:
    found = told(Asked(1), "since=30d&series=cpu")
    assert (found["interval"], len(found["times"])) == (14400, 180)


def test_of_too_many_containers_those_listed_are_asked_about_and_more_is_said() -> None:
    assert "more" not in told(Asked(MOST - 1), "series=cpu")
    asked = Asked(MOST)
    assert told(asked, "series=cpu&happened=no")["more"] is True
    assert asked.queries[-1].count("/docker/") == MOST
    assert len(asked.queries) == 3


def test_marks_are_not_asked_for_where_they_are_not_wanted() -> None:
    asked = Asked(1)
    told(asked, "happened=no")
    assert not any("container_start_time_seconds" in query for query in asked.queries)
    told(asked, "by=service&service=web")
    assert any("container_start_time_seconds" in query for query in asked.queries)


def test_names_are_quoted_for_promql() -> None:
    asked = Asked(1)
    told(asked, "by=service&service=a%22b%5C&service=x.y&node=n%0A1")
    assert r'service=~"a\"b\\\\|x\\.y"' in asked.queries[-1]
    assert r'container_info{node="n\n1"}' in asked.queries[-1]
