"""A Prometheus with TLS and a password, and answers that no Prometheus should give: each is one line with its fix."""

import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner
from ports import free_port
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from towline import prometheus
from towline.api_metrics import PrometheusMetrics
from towline.checks_servers import findings
from towline.cli import cli
from towline.config import PROMETHEUS, PROMETHEUS_BEARER, PROMETHEUS_CA, PROMETHEUS_PASSWORD
from towline.errors import StoreUnavailable, UsageError
from towline.finding import Mark
from towline.prometheus import Prometheus, parse

SECRET = "secret of test"
HASHED = "$2b$04$SFrAXJKL8EGSWGSeq5N34.LIRB0ZQyy5aD1hALclsrold2wjMYbY6"
"""bcrypt of SECRET."""
NONE = b'{"status":"success","data":{"resultType":"vector","result":[]}}'


# --- a real one


@pytest.fixture(scope="module")
def guarded(
    missing_part: Callable[[str], NoReturn], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """HOST:PORT of a real Prometheus that asks for a password over TLS, and the file of its authority."""
    for tool in ("prometheus", "openssl"):
        if shutil.which(tool) is None:
            missing_part(f"no {tool}; scripts/bootstrap.sh servers")
    folder = tmp_path_factory.mktemp("guarded")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "ca.pem"], cwd=folder, check=True,
        capture_output=True)  # fmt: skip
    (folder / "prometheus.yml").write_text("{}")
    web = {"tls_server_config": {"cert_file": "ca.pem", "key_file": "key.pem"}, "basic_auth_users": {"page": HASHED}}
    (folder / "web.yml").write_text(json.dumps(web))  # JSON is YAML
    place = f"localhost:{free_port()}"
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.config.file={folder}/web.yml", f"--web.listen-address={place}"],
            stdout=log, stderr=log)  # fmt: skip
    deadline = time.monotonic() + 60
    while "ready to receive" not in (folder / "log").read_text():
        assert running.poll() is None
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.05)
    yield place, folder / "ca.pem"
    running.terminate()
    running.wait(60)


def test_a_password_from_a_file_and_an_authority_let_us_in(guarded: tuple[str, Path], tmp_path: Path) -> None:
    place, ca = guarded
    (tmp_path / "password").write_text(f"{SECRET}\n")
    environ = {f"{PROMETHEUS_PASSWORD.variable}_FILE": f"{tmp_path}/password", PROMETHEUS_CA.variable: str(ca)}
    client = Prometheus(parse(f"https://page@{place}/", environ))
    assert client.instant("vector(7)", 1e9)[0].points == {1e9: 7.0}
    assert client.range("vector(7) > time()", 0, 20, 5)[0].points == {0: 7.0, 5: 7.0}
    assert client.instant("vector(1) / 0", 1e9)[0].points == {}
    with pytest.raises(StoreUnavailable, match=r"HTTP 400 bad_data: .*parse error"):
        client.instant("what is this", 1e9)
    client.close()


@pytest.mark.parametrize(
    ("url", "environ", "why"),
    [
        ("https://page:wrong@{}", {"ca": True}, r"our credentials \(401\); check .*TOWLINE_PROMETHEUS_PASSWORD"),
        ("https://{}", {"ca": True, PROMETHEUS_BEARER.variable: SECRET}, r"refuses our credentials \(401\)"),
        ("https://page@{}", {PROMETHEUS_PASSWORD.variable: SECRET}, "TLS: .*self.signed.*set TOWLINE_PROMETHEUS_CA"),
        ("http://page@{}", {PROMETHEUS_PASSWORD.variable: SECRET}, "HTTP 400; what answers there is no Prometheus"),
    ],
    ids=["wrong password", "bearer", "unknown authority", "no TLS"],
)  # fmt: skip
def test_what_it_refuses_is_told_without_the_secret(
    guarded: tuple[str, Path], url: str, environ: dict[str, Any], why: str
) -> None:
    place, ca = guarded
    given = {name: value for name, value in environ.items() if name != "ca"}
    client = Prometheus(
        parse(url.format(place), given | ({PROMETHEUS_CA.variable: str(ca)} if "ca" in environ else {}))
    )
    with pytest.raises(StoreUnavailable, match=why) as refused:
        client.instant("vector(7)", 1e9)
    assert "wrong" not in str(refused.value)
    assert SECRET not in str(refused.value)
    client.close()


# --- addresses


@pytest.mark.parametrize(
    "url", ["prometheus:9090", "ftp://prometheus", "http://", "http://h:0", "http://h:99999", "http://[::1", "https://h?a=b",
            "http://h/#graph", "sqlite:///x", ""],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(UsageError, match="write for example http://prometheus:9090"):
        parse(url, {})


def test_towline_page_does_not_start_with_such_an_address() -> None:
    done = CliRunner().invoke(cli, ["page", "--store", "sqlite:///nowhere", "--prometheus", "ftp://u:hush@h"])
    assert done.exit_code == 2
    assert "--prometheus 'ftp://u:***@h' is no address of a Prometheus" in done.output + str(done.exception)


@pytest.mark.parametrize(
    ("url", "environ", "why"),
    [
        ("http://h", {PROMETHEUS_PASSWORD.variable: SECRET}, "needs a --prometheus URL that has a user and no"),
        ("http://u:hush@h", {PROMETHEUS_PASSWORD.variable: SECRET}, "needs a --prometheus URL that has a user"),
        ("http://u:hush@h", {PROMETHEUS_BEARER.variable: SECRET}, "a user, or TOWLINE_PROMETHEUS_BEARER; not both"),
        ("https://h", {PROMETHEUS_CA.variable: "/no/such"}, "_PROMETHEUS_CA=/no/such: No such file or directory"),
        ("https://h", {PROMETHEUS_CA.variable: __file__}, "TOWLINE_PROMETHEUS_CA=.*; name a readable PEM file"),
        ("http://u:hush@h:x", {}, "Port could not be cast to integer"),
    ],
)  # fmt: skip
def test_settings_that_contradict_each_other_are_refused_without_a_secret(
    url: str, environ: dict[str, str], why: str
) -> None:
    with pytest.raises(UsageError, match=why) as refused:
        parse(url, environ)
    assert "hush" not in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_path_and_escapes_in_the_url_are_kept() -> None:
    found = parse("http://a%40b:p%3Ax@proxy:80/prometheus/", {})
    assert (found.url, found.user, found.password) == ("http://proxy:80/prometheus", "a@b", "p:x")
    assert found.shown == "http://a%40b:***@proxy:80/prometheus/"
    assert "p:x" not in repr(found)


# --- answers


class Answers(BaseHTTPRequestHandler):
    """What is to be answered to anything: status, headers, pieces of the body with a pause between them."""

    status, headers_told, body, pieces, pause = 200, {}, b"", 1, 0.0  # type: ignore[var-annotated]
    asked = 0
    gate = threading.Event()
    gate.set()

    def do_POST(self) -> None:
        told = type(self)
        told.asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        told.gate.wait(60)
        self.send_response(told.status)
        for name, value in told.headers_told.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for _ in range(told.pieces):
                self.wfile.write(told.body)
                self.wfile.flush()
                time.sleep(told.pause)
        except OSError:
            pass  # it did not want to wait

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def answers() -> Iterator[tuple[type[Answers], str]]:
    kind = type("Told", (Answers,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield kind, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


HASTE = 0.4
"""Seconds that one is waited for of which it is to be told that it does not answer; all others have a minute."""
WRONG = "its answer is not Prometheus'; check host, port and path"
BAD = {
    "an empty answer": ({"body": b""}, WRONG),
    "a web page": ({"body": b"<html>Welcome</html>"}, WRONG),
    "JSON of somebody else": ({"body": b'{"hits":[]}'}, WRONG),
    "a list": ({"body": b"[1,2]"}, WRONG),
    "null": ({"body": b'{"data":null}'}, WRONG),
    "a scalar": ({"body": b'{"data":{"resultType":"scalar","result":[1,"2"]}}'}, WRONG),
    "values that are none": ({"body": NONE.replace(b"[]", b'[{"metric":{},"value":[1,"x"]}]')}, WRONG),
    "rows without values": ({"body": NONE.replace(b"[]", b'[{"metric":{}}]')}, WRONG),
    "labels that are none": ({"body": NONE.replace(b"[]", b'[{"metric":7,"value":[1,"1"]}]')}, WRONG),
    "cut off": ({"body": NONE[:40]}, WRONG),
    "no such path": ({"status": 404, "body": b"404 page not found"}, r"no Prometheus is at this address \(404\)"),
    "a proxy's error": ({"status": 502, "body": b"<html>"}, "HTTP 502; what answers there is no Prometheus, or"),
    "forbidden": ({"status": 403}, r"refuses our credentials \(403\)"),
    "elsewhere": ({"status": 302, "headers_told": {"Location": "https://u:hush@login.example/x?token=hush"}},
                  r"sends us elsewhere \(302\) to https://login.example/x; give the address"),
    "a query that takes too long": (
        {"status": 503, "body": b'{"status":"error","errorType":"timeout","error":"query timed out"}'},
        "HTTP 503 timeout: query timed out"),
    "silence": ({"pause": 10.0, "pieces": 2, "body": b" "}, f"no answer within {HASTE} s; is it overloaded?"),
    "a dribble": ({"pause": 0.05, "pieces": 400, "body": b" "}, f"no answer within {HASTE} s; is it overloaded?"),
    "a flood": ({"pieces": 40, "body": b" " * 100_000}, "its answer is too long: more than 1 MB"),
}  # fmt: skip


@pytest.mark.parametrize(("told", "why"), BAD.values(), ids=BAD)
def test_a_bad_answer_is_one_line_that_says_what_to_do(
    answers: tuple[type[Answers], str], told: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, url = answers
    monkeypatch.setattr(prometheus, "MOST_BYTES", 1 << 20)
    for name, value in told.items():
        setattr(kind, name, value)
    client = Prometheus(parse(url, {}), patience=HASTE if "within" in why else 60)
    with pytest.raises(StoreUnavailable, match=why) as refused:
        client.instant("vector(7)", 1e9)
    assert str(refused.value).startswith(f"Prometheus {url}: ")
    assert "hush" not in str(refused.value)
    client.close()


def test_one_that_hangs_up_or_is_away_is_told_of_and_not_asked_again_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        now = [0.0]
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        client = Prometheus(parse(url, {}), clock=lambda: now[0])
        threading.Thread(target=lambda: server.accept()[0].close()).start()
        with pytest.raises(StoreUnavailable, match="the connection broke"):
            client.instant("vector(7)", 1e9)
    with pytest.raises(StoreUnavailable, match="the connection broke"):
        client.instant("vector(8)", 1e9)  # it is away, which nobody looks at yet
    now[0] += prometheus.PAUSE
    with pytest.raises(StoreUnavailable, match=r"can't be reached: Connection refused; is it running\?"):
        client.instant("vector(8)", 1e9)
    with pytest.raises(StoreUnavailable, match=r"can't be reached: .*; check host|can't be reached: .*; is it running"):
        Prometheus(parse("http://nobody.invalid", {})).instant("vector(7)", 1e9)
    client.close()


def test_only_so_many_questions_wait_for_it(
    answers: tuple[type[Answers], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, url = answers
    kind.gate, kind.body = threading.Event(), NONE
    monkeypatch.setattr(prometheus, "QUEUED", 0.01)
    client = Prometheus(parse(url, {}), patience=60)
    waiting = [threading.Thread(target=client.instant, args=(f"vector({number})", 1e9))
               for number in range(prometheus.MOST_AT_ONCE)]  # fmt: skip
    for each in waiting:
        each.start()
    deadline = time.monotonic() + 30
    while kind.asked < prometheus.MOST_AT_ONCE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pytest.raises(StoreUnavailable, match=r"4 questions wait for it; is it overloaded\?"):
        client.instant("vector(9)", 1e9)
    kind.gate.set()
    for each in waiting:
        each.join()
    assert client.instant("vector(9)", 1e9) == []
    client.close()


def test_the_same_question_is_asked_once_for_a_while(answers: tuple[type[Answers], str]) -> None:
    kind, url = answers
    kind.body = NONE
    now = [0.0]
    client = Prometheus(parse(url, {}), clock=lambda: now[0])
    for _ in range(3):
        assert client.instant("vector(7)", 1e9) == []
    assert kind.asked == 1
    now[0] = prometheus.FRESH
    client.instant("vector(7)", 1e9)
    assert kind.asked == 2
    for number in range(3 * prometheus.MOST_KEPT):
        client.instant(f"vector({number})", 1e9)
    assert len(client._kept) == prometheus.MOST_KEPT
    client.close()


# --- questions of the page


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("by=stack", "use container, service or node"),
        ("series=heat", "series=heat: use cpu, memory"),
        ("query=up", "unknown parameter 'query'"),
        ("since=1h&since=2h", "'since' is there twice"),
        ("since=later", "time 'later' can't be understood"),
        ("since=1h&until=2h", "the range is empty"),
        (f"container={'a' * 64}&container=web", "either whole ids or names"),
    ],
)
def test_what_can_not_be_asked_never_reaches_prometheus(
    answers: tuple[type[Answers], str], query: str, why: str
) -> None:
    kind, url = answers
    metrics = PrometheusMetrics(Prometheus(parse(url, {}))).handlers()["/api/metrics"]
    with pytest.raises(UsageError, match=why):
        metrics(Request(EnvironBuilder(query_string=query).get_environ()))
    assert kind.asked == 0


def test_a_prometheus_that_scrapes_no_exporter_of_ours_is_told_of(answers: tuple[type[Answers], str]) -> None:
    kind, url = answers
    kind.body = NONE
    metrics = PrometheusMetrics(Prometheus(parse(url, {}))).handlers()["/api/metrics"]
    found = metrics(Request(EnvironBuilder(query_string="by=node&since=1h").get_environ())).get_json()
    assert found["groups"] == found["happened"] == []
    assert found["why"].startswith(f"Prometheus {url} scrapes no `towline export`: give it a job")


# --- towline check


def test_check_says_whether_prometheus_answers_and_scrapes_us(answers: tuple[type[Answers], str]) -> None:
    kind, url = answers
    kind.body = NONE
    (finding,) = findings("", "", {PROMETHEUS.variable: url})
    assert (finding.mark, finding.text) == (Mark.HINT, f"Prometheus {url} answers, and scrapes no `towline export`")
    kind.body = NONE.replace(b"[]", b'[{"metric":{"instance":"a"},"value":[1,"15"]}]')
    (finding,) = findings("", "", {PROMETHEUS.variable: url})
    assert (finding.mark, finding.text) == (Mark.GOOD, f"Prometheus answers at {url}; our exporters there: 1")
    kind.status = 401
    (finding,) = findings("", "", {PROMETHEUS.variable: url})
    assert (finding.mark, finding.text) == (Mark.BAD, f"Prometheus {url}: it refuses our credentials (401)")
