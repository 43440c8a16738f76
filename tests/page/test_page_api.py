"""What the page asks beside lines, asked directly."""

import http.client
import json
from typing import Any

from page_screen import Lines, Served


def ask(served: Served, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    connection.request("GET", path)
    response = connection.getresponse()
    content = json.loads(response.read())
    connection.close()
    assert response.status == 200, content
    return content


class Tail:
    """Events of a tail that can be left and taken up again at its cursor."""

    def __init__(self, served: Served, query: str, cursor: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        self.connection.request("GET", f"/api/tail?{query}", headers={"Last-Event-ID": cursor} if cursor else {})
        self.response = self.connection.getresponse()
        assert self.response.status == 200
        self.cursor = cursor

    def next(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (line := self.response.readline().decode().rstrip("\n")) or not found:
            name, _, value = line.partition(": ")
            if name == "id":
                found["id"] = value
            elif name == "data":
                found |= json.loads(value)
        self.cursor = found["id"]
        return found

    def close(self) -> None:
        self.response.close()
        self.connection.close()


def test_a_tail_with_a_rate_accounts_for_every_line_over_reconnects(served: Served, lines: Lines) -> None:
    tail = Tail(served, "rate=40")
    tail.next()
    shown: list[str] = []
    skipped = 0
    for part in range(6):
        lines([f"{part}-{number}" for number in range(300)])
        if part % 2:  # left and taken up again, with lines that came in between
            tail.close()
            tail = Tail(served, "rate=40", tail.cursor)
        while len(shown) + skipped < (part + 1) * 300:
            event = tail.next()
            shown += [hit["message"] for hit in event.get("hits", ())]
            skipped += event.get("skipped", 0)
    tail.close()
    assert len(shown) + skipped == 1800
    assert len(set(shown)) == len(shown)
    assert shown[-1] == "5-299"
    assert skipped > 1000


def test_long_messages_are_clipped_on_demand_only(served: Served, lines: Lines) -> None:
    lines(["é" * 5000])
    (whole,) = ask(served, "/api/search")["hits"]
    assert (len(whole["message"]), "clipped" in whole) == (5000, False)
    (cut,) = ask(served, "/api/search?clip=100")["hits"]
    assert (cut["message"], cut["clipped"]) == ("é" * 100, 5000)


def test_levels_filter_as_they_count(served: Served, lines: Lines) -> None:
    lines(["an ERROR", "a warning", "error and warning", "terror", "info"], ago=1)
    counted = ask(served, "/api/histogram?since=1h")
    sums = {level: sum(row[1 + at] for row in counted["buckets"]) for at, level in enumerate(counted["levels"])}
    for level, number in {"error": 2, "warn": 1, "info": 1, "debug": 0, "none": 1}.items():
        assert sums[level] == len(ask(served, f"/api/search?level={level}")["hits"]) == number
    assert len(ask(served, "/api/search?level=warn&level=info")["hits"]) == 2


def test_a_histogram_has_a_step_that_people_can_read(served: Served, lines: Lines) -> None:
    lines(["x"], ago=1)
    for since, step in (("5m", 2000), ("15m", 5000), ("1h", 15000), ("24h", 600_000), ("30d", 14_400_000)):
        told = ask(served, f"/api/histogram?since={since}")
        assert told["step"] == step
        assert sum(sum(row[1:]) for row in told["buckets"]) == 1


def test_the_lines_around_one_are_those_of_its_container(served: Served, lines: Lines) -> None:
    lines([f"n {number}" for number in range(10)])
    lines(["other"], name="db")
    (hit,) = ask(served, "/api/search?q=event.sequence:5")["hits"]
    told = ask(served, f"/api/context?container={hit['container']['id']}&sequence=5&before=2&after=3")
    assert [row["message"] for row in told["before"]] == ["n 3", "n 4"]
    assert [row["message"] for row in told["after"]] == ["n 6", "n 7", "n 8"]
