"""Settings, each declared once with its type, default and text; the command line, the environment and the README's
table are made from these declarations.

Every setting is an option `--name`, an environment variable `TOWLINE_NAME`, and, where it is a secret or may hold one,
also `TOWLINE_NAME_FILE` (a file that holds the value). Secrets are never options: the list of processes shows those.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import click

from towline.errors import UsageError
from towline.store_names import MAIN, checked


class Size(click.ParamType):  # type: ignore[type-arg]
    """Bytes, as 4096, 64K, 10M, 2G (powers of 1024)."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).strip().upper().removesuffix("B").removesuffix("I")
        factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}.get(text[-1:], 1)
        number = text[:-1] if factor > 1 else text
        if not number.isdecimal():
            self.fail(f"{value!r} is not a size; write for example 512K, 64M or 2G", param, ctx)
        return int(number) * factor


class Age(click.ParamType):  # type: ignore[type-arg]
    """Seconds, as 90, 30s, 15m, 12h, 7d."""

    name = "age"
    factors: ClassVar[dict[str, int]] = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        text = str(value).strip().lower()
        factor = self.factors.get(text[-1:], 1)
        number = text[:-1] if text[-1:] in self.factors else text
        try:
            seconds = float(number) * factor
        except ValueError:
            self.fail(f"{value!r} is not an age; write for example 30s, 15m, 12h or 7d", param, ctx)
        if not 0 <= seconds < 1e12:
            self.fail(f"{value!r} is not an age; it must be between 0 and 30,000 years", param, ctx)
        return seconds


class Address(click.ParamType):  # type: ignore[type-arg]
    """HOST:PORT, [V6]:PORT or :PORT (all interfaces)."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        host, colon, port = str(value).rpartition(":")
        if not colon or not port.isascii() or not port.isdecimal() or not 0 <= int(port) <= 65535:
            self.fail(f"{value!r} is not HOST:PORT with a port from 0 to 65535, for example 127.0.0.1:8514", param, ctx)
        return host.strip("[]") or "0.0.0.0", int(port)


class StoreName(click.ParamType):  # type: ignore[type-arg]
    """What labels call a store."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return checked(str(value).strip())
        except ValueError as error:
            self.fail(f"{value!r} is no name of a store; {error}", param, ctx)


@dataclass(frozen=True)
class Setting:
    """One thing that can be set. `kind` is a click type; `default` None means that the program decides at run time."""

    name: str
    kind: Any
    default: Any
    help: str
    multiple: bool = False
    secret: bool = False
    quiet: bool = False
    """No option, only a variable: what is needed wherever a store is opened, and seldom."""
    flag: Any = None
    """What the option means without a value, where it may be given so."""
    filed: bool = False
    """`TOWLINE_NAME_FILE` may name a file that holds the value; so it is for all secrets."""

    @property
    def in_file(self) -> bool:
        return self.secret or self.filed

    @property
    def is_option(self) -> bool:
        return not (self.secret or self.quiet)

    @property
    def parameter(self) -> str:
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        return "TOWLINE_" + self.parameter.upper()

    def option(self) -> Callable[[Any], Any]:
        """The click option. Where one may be repeated, its variable holds several separated by white space."""
        more = {"is_flag": False, "flag_value": self.flag} if self.flag is not None else {}
        return click.option(
            f"--{self.name}",
            self.parameter,
            type=self.kind,
            default=self.default,
            multiple=self.multiple,
            envvar=self.variable,
            show_default=self.default is not None and not self.multiple,
            show_envvar=True,
            help=self.help,
            **more,
        )


def default_data() -> Path:
    """/var/lib/towline for root, else towline below the user's state folder (XDG base directories)."""
    if os.geteuid() == 0:
        return Path("/var/lib/towline")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "towline"


DATA = Setting("data", click.Path(path_type=Path), None, "Folder of the store, checkpoints and spool. "
               "Default: /var/lib/towline for root, else ~/.local/state/towline.")  # fmt: skip
STATE = Setting("state", click.Path(path_type=Path), None, "Folder of checkpoints and spool. Default: DATA/state.")
LISTEN = Setting("listen", Address(), "127.0.0.1:8514", "Address of the HTTP server. Default of `export`: "
                 "127.0.0.1:9514.")  # fmt: skip
EXPORT_LISTEN = replace(LISTEN, default="127.0.0.1:9514")
ENGINE = Setting("engine", str, "unix:///var/run/docker.sock", "The Docker engine's socket.")
SOURCE = Setting("source", click.Choice(["auto", "file", "api"]), "auto",
                 "Where lines are read: the json-file log in place, the engine's API, or auto: the file where it can "
                 "be read, else the API.")  # fmt: skip
ENGINE_ROOT = Setting("engine-root", click.Path(path_type=Path), None, "Where this process sees the engine's data "
                      "folder (json-file logs). Default: the folder that the engine names.")  # fmt: skip
NODE = Setting("node", str, None, "Name of this node in `host.name`. Default: the engine's own name.")
NODE_LABEL = Setting("node-label", str, (), "Label of the Swarm's nodes (docker node update --label-add) that becomes "
                     "a field of each line from that node, orchestrator.node.labels, and a label of the metric "
                     "swarm_node_labels. Repeatable. A worker learns it as it learns labels of services.",
                     multiple=True)  # fmt: skip
INCLUDE = Setting("include", str, (), "Collect only containers whose name or service matches this glob. Repeatable.",
                  multiple=True)  # fmt: skip
EXCLUDE = Setting("exclude", str, (), "Leave out containers whose name or service matches this glob. Repeatable.",
                  multiple=True)  # fmt: skip
RULES = Setting("rules", click.Path(path_type=Path), None, "TOML file of what labels say by default: "
                "`\"towline.parse\" = \"json\"` for all, the same below `[service.\"shop_*\"]` for some. Read again "
                "when it changes.")  # fmt: skip
SERVICE_LABELS = Setting("service-labels", str, (), "Where a worker learns the labels of Swarm services: a manager's "
                         "`towline export`, as http://manager:9514. Repeatable; asked in turn. A manager asks its own "
                         "engine.", multiple=True)  # fmt: skip
MAX_LINE = Setting("max-line", Size(), "1M", "Longest line in bytes; a longer one is split, marked and counted.")
MEMORY = Setting("memory", Size(), "32M", "Bytes of lines in flight before reading waits or the spool takes over.")
SPOOL = Setting("spool", Size(), "1G", "Most bytes on disk for lines that the queue can't take right now. 0: none.")
KEEP_AGE = Setting("keep-age", Age(), "14d", "Forget stored lines older than this. 0: never.")
KEEP_SIZE = Setting("keep-size", Size(), "20G", "Forget the oldest lines when the store grows beyond this. 0: never. "
                    "SQLite only: Elasticsearch forgets by age alone.")  # fmt: skip
QUEUE = Setting("queue", str, None, "Queue URL between shipper and indexer: amqp://USER@HOST/ or amqps://USER@HOST/VHOST."
                " For `ship` also a way out: forward://HOST:24224 (Fluentd, Fluent Bit), forwards:// (over TLS), "
                "file:///PATH, stdout://.", filed=True)  # fmt: skip
QUEUE_SHARED_KEY = Setting("queue-shared-key", str, None, "Key that the receiver behind forward:// shares with us.",
                           secret=True)  # fmt: skip
EVENTS = Setting("events", str, None, "Exchange of the queue's broker whose messages are domain events, to be stored "
                 "as well. Without a value: `events`.", flag="events")  # fmt: skip
EVENTS_QUEUE = replace(QUEUE, help="Broker that --events takes domain events from, amqp://USER@HOST/ or amqps://"
                       "USER@HOST/VHOST. Lines don't go there.")  # fmt: skip
STORE = Setting("store", str, None, "Store URL: sqlite:///DIR, or https://HOST:9200 (Elasticsearch; several hosts with "
                "commas). Default: the store below --data.", filed=True)  # fmt: skip
STORE_NAME = Setting("store-name", StoreName(), MAIN, "What labels (`towline.store`) call this store. Another name "
                     "than the default: `index` takes only lines that are for it, from a queue of its own on the "
                     "broker; `audit` compares only those.")  # fmt: skip
STORE_PASSWORD = Setting("store-password", str, None, "Password of the user in the store's URL.", secret=True)
STORE_API_KEY = Setting("store-api-key", str, None, "API key for the store, as Elasticsearch gives it (`encoded`).",
                        secret=True)  # fmt: skip
STORE_BEARER = Setting("store-bearer", str, None, "Bearer token for the store.", secret=True)
STORE_CA = Setting("store-ca", click.Path(path_type=Path), None, "PEM file of the authorities that the store's "
                   "certificate must go back to. Default: those that the machine trusts.", quiet=True)  # fmt: skip
STORE_CERTIFICATE = Setting("store-certificate", click.Path(path_type=Path), None, "PEM file of our certificate, for "
                            "the store.", quiet=True)  # fmt: skip
STORE_KEY = Setting("store-key", click.Path(path_type=Path), None, "PEM file of that certificate's private key.",
                    quiet=True)  # fmt: skip
METRICS = Setting("metrics", str, (), "Where a `ship` or `index` shows its metrics, for `towline page`: "
                  "http://node1:8514/metrics. Repeatable; all of them together are the pipeline that the page draws.",
                  multiple=True)  # fmt: skip
PROMETHEUS = Setting("prometheus", str, None, "Where `towline page` finds the metrics of `towline export`: "
                     "http://USER@HOST:9090, with a path if it has one.", filed=True)  # fmt: skip
PROMETHEUS_PASSWORD = Setting("prometheus-password", str, None, "Password of the user in Prometheus' URL.", secret=True)
PROMETHEUS_BEARER = Setting("prometheus-bearer", str, None, "Bearer token for Prometheus.", secret=True)
PROMETHEUS_CA = Setting("prometheus-ca", click.Path(path_type=Path), None, "PEM file of the authorities that "
                        "Prometheus' certificate must go back to. Default: those that the machine trusts.",
                        quiet=True)  # fmt: skip
LISTEN_FORWARD = Setting("listen-forward", Address(), None, "Take lines by the fluent forward protocol here (Docker's "
                         "fluentd log driver, fluent-logger, Fluentd, Fluent Bit), for example "
                         "127.0.0.1:24224.")  # fmt: skip
LISTEN_GELF = Setting("listen-gelf", Address(), None, "Take GELF here, over UDP and TCP, for example 127.0.0.1:12201.")
LISTEN_SYSLOG = Setting("listen-syslog", Address(), None, "Take syslog (RFC 5424 and 3164) here, over UDP and TCP, for "
                        "example 127.0.0.1:5514.")  # fmt: skip
LISTEN_NDJSON = Setting("listen-ndjson", Address(), None, "Take lines of JSON by HTTP POST here, for example "
                        "127.0.0.1:8515; 200 means that they are safe.")  # fmt: skip
FORWARD_SHARED_KEY = Setting("forward-shared-key", str, None, "Key that senders of forward messages have to know.",
                             secret=True)  # fmt: skip
FORWARD_USER = Setting("forward-user", str, "", "User that senders of forward messages have to be, with "
                       "TOWLINE_FORWARD_PASSWORD.", quiet=True)  # fmt: skip
FORWARD_PASSWORD = Setting("forward-password", str, None, "Password of TOWLINE_FORWARD_USER.", secret=True)
NDJSON_TOKEN = Setting("ndjson-token", str, None, "What senders of NDJSON have to send as `Authorization: Bearer`.",
                       secret=True)  # fmt: skip
INPUT_CERTIFICATE = Setting("input-certificate", click.Path(path_type=Path), None, "PEM file of the certificate with "
                            "which listeners for lines talk TLS on TCP.", quiet=True)  # fmt: skip
INPUT_KEY = Setting("input-key", click.Path(path_type=Path), None, "PEM file of that certificate's private key.",
                    quiet=True)  # fmt: skip
INPUT_CA = Setting("input-ca", click.Path(path_type=Path), None, "PEM file of the authorities that senders' "
                   "certificates must go back to. Default: senders need none.", quiet=True)  # fmt: skip
PROCFS = Setting("procfs", click.Path(path_type=Path), "/proc", "Where metrics see the host's /proc.")
SYSFS = Setting("sysfs", click.Path(path_type=Path), "/sys", "Where metrics see the host's /sys.")
ROOTFS = Setting("rootfs", click.Path(path_type=Path), "/", "Where metrics see the host's root file system.")
TEXTFILES = Setting("textfiles", str, (), "Folder (globs allowed) of *.prom files that become metrics. Repeatable.",
                    multiple=True)  # fmt: skip
COLLECTOR = Setting("collector", str, (), "Collector of node metrics beside the usual ones: interrupts, processes or "
                    "tcpstat, which cost more. Repeatable.", multiple=True)  # fmt: skip
NO_COLLECTOR = Setting("no-collector", str, (), "Collector of node metrics to leave out. Repeatable.", multiple=True)
METRIC_LABEL = Setting("metric-label", str, (), "Container label that becomes a label of its metrics, beside those of "
                       "Swarm and compose. Repeatable.", multiple=True)  # fmt: skip
KEEP_ENDED = Setting("keep-ended", Age(), "5m", "How long metrics still tell of a container that has ended.")
SD_NETWORK = Setting("sd-network", str, "", "Overlay network that Prometheus shares: /sd/targets gives addresses on it "
                     "where a service has several and doesn't say which.")  # fmt: skip
LOG_LEVEL = Setting("log-level", click.Choice(["debug", "info", "warning", "error"]), "info",
                    "How much Towline says about itself on stderr.")  # fmt: skip

TOKEN = Setting("token", str, None, "What /api asks for as `Authorization: Bearer`. Needed to listen beyond loopback.",
                secret=True)  # fmt: skip

SETTINGS = (DATA, STATE, LISTEN, ENGINE, SOURCE, ENGINE_ROOT, NODE, NODE_LABEL, INCLUDE, EXCLUDE, RULES,
            SERVICE_LABELS, MAX_LINE, MEMORY, SPOOL, KEEP_AGE, KEEP_SIZE, QUEUE, QUEUE_SHARED_KEY, EVENTS, STORE,
            STORE_NAME, STORE_PASSWORD, STORE_API_KEY, STORE_BEARER, STORE_CA, STORE_CERTIFICATE, STORE_KEY, TOKEN,
            METRICS, PROMETHEUS, PROMETHEUS_PASSWORD, PROMETHEUS_BEARER, PROMETHEUS_CA, LISTEN_FORWARD, LISTEN_GELF,
            LISTEN_SYSLOG, LISTEN_NDJSON, FORWARD_SHARED_KEY, FORWARD_USER, FORWARD_PASSWORD, NDJSON_TOKEN,
            INPUT_CERTIFICATE, INPUT_KEY, INPUT_CA, PROCFS, SYSFS, ROOTFS, TEXTFILES, COLLECTOR, NO_COLLECTOR,
            METRIC_LABEL, KEEP_ENDED, SD_NETWORK, LOG_LEVEL)  # fmt: skip


def options(*settings: Setting) -> Callable[[Any], Any]:
    """Decorate a click command with the options of these settings, in this order."""

    def decorate(command: Any) -> Any:
        for setting in reversed(settings):
            command = setting.option()(command)
        return command

    return decorate


def secret(setting: Setting, environ: Mapping[str, str] = os.environ) -> str:
    """The value of a setting that may be in a file: its variable, else what is in the file that `…_FILE` names, or "".

    Raises UsageError where that file can't be read, is empty, or both are set.
    """
    variable = setting.variable + "_FILE"
    value, path = environ.get(setting.variable, ""), environ.get(variable, "")
    if value and path:
        raise UsageError(f"{setting.variable} and {variable} are both set; leave one out")
    if not path:
        return value
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise UsageError(f"{variable}={path}: {reason}; name a readable file that holds the value") from error
    if not text:
        raise UsageError(f"{variable}={path}: the file is empty; write the value into it")
    return text


def masked(setting: Setting, value: str) -> str:
    """The value as it may be shown: secrets as `***`, URLs without the password in them."""
    if setting.secret:
        return "***" if value else ""
    if "://" not in value or "@" not in value:
        return value
    try:
        parts = urlsplit(value)
        password = parts.password
    except ValueError:
        return "***"
    if password is None:
        return value
    name, _, place = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{name.partition(':')[0]}:***@{place}").geturl()
