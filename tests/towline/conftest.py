"""Lines by hand: batches as a shipper makes them, and a store on disk that holds some."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from towline.batch import ORIGIN_MARK, Batch, Origin, Section
from towline.stores import Store, open_store

Write = Callable[..., None]


def make_batch(
    messages: list[str], *, name: str = "web", first: int = 0, stream: str = "stdout", minute: int = 0
) -> Batch:
    """One batch of one container; line i was written at 2026-11-23T10:<minute>:00.<first + i>."""
    fields: dict[str, Any] = {
        "container": {"id": (name.encode().hex() * 64)[:64], "name": name, "image": {"name": "demo"}},
        "data_stream": {"type": "logs", "dataset": "docker", "namespace": "default"},
        "host": {"name": "node1"},
        "service": {"name": name},
    }
    docs, stamps = [], []
    for number, message in enumerate(messages, first):
        stamp = f"2026-11-23T10:{minute:02}:00.{number:09}Z"
        stamps.append(stamp)
        row = {"@timestamp": stamp, "message": message, "stream": stream, "event": {"sequence": number}}
        identity = orjson.dumps({"create": {"_id": f"{stamp}-{name}-0"}})
        docs += [identity, b"\n", orjson.dumps(row)[:-1], ORIGIN_MARK, b"}\n"]
    return Batch([Section(Origin(fields), b"".join(docs), len(messages), min(stamps), max(stamps))], node="node1")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    """The store below `data`, open for writing."""
    opened = open_store(f"sqlite://{data}/store")
    yield opened
    opened.close()


@pytest.fixture
def write(store: Store) -> Write:
    """Put lines into the store, as an indexer does: write(["a", "b"], name="web", first=0)."""

    def put(messages: list[str], **origin: Any) -> None:
        (verdict,) = store.write([make_batch(messages, **origin)])
        assert sum(verdict.stored) == len(messages)

    return put
