"""A batch as an AMQP message, for this program and for any other that wants to read or write the queue.

One message is one batch. Published persistent and mandatory, with publisher confirms, to the topic exchange `towline`
with routing key `logs`, or `logs.` and 16 hex digits where a shipper has a way of its own (amqp_way.py). Lines that a
label sends to another store than the default one travel in messages of their own, with routing key `store.NAME`:

| property | value |
|---|---|
| content_type | `application/vnd.towline.batch` |
| content_encoding | `zstd`: one frame, with its content size and a checksum |
| headers | `towline`: version of the format (1), `count`: lines (integer), `node`: who read them (text) |
| delivery_mode | 2 |
| timestamp | seconds since the epoch at the first attempt to publish |
| message_id | 16 hex digits; a message that is published again keeps it |
| app_id | `towline` |

The body is described in towline/batch.py and says all that the headers say; they are there so that it need not be
unpacked to be counted or routed. A reader must expect to meet a message twice: the documents' `_id` are the same then.
A batch may hold no lines: a shipper that has been quiet asks with it whether its way still leads here.

A message that can't be read is published to `towline.dead` as it was, with two more headers: `towline-reason`, one
line of text, and `towline-queue`, where it was found. What the broker itself puts there (delivery limit) has `x-death`.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pika import BasicProperties

from towline.batch import CONTENT_ENCODING, CONTENT_TYPE, VERSION, Batch, Section

ROUTING_KEY = "logs"
STORES = "store."
REASON = "towline-reason"
FOUND_IN = "towline-queue"


def key_of(store: str) -> str:
    """The routing key that leads to a named store's queue, or to the default one's ("")."""
    return STORES + store if store else ROUTING_KEY


def properties(batch: Batch, now: float) -> BasicProperties:
    """What goes with the body of `batch`. `now`: seconds since the epoch."""
    return BasicProperties(
        content_type=CONTENT_TYPE,
        content_encoding=CONTENT_ENCODING,
        headers={"towline": VERSION, "count": batch.count, "node": batch.node},
        delivery_mode=2,
        timestamp=int(now),
        message_id=os.urandom(8).hex(),
        app_id="towline",
    )


def dead_letter(found: BasicProperties, reason: str, queue: str) -> BasicProperties:
    """The properties of a message that could not be read, for its way to the dead letters."""
    headers: Mapping[str, Any] = found.headers or {}
    return BasicProperties(
        content_type=found.content_type,
        content_encoding=found.content_encoding,
        headers={**headers, REASON: reason, FOUND_IN: queue},
        delivery_mode=2,
        timestamp=found.timestamp,
        message_id=found.message_id or os.urandom(8).hex(),
        app_id=found.app_id,
        type=found.type,
    )


def lines_in(found: BasicProperties) -> int:
    """How many lines the message claims to hold; 0 where it does not say."""
    count = (found.headers or {}).get("count")
    return count if isinstance(count, int) and count > 0 else 0


def deliveries_before(found: BasicProperties) -> int:
    """How often the message was handed out before and came back, as the broker counts it."""
    number = (found.headers or {}).get("x-delivery-count")
    return number if isinstance(number, int) else 0


def halves(batch: Batch) -> tuple[Batch, Batch] | None:
    """The batch as two, in order; None where it is a single line. Their `first` and `last` are those of the whole."""
    sections = list(batch.sections)
    if len(sections) > 1:
        middle = len(sections) // 2
        return Batch(sections[:middle], node=batch.node), Batch(sections[middle:], node=batch.node)
    if batch.count < 2:
        return None
    one, two = _cut(sections[0])
    return Batch([one], node=batch.node), Batch([two], node=batch.node)


def _cut(section: Section) -> tuple[Section, Section]:
    rows = [row + b"\n" for row in section.docs.split(b"\n")[:-1]]
    middle = section.count // 2
    head, tail = b"".join(rows[: 2 * middle]), b"".join(rows[2 * middle :])
    return replace(section, docs=head, count=middle), replace(section, docs=tail, count=section.count - middle)
