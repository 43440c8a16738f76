"""`towline index` whose store is away, refuses it, or is of no use when it starts: it waits and says why."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from towline.apart import Indexing
from towline.cli import cli
from towline.errors import StoreUnavailable, UsageError
from towline.queues import open_queue
from towline.stores import Store, open_store


class Elastic:
    """Answers `GET /_nodes` as told, and everything else with success. Its port is known before it listens."""

    def __init__(self) -> None:
        self.status, self.version = 200, "8.19.7"
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                body = {"nodes": {"n": {"version": outer.version}}} if outer.status == 200 else {"error": {}}
                payload = orjson.dumps(body)
                self.send_response(outer.status)
                for name, value in (("x-elastic-product", "Elasticsearch"), ("content-type", "application/json"),
                                    ("content-length", str(len(payload)))):  # fmt: skip
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_PUT = do_POST = do_HEAD = _answer

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
        self._http.server_bind()
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._http.server_port}/"

    def listen(self) -> None:
        self._http.server_activate()
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()


@pytest.fixture
def elastic() -> Iterator[Elastic]:
    made = Elastic()
    yield made
    made.close()


Start = Callable[[Callable[[], Store]], Indexing]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[tuple[Indexing, threading.Thread]] = []
    queue = open_queue("memory://", max_bytes=1 << 20)

    def begin(opened: Callable[[], Store]) -> Indexing:
        indexing = Indexing(queue, opened)
        thread = threading.Thread(target=indexing.run)
        thread.start()
        running.append((indexing, thread))
        return indexing

    yield begin
    queue.close()
    for indexing, thread in running:
        indexing.stop()
        thread.join(60)
        assert not thread.is_alive()
        indexing.close()


def said(indexing: Indexing) -> str:
    try:
        indexing.check()
    except StoreUnavailable as error:
        return str(error)
    return ""


def until(indexing: Indexing, text: str) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        now = said(indexing)
        if (text and text in now) or (not text and not now):
            return now
        time.sleep(0.02)
    raise AssertionError(f"never said {text!r}, but {said(indexing)!r}")


def test_a_store_that_comes_later_is_waited_for(elastic: Elastic, start: Start) -> None:
    indexing = start(lambda: open_store(elastic.url))
    text = until(indexing, "can't be reached")
    assert "is it running?" in text
    assert "\n" not in text
    elastic.listen()
    until(indexing, "")


def test_credentials_that_are_mended_over_there_are_noticed(elastic: Elastic, start: Start) -> None:
    elastic.status = 401
    elastic.listen()
    indexing = start(lambda: open_store(elastic.url))
    assert "check user, password or API key" in until(indexing, "refuses our credentials")
    elastic.status = 200
    until(indexing, "")


def test_an_old_server_is_named_and_its_upgrade_noticed(elastic: Elastic, start: Start) -> None:
    elastic.version = "7.17.1"
    elastic.listen()
    indexing = start(lambda: open_store(elastic.url))
    assert "use 8.19 or 9.x" in until(indexing, "7.17.1")
    elastic.version = "9.1.0"
    until(indexing, "")


def test_a_url_of_no_use_ends_it(start: Start) -> None:
    indexing = Indexing(open_queue("memory://", max_bytes=1), lambda: open_store("https://no host"))
    with pytest.raises(UsageError, match="no host"):
        indexing.run()


@pytest.mark.parametrize(
    ("url", "named"), [("ftp://h", "'ftp'"), ("https://h:99999", "99999"), ("sqlite://h/x", "sqlite://h/x")]
)
def test_the_command_ends_with_one_line_where_the_url_is_of_no_use(url: str, named: str) -> None:
    done = CliRunner().invoke(
        cli, ["index", "--queue", "amqp://127.0.0.1:1/", "--store", url, "--listen", "127.0.0.1:0"])  # fmt: skip
    assert done.exit_code == 2
    assert named in done.stderr.splitlines()[-1]
