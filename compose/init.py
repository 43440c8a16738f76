"""Certificates, passwords and what is made of them, once: `init.py FOLDER` fills a folder for each service in need.

    FOLDER/ca            ca.pem, ca.key: signs the certificates; no service gets this folder
    FOLDER/rabbitmq      its certificate, definitions.json (users, permissions, queues), the cluster's cookie
    FOLDER/elasticsearch its certificate, users and roles of the file realm
    FOLDER/shipper …     one folder a service, with no more than it needs
    FOLDER/events        what applications need that publish domain events

What is there already is left as it is, so running it again changes nothing; delete a file and what is made of it to get
new ones. Needs Python and `openssl`, nothing else; the image has both. Passwords never are arguments of a process.
"""

import base64
import hashlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

DAYS = 3650
NODES = range(1, 4)
QUEUE_BYTES = 10 << 30
"""What towline.queues.amqp_url takes as the bound of a queue; a queue that differs is refused by the broker."""
DELIVERY_LIMIT = 1000

RABBITMQ, ELASTIC, GRAFANA, PROMETHEUS, TOWLINE = 999, 1000, 472, 65534, 10001
"""Users that the images run as; RabbitMQ's and Elasticsearch's are fixed by their official images."""

ROLES = """\
# `logs-*-*`: labels and domain events name data streams, logs-DATASET-NAMESPACE; `towline-*`: their alias for searches.
towline_index:
  cluster: [monitor, manage_index_templates]
  indices:
    - names: ['logs-*-*']
      privileges: [create_doc, delete, read, view_index_metadata, auto_configure, manage_data_stream_lifecycle]
towline_read:
  cluster: [monitor]
  indices:
    - names: ['logs-*-*', 'towline-*']
      privileges: [read, view_index_metadata, monitor]
towline_metrics:
  cluster: [monitor]
  indices:
    - names: ['*']
      privileges: [monitor, view_index_metadata]
"""
USERS = {
    "admin": "superuser",
    "towline-index": "towline_index",
    "towline-read": "towline_read",
    "towline-kibana": "kibana_system",
    "towline-metrics": "towline_metrics",
}
"""Elasticsearch's users, each with its one role. `elastic` gets no password, so nobody can be it."""


class Folder:
    """Where the files of one service go, readable by its user alone. `write` makes only what is not there."""

    def __init__(self, root: Path, name: str, owner: int) -> None:
        self.path = root / name
        self._owner = owner
        self.path.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, content: Callable[[], str], *, public: bool = False) -> str:
        """The file's content, made now where it does not exist."""
        path = self.path / name
        if not path.exists():
            with tempfile.NamedTemporaryFile("w", dir=self.path, delete=False) as file:
                file.write(content())
            Path(file.name).chmod(0o444 if public else 0o400)
            if os.geteuid() == 0:
                os.chown(file.name, self._owner, 0)
            Path(file.name).rename(path)
        return path.read_text()


def password() -> str:
    """256 bits, without characters that mean something in a URL, a shell or YAML."""
    return secrets.token_hex(32)


def openssl(*arguments: str, given: str = "") -> str:
    done = subprocess.run(["openssl", *arguments], input=given, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"init: openssl {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def key() -> str:
    return openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


def authority(folder: Folder) -> str:
    """ca.pem, which all programs verify the servers against."""
    folder.write("ca.key", key)
    return folder.write("ca.pem", lambda: openssl(
        "req", "-x509", "-new", "-key", f"{folder.path}/ca.key", "-days", str(DAYS), "-subj", "/CN=Towline CA",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign"), public=True)  # fmt: skip


def certificate(ca: Folder, to: Folder, name: str, hosts: Sequence[str]) -> None:
    """server.key and server.pem for `hosts`, signed by the authority."""
    to.write("server.key", key)
    to.write("server.pem", lambda: _signed(ca, to, name, hosts), public=True)


def _signed(ca: Folder, to: Folder, name: str, hosts: Sequence[str]) -> str:
    names = ",".join(f"DNS:{host}" for host in hosts)
    request = openssl("req", "-new", "-key", f"{to.path}/server.key", "-subj", f"/CN={name}")
    with tempfile.NamedTemporaryFile("w", suffix=".ext") as extensions:
        extensions.write(f"subjectAltName={names},IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
        extensions.flush()
        return openssl(
            "x509", "-req", "-CA", f"{ca.path}/ca.pem", "-CAkey", f"{ca.path}/ca.key", "-days", str(DAYS),
            "-set_serial", str(secrets.randbits(127)), "-extfile", extensions.name, given=request)  # fmt: skip


def for_elasticsearch(secret: str) -> str:
    """As Elasticsearch's file realm stores a password: PBKDF2 with HMAC-SHA512, 10,000 rounds, a salt of 32 bytes."""
    salt = secrets.token_bytes(32)
    made = hashlib.pbkdf2_hmac("sha512", secret.encode(), salt, 10_000, 32)
    return "{PBKDF2}10000$" + base64.b64encode(salt).decode() + "$" + base64.b64encode(made).decode()


def for_rabbitmq(secret: str) -> str:
    """As RabbitMQ's definitions store a password: 4 bytes of salt, then SHA-256 of salt and password."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + secret.encode()).digest()).decode()


def definitions(passwords: dict[str, str]) -> str:
    """Users, permissions, exchanges and queues. The shipper may only publish, and see that the queue is there; so may
    applications, to `events`. What is for stores of other names and for events is declared by indexers that serve it:
    a queue that nobody empties would fill.
    """
    dead = {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length-bytes": QUEUE_BYTES}
    logs = {**dead, "x-dead-letter-exchange": "towline.dead", "x-delivery-limit": DELIVERY_LIMIT}
    durable = {"vhost": "/", "durable": True, "auto_delete": False}
    bound = {"vhost": "/", "destination_type": "queue", "arguments": {}}
    own = r"towline(\.logs(\.[a-z0-9_-]+)?|\.dead|\.events)?"
    with_events = f"^({own}|events)$"
    may = {
        "shipper": ("^$", r"^towline(\.logs)?$", "^towline$"),
        "application": ("^$", "^events$", "^$"),
        "indexer": (with_events, f"^{own}$", with_events),
        "admin": (".*",) * 3,
    }
    return json.dumps({
        "users": [{"name": name, "password_hash": for_rabbitmq(secret), "tags": name if name == "admin" else "",
                   "hashing_algorithm": "rabbit_password_hashing_sha256", "limits": {}}
                  for name, secret in passwords.items()],
        "vhosts": [{"name": "/"}],
        "permissions": [{"user": user, "vhost": "/", "configure": rights[0], "write": rights[1], "read": rights[2]}
                        for user, rights in may.items()],
        "exchanges": [{**durable, "name": "towline", "type": "topic", "internal": False, "arguments": {}},
                      {**durable, "name": "towline.dead", "type": "fanout", "internal": False, "arguments": {}}],
        "queues": [{**durable, "name": "towline.dead", "arguments": dead},
                   {**durable, "name": "towline.logs", "arguments": logs}],
        "bindings": [{**bound, "source": "towline", "destination": "towline.logs", "routing_key": "logs"},
                     {**bound, "source": "towline.dead", "destination": "towline.dead", "routing_key": "logs"}],
    }, indent=1)  # fmt: skip


def kibana(secret: str) -> str:
    keys = "\n".join(f"xpack.{part}.encryptionKey: {password()}"
                     for part in ("security", "encryptedSavedObjects", "reporting"))  # fmt: skip
    return f"""\
server.host: 0.0.0.0
server.publicBaseUrl: http://localhost:5601
elasticsearch.hosts: [https://elasticsearch:9200]
elasticsearch.username: towline-kibana
elasticsearch.password: {secret}
elasticsearch.ssl.certificateAuthorities: [/run/secrets/ca.pem]
telemetry.optIn: false
{keys}
"""


def hosts(name: str) -> list[str]:
    return [name, *(f"{name}-{node}" for node in NODES), "localhost"]


def make(root: Path) -> None:
    """Everything that is missing below `root`."""
    ca = Folder(root, "ca", 0)
    folders = {name: Folder(root, name, owner) for name, owner in {
        "rabbitmq": RABBITMQ, "elasticsearch": ELASTIC, "kibana": ELASTIC, "grafana": GRAFANA, "metrics": PROMETHEUS,
        "shipper": 0, "indexer": TOWLINE, "page": TOWLINE, "events": TOWLINE, "admin": 0}.items()}  # fmt: skip
    trusted = authority(ca)
    for name in ("rabbitmq", "elasticsearch"):
        certificate(ca, folders[name], name, hosts(name))
    for folder in folders.values():
        folder.write("ca.pem", lambda: trusted, public=True)
    _broker(folders)
    _store(folders)
    folders["grafana"].write("password", password)
    folders["page"].write("token", password)


def _broker(folders: dict[str, Folder]) -> None:
    passwords = {
        "shipper": folders["shipper"].write("queue_password", password),
        "indexer": folders["indexer"].write("queue_password", password),
        "application": folders["events"].write("queue_password", password),
        "admin": folders["admin"].write("rabbitmq_password", password),
    }
    folders["rabbitmq"].write("definitions.json", lambda: definitions(passwords))
    folders["rabbitmq"].write("cookie", password)


def _store(folders: dict[str, Folder]) -> None:
    passwords = {
        "admin": folders["admin"].write("elasticsearch_password", password),
        "towline-index": folders["indexer"].write("store_password", password),
        "towline-read": folders["page"].write("store_password", password),
        "towline-kibana": folders["kibana"].write("password", password),
        "towline-metrics": folders["metrics"].write("password", password),
    }
    folders["kibana"].write("kibana.yml", lambda: kibana(passwords["towline-kibana"]))
    server = folders["elasticsearch"]
    server.write("users", lambda: "".join(f"{name}:{for_elasticsearch(passwords[name])}\n" for name in USERS))
    server.write("users_roles", lambda: "".join(f"{role}:{name}\n" for name, role in USERS.items()))
    server.write("roles.yml", lambda: ROLES, public=True)


def show(root: Path) -> None:
    """What a person needs to log in, on the terminal."""
    for what, user, file in (
        ("Kibana          http://localhost:5601", "admin", "admin/elasticsearch_password"),
        ("Grafana         http://localhost:3000", "admin", "grafana/password"),
        ("RabbitMQ        http://localhost:15672", "admin", "admin/rabbitmq_password"),
        ("Towline's page  http://localhost:8514", "any", "page/token"),
    ):
        print(f"{what:<40} user {user:<6} password {(root / file).read_text().strip()}")


def main(arguments: Sequence[str]) -> None:
    match arguments:
        case [folder] if not folder.startswith("-"):
            make(Path(folder))
            print(f"init: certificates and credentials are in {folder}")
        case [folder, "show"] if not folder.startswith("-"):
            show(Path(folder))
        case _:
            print("usage: init.py FOLDER [show]", file=sys.stderr)
            sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
