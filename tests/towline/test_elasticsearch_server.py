"""A server of the tests' own that asks for a password and is killed in the middle of a write; and one with TLS."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest
from ports import free_port

from towline.batch import ORIGIN_MARK, Batch, Origin, Section
from towline.errors import StoreUnavailable, UsageError
from towline.stores.elasticsearch import ElasticsearchStore

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "elasticsearch.sh"
PASSWORD = "open-sesame-42"
STAMP = "2026-01-01T00:00:00.{:09}Z"


class Own:
    """An Elasticsearch that only these tests know."""

    def __init__(self) -> None:
        self.port = free_port()
        self._environ = {**os.environ, "TOWLINE_ES_PORT": str(self.port), "TOWLINE_ES_PASSWORD": PASSWORD}

    def run(self, command: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([SCRIPT, command], env={**self._environ, **more}, capture_output=True, text=True)

    @property
    def instance(self) -> Path:
        return Path(self.run("folder").stdout.strip())

    def kill(self) -> None:
        """Until it has let go of its port: a large process takes a while to go."""
        os.kill(int((self.instance / "pid").read_text()), signal.SIGKILL)
        deadline = time.monotonic() + 60
        while self.listens() and time.monotonic() < deadline:
            time.sleep(0.05)

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture(scope="module")
def own(missing_part: Callable[[str], NoReturn]) -> Iterator[Own]:
    server = Own()
    started = server.run("start")
    if started.returncode:
        missing_part(f"no Elasticsearch could be started: {started.stderr.strip()}")
    yield server
    folder = server.instance
    server.run("stop")
    shutil.rmtree(folder)


def section(number: int, container: int) -> Section:
    origin = Origin({"container": {"id": f"{container:064x}", "name": f"web{container}"}, "host": {"name": "n"},
                     "service": {"name": "web"}})  # fmt: skip
    docs = b"".join(
        b'{"create":{"_id":"%b-%d"}}\n{"@timestamp":"%b","message":"line %d","stream":"stdout",'
        b'"event":{"sequence":%d}%b}\n' % (STAMP.format(at).encode(), container, STAMP.format(at).encode(), at, at,
                                           ORIGIN_MARK) for at in range(number))  # fmt: skip
    return Section(origin, docs, number, STAMP.format(0), STAMP.format(number - 1))


@pytest.mark.timeout(400)
def test_a_password_is_asked_for_and_never_shown(own: Own) -> None:
    with pytest.raises(StoreUnavailable, match="refuses our credentials") as refused:
        ElasticsearchStore(f"http://elastic:wr0ng@127.0.0.1:{own.port}", environ={})
    assert "wr0ng" not in str(refused.value)
    with pytest.raises(StoreUnavailable, match="refuses our credentials"):
        ElasticsearchStore(f"http://127.0.0.1:{own.port}", environ={})
    url = f"http://elastic@127.0.0.1:{own.port}/?refresh=now&namespace=secret"
    store = ElasticsearchStore(url, environ={"TOWLINE_STORE_PASSWORD": PASSWORD})
    (verdict,) = store.write([Batch([section(3, 0)])])
    store.close()
    assert list(verdict.stored) == [3]


@pytest.mark.timeout(400)
def test_a_server_killed_in_the_middle_of_a_write_has_each_line_once(own: Own) -> None:
    url = f"http://elastic:{PASSWORD}@127.0.0.1:{own.port}/?refresh=now&namespace=killed"
    store = ElasticsearchStore(url, environ={}, patience=1)
    batches = [Batch([section(20_000, container)]) for container in range(4)]
    store.write([Batch([section(100, 0)])])
    begun, failures = threading.Event(), []

    def work() -> None:
        begun.set()
        for _ in range(200):
            try:
                store.write(batches)
            except StoreUnavailable as error:
                failures.append(str(error))
                return

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(60)
    thread.join(0.7)
    own.kill()
    thread.join(60)
    assert not thread.is_alive()
    assert len(failures) == 1
    assert "\n" not in failures[0]
    with pytest.raises(StoreUnavailable):
        store.check()
    assert own.run("start", TOWLINE_ES_KEEP="1").returncode == 0
    verdicts = retried(store, batches)
    assert [sum(one.stored) + sum(one.duplicate) for one in verdicts] == [20_000] * 4
    assert store.totals() == {"web": 80_000}
    store.check()
    store.close()


def retried(store: ElasticsearchStore, batches: list[Batch]) -> Any:
    for _ in range(60):
        try:
            return store.write(batches)
        except StoreUnavailable:
            continue
    return store.write(batches)


class Speaker(BaseHTTPRequestHandler):
    """As much of an Elasticsearch as opening for reading needs."""

    def do_GET(self) -> None:
        payload = orjson.dumps({"nodes": {"n": {"version": "8.19.7"}}})
        self.send_response(200)
        for name, value in (("x-elastic-product", "Elasticsearch"), ("content-type", "application/json"),
                            ("content-length", str(len(payload)))):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: Any) -> None:
        pass


class TlsServer(HTTPServer):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Speaker)
        self._context = context

    def get_request(self) -> Any:
        connection, address = self.socket.accept()
        connection.settimeout(60)
        try:
            return self._context.wrap_socket(connection, server_side=True), address
        except OSError:
            connection.close()
            raise

    def handle_error(self, *_: Any) -> None:
        pass


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory, missing_part: Callable[[str], NoReturn]) -> Path:
    """ca.pem, and server.* and client.* that it vouches for; other.pem, which it knows nothing of."""
    if not shutil.which("openssl"):
        missing_part("no openssl")
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ca", "other"):
        openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN=towline {name}",
                "-keyout", f"{name}.key", "-out", f"{name}.pem")  # fmt: skip
    for name, host in (("server", "IP:127.0.0.1"), ("client", "DNS:towline"), ("wrong", "DNS:elsewhere")):
        (folder / f"{name}.ext").write_text(f"subjectAltName={host}\n")
        openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                "-out", f"{name}.csr")  # fmt: skip
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", "2", "-extfile", f"{name}.ext", "-out", f"{name}.pem")  # fmt: skip
    return folder


@pytest.fixture
def tls(keys: Path) -> Iterator[Callable[..., str]]:
    servers = []

    def start(name: str = "server", asks: bool = False) -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(keys / f"{name}.pem", keys / f"{name}.key")
        if asks:
            context.load_verify_locations(keys / "ca.pem")
            context.verify_mode = ssl.CERT_REQUIRED
        server = TlsServer(context)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        servers.append((server, thread))
        return f"https://127.0.0.1:{server.server_port}/?timeout=60"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def opened(url: str, **environ: Path) -> None:
    given = {f"TOWLINE_STORE_{name.upper()}": str(path) for name, path in environ.items()}
    ElasticsearchStore(url, environ=given, read_only=True).close()


def test_a_certificate_is_verified_against_the_given_authority(tls: Callable[..., str], keys: Path) -> None:
    url = tls()
    opened(url, ca=keys / "ca.pem")
    for wrong in ({}, {"ca": keys / "other.pem"}):
        with pytest.raises(StoreUnavailable, match=r"TLS.*TOWLINE_STORE_CA"):
            opened(url, **wrong)


def test_a_certificate_of_another_host_is_refused_unless_told(tls: Callable[..., str], keys: Path) -> None:
    url = tls("wrong")
    with pytest.raises(StoreUnavailable, match="TLS"):
        opened(url, ca=keys / "ca.pem")
    opened(f"{url}&verify=no")


def test_our_certificate_is_shown_where_it_is_asked_for(tls: Callable[..., str], keys: Path) -> None:
    url = tls(asks=True)
    opened(url, ca=keys / "ca.pem", certificate=keys / "client.pem", key=keys / "client.key")
    with pytest.raises(StoreUnavailable):
        opened(url, ca=keys / "ca.pem")
    with pytest.raises(UsageError, match="_CERTIFICATE"):
        opened(url, ca=keys / "ca.pem", certificate=keys / "client.pem", key=keys / "other.key")
