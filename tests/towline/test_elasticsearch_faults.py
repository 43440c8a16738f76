"""Faults that a real Elasticsearch does not have to order: a small HTTP server that answers as told."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from towline.batch import ORIGIN_MARK, Batch, Origin, Section
from towline.errors import StoreUnavailable, TowlineError, UsageError
from towline.stores import open_store
from towline.stores.elasticsearch import ElasticsearchStore
from towline.stores.es_address import parse

Answer = tuple[int, Any]
STAMP = "2020-01-01T00:00:00.{:09}Z"


class Server:
    """Answers bulks of lines by `bulk(ids, documents)`, everything else as an Elasticsearch 8.19 would."""

    def __init__(self) -> None:
        self.version, self.product = "8.19.7", "Elasticsearch"
        self.bulk: Callable[[list[str], list[Any]], Answer] = lambda ids, _: taken(ids)
        self.sent: list[list[str]] = []
        self.letters: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, content = outer.answer(self.command, self.path, body)
                payload = content if isinstance(content, bytes) else orjson.dumps(content)
                self.send_response(status)
                if outer.product:
                    self.send_header("x-elastic-product", outer.product)
                self.send_header("content-type", "text/html" if isinstance(content, bytes) else "application/json")
                self.send_header("content-length", str(len(payload)))
                self.end_headers()
                try:
                    self.wfile.write(payload)
                except ConnectionError:
                    self.close_connection = True

            do_GET = do_POST = do_PUT = do_HEAD = _answer

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.port = self._http.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        if self.status != 200:
            return self.status, {"error": {"type": "security_exception", "reason": "no"}, "status": self.status}
        if path.startswith("/_nodes"):
            return 200, {"nodes": {"n": {"version": self.version}}}
        if "/_bulk" not in path:
            return (404, {}) if method == "GET" and "_index_template" in path else (200, {})
        lines = [orjson.loads(line) for line in body.split(b"\n")[:-1]]
        if "deadletter" in path:
            self.letters += lines[1::2]
            return taken([""] * (len(lines) // 2))
        ids = [line["create"]["_id"] for line in lines[0::2]]
        self.sent.append(ids)
        return self.bulk(ids, lines[1::2])

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


def taken(ids: list[str], **others: Any) -> Answer:
    """All created, but for those that `others` tells otherwise of: x3=(429, "type")."""
    items = []
    for identity in ids:
        status, kind = others.get(f"x{identity}", (201, ""))
        error = {"error": {"type": kind, "reason": f"because of {kind}"}} if kind else {}
        items.append({"create": {"status": status, **error}})
    return 200, {"errors": any("error" in item["create"] for item in items), "items": items}


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.close()


@pytest.fixture
def store(server: Server) -> Iterator[ElasticsearchStore]:
    """No request is sent again only because the machine is busy."""
    opened = ElasticsearchStore(f"{server.url}/?timeout=60", environ={}, patience=60)
    yield opened
    opened.close()


@pytest.fixture
def hasty(server: Server) -> Iterator[ElasticsearchStore]:
    """Says soon what it is refused."""
    opened = ElasticsearchStore(f"{server.url}/?timeout=60", environ={}, patience=1)
    yield opened
    opened.close()


def batch(number: int, first: int = 0) -> Batch:
    origin = Origin({"container": {"id": "c", "name": "web"}, "host": {"name": "n"}, "service": {"name": "web"}})
    docs = b"".join(
        b'{"create":{"_id":"%d"}}\n{"@timestamp":"%b","message":"m","stream":"stdout","event":{"sequence":%d}%b}\n'
        % (at, STAMP.format(at).encode(), at, ORIGIN_MARK) for at in range(first, first + number))  # fmt: skip
    return Batch([Section(origin, docs, number, STAMP.format(first), STAMP.format(first + number - 1))])


def write(store: ElasticsearchStore, *batches: Batch) -> list[tuple[int, int, int]]:
    return [(sum(v.stored), sum(v.duplicate), sum(map(len, v.rejected))) for v in store.write(batches)]


def test_small_batches_share_a_request(store: ElasticsearchStore, server: Server) -> None:
    assert write(store, *(batch(2, 10 * number) for number in range(50))) == [(2, 0, 0)] * 50
    assert [len(ids) for ids in server.sent] == [100]


def test_only_the_lines_that_were_too_much_are_sent_again(store: ElasticsearchStore, server: Server) -> None:
    fates = {
        "x1": (429, "es_rejected_execution_exception"),
        "x2": (409, "version_conflict_engine_exception"),
        "x3": (503, "unavailable_shards_exception"),
        "x4": (400, "document_parsing_exception"),
    }
    answers = iter([fates])
    server.bulk = lambda ids, _: taken(ids, **next(answers, {}))
    assert write(store, batch(6)) == [(4, 1, 1)]
    assert server.sent == [["0", "1", "2", "3", "4", "5"], ["1", "3"]]
    (letter,) = server.letters
    assert (letter["identity"], letter["reason"]) == (
        "4",
        "document_parsing_exception: because of document_parsing_exception",
    )


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_refusal_of_the_whole_request_is_tried_again(store: ElasticsearchStore, server: Server, status: int) -> None:
    answers = iter([(status, {"error": {"type": "busy", "reason": "later"}})])
    server.bulk = lambda ids, _: next(answers, taken(ids))
    assert write(store, batch(3)) == [(3, 0, 0)]
    assert len(server.sent) == 2


def test_a_refusal_that_lasts_is_said_in_one_line_and_ends_with_it(hasty: ElasticsearchStore, server: Server) -> None:
    server.bulk = lambda ids, _: (429, {"error": {"type": "es_rejected_execution_exception", "reason": "queue\nfull"}})
    with pytest.raises(StoreUnavailable, match=r"429.*queue full") as refused:
        hasty.write([batch(3)])
    assert "\n" not in str(refused.value)
    with pytest.raises(StoreUnavailable, match="queue full"):
        hasty.check()
    server.bulk = lambda ids, _: taken(ids)
    assert write(hasty, batch(3)) == [(3, 0, 0)]
    hasty.check()


def test_a_time_out_is_tried_again(server: Server) -> None:
    store = ElasticsearchStore(f"{server.url}/?timeout=1", environ={}, patience=60)
    release = threading.Event()

    def slow(ids: list[str], _: list[Any]) -> Answer:
        if len(server.sent) == 1:
            release.wait(60)
        return taken(ids, x0=(409, "version_conflict_engine_exception"))

    server.bulk = slow
    try:
        assert write(store, batch(3)) == [(3, 0, 0)]
    finally:
        release.set()
        store.close()


def test_on_a_network_that_lets_no_large_request_through_in_time_small_ones_are_sent(server: Server) -> None:
    """The write would otherwise send the same for ever, and not a line would arrive."""
    store = ElasticsearchStore(f"{server.url}/?timeout=1", environ={}, patience=1)
    release = threading.Event()

    def slow(ids: list[str], _: list[Any]) -> Answer:
        if len(ids) > 1200:
            release.wait(60)
        return taken(ids)

    server.bulk = slow
    tries = 0
    try:
        while tries < 60:
            tries += 1
            try:
                assert write(store, batch(5000))[0][0] == 5000
                break
            except StoreUnavailable:
                continue
        assert tries < 60
        assert len(server.sent[-1]) <= 1200
        release.set()
        for first in range(10_000, 1_000_000, 5000):
            with contextlib.suppress(StoreUnavailable):  # a busy machine takes more than a second as well
                store.write([batch(5000, first)])
            if len(server.sent[-1]) == 5000:
                break
        assert len(server.sent[-1]) == 5000, "it learns that the network is well again"
    finally:
        release.set()
        store.close()


def test_what_is_too_large_is_halved_and_a_line_alone_that_is_becomes_a_dead_letter(
    store: ElasticsearchStore, server: Server
) -> None:
    def limited(ids: list[str], documents: list[Any]) -> Answer:
        if len(ids) > 3 or "5" in ids:
            return 413, b"<html>too large</html>"
        return taken(ids)

    server.bulk = limited
    assert write(store, batch(10), batch(10, 10)) == [(9, 0, 1), (10, 0, 0)]
    (letter,) = server.letters
    assert "413" in letter["reason"]
    assert '"sequence":5' in letter["original"]


def test_a_server_that_refuses_everything_makes_no_dead_letters(hasty: ElasticsearchStore, server: Server) -> None:
    server.bulk = lambda ids, _: (400, {"error": {"type": "illegal_argument_exception", "reason": "unknown parameter"}})
    with pytest.raises(StoreUnavailable, match="unknown parameter"):
        hasty.write([batch(3)])
    assert server.letters == []


def test_what_the_failure_store_took_is_not_called_stored(store: ElasticsearchStore, server: Server) -> None:
    server.bulk = lambda ids, _: (200, {"errors": False, "items": [
        {"create": {"status": 201}}, {"create": {"status": 201, "failure_store": "used"}}]})  # fmt: skip
    assert write(store, batch(2)) == [(1, 0, 1)]
    assert "failure store" in server.letters[0]["reason"]


def test_an_answer_for_fewer_lines_is_not_believed(hasty: ElasticsearchStore, server: Server) -> None:
    server.bulk = lambda ids, _: (200, {"errors": True, "items": [{"create": {"status": 201}}]})
    with pytest.raises(TowlineError):
        hasty.write([batch(2)])


def test_closing_ends_a_write_that_waits(server: Server) -> None:
    store = ElasticsearchStore(server.url, environ={}, patience=600)
    server.bulk = lambda ids, _: (429, {})
    ended = threading.Event()

    def work() -> None:
        with pytest.raises(StoreUnavailable):
            store.write([batch(1)])
        ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    deadline = time.monotonic() + 60
    while len(server.sent) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    store.close()
    assert ended.wait(60)
    thread.join()


@pytest.mark.parametrize("version", ["7.17.9", "8.12.0", "10.0.0", ""])
def test_a_server_of_another_age_is_refused(server: Server, version: str) -> None:
    server.version = version
    with pytest.raises(StoreUnavailable, match=r"not supported; use 8\.19 or 9\.x"):
        open_store(server.url)


def test_something_else_that_speaks_http_is_named(server: Server) -> None:
    server.product = ""
    with pytest.raises(StoreUnavailable, match="no Elasticsearch"):
        open_store(server.url)


@pytest.mark.parametrize(("status", "text"), [(401, "credentials"), (403, "may not do that")])
def test_refused_credentials_are_said_without_them(server: Server, status: int, text: str) -> None:
    server.status = status
    with pytest.raises(StoreUnavailable, match=text) as refused:
        open_store(f"http://elastic:hunter2@127.0.0.1:{server.port}")
    assert "hunter2" not in str(refused.value)


def test_nobody_there_is_one_line() -> None:
    with pytest.raises(StoreUnavailable, match="can't be reached") as refused:
        open_store("http://elastic:hunter2@127.0.0.1:1,localhost:1")
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_credentials_come_from_files_too(server: Server, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a2V5OnZhbHVl\n")
    ElasticsearchStore(server.url, environ={"TOWLINE_STORE_API_KEY_FILE": str(tmp_path / "key")}).close()
    assert server.headers[-1]["authorization"] == "ApiKey a2V5OnZhbHVl"
    ElasticsearchStore(server.url, environ={"TOWLINE_STORE_BEARER": "abc"}).close()
    assert server.headers[-1]["authorization"] == "Bearer abc"
    url = f"http://elastic@127.0.0.1:{server.port}"
    ElasticsearchStore(url, environ={"TOWLINE_STORE_PASSWORD": "hunter2"}).close()
    assert server.headers[-1]["authorization"].startswith("Basic ")


@pytest.mark.parametrize(("url", "environ", "fix"), [
    ("http://", {}, "write for example"),
    ("http://a b:9200", {}, "is no host"),
    ("http://u:hunter2@es:99999", {}, "between 1 and 65535"),
    ("http://es?shard=2", {}, "known are"),
    ("http://es?shards=none", {}, "known are"),
    ("http://u:hunter2@es", {"TOWLINE_STORE_API_KEY": "x"}, "give a user, or"),
    ("http://es", {"TOWLINE_STORE_PASSWORD": "x"}, "has a user"),
    ("https://es", {"TOWLINE_STORE_CA": "/nowhere/ca.pem"}, "readable PEM"),
    ("http://es?namespace=../x", {}, "known are"),
])  # fmt: skip
def test_a_url_that_can_mean_nothing_is_refused(url: str, environ: dict[str, str], fix: str) -> None:
    with pytest.raises(UsageError, match=fix) as refused:
        parse(url, environ)
    assert "hunter2" not in str(refused.value)


def test_secrets_are_in_no_repr() -> None:
    address = parse("https://u:hunter2@es1,es2:9201/prefix?shards=3&verify=no", {})
    assert "hunter2" not in repr(address)
    assert address.hosts == ("https://es1:9200/prefix", "https://es2:9201/prefix")
    assert (address.layout.shards, address.verify) == (3, False)
