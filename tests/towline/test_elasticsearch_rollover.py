"""Each line once in Elasticsearch, whichever requests are lost or late while the data stream rolls over."""

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn

import pytest
import requests

from towline.batch import ORIGIN_MARK, Batch, Origin, Section
from towline.errors import StoreUnavailable
from towline.stores import es_doubt, es_lane, es_older
from towline.stores.elasticsearch import ElasticsearchStore

SERVER = os.environ.get("TOWLINE_TEST_ELASTICSEARCH", "http://127.0.0.1:9200")
PAST, FUTURE = "2020-01-01T00:00:00.{:09}Z", "2100-01-01T00:00:00.{:09}Z"
"""A node whose clock is far behind the server's, and one whose clock is far ahead."""


class Stream:
    """A data stream of its own, without any code of ours."""

    def __init__(self) -> None:
        self.namespace = f"roll.{uuid.uuid4().hex[:8]}"
        self.url = f"{SERVER}/logs-docker-{self.namespace}"
        self.options = f"?namespace={self.namespace}&refresh=now"

    def rollover(self) -> None:
        requests.post(f"{self.url}/_rollover", timeout=60).raise_for_status()

    def indices(self) -> list[str]:
        return sorted(name for name in requests.get(f"{self.url}/_settings", timeout=60).json() if name[0] == ".")

    def ids(self) -> list[str]:
        requests.post(f"{self.url}/_refresh", timeout=60)
        answer = requests.post(f"{self.url}/_search", json={"size": 10_000, "_source": False}, timeout=60).json()
        return sorted(hit["_id"] for hit in answer["hits"]["hits"])

    def remove(self) -> None:
        for name in self.indices()[:-1]:
            requests.delete(f"{SERVER}/{name}", timeout=60)


class Proxy:
    """Hands requests on; `rule` is asked around each bulk of lines: it calls `forward`, and returns whether the answer
    goes back."""

    def __init__(self) -> None:
        self.rule: Callable[[Callable[[], None]], bool] | None = None
        self.paths: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                answers: list[requests.Response] = []

                def forward() -> None:
                    answers.append(requests.request(self.command, SERVER + self.path, data=body, headers=headers,
                                                    timeout=60))  # fmt: skip

                outer.paths.append(self.path)
                if outer.rule is not None and "/logs-docker" in self.path and "_bulk" in self.path:
                    if not outer.rule(forward):
                        self.close_connection = True
                        return
                else:
                    forward()
                self._reply(answers[-1])

            def _reply(self, answer: requests.Response) -> None:
                self.send_response(answer.status_code)
                for name in ("content-type", "x-elastic-product"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content if self.command != "HEAD" else b"")

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _pass_on

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def stream(missing_part: Callable[[str], NoReturn]) -> Iterator[Stream]:
    try:
        requests.get(f"{SERVER}/_cluster/health", timeout=10)
    except requests.ConnectionError as error:
        missing_part(f"no Elasticsearch on {SERVER}: {error}")
    made = Stream()
    yield made
    made.remove()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(stream: Stream, proxy: Proxy, clock: Clock) -> Iterator[ElasticsearchStore]:
    """Through the proxy; patience never runs out, since the clock stands still."""
    opened = ElasticsearchStore(f"{proxy.url}/{stream.options}", environ={}, clock=clock)
    yield opened
    opened.close()


def batch(number: int, first: int = 0, when: str = PAST, container: str = "c1") -> Batch:
    origin = Origin({"container": {"id": container, "name": "web"}, "host": {"name": "n"}, "service": {"name": "web"}})
    docs = b"".join(
        b'{"create":{"_id":"%b-%b"}}\n{"@timestamp":"%b","message":"m","stream":"stdout","event":{"sequence":%d}%b}\n'
        % (stamp, container.encode(), stamp, at, ORIGIN_MARK)
        for at in range(first, first + number) for stamp in [when.format(at).encode()])  # fmt: skip
    return Batch([Section(origin, docs, number, when.format(first), when.format(first + number - 1))])


def expected(number: int, when: str = PAST, container: str = "c1") -> list[str]:
    return [f"{when.format(at)}-{container}" for at in range(number)]


def write(store: ElasticsearchStore, *batches: Batch) -> list[tuple[int, int, int]]:
    return [(sum(v.stored), sum(v.duplicate), sum(map(len, v.rejected))) for v in store.write(batches)]


@pytest.mark.parametrize("when", [PAST, FUTURE])
def test_lines_that_an_older_index_holds_are_repeats(store: ElasticsearchStore, stream: Stream, when: str) -> None:
    write(store, batch(50, when=when))
    stream.rollover()
    stream.rollover()
    assert write(store, batch(80, when=when)) == [(30, 50, 0)]
    assert stream.ids() == expected(80, when)


def test_indices_are_asked_for_only_where_an_answer_leaves_it_open(
    store: ElasticsearchStore, stream: Stream, proxy: Proxy, clock: Clock
) -> None:
    def asked(first: int) -> int:
        proxy.paths.clear()
        assert write(store, batch(1, first)) == [(1, 0, 0)]
        return len([path for path in proxy.paths if "_settings" in path])

    write(store, batch(1))
    assert [asked(1), asked(2)] == [0, 0]
    assert write(store, batch(3)) == [(0, 3, 0)]
    clock.now += es_lane.FRESH
    assert [asked(3), asked(4)] == [1, 0]
    stream.rollover()
    assert [asked(5), asked(6)] == [1, 0]
    assert write(store, batch(7)) == [(0, 7, 0)]
    assert stream.ids() == expected(7)


@pytest.mark.parametrize("when", [PAST, FUTURE])
def test_another_indexer_knows_them_too(store: ElasticsearchStore, stream: Stream, when: str) -> None:
    write(store, batch(50, when=when))
    stream.rollover()
    other = ElasticsearchStore(f"{SERVER}/{stream.options}", environ={})
    try:
        assert write(other, batch(80, when=when), batch(5, when=when, container="c2")) == [(30, 50, 0), (5, 0, 0)]
    finally:
        other.close()
    assert stream.ids() == sorted(expected(80, when) + expected(5, when, "c2"))


def test_what_an_older_index_holds_of_a_container_is_asked_once(
    store: ElasticsearchStore, stream: Stream, proxy: Proxy, clock: Clock
) -> None:
    write(store, batch(50))
    stream.rollover()
    second = 10**8  # later than the newest there by more than the server tells apart
    write(store, batch(1, second))  # meets the rollover
    write(store, batch(1, second + 1))
    clock.now += es_older.SETTLED
    write(store, batch(1, second + 2))
    proxy.paths.clear()
    for at in range(3, 10):
        write(store, batch(1, second + at))
    assert not [path for path in proxy.paths if "_search" in path or "_refresh" in path or "_mget" in path]
    assert write(store, batch(50)) == [(0, 50, 0)]


@pytest.mark.parametrize("when", [PAST, FUTURE])
@pytest.mark.parametrize("rolls", [0, 1, 3])
def test_a_lost_answer_stores_nothing_twice(
    store: ElasticsearchStore, stream: Stream, proxy: Proxy, rolls: int, when: str
) -> None:
    losses = iter([True, True, False])

    def rule(forward: Callable[[], None]) -> bool:
        forward()
        lost = next(losses, False)
        for _ in range(rolls if lost else 0):
            stream.rollover()
        return not lost

    write(store, batch(1, when=when))
    proxy.rule = rule
    assert write(store, batch(200, when=when)) == [(200, 0, 0)], "counted once, by the request that heard of it"
    assert write(store, batch(200, when=when), batch(100, 200, when=when)) == [(0, 200, 0), (100, 0, 0)]
    assert stream.ids() == expected(300, when)


@pytest.mark.parametrize("rolls", [1, 2])
def test_a_rollover_under_a_request_doubles_nothing(
    store: ElasticsearchStore, stream: Stream, proxy: Proxy, rolls: int
) -> None:
    """The lines come to an older index after we have looked there, and to a newer one by us."""
    write(store, batch(1))
    direct = ElasticsearchStore(f"{SERVER}/{stream.options}", environ={})

    def rule(forward: Callable[[], None]) -> bool:
        proxy.rule = None
        write(direct, batch(100))
        stream.rollover()
        forward()
        if rolls == 2:
            stream.rollover()
        return True

    proxy.rule = rule
    try:
        assert write(store, batch(150)) == [(50, 100, 0)]
    finally:
        direct.close()
    assert stream.ids() == expected(150)


def test_a_request_that_is_carried_out_late_doubles_nothing_for_long(
    store: ElasticsearchStore, stream: Stream, proxy: Proxy, clock: Clock
) -> None:
    late: list[Callable[[], None]] = []

    def rule(forward: Callable[[], None]) -> bool:
        proxy.rule = None
        late.append(forward)
        return False

    write(store, batch(1, 1000))
    proxy.rule = rule
    assert write(store, batch(100)) == [(100, 0, 0)]
    stream.rollover()
    late.pop()()
    assert len(stream.ids()) == 201, "the server can't know"
    store.maintain()
    assert stream.ids() == sorted([*expected(100), PAST.format(1000) + "-c1"])


def test_what_is_late_after_the_first_look_is_found_by_the_last(
    store: ElasticsearchStore, stream: Stream, proxy: Proxy, clock: Clock
) -> None:
    late: list[Callable[[], None]] = []

    def rule(forward: Callable[[], None]) -> bool:
        proxy.rule = None
        late.append(forward)
        return False

    proxy.rule = rule
    write(store, batch(100))
    stream.rollover()
    store.maintain()
    late.pop()()
    clock.now += es_doubt.LATE - 1
    store.maintain()
    assert len(stream.ids()) == 200
    clock.now += 1
    store.maintain()
    assert stream.ids() == expected(100)
    proxy.paths.clear()
    store.maintain()
    assert proxy.paths == [], "in doubt no longer"


def test_a_closed_older_index_holds_up_what_it_may_hold(stream: Stream) -> None:
    store = ElasticsearchStore(f"{SERVER}/{stream.options}", environ={}, patience=1)
    write(store, batch(5))
    stream.rollover()
    older = f"{SERVER}/{stream.indices()[0]}"
    requests.post(f"{older}/_close", timeout=60).raise_for_status()
    try:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"closed.*_open"):
                write(store, batch(5))
    finally:
        requests.post(f"{older}/_open?wait_for_active_shards=1", timeout=60).raise_for_status()
    assert write(store, batch(8)) == [(3, 5, 0)]
    store.close()
    assert stream.ids() == expected(8)


def test_an_older_index_that_retention_has_removed_is_no_trouble(
    store: ElasticsearchStore, stream: Stream, clock: Clock
) -> None:
    write(store, batch(5))
    stream.rollover()
    write(store, batch(5, 10))
    requests.delete(f"{SERVER}/{stream.indices()[0]}", timeout=60).raise_for_status()
    assert write(store, batch(3, 20)) == [(3, 0, 0)]
