"""The broker that a queue URL names: addresses, credentials, TLS, and the names of what is declared there.

    amqp://user:password@host1,host2:5673/vhost?size=10G
    amqps://user@host/vhost?password-file=/run/secrets/queue&ca=/run/secrets/ca.pem

Options: `size` bounds the queue on the broker (bytes, 10G); `name` replaces `towline` in all names there;
`password-file` holds the password and is read at every connect, so that it can be renewed; `ca`, `cert`, `key` are
PEM files for amqps; `heartbeat` in seconds (10).
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import click
import pika

from towline.config import Size
from towline.queues.address import addresses, tls_context, wrong

PORTS = {"amqp": 5672, "amqps": 5671}
OPTIONS = ("size", "name", "password-file", "ca", "cert", "key", "heartbeat")
FILES = ("password-file", "ca", "cert", "key")
EXAMPLE = "write amqp://user:password@host1,host2:5673/vhost"
CONNECT_WITHIN = 5.0
OPEN_WITHIN = 10.0
BLOCKED_AT_MOST = 300.0
"""Seconds that an alarm may last before the connection is made anew: the broker may be gone behind it."""


@dataclass(frozen=True)
class Broker:
    """See the module's text. `addresses` are tried in turn; they belong to one cluster."""

    addresses: tuple[tuple[str, int], ...]
    vhost: str = "/"
    user: str = "guest"
    password: str = field(default="guest", repr=False)
    tls: bool = False
    size: int = 10 << 30
    name: str = "towline"
    heartbeat: int = 10
    files: dict[str, str] = field(default_factory=dict)
    store: str = ""
    """The named store whose queue is ours; "" for the default one's."""

    @property
    def exchange(self) -> str:
        return self.name

    @property
    def queue(self) -> str:
        return self.queue_of(self.store)

    def queue_of(self, store: str) -> str:
        """The queue of a named store, or of the default one."""
        return f"{self.name}.logs.{store}" if store else f"{self.name}.logs"

    @property
    def dead(self) -> str:
        """The dead letters' exchange, and their queue."""
        return f"{self.name}.dead"

    def at(self, address: tuple[str, int]) -> str:
        """The URL of one address, as it may be shown."""
        host, port = address
        host = f"[{host}]" if ":" in host else host
        return f"{'amqps' if self.tls else 'amqp'}://{self.user}@{host}:{port}/{self.vhost.removeprefix('/')}"

    def parameters(self, address: tuple[str, int]) -> pika.ConnectionParameters:
        """What pika connects with; raises UsageError where a file of the URL can't be used (any more)."""
        path = self.files.get("password-file")
        password = _read(path) if path else self.password
        parameters = pika.ConnectionParameters(
            host=address[0],
            port=address[1],
            virtual_host=self.vhost,
            credentials=pika.PlainCredentials(self.user, password, erase_on_connect=True),
            heartbeat=self.heartbeat,
            socket_timeout=CONNECT_WITHIN,
            stack_timeout=OPEN_WITHIN,
            blocked_connection_timeout=BLOCKED_AT_MOST,
            client_properties={"connection_name": "towline"},
        )
        if self.tls:
            parameters.ssl_options = pika.SSLOptions(tls_context(self.files), address[0])
        return parameters


def parse(url: str) -> Broker:
    """The broker behind an amqp or amqps URL; raises UsageError, which never shows a password."""
    parts = _split(url)
    if parts.scheme not in PORTS:
        raise wrong(f"{parts.scheme}:// leads to no broker; {EXAMPLE}")
    userinfo, _, places = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    options = _options(parts.query)
    broker = Broker(
        addresses=addresses(places, PORTS[parts.scheme], EXAMPLE),
        vhost=unquote(parts.path[1:]) or "/",
        user=unquote(user) or "guest",
        password=unquote(password) if userinfo else "guest",
        tls=parts.scheme == "amqps",
        size=_size(options.get("size", "10G")),
        name=_name(options.get("name", "towline")),
        heartbeat=_heartbeat(options.get("heartbeat", "10")),
        files={option: options[option] for option in FILES if option in options},
    )
    if not broker.tls and {"ca", "cert", "key"} & options.keys():
        raise wrong("ca, cert and key are for amqps://; this is amqp://, which is not encrypted")
    broker.parameters(broker.addresses[0])
    return broker


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise wrong(f"it can't be read; {EXAMPLE}") from error
    if "@" in parts.path or parts.fragment:
        raise wrong("write the characters / ? # @ : of user, password and vhost as %2F %3F %23 %40 %3A")
    return parts


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for option in options:
        if option not in OPTIONS:
            raise wrong(f"unknown option {option!r}; there are {', '.join(OPTIONS)}")
    return options


def _size(text: str) -> int:
    try:
        size = Size().convert(text, None, None)
    except click.BadParameter as error:
        raise wrong(f"size: {error.message}") from error
    if size < 1 << 10:
        raise wrong(f"size={text} holds no batch; write for example size=10G")
    return size


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", text):
        raise wrong(f"name={text!r}: use 1 to 64 letters, digits, dots, dashes and underscores")
    return text


def _heartbeat(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 2 <= int(text) <= 600:
        raise wrong(f"heartbeat={text!r} is not a number of seconds from 2 to 600")
    return int(text)


def _read(path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise wrong(f"password-file={path}: {reason}; name a readable file that holds the password") from error
    if not text:
        raise wrong(f"password-file={path}: the file is empty; write the password into it")
    return text
