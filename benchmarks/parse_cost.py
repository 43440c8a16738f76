"""What parsing costs: CPU microseconds a line. `python -m benchmarks.parse_cost`."""

import time

from shipper.rules.parse import PARSERS, Parse
from shipper.rules.pattern import read
from shipper.rules.rows import Rows

JSON = (
    '{"level":"info","ts":1790000000.1234567,"logger":"http","caller":"api/server.go:99","msg":"request served",'
    '"method":"GET","url":"/api/v1/orders/42","status":200,"trace_id":"0af7651916cd43dd8448eb211c80319c","took":1}'
)
LOGFMT = (
    'time="2026-11-23T10:15:00Z" level=info msg="request served" method=GET status=200 url=/api/v1/orders/42 took=12'
)
ACCESS = '10.0.0.9 - ada [23/Nov/2026:10:15:00 +0000] "GET /api/v1/orders/42 HTTP/1.1" 200 153'
REGEX = (
    r'^(?P<client__ip>\S+) \S+ (?P<user>\S+) \[(?P<time>[^\]]+)\] "(?P<method>\S+) (?P<url>\S+) [^"]*" (?P<status>\d+)'
)
CASES = {"json": (PARSERS["json"], JSON), "json with a key twice": (PARSERS["json"], JSON[:-1] + ',"took":13}'),
         "logfmt": (PARSERS["logfmt"], LOGFMT), "regex": (read(REGEX), ACCESS),
         "dissect": (read('%{client.ip} %{} %{user} [%{time}] "%{method} %{url} %{}" %{}'), ACCESS)}  # fmt: skip
LINES = 20_000

if __name__ == "__main__":
    for name, (parser, line) in CASES.items():
        rows = Rows([b""] * LINES, [b""] * LINES, [b""] * LINES, [0] * LINES, [line] * LINES, [()] * LINES)
        began = time.process_time()
        Parse([parser])(rows)
        print(f"{name:24} {(time.process_time() - began) / LINES * 1e6:6.1f} µs a line of {len(line)} bytes")
