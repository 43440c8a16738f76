"""Where an Elasticsearch is, who we are to it, and how its indices are to be laid out: all from one URL and secrets.

    https://user:password@es1:9200,es2:9200/prefix?shards=2&replicas=1&refresh=5s

Secrets may rather come from the environment or files: TOWLINE_STORE_PASSWORD, _API_KEY, _BEARER, each also with _FILE.

Roles that are enough, found by experiment on a server 8.19 with security, as `roles.yml` has them; `setup` is for
`towline setup`, `index` for `towline index` and replaying dead letters, `read` for `search`, `tail` and `audit`:

    setup:
      cluster: [monitor, manage_index_templates]
      indices:
        - names: ['logs-docker-*', 'logs-towline.deadletter-*']
          privileges: [manage_data_stream_lifecycle]
    index:
      cluster: [monitor]
      indices:
        - names: ['logs-docker-*', 'logs-towline.deadletter-*']
          privileges: [create_doc, delete, read, view_index_metadata, auto_configure]
    read:
      cluster: [monitor]
      indices:
        - names: ['logs-docker-*', 'logs-towline.deadletter-*']
          privileges: [read, view_index_metadata, monitor]

`monitor` of the cluster asks for the server's version, that of the index where `tail` stands; `delete` takes back what
a rollover has doubled; `auto_configure` lets the first write make the data stream. An indexer without `setup` before it
needs that role as well.

Where labels or domain events ask for streams of their own, `index` needs `manage_index_templates` too, `index` and
`read` these streams among their names (`logs-nginx-*`, `logs-events.*`), and `read` also `towline-*`, the alias that
they are searched by. What `index` may not write goes to the store's own stream, and that is said.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from towline.config import (
    STORE,
    STORE_API_KEY,
    STORE_BEARER,
    STORE_CA,
    STORE_CERTIFICATE,
    STORE_KEY,
    STORE_PASSWORD,
    Setting,
    masked,
    secret,
)
from towline.errors import UsageError

_HOST = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9_.]{0,99}")
_TIME = re.compile(r"now|-1|\d+(?:ms|s|m)")
DEFAULT_PORT = 9200
_EXAMPLE = "write for example https://elastic@es1:9200,es2:9200"


@dataclass(frozen=True)
class Layout:
    """How the data streams are made. All of it can be said in the URL's query.

    refresh: how long a line may take to be searchable, and "now" to wait for that in each write (for tests).
    replicas: "auto" is one where there is a second node. logsdb: "on", "off", or "auto", the server's default.
    """

    namespace: str = "default"
    shards: int = 1
    replicas: str = "auto"
    refresh: str = "5s"
    logsdb: str = "off"

    @property
    def stream(self) -> str:
        return f"logs-docker-{self.namespace}"

    @property
    def alias(self) -> str:
        """What all other streams that this store writes can be read by: those that labels or events ask for."""
        return f"towline-{self.namespace}-lines"

    @property
    def reads(self) -> str:
        """All lines. A pattern, since an alias that is not there is an error; no namespace has a `-` in it."""
        return f"{self.stream},towline-{self.namespace}-*"

    @property
    def dead_letters(self) -> str:
        return f"logs-towline.deadletter-{self.namespace}"


@dataclass(frozen=True)
class Address:
    """What is needed to speak to a cluster. `shown` has no secret in it, and nor has the repr."""

    hosts: tuple[str, ...]
    shown: str
    layout: Layout = Layout()
    user: str = ""
    password: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    verify: bool = True
    timeout: float = 60.0


def parse(url: str, environ: Mapping[str, str]) -> Address:
    """The address that `url` and the environment mean; UsageError, without a secret in it, where they mean none."""
    shown = _masked(url)
    try:
        parts = urlsplit(url)
        userinfo, _, places = parts.netloc.rpartition("@")
    except ValueError as error:
        raise UsageError(f"store URL {shown!r}: {error}; {_EXAMPLE}") from error
    hosts = tuple(_host(parts.scheme, place, parts.path, shown) for place in places.split(","))
    user, _, password = (unquote(part) for part in userinfo.partition(":"))
    address = _optioned(Address(hosts, shown, user=user, password=password), parts.query, shown)
    return _authorised(address, environ)


def _masked(url: str) -> str:
    head, at, tail = url.rpartition("@")
    if not at:
        return url
    scheme, separator, userinfo = head.partition("://")
    plain = masked(STORE, f"{scheme}://x@h") and userinfo.partition(":")
    return f"{scheme}{separator}{plain[0]}{':***' if plain[1] else ''}@{tail}"


def _host(scheme: str, place: str, path: str, shown: str) -> str:
    if not _HOST.fullmatch(place):
        raise UsageError(f"store URL {shown!r}: {place!r} is no host; {_EXAMPLE}")
    name, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):
        name, port = place, str(DEFAULT_PORT)
    if not 0 < int(port) <= 65535:
        raise UsageError(f"store URL {shown!r}: port {port} is not between 1 and 65535")
    return f"{scheme}://{name}:{port}{path.rstrip('/')}"


def _optioned(address: Address, query: str, shown: str) -> Address:
    layout = address.layout
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "verify" and value in ("yes", "no"):
            address = replace(address, verify=value == "yes")
        elif name == "timeout" and value.isdecimal() and 1 <= int(value) <= 3600:
            address = replace(address, timeout=float(value))
        elif name == "shards" and value.isdecimal() and 1 <= int(value) <= 1024:
            layout = replace(layout, shards=int(value))
        elif name in _ALLOWED and _ALLOWED[name].fullmatch(value):
            named: dict[str, Any] = {name: value}
            layout = replace(layout, **named)
        else:
            known = ", ".join(sorted([*(one.name for one in fields(Layout)), "verify", "timeout"]))
            raise UsageError(f"store URL {shown!r}: {name}={value} can't be used; known are {known}")
    return replace(address, layout=layout)


_ALLOWED = {"namespace": _NAMESPACE, "replicas": re.compile(r"auto|\d{1,2}"), "refresh": _TIME,
            "logsdb": re.compile(r"on|off|auto")}  # fmt: skip


def _authorised(address: Address, environ: Mapping[str, str]) -> Address:
    password, api_key, bearer = (secret(setting, environ) for setting in (STORE_PASSWORD, STORE_API_KEY, STORE_BEARER))
    if password and (address.password or not address.user):
        raise UsageError(
            f"{STORE_PASSWORD.variable} needs a store URL that has a user and no password: {address.shown}"
        )
    if sum(map(bool, (address.user, api_key, bearer))) > 1:
        raise UsageError(
            f"store {address.shown}: give a user, or {STORE_API_KEY.variable}, or {STORE_BEARER.variable}; not several"
        )
    files = [_file(setting, environ) for setting in (STORE_CA, STORE_CERTIFICATE, STORE_KEY)]
    return replace(address, password=address.password or password, api_key=api_key, bearer=bearer,
                   ca=files[0], certificate=files[1], key=files[2])  # fmt: skip


def _file(setting: Setting, environ: Mapping[str, str]) -> Path | None:
    value = environ.get(setting.variable)
    if not value:
        return None
    try:
        with Path(value).open("rb"):
            return Path(value)
    except OSError as error:
        raise UsageError(f"{setting.variable}={value}: {error.strerror}; name a readable PEM file") from error
