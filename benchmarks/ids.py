"""Elasticsearch's own cost of a line: our ids and mapping, beside ids of its own and beside Fluent Bit's default."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import orjson

from benchmarks.client import count, merged_bytes, post_all, stream_of
from benchmarks.figure import Figure, ratio_at_most
from benchmarks.ground import Ground
from benchmarks.measuring import Spent, settle
from benchmarks.replay import bodies, first, recorded

GROUP = "elasticsearch"
KINDS = ("our ids", "auto ids", "Fluent Bit's default")
DYNAMIC = "the same fields, auto ids, dynamic mapping, as Fluent Bit leaves it"


@dataclass(frozen=True)
class Cost:
    """µs of the server's CPU per document, and its bytes on disk after a merge."""

    cpu: float
    size: float


def figures(ground: Ground) -> Iterator[Figure]:
    bulks = made(ground)
    found: dict[str, list[Cost]] = {kind: [] for kind in KINDS}
    one_run(ground, "our ids", bulks["our ids"])  # the server compiles what it will use
    for _ in range(ground.sizes.rounds):
        for kind in KINDS:
            found[kind].append(one_run(ground, kind, bulks[kind]))
    ours, auto, theirs = (min(found[kind], key=lambda cost: cost.cpu) for kind in KINDS)
    yield Figure(
        GROUP, "indexing, our ids", ours.cpu, "µs/line", "auto ids, same mapping", auto.cpu, ratio_at_most(1.1)
    )
    yield Figure(GROUP, "indexing, our mapping and ids", ours.cpu, "µs/line", DYNAMIC, theirs.cpu, ratio_at_most(1.0))
    yield Figure(GROUP, "on disk", ours.size, "bytes/line", DYNAMIC, theirs.size, ratio_at_most(1.0))
    yield Figure(GROUP, "on disk, what our ids add", ours.size - auto.size, "bytes/line")


def made(ground: Ground) -> dict[str, list[bytes]]:
    prepared = [body for body, _ in bodies(first(recorded(ground), ground.sizes.stored))]
    anonymous = [re.sub(rb'(?m)^\{"create":\{"_id":"[^"]*"\}\}$', b'{"create":{}}', body) for body in prepared]
    return dict(zip(KINDS, (prepared, anonymous, [as_fluent_bit(body) for body in prepared]), strict=True))


def as_fluent_bit(body: bytes) -> bytes:
    """Its es output's documents: `log` for the message, milliseconds, no `_id`; the other fields as they are."""
    return b"".join(_documents(body.split(b"\n")[1::2]))


def _documents(rows: Iterable[bytes]) -> Iterator[bytes]:
    for row in rows:
        document = orjson.loads(row)
        stamp = document.pop("@timestamp")[:23] + "Z"
        changed = {"@timestamp": stamp, "log": document.pop("message") + "\n", **document}
        yield b'{"create":{}}\n' + orjson.dumps(changed) + b"\n"


def one_run(ground: Ground, kind: str, prepared: list[bytes]) -> Cost:
    """Everything up to the server's rest: merges are part of what a document costs."""
    if kind == KINDS[2]:
        stream = ground.unique(f"fluent-{ground.prefix}-")
        ground.ask("PUT", f"/{stream}", {"settings": {"number_of_replicas": 0}})
    else:
        stream = stream_of(ground.stream())
    settle([ground.elastic_pid])
    spent = Spent([ground.elastic_pid])
    post_all(ground, stream, prepared)
    lines = count(ground, stream)
    settle([ground.elastic_pid])
    used = spent.cpu
    size = merged_bytes(ground, stream)
    return Cost(1e6 * used / lines, size / lines)
