"""Labels: CPU per line of making documents, for a service without any, and with one label or another."""

import time
from collections.abc import Iterator, Mapping

from benchmarks.figure import Figure
from benchmarks.ground import Ground
from shipper.entries import STDOUT, Entries
from shipper.lines import LineMaker
from shipper.ruled import ruled_of
from shipper.rules.table import read
from towline.times import format_time

GROUP = "labels"
LINES = 2000
"""In one read, as of a busy container."""
ACCESS = (
    '172.18.0.7 - - [23/Nov/2026:10:15:%02d +0000] "GET /shop/items?page=%d HTTP/1.1" 200 %d '
    '"https://shop.example/" "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"'
)
JSON = (
    '{"ts":"2026-11-23T10:15:%02d.000Z","level":"info","logger":"http","msg":"request served","page":%d,'
    '"http":{"response":{"status_code":200,"bytes":%d}},"user":{"name":"anna","roles":["buyer","admin"]}}'
)
LOGFMT = 'time="2026-11-23T10:15:%02d.000Z" level=info msg="request served" page=%d method=GET status=200 took=%d'
REGEX = r'^(?P<client__ip>\S+) .* \[(?P<time>[^\]]+)\] "(?P<method>\S+) (?P<url>\S+) [^"]*" (?P<status>\d+)'
DISSECT = '%{client.ip} - - [%{time}] "%{method} %{url} %{}" %{status} %{}'
ASKED: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "towline.parse=nginx": (ACCESS, {"towline.parse": "nginx"}),
    "towline.parse=nginx, and its time": (ACCESS, {"towline.parse": "nginx", "towline.time": "auto"}),
    "towline.parse=json": (JSON, {"towline.parse": "json"}),
    "towline.parse=logfmt": (LOGFMT, {"towline.parse": "logfmt"}),
    "towline.parse.pattern, regular expression": (ACCESS, {"towline.parse.pattern": REGEX}),
    "towline.parse.pattern, dissect": (ACCESS, {"towline.parse.pattern": DISSECT}),
    "towline.redact=emails,cards,tokens": (ACCESS, {"towline.redact": "emails,cards,tokens"}),
    "towline.drop=/health": (ACCESS, {"towline.drop": "/health"}),
    "towline.multiline=java": (ACCESS, {"towline.multiline": "java"}),
}


def figures(ground: Ground) -> Iterator[Figure]:
    rounds = 20 * ground.sizes.rounds
    bare = made(ACCESS, {}, rounds)
    yield Figure(GROUP, "no labels", bare, "µs/line")
    for name, (form, labels) in ASKED.items():
        yield Figure(GROUP, name, made(form, labels, rounds), "µs/line", "no labels", bare)


def made(form: str, labels: Mapping[str, str], rounds: int) -> float:
    """Microseconds of CPU per line, the least of these rounds."""
    reading = read(labels)
    if reading.problems:
        raise RuntimeError(reading.problems)
    maker = LineMaker("c" * 64, 1 << 20, ruled=ruled_of(reading.values, "bench", 1 << 20))
    spent = []
    for number in range(rounds):
        entries = one_read(form, number)
        began = time.thread_time()
        maker.feed(entries)
        spent.append(time.thread_time() - began)
    return 1e6 * min(spent) / LINES


def one_read(form: str, number: int) -> Entries:
    start = 1_763_000_000_000_000_000 + number * LINES * 10_000
    texts = [(form % (at % 60, at, at * 7)).replace('"', '\\"').encode() for at in range(LINES)]
    return Entries([format_time(start + at * 10_000).encode() for at in range(LINES)], texts, STDOUT)
