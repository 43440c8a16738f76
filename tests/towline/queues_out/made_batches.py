"""Batches as a shipper makes them, and patience."""

import time
from collections.abc import Callable
from typing import Any

import orjson

from towline.batch import ORIGIN_MARK, Batch, Origin, Section

SOON = 60.0
"""Seconds that a thing may take which should happen at once; only a failure waits so long."""


def section(messages: list[str], first: int = 0, service: str = "web") -> Section:
    fields: dict[str, Any] = {
        "container": {"id": "c" * 64, "name": service},
        "host": {"name": "node1"},
        "service": {"name": service},
    }
    docs = []
    for number, message in enumerate(messages, first):
        stamp = f"2026-11-23T10:00:00.{number:09}Z"
        row = {"@timestamp": stamp, "message": message, "stream": "stdout", "event": {"sequence": number + 1}}
        docs.append(b'{"create":{"_id":"%b-%bo"}}\n' % (stamp.encode(), service.encode()))
        docs.append(orjson.dumps(row)[:-1] + ORIGIN_MARK + b"}\n")
    stamps = [f"2026-11-23T10:00:00.{number:09}Z" for number in (first, first + len(messages) - 1)]
    return Section(Origin(fields), b"".join(docs), len(messages), stamps[0], stamps[-1])


def batch(messages: list[str], first: int = 0, service: str = "web") -> Batch:
    return Batch([section(messages, first, service)], node="node1")


def until(condition: Callable[[], Any], what: str = "it does not come true") -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)
