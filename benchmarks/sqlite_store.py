"""How fast the SQLite store takes lines and answers: python benchmarks/sqlite_store.py [--lines 1000000] [--dir DIR].

Prints lines/s (wall, one writer thread), CPU µs per line, bytes on disk per line, how much another Python thread is
held up meanwhile, and search latencies (best of three).
"""

import argparse
import itertools
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from towline.batch import Batch, Origin, Section
from towline.query import Query, parse
from towline.stores.sqlite import SqliteStore
from towline.times import format_time

START = 1_790_000_000_000_000_000
CONTAINERS = 20
PER_BATCH = 4000
STEP = 20_000  # nanoseconds between lines


def origin(number: int) -> Origin:
    name = f"web-{number}"
    return Origin({"container": {"id": f"{number:064x}", "name": name, "image": {"name": "shop/web:1.4"},
                                 "labels": {"com.docker.compose.service": name}},
                   "host": {"name": "node-1"}, "service": {"name": name},
                   "data_stream": {"type": "logs", "dataset": "docker", "namespace": "default"}})  # fmt: skip


def message(chooser: random.Random, number: int) -> str:
    needle = " needle" if number % 1_000_003 == 7 else ""
    return (f"10.0.{chooser.randrange(256)}.{chooser.randrange(256)} - user{chooser.randrange(5000)} "
            f'\\"GET /api/v1/orders/{chooser.randrange(10**8):08d}/items?page={chooser.randrange(50)} HTTP/1.1\\" '
            f"{chooser.choice((200, 200, 200, 204, 404, 500))} {chooser.randrange(10**5)} "
            f"request_time=0.{number % 1000:03d} "
            f"trace={chooser.getrandbits(64):016x} upstream connection to backend-{chooser.randrange(8)} "
            f"took {chooser.randrange(900)} ms{needle}")  # fmt: skip


def batches(lines: int) -> Iterator[Batch]:
    chooser = random.Random(7)
    origins = [origin(number) for number in range(CONTAINERS)]
    pool = [message(chooser, 100 + number) for number in range(20_000)]
    for start in range(0, lines, PER_BATCH):
        container = origins[start // PER_BATCH % CONTAINERS]
        docs = []
        for number in range(start, start + PER_BATCH):
            stamp = format_time(START + number * STEP)
            text = message(chooser, number) if number % 1_000_003 == 7 else pool[number * 7919 % 20_000]
            docs.append(f'{{"create":{{"_id":"{stamp}-{start // PER_BATCH % CONTAINERS:08x}-0"}}}}\n'
                        f'{{"@timestamp":"{stamp}","message":"{text}","stream":"stdout",'
                        f'"event":{{"sequence":{number}}}\x1e}}\n')  # fmt: skip
        yield Batch([Section(container, "".join(docs).encode(), PER_BATCH, format_time(START + start * STEP),
                             format_time(START + (start + PER_BATCH - 1) * STEP))])  # fmt: skip


class Bystander(threading.Thread):
    """Another thread of the process that wants the interpreter: how long its turns are late."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.worst = self.total = 0.0
        self.turns = 0
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set():
            before = time.perf_counter()
            time.sleep(0.001)
            late = time.perf_counter() - before - 0.001
            self.turns, self.total, self.worst = self.turns + 1, self.total + late, max(self.worst, late)


def fill(store: SqliteStore, lines: int, per_write: int) -> tuple[float, float, Bystander]:
    wall = cpu = 0.0
    source = batches(lines)
    bystander = Bystander()
    bystander.start()
    done = 0
    while group := list(itertools.islice(source, per_write)):
        before, before_cpu = time.perf_counter(), time.thread_time()
        store.write(group)
        wall, cpu = wall + time.perf_counter() - before, cpu + time.thread_time() - before_cpu
        store.maintain()
        done += sum(batch.count for batch in group)
        if done % 1_000_000 < per_write * PER_BATCH:
            print(f"  {done:>10,} lines  {done / wall:>9,.0f} lines/s  {cpu / done * 1e6:5.2f} CPU µs/line", flush=True)
    bystander.stop.set()
    bystander.join()
    return wall, cpu, bystander


def search(store: SqliteStore, lines: int) -> None:
    middle, late = format_time(START + lines // 2 * STEP), format_time(START + lines // 2 * STEP + 10**9)
    cases = {
        "no filter": Query(),
        "needle": Query(where=parse("needle")),
        "common word": Query(where=parse("GET")),
        "two common words": Query(where=parse("connection 404")),
        "phrase": Query(where=parse('"upstream connection to backend"')),
        "rare phrase": Query(where=parse('"took 7 ms needle"')),
        "prefix": Query(where=parse("user49*")),
        "service": Query(service=("web-3",)),
        "service and word": Query(where=parse("500"), service=("web-3",)),
        "exclusion only": Query(where=parse("-GET")) if lines <= 1_000_000 else Query(where=parse("-500")),
        "time range": Query(since=middle, until=late),
        "word in time range": Query(where=parse("404"), since=middle, until=late),
        "oldest first": Query(where=parse("404"), order="asc"),
        "nothing found": Query(where=parse("nowhere")),
    }
    for name, query in cases.items():
        took = []
        for _ in range(3):
            before = time.perf_counter()
            found = len(list(store.search(query)))
            took.append(time.perf_counter() - before)
        print(f"  {name:<20} {found:>4} hits  first {took[0] * 1e3:8.1f} ms  best {min(took) * 1e3:8.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--per-write", type=int, default=5, help="batches of 4,000 lines in one write")
    parser.add_argument("--dir", type=Path, default=None)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.dir))
    try:
        store = SqliteStore(folder)
        wall, cpu, bystander = fill(store, options.lines, options.per_write)
        size = sum(file.stat().st_size for file in folder.iterdir())
        rate, each = options.lines / wall, cpu / options.lines * 1e6
        print(
            f"{options.lines:,} lines: {rate:,.0f} lines/s, {each:.2f} CPU µs/line, {size // options.lines} bytes/line"
        )
        late, worst = bystander.total / bystander.turns * 1e3, bystander.worst * 1e3
        print(f"a bystander's turns of 1 ms came {late:.2f} ms late on average, {worst:.0f} ms at worst")
        search(store, options.lines)
        before = time.perf_counter()
        total = sum(1 for _ in store.search(Query(limit=0)))
        print(f"  everything: {total:,} documents in {time.perf_counter() - before:.1f} s")
        store.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
