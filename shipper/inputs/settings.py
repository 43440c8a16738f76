"""What the listeners are told. Light to import: a shipper without listeners loads nothing else of this package."""

from dataclasses import dataclass, field
from pathlib import Path

Address = tuple[str, int]


@dataclass(frozen=True)
class InputSettings:
    """Addresses (host, port) of the listeners, None: there is none. `certificate` and `key` (PEM): all that is TCP then
    talks TLS; `authorities`: and asks for a client's certificate that goes back to them.

    shared_key, user, password: what a sender of forward messages has to know ("": nothing). token: what a sender of
    NDJSON has to send as `Authorization: Bearer` ("": nothing).
    """

    forward: Address | None = None
    gelf: Address | None = None
    syslog: Address | None = None
    ndjson: Address | None = None
    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    shared_key: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return any((self.forward, self.gelf, self.syslog, self.ndjson))

    def __str__(self) -> str:
        return " ".join(f"{name}={shown(address)}" for name, address in self.addresses.items())

    @property
    def addresses(self) -> dict[str, Address]:
        all_of_them = {"forward": self.forward, "gelf": self.gelf, "syslog": self.syslog, "ndjson": self.ndjson}
        return {name: address for name, address in all_of_them.items() if address}


def shown(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
