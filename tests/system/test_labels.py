"""Labels decide what becomes of a service's lines, from the container to the search; each event once all the same."""

import random
import time
from collections import Counter
from collections.abc import Callable

import pytest
from harness import Generators, Up, finished, open_lines, run

pytestmark = pytest.mark.engine
Make = Callable[..., Up]

JSON = """echo '{"level":"ERROR","msg":"order failed for anna@example.org","order":{"id":17},"container":{"id":"x"}}'
echo 'not JSON, from bob@example.org'
echo 'GET /health'"""
TRACE = """echo starting
echo 'Traceback (most recent call last):'; echo '  File "a.py", line 1, in <module>'; echo 'ValueError: no'
echo goes on"""


def test_lines_are_parsed_hidden_dropped_joined_and_routed(source: str, up: Make, generators: Generators) -> None:
    labels = {
        "towline.parse": "json",
        "towline.redact": "emails",
        "towline.drop": "^GET /health",
        "towline.dataset": "shop",
    }
    json_lines = generators.shell("json", JSON, labels=labels)
    joined = generators.shell("trace", TRACE, labels={"towline.multiline": "python", "towline.pars": "json"})
    towline = up("--source", source).start()
    finished(json_lines)
    finished(joined)
    rows = towline.collect(5)
    by_service = {name: [row for row in rows if row["service"]["name"] == f"{generators.prefix}-{name}"]
                  for name in ("json", "trace")}  # fmt: skip
    parsed, plain = by_service["json"]
    assert (parsed["message"], plain["message"]) == ("order failed for [email]", "not JSON, from [email]")
    assert (parsed["log"]["level"], plain["log"]["flags"]) == ("error", ["unparsed"])
    assert parsed["fields"]["order.id"] == 17
    assert parsed["container"]["id"] == json_lines.id, "identity is not the application's"
    assert parsed["data_stream"]["dataset"] == "shop"
    trace = 'Traceback (most recent call last):\n  File "a.py", line 1, in <module>\nValueError: no'
    assert [row["message"] for row in by_service["trace"]] == ["starting", trace, "goes on"]
    towline.quiet()
    ledger = towline.ledger()[f"{generators.prefix}-json"]
    assert (ledger["read"], ledger["dropped"], ledger["indexed"]) == (3, 1, 2)
    assert "label towline.pars: unknown; did you mean towline.parse?" in towline.said()
    engine = towline.options[towline.options.index("--engine") + 1]
    audit = run(
        "audit", "--data", towline.data, "--listen", f"127.0.0.1:{towline.port}", "--engine", engine,
        "--include", f"{generators.prefix}*", "--until", "0s", "--source", source)  # fmt: skip
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert f"{generators.prefix}-trace: 3 in the log, 3 in the store, 0 missing, 0 double" in audit.stdout


def test_joined_events_are_whole_and_there_once_after_kills(source: str, up: Make, generators: Generators) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance, count = random.Random(seed), 400
    script = (
        f"i=0; while [ $i -lt {count} ]; do i=$((i+1)); echo event $i; echo '  'a $i; echo '  'b $i; sleep 0.02; done"
    )
    keep = {"max-size": "8k", "max-file": "100"}
    container = generators.shell("events", script, labels={"towline.multiline": "indented"},
                                 log_config={"Type": "json-file", "Config": keep})  # fmt: skip
    towline = up("--source", source)
    for _ in range(5):
        towline.start(wait=False)
        time.sleep(chance.uniform(0.5, 2.0))
        towline.kill()
    towline.start()
    finished(container)
    rows = towline.collect(count)
    wanted = Counter(f"event {number}\n  a {number}\n  b {number}" for number in range(1, count + 1))
    assert Counter(row["message"] for row in rows) == wanted
    towline.quiet()
    assert sum(map(open_lines, towline.ledger().values())) == 0
