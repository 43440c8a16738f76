"""Latency: from a line's stamp to the first search that finds it, while fifty containers write 5,000 lines a second."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from urllib.parse import quote

from benchmarks.client import stream_of
from benchmarks.figure import Figure, at_most
from benchmarks.ground import Ground
from benchmarks.measuring import percentile, wait_for
from benchmarks.program import Program
from towline.times import format_time, nanoseconds

GROUP = "latency"
SPEAKERS, RATE = 50, 100.0
LOOK_EVERY = 0.02
SHOWN = 100
"""Hits of a search, as many as where nothing is said: the lines looked for of the last ten seconds."""
REFRESH = 5.0
"""Seconds: `refresh` of the store's URL where nothing else is said."""
MARK = "whenfound"
"""A word that only the lines looked for have: the search for them is not to be what the machine is busy with."""
ALONE = "a document that a plain client sends to the same data stream meanwhile"
Found = Callable[[], dict[str, float]]
"""What a search finds now: message to stamp, in seconds since the epoch."""
Say = Callable[[str], None]
"""Makes a line of this message come into being, now."""


def figures(ground: Ground) -> Iterator[Figure]:
    count = min(SPEAKERS, ground.sizes.speakers)
    names = ground.writers.make("say", count)
    probe = names[0]
    rate = f"{count * RATE:,.0f} lines/s over {count} containers"
    for source in ("file", "api"):
        late = embedded(ground, names, probe, source)
        yield Figure(
            GROUP, f"towline up, {source}, {rate}: half of all", percentile(late, 0.5), "s", target=at_most(0.2)
        )
        yield Figure(
            GROUP, f"towline up, {source}, {rate}: 99 of 100", percentile(late, 0.99), "s", target=at_most(1.0)
        )
    ours, theirs = (percentile(each, 0.99) for each in apart(ground, names, probe))
    row = "RabbitMQ and Elasticsearch, file: 99 of 100"
    yield Figure(GROUP, row, ours, "s", ALONE, theirs, at_most(REFRESH + 1))
    yield Figure(GROUP, f"{row}, beyond Elasticsearch's own", ours - theirs, "s", ALONE, theirs, at_most(1.0))


def embedded(ground: Ground, names: list[str], probe: str, source: str) -> list[float]:
    with ground.up(f"{ground.prefix}-say-*", source=source) as up:
        path = f"/api/search?limit={SHOWN}&q={MARK}&container={quote(probe)}"

        def found() -> dict[str, float]:
            hits = json.loads(up.get(path)[1])["hits"]
            return {hit["message"]: nanoseconds(hit["@timestamp"]) / 1e9 for hit in hits}

        caught_up(up, up)
        (late,) = measured(ground, names, found, [said_by(ground, probe)])
        return late


def apart(ground: Ground, names: list[str], probe: str) -> tuple[list[float], list[float]]:
    """How late its lines are found, and documents that take no way at all, at the same time, by the same searches."""
    queue, store = ground.unique("late"), ground.stream()
    stream = stream_of(store)
    lines = {"filter": [{"term": {"container.name": probe}}, {"match": {"message": MARK}}]}
    query = {"size": 2000, "query": {"bool": lines}, "_source": ["message", "@timestamp"]}

    def found() -> dict[str, float]:
        with suppress(RuntimeError):  # the index is being made
            return told()
        return {}

    def told() -> dict[str, float]:
        hits = ground.ask("POST", f"/{stream}/_search?ignore_unavailable=true", query)["hits"]["hits"]
        return {hit["_source"]["message"]: nanoseconds(hit["_source"]["@timestamp"]) / 1e9 for hit in hits}

    with ExitStack() as parts:
        index = parts.enter_context(ground.index(queue, store))
        ship = parts.enter_context(ground.ship(queue, f"{ground.prefix}-say-*"))
        caught_up(ship, index)
        says = [said_by(ground, probe), sent_by_hand(ground, stream, probe)]
        late, alone = measured(ground, names, found, says, drain=REFRESH + 5)
        return late, alone


def said_by(ground: Ground, probe: str) -> Say:
    """A container writes it among its other lines."""
    return lambda line: ground.writers.say(probe, line.encode() + b"\n")


def sent_by_hand(ground: Ground, stream: str, probe: str) -> Say:
    """A document as small as can be, stamped as it leaves, over a connection that stays."""
    connection = http.client.HTTPConnection(ground.elastic.removeprefix("http://"), timeout=60)

    def say(line: str) -> None:
        document = {"@timestamp": format_time(time.time_ns()), "message": line, "container": {"name": probe}}
        connection.request("POST", f"/{stream}/_doc", json.dumps(document), {"content-type": "application/json"})
        answer = connection.getresponse()
        told = answer.read()
        if answer.status != 201:
            raise RuntimeError(f"a document by hand: {answer.status} {told[:300]!r}")

    return say


def caught_up(ship: Program, index: Program) -> None:
    """Wait until the lines of earlier measurements, which stand before new ones in the same logs, are stored."""
    time.sleep(4)

    def level() -> bool:
        return index.metric("towline_lines_indexed_total") >= ship.metric("towline_lines_read_total")

    wait_for(level, 120, "the index has what the shipper has read", every=0.5)


def measured(ground: Ground, names: list[str], found: Found, says: list[Say], drain: float = 3) -> list[list[float]]:
    """How late ten lines a second of each of `says` were, while `names` write; one that is not found is an error."""
    seconds = ground.sizes.latency
    rows = [[f"{MARK} {ground.unique('probe')} {number}" for number in range(int(seconds * 10))] for _ in says]
    threads = [threading.Thread(target=ground.writers.pace, args=(names, RATE, seconds + 1))]
    threads += [threading.Thread(target=_speak, args=pair) for pair in zip(says, rows, strict=True)]
    for thread in threads:
        thread.start()
    wanted = {line for row in rows for line in row}
    seen: dict[str, float] = {}
    deadline = 0.0
    while len(seen) < len(wanted) and (any(map(threading.Thread.is_alive, threads)) or time.monotonic() < deadline):
        for message, stamp in found().items():
            if message in wanted:
                seen.setdefault(message, time.time() - stamp)
        if any(map(threading.Thread.is_alive, threads)):
            deadline = time.monotonic() + drain
        time.sleep(LOOK_EVERY)
    for thread in threads:
        thread.join()
    if len(seen) < len(wanted):
        raise RuntimeError(f"{len(wanted) - len(seen)} of {len(wanted)} probes were not found")
    return [[seen[line] for line in row] for row in rows]


def _speak(say: Say, lines: list[str]) -> None:
    began = time.monotonic()
    for number, line in enumerate(lines):
        say(line)
        time.sleep(max(0.0, began + (number + 1) / 10 - time.monotonic()))
