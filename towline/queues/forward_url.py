"""Where the fluent forward receivers of a queue URL are, and who we are to them.

    forward://aggregator1,aggregator2:24225?tag=docker.{service}
    forwards://towline:password@aggregator?tag=towline&compress=gzip&ca=/run/secrets/ca.pem

Several receivers are tried in turn, and stand for one another. Options: `tag` of the messages (`towline`), in which
`{service}` stands for the service's name; `compress=gzip` (CompressedPackedForward); `ca`, `cert`, `key` are PEM files
for forwards, which is forward over TLS. The shared key, where the receiver asks for one, comes from
TOWLINE_QUEUE_SHARED_KEY or the file that TOWLINE_QUEUE_SHARED_KEY_FILE names; user and password go with it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from towline.config import QUEUE_SHARED_KEY, secret
from towline.queues.address import addresses, tls_context, wrong

PORT = 24224
FILES = ("ca", "cert", "key")
OPTIONS = ("tag", "compress", *FILES)
EXAMPLE = "write forward://host1,host2:24224?tag=towline"
SERVICE = "{service}"


@dataclass(frozen=True)
class Receiver:
    """See the module's text."""

    addresses: tuple[tuple[str, int], ...]
    tag: str = "towline"
    compress: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    shared_key: str = field(default="", repr=False)
    tls: bool = False
    files: Mapping[str, str] = field(default_factory=dict)

    def at(self, address: tuple[str, int]) -> str:
        """The URL of one address, as it may be shown."""
        host, port = address
        host = f"[{host}]" if ":" in host else host
        return f"{'forwards' if self.tls else 'forward'}://{host}:{port}"


def parse(url: str, environ: Mapping[str, str]) -> Receiver:
    """The receiver behind a forward or forwards URL; raises UsageError, which never shows a password."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise wrong(f"it can't be read; {EXAMPLE}") from error
    if parts.path not in ("", "/") or parts.fragment or "@" in parts.query:
        raise wrong(f"nothing but options may stand behind the hosts, and @ / ? # as %40 %2F %3F %23; {EXAMPLE}")
    userinfo, _, places = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    options = _options(parts.query)
    receiver = Receiver(
        addresses=addresses(places, PORT, EXAMPLE),
        tag=_tag(options.get("tag", "towline")),
        compress=_compress(options.get("compress", "none")),
        user=unquote(user),
        password=unquote(password),
        shared_key=secret(QUEUE_SHARED_KEY, environ),
        tls=parts.scheme.lower() == "forwards",
        files={option: options[option] for option in FILES if option in options},
    )
    _sensible(receiver)
    return receiver


def _sensible(receiver: Receiver) -> None:
    if receiver.files and not receiver.tls:
        raise wrong("ca, cert and key are for forwards://; this is forward://, which is not encrypted")
    if receiver.user and not receiver.shared_key:
        raise wrong(f"a user is told together with a shared key: set {QUEUE_SHARED_KEY.variable}, or leave both out")
    if receiver.tls:
        tls_context(receiver.files)


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for option in options:
        if option not in OPTIONS:
            known = ", ".join(OPTIONS)
            hint = f" (the key comes from {QUEUE_SHARED_KEY.variable})" if "shared" in option else ""
            raise wrong(f"unknown option {option!r}; there are {known}{hint}")
    return options


def _tag(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._*-]{1,200}", text.replace(SERVICE, "x")):
        raise wrong(f"tag={text!r}: use letters, digits, dots, dashes, underscores and {SERVICE}")
    return text


def _compress(text: str) -> bool:
    if text not in ("none", "gzip"):
        raise wrong(f"compress={text!r}: write compress=gzip, or leave it out")
    return text == "gzip"
