"""Whatever a JSON line holds, both stores take the document, and give it back as it was."""

import os
import random
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import orjson
import pytest
import requests

from shipper.rules.json_lines import DEEPEST, LONGEST_NAME
from shipper.rules.parse import PARSERS, UNPARSED, Parse
from shipper.rules.rows import Rows
from towline.batch import Batch, Origin, Section
from towline.query import Query, parse
from towline.stores import Store, open_store
from towline.times import format_time

START = 1_790_000_000_000_000_000
SERVER = os.environ.get("TOWLINE_TEST_ELASTICSEARCH", "http://127.0.0.1:9200")
NAMESPACE = f"parsed.{os.getpid()}"
ORIGIN = Origin({"container": {"id": "c" * 64, "name": "web", "labels": {}}, "host": {"name": "n"},
                 "service": {"name": "web"}})  # fmt: skip


def emptied() -> None:
    """A data stream can't be removed from every server, its old indices can."""
    for stream in (f"logs-docker-{NAMESPACE}", f"logs-towline.deadletter-{NAMESPACE}"):
        requests.post(f"{SERVER}/{stream}/_rollover", timeout=60)
        rows = requests.get(f"{SERVER}/{stream}/_settings?allow_no_indices=true", timeout=60).json()
        for name in sorted(name for name in rows if name.startswith(".ds-"))[:-1]:
            requests.delete(f"{SERVER}/{name}", timeout=60).raise_for_status()


@pytest.fixture(scope="module", params=["sqlite", "elasticsearch"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, missing_part: Callable[[str], NoReturn]
) -> Iterator[Store]:
    url = f"sqlite://{tmp_path_factory.mktemp('parsed')}/store"
    if request.param == "elasticsearch":
        url = f"{SERVER}/?namespace={NAMESPACE}&refresh=now"
        try:
            emptied()
        except requests.ConnectionError as error:
            missing_part(f"no Elasticsearch on {SERVER}: {error}")
    opened = open_store(url)
    yield opened
    opened.close()
    if request.param == "elasticsearch":
        emptied()


def batch(lines: list[str], at: int) -> tuple[Batch, Rows]:
    stamps = [format_time(START + (at * 100_000 + number) * 1_000_000) for number in range(len(lines))]
    rows = Rows(
        ids=[f"{stamp}-web" .encode() for stamp in stamps], stamps=[stamp.encode() for stamp in stamps],
        streams=[b"stdout"] * len(lines), sequences=list(range(len(lines))), texts=lines,
        flags=[()] * len(lines))  # fmt: skip
    Parse([PARSERS["json"]])(rows)
    return Batch((Section(ORIGIN, rows.documents(), len(lines), stamps[0], stamps[-1]),)), rows


HOSTILE = [
    '{"a":1,"a":2,"msg":"twice"}', '{"a":1,"a.b":2}', '{"a":{"b":1},"a.b":{"c":2}}', '{"":1,"a":{"":{"":2}}}',
    '{".":1,"..":2,"a.":3,".a":4,"a..b":5," ":6}', '{"a":1e999,"b":NaN,"c":-1e-999}', '{"a":1180591620717411303424}',
    '{"a":18446744073709551615,"b":-9223372036854775808,"c":9223372036854775807}', '{"a":"\\ud800","\\udbff":1}',
    '{"a":"\\u0000","b":["\\u0000"]}', '{"a\\u0000":1}', '{"a":[1,"x",null,{"b":[{"c":{}}]},[],[[2]]]}',
    '{"a":{},"b":[]}',
    '{"a":null}', '{"log":{"level":5},"http":{"response":{"status_code":"many"}},"source":{"ip":"nowhere"}}',
    '{"log.level":["error"],"error":{"message":{"text":"x"}},"error.message":7}', '{"event":{"created":"yesterday"}}',
    '{"source.port":9223372036854775808,"process.pid":1.5,"url":{"original":"' + "u" * 40_000 + '"}}',
    '{"@timestamp":"never","_id":"x","_source":1,"_index":"y","fields":{"a":1},"message":["no text"]}',
    '{"stream":"x","service":{"name":"forged"},"event":{"sequence":1},"towline":{}}',
    '{"a":"' + "x" * 100_000 + '"}', '{"a":"' + "🤖" * 9_000 + '"}',
    '{"' + "🤖" * LONGEST_NAME + '":"' + "🤖" * 2_000 + '"}',
    '{"' + "k" * (LONGEST_NAME + 1) + '":1}', "not JSON", '{"msg":"\\u001e \\ud83e\\udd16"}',
    '{"a":"<>\\"\\\\ \\u2028"}',
    '{"l":' + ('[{"' + "🤖" * LONGEST_NAME + '":') * (DEEPEST // 2) + '"' + "🤖" * 2_000 + '"' +
    "}]" * (DEEPEST // 2) + "}",
    *('{"a":' * levels + "1" + "}" * levels for levels in (DEEPEST, DEEPEST + 1, 30, 200, 1000)),
    *('{"a":' + "[" * levels + "]" * levels + "}" for levels in (DEEPEST, DEEPEST + 1, 30, 200, 1000)),
    *('{"a":' + '[{"b":' * levels + "1" + "}]" * levels + "}" for levels in (DEEPEST // 2, DEEPEST, 100)),
    orjson.dumps({f"key {number}": number for number in range(10_000)}).decode(),
    orjson.dumps({"a": {"b": {f"key-{number}": "x" for number in range(10_000)}}}).decode(),
]  # fmt: skip


def expected(rows: Rows) -> list[dict[str, Any]]:
    documents = rows.documents().replace(b"\x1e", b"").splitlines()[1::2]
    return [orjson.loads(document) | ORIGIN.fields for document in documents]


def test_both_stores_take_hostile_json_and_give_it_back(store: Store) -> None:
    (sent, rows) = batch(list(HOSTILE), 0)
    (verdict,) = store.write([sent])
    assert [list(each) for each in verdict.rejected] == [[]]
    assert list(verdict.stored) == [len(HOSTILE)]
    window = Query(order="asc", limit=0, since=format_time(START), until=format_time(START + 100_000 * 1_000_000))
    assert list(store.search(window)) == expected(rows)
    marked = [line for line, flags in zip(HOSTILE, rows.flags, strict=True) if UNPARSED in flags]
    assert len(marked) == 5, [line[:60] for line in marked]


def test_both_stores_take_random_json(store: Store) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chooser = random.Random(seed)
    lines = [orjson.dumps(value_of(chooser, 0)).decode() for _ in range(150)]
    (sent, rows) = batch(lines, 1)
    (verdict,) = store.write([sent])
    assert [list(each) for each in verdict.rejected] == [[]], seed
    window = Query(order="asc", limit=0, since=format_time(START + 100_000 * 1_000_000),
                   until=format_time(START + 200_000 * 1_000_000))  # fmt: skip
    assert list(store.search(window)) == expected(rows), seed


def value_of(chooser: random.Random, depth: int) -> Any:
    names = [
        "a",
        "b.c",
        "",
        ".",
        "level",
        "msg",
        "http",
        "status",
        "error",
        "source",
        "ip",
        "event",
        "@timestamp",
        "log",
        "é" * 40,
    ]
    leaves = [None, True, 0, -1, 1.5, 2**63, "", "x", "2026-11-23", "error", [], {}, "\0", "y" * 9_000]
    if depth and chooser.random() < 0.5:
        return chooser.choice(leaves)
    if depth and chooser.random() < 0.3:
        return [value_of(chooser, depth + 1) for _ in range(chooser.randrange(4))]
    return {chooser.choice(names): value_of(chooser, depth + 1) for _ in range(chooser.randrange(5))}


def test_a_field_of_a_line_can_be_searched(store: Store) -> None:
    (sent, _) = batch(['{"msg":"paid","level":"WARN","order":{"id":"o-35"},"status":502}'], 2)
    store.write([sent])
    found = list(store.search(Query(where=parse("paid"))))
    assert [(one["log"]["level"], one["http"]["response"]["status_code"],
    one["fields"]["order.id"]) for one in found] == [
        ("warn", 502, "o-35")]  # fmt: skip
