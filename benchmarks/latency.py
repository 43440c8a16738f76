"""Latency: from a line's stamp to the first search that finds it, while fifty containers write 5,000 lines a second."""

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
from towline.times import nanoseconds

GROUP = "latency"
SPEAKERS, RATE = 50, 100.0
LOOK_EVERY = 0.02
REFRESH = 5.0
"""Seconds: `refresh` of the store's URL where nothing else is said."""
MARK = "whenfound"
"""A word that only the lines looked for have: the search for them is not to be what the machine is busy with."""
Found = Callable[[], dict[str, float]]
"""What a search finds now: message to stamp, in seconds since the epoch."""


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
    late = apart(ground, names, probe)
    yield Figure(GROUP, f"RabbitMQ and Elasticsearch, file, {rate}: 99 of 100", percentile(late, 0.99), "s",
                 f"its refresh of {REFRESH:.0f} s and one", REFRESH + 1, at_most(REFRESH + 1))  # fmt: skip


def embedded(ground: Ground, names: list[str], probe: str, source: str) -> list[float]:
    with ground.up(f"{ground.prefix}-say-*", source=source) as up:
        path = f"/api/search?limit=300&container={quote(probe)}"

        def found() -> dict[str, float]:
            hits = json.loads(up.get(path)[1])["hits"]
            return {hit["message"]: nanoseconds(hit["@timestamp"]) / 1e9 for hit in hits}

        return measured(ground, names, probe, found)


def apart(ground: Ground, names: list[str], probe: str) -> list[float]:
    queue, store = ground.unique("late"), ground.stream()
    lines = {"filter": [{"term": {"container.name": probe}}, {"match": {"message": MARK}}]}
    query = {"size": 2000, "query": {"bool": lines}, "_source": ["message", "@timestamp"]}
    path = f"/{stream_of(store)}/_search?ignore_unavailable=true"

    def found() -> dict[str, float]:
        with suppress(RuntimeError):  # the index is being made
            return told()
        return {}

    def told() -> dict[str, float]:
        hits = [hit["_source"] for hit in ground.ask("POST", path, query)["hits"]["hits"]]
        return {hit["message"]: nanoseconds(hit["@timestamp"]) / 1e9 for hit in hits}

    with ExitStack() as parts:
        index = parts.enter_context(ground.index(queue, store))
        ship = parts.enter_context(ground.ship(queue, f"{ground.prefix}-say-*"))
        caught_up(ship, index)
        return measured(ground, names, probe, found, drain=REFRESH + 5)


def caught_up(ship: Program, index: Program) -> None:
    """Wait until the lines of earlier measurements, which stand before new ones in the same logs, are stored."""

    def level() -> bool:
        read = ship.metric("towline_lines_read_total")
        return read > 0 and index.metric("towline_lines_indexed_total") >= read

    wait_for(level, 120, "the index has what the shipper has read", every=0.5)


def measured(ground: Ground, names: list[str], probe: str, found: Found, drain: float = 3) -> list[float]:
    """How late ten lines a second were that one container writes among its others; one not found is an error."""
    time.sleep(4)
    seconds, mark = ground.sizes.latency, f"{MARK} {ground.unique('probe')}"
    talking = threading.Thread(target=ground.writers.pace, args=(names, RATE, seconds + 1))
    talking.start()
    lines = [f"{mark} {number}" for number in range(int(seconds * 10))]
    speaking = threading.Thread(target=_speak, args=(ground, probe, lines))
    speaking.start()
    seen: dict[str, float] = {}
    deadline = 0.0
    while len(seen) < len(lines) and (speaking.is_alive() or time.monotonic() < deadline):
        for message, stamp in found().items():
            if message.startswith(mark):
                seen.setdefault(message, time.time() - stamp)
        if speaking.is_alive():
            deadline = time.monotonic() + drain
        time.sleep(LOOK_EVERY)
    talking.join()
    speaking.join()
    if len(seen) < len(lines):
        raise RuntimeError(f"{len(lines) - len(seen)} of {len(lines)} probes were not found")
    return list(seen.values())


def _speak(ground: Ground, probe: str, lines: list[str]) -> None:
    for line in lines:
        ground.writers.say(probe, line.encode() + b"\n")
        time.sleep(0.1)
