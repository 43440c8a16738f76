"""An Elasticsearch of the tests' own with security and TLS on: ways to say who we are, and the roles that are enough.

The test distribution lacks what the server's index of API keys needs (the module analysis-common), so none can be made
there: a key is seen to be sent in test_elasticsearch_faults.py, and a wrong one is refused here.
"""

import json
import os
import re
import runpy
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest
import requests
from click.testing import CliRunner, Result
from ports import free_port

from towline.batch import ORIGIN_MARK, Batch, Origin, Section
from towline.cli import cli
from towline.data_streams import Route
from towline.errors import StoreUnavailable
from towline.query import Query
from towline.stores import es_address, es_routed
from towline.stores.elasticsearch import ElasticsearchStore

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "elasticsearch.sh"
PASSWORD = "open-sesame-43"
STAMP = "2026-11-23T10:00:00.{:09}Z"
SETTINGS = r"""xpack.security.http.ssl.enabled: true
xpack.security.http.ssl.certificate: certs/server.pem
xpack.security.http.ssl.key: certs/server.key
xpack.security.http.ssl.certificate_authorities: [certs/ca.pem]
xpack.security.http.ssl.client_authentication: optional
xpack.security.authc.token.enabled: true
xpack.security.authc.realms.pki.certificates.order: 5
xpack.security.authc.realms.pki.certificates.certificate_authorities: [certs/ca.pem]
xpack.license.self_generated.type: trial
resource.reload.interval.high: 1s
cluster.routing.allocation.disk.threshold_enabled: false"""
ROLES = re.search(r"(?ms)^    setup:\n.*?\n\n", es_address.__doc__ or "")
"""The roles as they are documented: it is them that have to be enough."""
INIT = runpy.run_path(str(Path(__file__).parents[2] / "compose" / "init.py"))
DEPLOYED = {"deployed-index": "towline_index", "deployed-read": "towline_read"}
"""Names of certificates, and the roles of compose/init.py that they stand for."""
pytestmark = pytest.mark.timeout(400)


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def certificates(folder: Path) -> None:
    """ca.pem, what it vouches for (a server, and who may prepare, write and read), and expired.pem of the server."""
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=towline ca",
            "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip
    for name in ("server", "setup", "index", "read", *DEPLOYED):
        (folder / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                "-out", f"{name}.csr")  # fmt: skip
        sign(folder, name, f"{name}.pem", days=2)
    sign(folder, "server", "expired.pem", days=-1)


def sign(folder: Path, name: str, to: str, *, days: int) -> None:
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", str(days), "-extfile", f"{name}.ext", "-out", to)  # fmt: skip


class Secured:
    """The server, and what a user of it has in the environment."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.certs = folder / "certs"
        self.certs.mkdir()
        self._environ = {**os.environ, "TOWLINE_ES_PORT": str(self.port), "TOWLINE_ES_PASSWORD": PASSWORD,
                         "TOWLINE_ES_CONFIG": str(folder), "TOWLINE_ES_JAVA": "-XX:TieredStopAtLevel=1",
                         "TOWLINE_ES_SETTINGS": SETTINGS.replace("\n", "\\n")}  # fmt: skip
        self.instance = Path(self.run("folder").stdout.strip())

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([SCRIPT, command], env=self._environ, capture_output=True, text=True, check=False)

    def url(self, user: str = "", host: str = "127.0.0.1", **options: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in {"refresh": "now", **options}.items())
        return f"https://{user}{'@' if user else ''}{host}:{self.port}/?{query}"

    def environ(self, **more: str | Path) -> dict[str, str]:
        return {f"TOWLINE_STORE_{name.upper()}": str(value)
                for name, value in {"ca": self.certs / "ca.pem", **more}.items()}  # fmt: skip

    def certified(self, name: str) -> dict[str, str]:
        return self.environ(certificate=self.certs / f"{name}.pem", key=self.certs / f"{name}.key")

    def ask(self, path: str, body: Any = None) -> Any:
        answer = requests.post(
            f"https://127.0.0.1:{self.port}{path}", json=body, auth=("elastic", PASSWORD),
            verify=str(self.certs / "ca.pem"), timeout=60)  # fmt: skip
        answer.raise_for_status()
        return answer.json()

    def show(self, certificate: str) -> None:
        """The server shows this certificate of the same key from a second on."""
        place = self.instance / "config" / "certs" / "server.pem"
        shutil.copy(self.certs / certificate, place)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, missing_part: Callable[[str], NoReturn]) -> Iterator[Secured]:
    if not shutil.which("openssl"):
        missing_part("no openssl")
    folder = tmp_path_factory.mktemp("config")
    server = Secured(folder)
    certificates(server.certs)
    assert ROLES
    (folder / "roles.yml").write_text(re.sub("(?m)^    ", "", ROLES[0]) + INIT["ROLES"])
    mapped = {"setup": "setup", "index": "index", "read": "read", **DEPLOYED}
    (folder / "role_mapping.yml").write_text("".join(f'{role}: ["CN={n}"]\n' for n, role in mapped.items()))
    started = server.run("start")
    if started.returncode:
        missing_part(f"no Elasticsearch could be started: {started.stderr.strip()}")
    yield server
    server.run("stop")
    shutil.rmtree(server.instance)


def batch(count: int) -> Batch:
    origin = Origin({"container": {"id": "c" * 64, "name": "web.1"}, "host": {"name": "n"}, "service": {"name": "web"}})
    docs = b""
    for at in range(count):
        row = orjson.dumps({"@timestamp": STAMP.format(at), "message": f"line {at}", "stream": "stdout",
                            "event": {"sequence": at}})  # fmt: skip
        docs += orjson.dumps({"create": {"_id": f"{STAMP.format(at)}-x"}}) + b"\n" + row[:-1] + ORIGIN_MARK + b"}\n"
    return Batch([Section(origin, docs, count, STAMP.format(0), STAMP.format(count - 1))])


def towline(environ: dict[str, str], *arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), env=environ)


def prepared(url: str, environ: dict[str, str]) -> None:
    done = towline(environ, "setup", "--store", url)
    assert done.exit_code == 0, done.output
    assert "store ready" in done.output


def written(url: str, environ: dict[str, str], roll: Callable[[], object]) -> None:
    """All that an indexer does: write, repeat, refuse, look into older indices, remove a dead letter."""
    store = ElasticsearchStore(url, environ=environ)
    try:
        for stored, duplicate in ((3, 0), (0, 3)):
            (verdict,) = store.write([batch(3)])
            assert (sum(verdict.stored), sum(verdict.duplicate)) == (stored, duplicate)
        roll()
        (verdict,) = store.write([batch(6)])
        assert (sum(verdict.stored), sum(verdict.duplicate)) == (3, 3)
        bad = Section(batch(1).sections[0].origin, b'{"create":{"_id":"bad"}}\n{"@timestamp":1}\n', 1, "", "")
        store.write([Batch([bad])])
        letters = store.dead_letters(0)
        assert [letter["identity"] for letter in letters] == ["bad"]
        store.forget(letters)
        assert store.dead_letters(0) == []
        store.check()
        store.maintain()
    finally:
        store.close()


def found(url: str, environ: dict[str, str]) -> None:
    """All that a reader does: search, tail, context, audit, dead letters."""
    done = towline(environ, "search", "--store", url, "--json", "--limit", "0", "--since", "2026-11-23")
    assert done.exit_code == 0, done.output
    assert {json.loads(line)["message"] for line in done.stdout.splitlines()} == {f"line {at}" for at in range(6)}
    store = ElasticsearchStore(url, environ=environ, read_only=True)
    try:
        hit = next(iter(store.search(Query(limit=1))))
        assert len(store.context(hit, 2, 0)[0]) == 2
        _, cursor = store.follow(None, Query())
        assert store.follow(cursor, Query())[0] == []
        assert len(list(store.identities("c" * 64, None, None))) == 6
        assert store.totals() == {"web": 6}
        assert store.dead_letters() == []
    finally:
        store.close()


def works(server: Secured, url: str, environ: dict[str, str], namespace: str) -> None:
    prepared(url, environ)
    written(url, environ, lambda: server.ask(f"/logs-docker-{namespace}/_rollover"))
    found(url, environ)


def test_a_user_with_a_password_from_a_file(secured: Secured, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    environ = secured.environ(password_file=tmp_path / "password")
    works(secured, secured.url("elastic", namespace="basic"), environ, "basic")


def test_a_bearer_token_of_the_servers_own(secured: Secured) -> None:
    token = secured.ask("/_security/oauth2/token", {"grant_type": "client_credentials"})["access_token"]
    works(secured, secured.url(namespace="bearer"), secured.environ(bearer=token), "bearer")
    wrong = token[:30] + ("B" if token[30] == "A" else "A") + token[31:]
    with pytest.raises(StoreUnavailable, match="refuses our credentials") as refused:
        ElasticsearchStore(secured.url(), environ=secured.environ(bearer=wrong))
    assert token[:20] not in str(refused.value)


def test_the_documented_roles_are_enough_for_client_certificates(secured: Secured) -> None:
    url = secured.url(namespace="roles")
    prepared(url, secured.certified("setup"))
    written(url, secured.certified("index"), lambda: secured.ask("/logs-docker-roles/_rollover"))
    found(url, secured.certified("read"))
    prepared(url, secured.certified("setup"))


def test_a_role_may_no_more_than_its_own(secured: Secured) -> None:
    with pytest.raises(StoreUnavailable, match=r"may not do that \(403\).*component_template/put"):
        ElasticsearchStore(secured.url(namespace="never.prepared"), environ=secured.certified("index"))
    url = secured.url(namespace="others")
    prepared(url, secured.certified("setup"))
    for name in ("setup", "read"):
        store = ElasticsearchStore(url, environ=secured.certified(name), patience=1)
        with pytest.raises(StoreUnavailable, match=r"may not do that|unauthorized"):
            store.write([batch(1)])
        store.close()


def test_a_label_that_asks_for_more_than_the_role_may_holds_up_nothing(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(es_routed.log, "warning", lambda text, *values: said.append(text % values))
    url = secured.url(namespace="routed")
    prepared(url, secured.certified("setup"))
    store = ElasticsearchStore(url, environ=secured.certified("index"), patience=1)
    for number, route in enumerate((Route("nginx"), Route("docker", "prod"))):
        (verdict,) = store.write([routed(route, number)])
        assert sum(verdict.stored) == 3
    store.close()
    assert len(said) == 2
    assert said[0].startswith("data stream logs-nginx-routed: this account lacks one of create_doc")
    assert said[1].startswith("data stream logs-docker-prod can't be made: this account may not")
    assert secured.ask("/logs-docker-routed/_count")["count"] == 6
    assert len(found_by(url, secured.certified("read"))) == 6


def routed(route: Route, number: int) -> Batch:
    """Three lines that labels send to this stream; `number` tells them from those of other streams."""
    (section,) = batch(3).sections
    fields = {**section.origin.fields, "data_stream": route.fields}
    docs = section.docs.replace(b'-x"', b'-%d"' % number)
    return Batch([Section(Origin(fields), docs, 3, section.first, section.last)])


def found_by(url: str, environ: dict[str, str]) -> list[dict[str, Any]]:
    store = ElasticsearchStore(url, environ=environ, read_only=True)
    try:
        return list(store.search(Query(limit=0)))
    finally:
        store.close()


def test_the_deployed_roles_are_enough_for_streams_of_labels_and_events(
    secured: Secured, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(es_routed.log, "warning", lambda text, *values: said.append(text % values))
    url = secured.url(namespace="deployed")
    prepared(url, secured.certified("deployed-index"))
    store = ElasticsearchStore(url, environ=secured.certified("deployed-index"), patience=1)
    routes = (Route("docker"), Route("nginx.7d", retention="7d"), Route("docker", "prod2"), Route("events.order.made"))
    for number, route in enumerate(routes):
        for stored, duplicate in ((3, 0), (0, 3)):
            (verdict,) = store.write([routed(route, number)])
            assert (sum(verdict.stored), sum(verdict.duplicate)) == (stored, duplicate)
        assert secured.ask(f"/{route.stream('deployed')}/_count")["count"] == 3
    store.maintain()
    store.close()
    assert said == []
    reader = secured.certified("deployed-read")
    assert len(found_by(url, reader)) == 12
    following = ElasticsearchStore(url, environ=reader, read_only=True)
    assert following.follow(following.follow(None, Query())[1], Query())[0] == []
    following.close()
    written = ElasticsearchStore(url, environ=reader, patience=1)
    with pytest.raises(StoreUnavailable, match=r"may not do that|unauthorized"):
        written.write([batch(1)])
    written.close()


def test_setup_says_what_it_may_not_change(secured: Secured) -> None:
    url = secured.url(namespace="kept")
    prepared(url, secured.certified("setup"))
    done = towline(secured.certified("index"), "setup", "--store", url)
    assert "index template towline-logs-docker-kept stays as it is: this account may not change it" in done.output


@pytest.mark.parametrize(
    ("user", "environ", "secret"),
    [
        ("elastic", {"password": "wr0ng"}, "wr0ng"),
        ("nobody", {"password": PASSWORD}, PASSWORD),
        ("", {"api_key": "bm90OmFrZXk="}, "bm90"),
        ("", {"bearer": "bm90OmFrZXk="}, "bm90"),
        ("", {}, "-----"),
    ],
    ids=["password", "user", "api-key", "bearer", "nothing"],
)
def test_refused_credentials_are_one_line_without_them(
    secured: Secured, user: str, environ: dict[str, str], secret: str
) -> None:
    done = towline(secured.environ(**environ), "setup", "--store", secured.url(user))
    assert done.exit_code == 1
    assert "refuses our credentials" in done.output
    assert secret not in done.output
    assert len(done.output.splitlines()) == 1


def refused(url: str, environ: dict[str, str]) -> str:
    done = towline(environ, "search", "--store", url)
    return done.output if done.exit_code == 1 else ""


def test_an_unknown_authority_and_another_host_are_refused(secured: Secured) -> None:
    password = {"TOWLINE_STORE_PASSWORD": PASSWORD}
    assert re.search(r"TLS.*TOWLINE_STORE_CA", refused(secured.url("elastic"), password))
    elsewhere = secured.url("elastic", host="localhost")
    said = refused(elsewhere, secured.environ(password=PASSWORD))
    assert re.search(r"TLS.*localhost.*check the host name", said), said


def test_an_expired_certificate_is_refused(secured: Secured) -> None:
    url, environ = secured.url("elastic"), secured.environ(password=PASSWORD)
    assert refused(url, environ) == ""
    secured.show("expired.pem")
    try:
        said = awaited(lambda: refused(url, environ))
        assert re.search(r"TLS.*certificate has expired", said), said
    finally:
        secured.show("server.pem")
        assert awaited(lambda: not refused(url, environ))


def awaited(condition: Callable[[], Any]) -> Any:
    """The first true answer within a minute; else the last one."""
    deadline = time.monotonic() + 60
    while not (answer := condition()) and time.monotonic() < deadline:
        time.sleep(0.3)
    return answer
