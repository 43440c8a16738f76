"""One line as an input has read it, and who sent it."""

from dataclasses import dataclass
from hashlib import blake2b

from shipper.entries import STDOUT
from shipper.rules.rows import Fields

LARGEST_TIME = 8_993_721_600 * 10**9
"""Nanoseconds since 1970 until 2255; no store takes more (shipper.rules.line_time)."""


class BadInput(Exception):
    """What came can't be understood, and what follows neither; the text says why. The connection is closed."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who says lines, as far as the sender tells. input: the listener's name. host "": this node.

    container_id: 64 hex digits where Docker's log driver says so. told: another Towline sends it.
    """

    input: str
    service: str
    host: str = ""
    container_id: str = ""
    container_name: str = ""
    told: bool = False


@dataclass(slots=True)
class Line:
    """`at`: nanoseconds since 1970. identity: letters and digits that a repeat of this line has as well, b"" where
    nobody would know that it is one. group: of the lines that are acknowledged together, 0 where nobody waits."""

    sender: Sender
    text: str
    at: int
    fields: Fields | None = None
    stream: bytes = STDOUT
    flags: tuple[str, ...] = ()
    identity: bytes = b""
    group: int = 0


def valid_time(at: int | None, now: int) -> int:
    """The time given, or `now` where it is none that a store can hold."""
    return at if at is not None and 0 < at < LARGEST_TIME else now


def identity(*parts: bytes) -> bytes:
    """16 hex digits of a digest over all parts; the same parts give the same."""
    digest = blake2b(digest_size=8)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest().encode()
