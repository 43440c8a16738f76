"""Batches as messages of the fluent forward protocol, version 1: PackedForward, or CompressedPackedForward.

    [tag, entries, {"chunk": …, "size": 2000}]        entries: [EventTime, record] [EventTime, record] …, as one `bin`

`chunk` names the message, and the receiver answers with it once it has the lines (`{"ack": …}`): what was not answered
is sent again under the same name. https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1
"""

import gzip
import struct
import uuid
from base64 import b64encode
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgpack
import orjson

from towline.batch import Batch, Section
from towline.queues.documents import records
from towline.queues.forward_url import SERVICE
from towline.times import nanoseconds

MESSAGE_BYTES = 1 << 20
"""About how large a message's entries are, unpacked: Fluent Bit takes no message beyond 6 MB unless told otherwise."""
LEVEL = 1
"""Of gzip: more costs more CPU than it saves bytes."""


def messages(batches: Sequence[Batch], tag: str, compress: bool) -> Iterator[tuple[bytes, bytes]]:
    """The chunk's name and the message's bytes, for all lines of the batches. `tag` may hold `{service}`."""
    waiting: dict[str, list[bytes]] = {}
    sizes: dict[str, int] = {}
    for section in (section for batch in batches for section in batch.sections):
        name = tag.replace(SERVICE, section.origin.service)
        for entry in entries(section):
            waiting.setdefault(name, []).append(entry)
            sizes[name] = sizes.get(name, 0) + len(entry)
            if sizes[name] >= MESSAGE_BYTES:
                yield message(name, waiting.pop(name), compress)
                del sizes[name]
    for name, rest in waiting.items():
        yield message(name, rest, compress)


def message(tag: str, packed: list[bytes], compress: bool) -> tuple[bytes, bytes]:
    """The name of a chunk of these entries, and the whole message."""
    chunk = b64encode(uuid.uuid4().bytes)
    option: dict[str, Any] = {"chunk": chunk.decode(), "size": len(packed)}
    body = b"".join(packed)
    if compress:
        option["compressed"] = "gzip"
        body = gzip.compress(body, LEVEL)
    return chunk, _pack([tag, body, option])


def entries(section: Section) -> Iterator[bytes]:
    """Each line as a packed [EventTime, record]; the record is the whole document with its `event.id`."""
    shared = dict(orjson.loads(section.origin.json))
    tail = _members(shared)
    for document in records(section):
        time = event_time(str(document.get("@timestamp", section.first)))
        yield b"\x92" + time + _header(len(document) + len(shared)) + _members(document) + tail


def event_time(stamp: str) -> bytes:
    """The packed EventTime (extension 0: seconds and nanoseconds, 32 bits each) of an RFC 3339 time of ours."""
    fraction = stamp[20:29]
    return _seconds(stamp[:19]) + (int(fraction) if fraction.isdecimal() else 0).to_bytes(4, "big")


@lru_cache(maxsize=64)
def _seconds(second: str) -> bytes:
    try:
        since = nanoseconds(f"{second}.000000000Z") // 1_000_000_000
    except ValueError:
        since = 0
    return b"\xd7\x00" + struct.pack(">I", min(max(since, 0), 0xFFFF_FFFF))


def _members(document: dict[str, Any]) -> bytes:
    """The packed keys and values, without the header that counts them."""
    return _pack(document)[len(_header(len(document))) :]


def _header(count: int) -> bytes:
    """What a msgpack map of so many members begins with."""
    if count < 16:
        return bytes([0x80 | count])
    return b"\xde" + count.to_bytes(2, "big") if count < 1 << 16 else b"\xdf" + count.to_bytes(4, "big")


def _pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed
