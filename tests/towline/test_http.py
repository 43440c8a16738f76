import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter

from towline import api, health
from towline.errors import StoreUnavailable, TowlineError
from towline.http import HttpServer, Site, Tails, is_loopback, known_hosts, urlhost
from towline.stores import Store

Write = Callable[..., None]
MOST_TAILS = 3


class Served:
    """A site on a real socket."""

    def __init__(self, server: HttpServer) -> None:
        self.host, self.port = server.address

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            return response.status, {name.lower(): text for name, text in response.getheaders()}, response.read()
        finally:
            connection.close()

    def json(self, path: str, **headers: str) -> tuple[int, Any]:
        status, _, body = self.get(path, **headers)
        return status, json.loads(body)

    @contextmanager
    def tail(self, path: str, cursor: str | None = None) -> Iterator["Events"]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        connection.request("GET", path, headers={"Last-Event-ID": cursor} if cursor else {})
        response = connection.getresponse()
        try:
            assert response.status == 200, response.read()
            assert response.headers["Content-Type"].startswith("text/event-stream")
            yield Events(response)
        finally:
            response.close()
            connection.close()


class Events:
    """What a browser's EventSource makes of a stream."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.cursor = ""

    def messages(self, count: int) -> list[str]:
        """At least `count` messages, waiting for them."""
        found: list[str] = []
        while len(found) < count:
            found += [hit["message"] for hit in self.next()]
        return found

    def next(self) -> list[dict[str, Any]]:
        """The hits of the next event ([] where it only moves the cursor)."""
        cursor, data = self.cursor, ""
        while line := self._response.readline():
            text = line.decode().rstrip("\n")
            if not text:
                self.cursor = cursor
                return json.loads(data)["hits"] if data else []
            field, _, value = text.partition(": ")
            cursor, data = (value if field == "id" else cursor), (data + value if field == "data" else data)
        raise EOFError


@contextmanager
def serving(handlers: dict[str, Any], tails: Tails | None = None, token: str = "") -> Iterator[Served]:
    server = HttpServer(Site(handlers, hosts=known_hosts("127.0.0.1"), token=token), ("127.0.0.1", 0), tails)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield Served(server)
    finally:
        server.stop()
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture
def tails() -> Tails:
    return Tails(MOST_TAILS)


@pytest.fixture
def problems() -> dict[str, str]:
    return {"shipper": "", "indexer": ""}


@pytest.fixture
def site(store: Store, tails: Tails, problems: dict[str, str]) -> Iterator[Served]:
    registry = CollectorRegistry()
    Counter("towline_lines_read", "Lines read.", registry=registry).inc(3)
    asked: dict[str, health.Problem] = {name: (lambda name=name: problems[name]) for name in problems}  # type: ignore[misc]
    asked["store"] = health.of_check(store.check)
    pages = api.with_index({**api.handlers(store, tails), **health.handlers(registry, asked)})
    with serving(pages, tails) as served:
        yield served


def test_search_gives_the_newest_lines_first_with_what_it_took(site: Served, write: Write) -> None:
    write(["one", "two", "three"])
    status, answer = site.json("/api/search")
    assert status == 200
    assert [hit["message"] for hit in answer["hits"]] == ["three", "two", "one"]
    assert answer["hits"][0]["container"]["name"] == "web"
    assert answer["took_ms"] >= 0


def test_search_takes_every_filter(site: Served, write: Write) -> None:
    write(["find me", "not this"], name="web")
    write(["find me too"], name="db", stream="stderr", minute=5)
    for query, found in [
        ("q=find", ["find me too", "find me"]),
        ("q=find&order=asc&limit=1", ["find me"]),
        ("service=db", ["find me too"]),
        ("service=db&service=web&q=me", ["find me too", "find me"]),
        ("container=w*", ["not this", "find me"]),
        ("stream=stderr", ["find me too"]),
        ("node=other", []),
        ("since=2026-11-23T10:04:00Z", ["find me too"]),
        ("until=2026-11-23T10:04:00Z&q=find", ["find me"]),
    ]:
        _, answer = site.json(f"/api/search?{query}")
        assert [hit["message"] for hit in answer["hits"]] == found, query


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit '0'"),
        ("limit=-5", "limit '-5'"),
        ("limit=99999999999999999999", "limit"),
        ("limit=1&limit=2", "limit"),
        ("order=up", "order 'up'"),
        ("since=whenever", "whenever"),
        ("since=1m&until=1h", "since"),
        ("q=%22open", "open"),
        ("q=(", "("),
        ("wat=1", "wat"),
    ],
)
def test_bad_input_is_a_400_with_one_line_that_names_it(site: Served, query: str, named: str) -> None:
    status, answer = site.json(f"/api/search?{query}")
    assert status == 400
    assert named in answer["error"]
    assert "\n" not in answer["error"]


def test_a_store_that_is_away_is_a_503() -> None:
    def away(request: Any) -> Any:
        raise StoreUnavailable("the disk is full: make room")

    with serving({"/api/search": away}) as served:
        assert served.json("/api/search") == (503, {"error": "the disk is full: make room"})


def test_a_mistake_of_ours_is_a_500_that_tells_nothing_inner(caplog: pytest.LogCaptureFixture) -> None:
    def broken(request: Any) -> Any:
        raise KeyError("secret thing")

    with serving({"/api/search": broken}) as served:
        status, _, body = served.get("/api/search")
    assert status == 500
    assert b"secret" not in body
    assert "secret thing" in caplog.text or any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("path", ["/nothing", "/api/nothing", "/api/search/", "/%2e%2e/etc/passwd", "/metrics/x"])
def test_other_paths_are_not_there(site: Served, path: str) -> None:
    assert site.get(path)[0] in (404, 308)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_get_is_answered(site: Served, method: str) -> None:
    status, headers, _ = site.get("/api/search", method)
    assert status == 405
    assert "GET" in headers["allow"]


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:8514", "[::1]:8514", "LOCALHOST"])
def test_names_of_this_machine_are_served(site: Served, host: str) -> None:
    assert site.get("/healthz", Host=host)[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8514", "127.0.0.1.evil.example", "[::2]"])
@pytest.mark.parametrize("path", ["/", "/api/search", "/metrics"])
def test_a_rebound_name_is_refused(site: Served, host: str, path: str) -> None:
    assert site.get(path, Host=host)[0] == 421


def test_every_answer_has_the_security_headers(site: Served) -> None:
    for path in ("/", "/api/search", "/nothing", "/metrics"):
        headers = site.get(path)[1]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers


def test_the_index_lists_every_page(site: Served) -> None:
    _, headers, body = site.get("/")
    assert headers["content-type"].startswith("text/plain")
    for path in ("/api/search", "/api/tail", "/metrics", "/healthz", "/readyz"):
        assert path in body.decode()


def test_metrics_hold_the_ledger_and_the_process_in_both_formats(site: Served) -> None:
    _, headers, body = site.get("/metrics")
    assert headers["content-type"].startswith("text/plain")
    assert "towline_lines_read_total 3.0" in body.decode()
    assert "process_cpu_seconds_total" in body.decode()
    _, headers, body = site.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_readiness_names_each_problem(site: Served, problems: dict[str, str]) -> None:
    assert site.get("/readyz")[::2] == (200, b"ready\n")
    problems["shipper"] = "no engine\nat all"
    status, _, body = site.get("/readyz")
    assert (status, body) == (503, b"shipper: no engine at all\n")
    assert site.get("/healthz")[0] == 200


def test_with_a_token_the_api_asks_for_it_and_nothing_else_does() -> None:
    def page(request: Any) -> Any:
        from towline.http import answer

        return answer("inside")

    with serving({"/api/search": page, "/metrics": page}, token="hush") as served:
        assert served.get("/metrics")[0] == 200
        status, headers, _ = served.get("/api/search")
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert served.get("/api/search", Authorization="Basic aHVzaA==")[0] == 401
        assert served.get("/api/search", Authorization="Bearer wrong")[0] == 403
        assert served.get("/api/search", Authorization="Bearer")[0] in (401, 403)
        assert served.get("/api/search", Authorization="bearer hush")[0] == 200


def test_a_tail_begins_now_and_shows_what_arrives(site: Served, write: Write) -> None:
    write(["before"])
    with site.tail("/api/tail") as events:
        assert events.next() == []
        write(["after", "later"], first=1)
        assert events.messages(2) == ["after", "later"]


def test_a_tail_shows_only_what_matches(site: Served, write: Write) -> None:
    with site.tail("/api/tail?q=wanted&service=web") as events:
        events.next()
        write(["wanted", "other"], name="db")
        write(["other", "wanted here"], name="web")
        assert events.messages(1) == ["wanted here"]


def test_a_tail_that_comes_back_misses_nothing_and_repeats_nothing(site: Served, write: Write) -> None:
    with site.tail("/api/tail") as events:
        events.next()
        write(["a", "b"])
        seen = events.messages(2)
        cursor = events.cursor
    write(["c", "d"], first=2)
    with site.tail("/api/tail", cursor) as events:
        seen += events.messages(2)
        write(["e"], first=4)
        seen += events.messages(1)
    assert seen == ["a", "b", "c", "d", "e"]


def test_a_tail_that_comes_back_before_its_first_line_has_a_cursor_already(site: Served, write: Write) -> None:
    with site.tail("/api/tail") as events:
        events.next()
        cursor = events.cursor
    write(["while away"])
    with site.tail("/api/tail", cursor) as events:
        assert events.messages(1) == ["while away"]


@pytest.mark.parametrize("cursor", ["nonsense", "-1", "1e9", "' or 1=1"])
def test_a_cursor_that_is_none_of_ours_is_a_400(site: Served, cursor: str) -> None:
    assert site.get("/api/tail", **{"Last-Event-ID": cursor})[0] == 400


def test_tails_are_bounded_leave_their_place_and_never_use_up_the_workers(site: Served, write: Write) -> None:
    open_tails = [site.tail("/api/tail") for _ in range(MOST_TAILS)]
    events = [tail.__enter__() for tail in open_tails]
    status, answer = site.json("/api/tail")
    assert status == 503
    assert str(MOST_TAILS) in answer["error"]
    assert site.json("/api/search")[0] == 200
    for tail in open_tails:
        tail.__exit__(None, None, None)
    assert len(events) == MOST_TAILS
    deadline = time.monotonic() + 60
    for number in count():
        if site.get("/api/tail", "HEAD")[0] == 200:
            break
        assert time.monotonic() < deadline, "no place became free"
        write(["a line makes the server notice"], first=number)


def test_asking_for_the_head_of_tails_takes_no_place(site: Served) -> None:
    for _ in range(MOST_TAILS * 3):
        assert site.get("/api/tail", "HEAD")[0] == 200


def test_stopping_ends_open_tails(store: Store) -> None:
    tails = Tails(2)
    with serving(api.handlers(store, tails), tails) as served:
        connection = http.client.HTTPConnection(served.host, served.port, timeout=60)
        connection.request("GET", "/api/tail")
        response = connection.getresponse()
        response.readline()
    assert response.read()[-2:] == b"\n\n"
    connection.close()


def test_a_port_in_use_is_one_line_that_names_address_and_option() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
        with pytest.raises(TowlineError, match=rf"127\.0\.0\.1:{address[1]}: address already in use; .*--listen"):
            HttpServer(Site({}), address)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_of_another_machine_is_one_line_that_names_it(host: str) -> None:
    with pytest.raises(TowlineError, match=f"can't listen on {host}:0: .*--listen"):
        HttpServer(Site({}), (host, 0))


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("192.168.1.5", False), ("example.com", False)],
)  # fmt: skip
def test_loopback_addresses_are_known(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize(
    ("header", "host"),
    [("a:1", "a"), ("A", "a"), ("[::1]:8514", "::1"), ("[::1]", "::1"), ("", ""), ("a:b:1", "a:b"), ("[", "")],
)
def test_the_name_in_a_host_header(header: str, host: str) -> None:
    assert urlhost(header) == host
