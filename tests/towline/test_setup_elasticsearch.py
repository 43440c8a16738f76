"""`towline setup --store http://…`: what it puts in place, and that it neither destroys nor overrides anything."""

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, NoReturn

import orjson
import pytest
import requests
from click.testing import CliRunner

from towline.batch import ORIGIN_MARK, Batch, Origin, Section
from towline.cli import cli
from towline.query import Query
from towline.stores.elasticsearch import ElasticsearchStore
from towline.stores.es_template import CUSTOM

SERVER = os.environ.get("TOWLINE_TEST_ELASTICSEARCH", "http://127.0.0.1:9200")
STAMP = "2026-11-23T10:00:00.{:09}Z"


class Namespace:
    """Data streams and templates that only this test knows."""

    def __init__(self) -> None:
        self.name = f"setup.{uuid.uuid4().hex[:8]}"
        self.stream = f"logs-docker-{self.name}"
        self.template = f"_index_template/towline-{self.stream}"
        self.url = f"{SERVER}/?namespace={self.name}&refresh=now"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = requests.request(method, f"{SERVER}/{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def index_template(self) -> dict[str, Any]:
        (row,) = self.ask("GET", self.template)["index_templates"]
        return {name: value for name, value in row["index_template"].items() if "_date" not in name}

    def settings(self) -> dict[str, Any]:
        """Of the backing indices, by name."""
        rows = self.ask("GET", f"{self.stream}/_settings?expand_wildcards=all")
        return {name: row["settings"]["index"] for name, row in rows.items()}

    def write(self, count: int) -> None:
        store = ElasticsearchStore(self.url, environ={}, retention=None)
        store.write([batch(count)])
        store.close()

    def close(self) -> None:
        """A data stream itself can't be removed from the tests' server: an empty one stays where lines were written."""
        for name in ("docker", "towline.deadletter"):
            stream = f"logs-{name}-{self.name}"
            requests.post(f"{SERVER}/{stream}/_rollover", timeout=60)
            for index in sorted(each for each in requests.get(f"{SERVER}/{stream}/_settings", timeout=60).json()
                                if each.startswith(".ds-"))[:-1]:  # fmt: skip
                requests.delete(f"{SERVER}/{index}", timeout=60)
            requests.delete(f"{SERVER}/_index_template/towline-{stream}", timeout=60)
            requests.delete(f"{SERVER}/_component_template/towline-{stream}@base", timeout=60)


def batch(count: int) -> Batch:
    origin = Origin({"container": {"id": "c" * 64, "name": "web.1"}, "host": {"name": "n"}, "service": {"name": "web"}})
    docs = b""
    for at in range(count):
        row = orjson.dumps({"@timestamp": STAMP.format(at), "message": f"line {at}", "stream": "stdout",
                            "event": {"sequence": at}})  # fmt: skip
        docs += orjson.dumps({"create": {"_id": f"{STAMP.format(at)}-x"}}) + b"\n" + row[:-1] + ORIGIN_MARK + b"}\n"
    return Batch([Section(origin, docs, count, STAMP.format(0), STAMP.format(count - 1))])


@pytest.fixture
def namespace(missing_part: Callable[[str], NoReturn]) -> Iterator[Namespace]:
    try:
        requests.get(f"{SERVER}/_cluster/health", timeout=10)
    except requests.ConnectionError as error:
        missing_part(f"no Elasticsearch on {SERVER}: {error}")
    made = Namespace()
    yield made
    made.close()


def setup(url: str, *options: str) -> str:
    done = CliRunner().invoke(cli, ["setup", "--store", url, *options])
    assert done.exit_code == 0, done.output
    return str(done.output)


def test_doing_it_again_changes_nothing(namespace: Namespace) -> None:
    said = setup(namespace.url)
    assert f"index template towline-{namespace.stream} is made" in said
    assert f"store ready: {SERVER}/" in said
    before = namespace.index_template()
    assert f"index template towline-{namespace.stream} is up to date" in setup(namespace.url)
    assert namespace.index_template() == before


def test_a_data_stream_keeps_its_lines_and_its_indices(namespace: Namespace) -> None:
    setup(namespace.url)
    namespace.write(5)
    before = namespace.settings()
    setup(namespace.url, "--keep-age", "3d")
    assert namespace.settings() == before
    assert namespace.ask("POST", f"{namespace.stream}/_count")["count"] == 5


def test_a_template_that_somebody_changed_is_renewed(namespace: Namespace) -> None:
    setup(namespace.url)
    ours = namespace.index_template()
    namespace.ask(
        "PUT",
        namespace.template,
        {**ours, "priority": 300, "template": {"lifecycle": ours["template"]["lifecycle"], "aliases": {"mine": {}}}},
    )
    assert namespace.index_template() != ours
    setup(namespace.url)
    assert namespace.index_template() == ours


def test_a_template_of_a_newer_version_stays(namespace: Namespace) -> None:
    setup(namespace.url)
    newer = {**namespace.index_template(), "version": 99, "priority": 300}
    namespace.ask("PUT", namespace.template, newer)
    assert "is of a newer version: left as it is" in setup(namespace.url)
    assert namespace.index_template() == newer


def test_a_retention_stays_until_another_is_asked_for(namespace: Namespace) -> None:
    def kept() -> str:
        return str(namespace.index_template()["template"]["lifecycle"].get("data_retention"))

    told = [setup(namespace.url) and kept()]
    for options in (("--keep-age", "30d"), (), ("--keep-age", "0"), (), ("--keep-age", "2d")):
        setup(namespace.url, *options)
        told.append(kept())
    days = [f"{day * 86400}s" for day in (14, 30, 2)]
    assert told == [days[0], days[1], days[1], "None", "None", days[2]]


def test_templates_of_others_stay(namespace: Namespace) -> None:
    name = f"_index_template/{namespace.name}-foreign"
    body = {"index_patterns": ["logs-docker-*"], "priority": 7, "data_stream": {}, "template": {}}
    namespace.ask("PUT", name, body)
    try:
        before = namespace.ask("GET", name)
        setup(namespace.url)
        assert namespace.ask("GET", name) == before
    finally:
        namespace.ask("DELETE", name)


def test_what_the_user_says_in_the_custom_template_wins(namespace: Namespace) -> None:
    """It holds for the whole server, so for a moment for other tests, too, which it must not harm."""
    logger = {"type": "keyword", "ignore_above": 777}
    custom = {"settings": {"index.codec": "default"},
              "mappings": {"properties": {"log": {"properties": {"logger": logger}}}}}  # fmt: skip
    setup(namespace.url)
    namespace.ask("PUT", f"_component_template/{CUSTOM}", {"template": custom})
    try:
        setup(namespace.url)
        simulated = namespace.ask("POST", f"_index_template/_simulate_index/{namespace.stream}")["template"]
        setup(namespace.url)
        assert namespace.ask("GET", f"_component_template/{CUSTOM}")["component_templates"][0]["component_template"][
            "template"]["mappings"] == custom["mappings"]  # fmt: skip
    finally:
        namespace.ask("DELETE", f"_component_template/{CUSTOM}")
    assert simulated["settings"]["index"]["codec"] == "default", "Towline's own would be best_compression"
    assert simulated["settings"]["index"]["number_of_shards"] == "1"
    assert simulated["mappings"]["properties"]["log"]["properties"]["logger"] == logger
    assert simulated["mappings"]["properties"]["log"]["properties"]["level"]["type"] == "keyword", "what it leaves"
    assert simulated["mappings"]["properties"]["@timestamp"] == {"type": "date_nanos"}


def test_reading_before_anything_is_set_up_or_written_finds_nothing(namespace: Namespace) -> None:
    for _ in range(2):
        done = CliRunner().invoke(cli, ["search", "--store", namespace.url])
        assert done.output == ""
        store = ElasticsearchStore(namespace.url, environ={}, read_only=True)
        assert list(store.search(Query(limit=0))) == []
        assert store.follow(store.follow(None, Query())[1], Query())[0] == []
        assert (list(store.identities("c" * 64, None, None)), store.totals(), store.dead_letters()) == ([], {}, [])
        store.close()
        setup(namespace.url)


def test_a_size_has_no_effect_and_that_is_said(namespace: Namespace) -> None:
    assert "--keep-size has no effect on Elasticsearch" in setup(namespace.url, "--keep-size", "5G")
    assert "keep-size" not in setup(namespace.url)


class Lifecycles:
    """As much of an Elasticsearch with data stream lifecycles as setup speaks to: the tests' server has none."""

    def __init__(self, status: int) -> None:
        self.bodies: dict[str, Any] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                code, content = 200, {"nodes": {"n": {"version": "8.19.7"}}}
                if self.path.endswith("/_lifecycle"):
                    outer.bodies[f"{self.command} {self.path}"] = orjson.loads(body)
                    code, content = status, {}
                self.send_response(code)
                payload = orjson.dumps(content)
                for name, value in (("x-elastic-product", "Elasticsearch"), ("content-type", "application/json"),
                                    ("content-length", str(len(payload)))):  # fmt: skip
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_PUT = do_POST = do_HEAD = _answer

            def log_message(self, *_: Any) -> None:
                pass

        self._http = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.mark.parametrize(
    ("age", "sent", "status", "told"),
    [
        ("", None, 200, "store ready"),
        ("3d", {"data_retention": "259200s"}, 200, "data stream logs-docker-default keeps lines 259200s"),
        ("0", {}, 200, "data stream logs-docker-default keeps lines for ever"),
        ("3d", {"data_retention": "259200s"}, 403, "stays as it is: this account may not change it"),
        ("3d", {"data_retention": "259200s"}, 400, "nothing in logs-docker-default is ever forgotten"),
    ],
)
def test_a_new_retention_reaches_the_data_streams_that_are_there(
    age: str, sent: dict[str, str] | None, status: int, told: str
) -> None:
    server = Lifecycles(status)
    try:
        said = setup(server.url, *(("--keep-age", age) if age else ()))
    finally:
        server.close()
    streams = ("logs-docker-default", "logs-towline.deadletter-default")
    expected = {f"PUT /_data_stream/{stream}/_lifecycle": sent for stream in streams}
    assert server.bodies == (expected if age else {})
    assert told in said
