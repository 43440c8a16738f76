"""compose/init.py: what it makes fits together, is made once, and is nobody else's to read."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from towline.queues import amqp_topology, amqp_url

INIT = Path(__file__).parents[2] / "compose" / "init.py"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    run(tmp_path)
    return tmp_path


def run(folder: Path, *more: str) -> str:
    return subprocess.run(
        [sys.executable, str(INIT), str(folder), *more], capture_output=True, text=True, check=True
    ).stdout


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_run_changes_nothing(made: Path) -> None:
    before = files(made)
    run(made)
    assert files(made) == before


def test_a_file_that_was_deleted_is_made_again_and_nothing_else(made: Path) -> None:
    before = files(made)
    gone = made / "grafana" / "password"
    gone.unlink()
    run(made)
    after = files(made)
    assert after.keys() == before.keys()
    assert [path for path in after if after[path] != before[path]] == [gone]


def test_keys_and_passwords_are_their_owners_alone(made: Path) -> None:
    for path in files(made):
        public = path.name in ("ca.pem", "server.pem", "roles.yml")
        assert path.stat().st_mode & 0o777 == (0o444 if public else 0o400), path


@pytest.mark.parametrize("name", ["rabbitmq", "elasticsearch"])
def test_certificates_hold_for_the_names_of_one_and_of_three(made: Path, name: str) -> None:
    for host in (name, f"{name}-2", f"{name}-3", "localhost"):
        command = [
            "openssl",
            "verify",
            "-CAfile",
            f"{made}/ca/ca.pem",
            "-purpose",
            "sslserver",
            "-verify_hostname",
            host,
        ]
        assert subprocess.run([*command, f"{made}/{name}/server.pem"], capture_output=True, check=False).returncode == 0
    refused = [*command[:-1], "elsewhere", f"{made}/{name}/server.pem"]
    assert subprocess.run(refused, capture_output=True, check=False).returncode != 0


def test_the_brokers_users_are_those_who_got_the_passwords(made: Path) -> None:
    told = json.loads((made / "rabbitmq/definitions.json").read_text())
    hashes = {user["name"]: base64.b64decode(user["password_hash"]) for user in told["users"]}
    assert hashes.keys() == {"shipper", "indexer", "application", "admin"}
    for name, folder in {"shipper": "shipper", "indexer": "indexer", "application": "events"}.items():
        password = (made / folder / "queue_password").read_bytes()
        assert hashes[name][4:] == hashlib.sha256(hashes[name][:4] + password).digest()
    configures = {row["user"]: row["configure"] for row in told["permissions"]}
    assert configures["shipper"] == configures["application"] == "^$"


@pytest.mark.parametrize(
    ("name", "declares", "publishes", "reads"),
    [
        ("towline", 1, 1, 1), ("towline.logs", 1, 1, 1), ("towline.logs.archive-2", 1, 1, 1), ("towline.dead", 1, 1, 1),
        ("towline.events", 1, 1, 1), ("events", 1, 0, 1), ("towline2", 0, 0, 0), ("orders", 0, 0, 0),
        ("amq.default", 0, 0, 0), ("towline.events.x", 0, 0, 0), ("events.x", 0, 0, 0),
    ],
)  # fmt: skip
def test_the_indexer_has_rights_on_what_it_declares_alone(
    made: Path, name: str, declares: int, publishes: int, reads: int
) -> None:
    told = json.loads((made / "rabbitmq/definitions.json").read_text())
    (row,) = (row for row in told["permissions"] if row["user"] == "indexer")
    found = [bool(re.search(row[right], name)) for right in ("configure", "write", "read")]
    assert found == [declares, publishes, reads]


def test_the_stores_roles_cover_what_labels_and_events_name(made: Path) -> None:
    roles = yaml.safe_load((made / "elasticsearch/roles.yml").read_text())
    for role, alias in (("towline_index", False), ("towline_read", True)):
        (row,) = roles[role]["indices"]
        for name in ("logs-docker-default", "logs-towline.deadletter-default", "logs-nginx.7d-prod",
                     "logs-events.order.created-default"):  # fmt: skip
            assert any(fnmatchcase(name, pattern) for pattern in row["names"]), (role, name)
        assert any(fnmatchcase("towline-default-lines", pattern) for pattern in row["names"]) == alias
        for name in ("metrics-x-default", ".kibana", "logs", "orders"):
            assert not any(fnmatchcase(name, pattern) for pattern in row["names"]), (role, name)
    assert "delete_index" not in str(roles)


def test_the_queues_are_those_that_towline_would_declare(made: Path) -> None:
    """Otherwise the broker would refuse the indexer's own declaration."""
    queues = {
        row["name"]: row["arguments"] for row in json.loads((made / "rabbitmq/definitions.json").read_text())["queues"]
    }
    broker = amqp_url.parse("amqp://broker/")
    common = {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length-bytes": broker.size}
    limit = {"x-dead-letter-exchange": broker.dead, "x-delivery-limit": amqp_topology.DELIVERY_LIMIT}
    assert queues == {broker.dead: common, broker.queue: {**common, **limit}}


def test_the_stores_users_are_those_who_got_the_passwords(made: Path) -> None:
    stored = dict(line.split(":", 1) for line in (made / "elasticsearch/users").read_text().splitlines())
    rounds, salt, hashed = stored["towline-index"].removeprefix("{PBKDF2}").split("$")
    password = (made / "indexer/store_password").read_bytes()
    assert hashlib.pbkdf2_hmac("sha512", password, base64.b64decode(salt), int(rounds), 32) == base64.b64decode(hashed)
    roles = dict(reversed(line.split(":")) for line in (made / "elasticsearch/users_roles").read_text().splitlines())
    assert roles["towline-index"] == "towline_index"
    assert (
        f"elasticsearch.password: {(made / 'kibana/password').read_text()}" in (made / "kibana/kibana.yml").read_text()
    )


def test_show_tells_a_person_where_to_log_in(made: Path) -> None:
    told = run(made, "show")
    for name in ("admin/elasticsearch_password", "grafana/password", "page/token"):
        assert (made / name).read_text() in told
