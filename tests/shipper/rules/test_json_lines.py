"""JSON lines: dotted names, common names, and nothing lost whatever an application writes."""

import json
import random
from typing import Any

import orjson
import pytest

from shipper.rules import common_names, json_lines
from shipper.rules.common_names import MESSAGES
from shipper.rules.json_lines import DEEPEST, LONGEST_NAME, parse
from shipper.rules.rows import Rows
from towline.fields import fits

LOGGERS: dict[str, tuple[str, dict[str, Any]]] = {
    "slog": (
        '{"time":"2026-11-23T10:15:00.5Z","level":"WARN","source":{"function":"main.run","file":"/src/main.go","line":42},'
        '"msg":"slow","took":12}',
        {"message": "slow", "log.level": "warn", "log.origin.function": "main.run", "log.origin.file.line": 42,
         "log.origin.file.name": "/src/main.go", "took": 12, "time": "2026-11-23T10:15:00.5Z"},
    ),
    "zap": (
        '{"level":"error","ts":1790000000.1234567,"logger":"http","caller":"api/server.go:99","msg":"failed",'
        '"error":"EOF","stacktrace":"main.main\\n\\t/src/main.go:1"}',
        {"message": "failed", "log.level": "error", "ts": 1790000000.1234567, "log.logger": "http",
         "log.origin.file.name": "api/server.go", "log.origin.file.line": 99, "error.message": "EOF",
         "error.stack_trace": "main.main\n\t/src/main.go:1"},
    ),
    "logrus": (
        '{"error":"no route","file":"/src/a.go:7","func":"main.dial","level":"fatal","msg":"dial",'
        '"time":"2026-11-23T10:15:00Z"}',
        {"message": "dial", "log.level": "fatal", "error.message": "no route", "log.origin.file.name": "/src/a.go",
         "log.origin.file.line": 7, "log.origin.function": "main.dial", "time": "2026-11-23T10:15:00Z"},
    ),
    "pino": (
        '{"level":50,"time":1790000000123,"pid":7,"hostname":"c0ffee","name":"shop","reqId":"req-1","req":{"method":"GET",'
        '"url":"/cart?id=1","remoteAddress":"10.0.0.9"},"res":{"statusCode":502},"err":{"type":"TypeError","message":"x",'
        '"stack":"TypeError: x\\n  at f"},"responseTime":3,"msg":"request errored"}',
        {"message": "request errored", "log.level": "error", "time": 1790000000123, "process.pid": 7,
         "hostname": "c0ffee",
         "log.logger": "shop", "http.request.id": "req-1", "http.request.method": "GET", "url.original": "/cart?id=1",
         "client.ip": "10.0.0.9", "http.response.status_code": 502, "error.type": "TypeError", "error.message": "x",
         "error.stack_trace": "TypeError: x\n  at f", "responseTime": 3},
    ),
    "bunyan": (
        '{"name":"api","hostname":"h","pid":1,"level":30,"msg":"up","time":"2026-11-23T10:15:00.000Z","v":0}',
        {"message": "up", "log.level": "info", "log.logger": "api", "hostname": "h", "process.pid": 1, "v": 0,
         "time": "2026-11-23T10:15:00.000Z"},
    ),
    "winston": (
        '{"level":"silly","message":"so it goes","service":"cart","timestamp":"2026-11-23T10:15:00.000Z"}',
        {"message": "so it goes", "log.level": "trace", "service": "cart", "timestamp": "2026-11-23T10:15:00.000Z"},
    ),
    "structlog": (
        '{"event":"user_logged_in","level":"info","logger":"auth","timestamp":"2026-11-23T10:15:00Z","user":"ada",'
        '"exception":"Traceback (most recent call last):\\n..."}',
        {"message": "user_logged_in", "log.level": "info", "log.logger": "auth", "user.name": "ada",
         "timestamp": "2026-11-23T10:15:00Z", "error.stack_trace": "Traceback (most recent call last):\n..."},
    ),
    "python-json-logger": (
        '{"asctime":"2026-11-23 10:15:00,123","name":"app.db","levelname":"WARNING","levelno":30,"message":"retry",'
        '"lineno":12,"funcName":"get","pathname":"/app/db.py","process":11,"threadName":"MainThread"}',
        {"message": "retry", "log.level": "warn", "levelno": 30, "log.logger": "app.db", "log.origin.file.line": 12,
         "log.origin.function": "get", "log.origin.file.name": "/app/db.py", "process.pid": 11,
         "process.thread.name": "MainThread", "asctime": "2026-11-23 10:15:00,123"},
    ),
    "the ECS encoders of log4j2 and Logback": (
        '{"@timestamp":"2026-11-23T10:15:00.123Z","log.level":"ERROR","message":"no","ecs.version":"1.2.0",'
        '"service.name":"shop","event.dataset":"shop","process.thread.name":"main","log.logger":"a.B",'
        '"error.type":"java.io.IOException","error.message":"m","error.stack_trace":"s"}',
        {"message": "no", "log.level": "error", "process.thread.name": "main", "log.logger": "a.B",
         "error.type": "java.io.IOException", "error.message": "m", "error.stack_trace": "s", "service.name": "shop",
         "@timestamp": "2026-11-23T10:15:00.123Z", "ecs.version": "1.2.0", "event.dataset": "shop"},
    ),
    "logstash-logback-encoder": (
        '{"@timestamp":"2026-11-23T10:15:00Z","@version":"1","message":"m","logger_name":"a.B","thread_name":"t-1",'
        '"level":"WARN","level_value":30000,"stack_trace":"s","traceId":"abc"}',
        {"message": "m", "log.level": "warn", "log.logger": "a.B", "process.thread.name": "t-1", "level_value": 30000,
         "error.stack_trace": "s", "trace.id": "abc", "@version": "1", "@timestamp": "2026-11-23T10:15:00Z"},
    ),
    "log4j2's JsonLayout": (
        '{"instant":{"epochSecond":1790000000,"nanoOfSecond":5},"thread":"main","level":"FATAL","loggerName":"a.B",'
        '"message":"m","thrown":{"name":"E","message":"why","extendedStackTrace":"s"},"threadId":1}',
        {"message": "m", "log.level": "fatal", "log.logger": "a.B", "process.thread.name": "main", "error.type": "E",
         "error.message": "why", "error.stack_trace": "s", "process.thread.id": 1, "instant.epochSecond": 1790000000,
         "instant.nanoOfSecond": 5},
    ),
    "Serilog's compact form": (
        '{"@t":"2026-11-23T10:15:00.1234567Z","@mt":"Hello {User}","@l":"Warning","@x":"System.E: no","User":"ada",'
        '"SourceContext":"Shop.Cart","@tr":"0af7651916cd43dd8448eb211c80319c","@sp":"b7ad6b7169203331"}',
        {"message": "Hello {User}", "log.level": "warn", "error.stack_trace": "System.E: no", "User": "ada",
         "log.logger": "Shop.Cart", "trace.id": "0af7651916cd43dd8448eb211c80319c", "span.id": "b7ad6b7169203331",
         "@t": "2026-11-23T10:15:00.1234567Z"},
    ),
    ".NET's console": (
        '{"EventId":1,"LogLevel":"Information","Category":"App","Message":"hi","State":{"Message":"hi"}}',
        {"message": "hi", "log.level": "info", "log.logger": "App", "EventId": 1, "State.Message": "hi"},
    ),
    "OpenTelemetry": (
        '{"SeverityNumber":17,"Body":"failed","TraceId":"t","SpanId":"s"}',
        {"message": "failed", "log.level": "error", "SeverityNumber": 17, "trace.id": "t", "span.id": "s"},
    ),
    "Google's": (
        '{"severity":"ERROR","message":"m","httpRequest":{"requestMethod":"PUT","requestUrl":"https://a/b","status":500,'
        '"userAgent":"curl","remoteIp":"::1"},"logging.googleapis.com/trace":"projects/p/traces/1"}',
        {"message": "m", "log.level": "error", "http.request.method": "PUT", "url.original": "https://a/b",
         "http.response.status_code": 500, "user_agent.original": "curl", "client.ip": "::1",
         "trace.id": "projects/p/traces/1"},
    ),
    "an access log of nginx as JSON": (
        '{"remote_addr":"10.1.2.3","request_method":"GET","request_uri":"/a?b=c","status":"404","body_bytes_sent":"153",'
        '"http_user_agent":"curl/8","http_referer":"","request_time":"0.001"}',
        {"client.ip": "10.1.2.3", "http.request.method": "GET", "url.original": "/a?b=c",
         "http.response.status_code": 404,
         "http.response.body.bytes": 153, "user_agent.original": "curl/8", "http_referer": "", "request_time": "0.001"},
    ),
    "Docker's own": ('{"log":"plain\\n","stream":"stderr"}', {"message": "plain\n", "stream": "stderr"}),
}  # fmt: skip


@pytest.mark.parametrize("logger", LOGGERS)
def test_what_loggers_write_has_common_names(logger: str) -> None:
    line, expected = LOGGERS[logger]
    assert parse(line) == expected


def test_a_name_that_means_something_else_here_stays() -> None:
    line = (
        '{"status":"paid","method":"bank transfer","url":"n/a","level":"penthouse","thread":5,"trace":"a b","pid":"x"}'
    )
    assert parse(line) == orjson.loads(line)


def test_the_ecs_name_wins_over_others_and_all_are_kept() -> None:
    assert parse('{"lvl":"info","level":"error","trace_id":"b","trace":{"id":"a"},"severity":"odd"}') == {
        "log.level": "info", "level": "error", "trace_id": "b", "trace.id": "a", "severity": "odd"}  # fmt: skip
    assert parse('{"level":"INFO+2"}') == {"log.level": "info", "level": "INFO+2"}


def test_identity_can_not_be_overwritten() -> None:
    forged = {
        "@timestamp": "1999-01-01T00:00:00Z", "stream": "forged", "container": {"id": "f"}, "host": {"name": "f"},
        "service": {"name": "f"}, "event": {"sequence": 1, "created": "f"}, "data_stream": {"dataset": "f"},
        "log": {"flags": ["f"]}, "towline": {"gap": 1}, "orchestrator": {"type": "f"}, "fields": {"a": 1}}  # fmt: skip
    document = document_of(orjson.dumps(forged).decode())
    assert {name: document[name] for name in ("@timestamp", "stream", "event")} == {
        "@timestamp": "2026-11-23T10:15:30.000000001Z", "stream": "stdout", "event": {"sequence": 7}}  # fmt: skip
    assert set(document) == {"@timestamp", "message", "stream", "event", "fields"}
    assert document["fields"]["service.name"] == "f"
    assert document["fields"]["fields.a"] == 1


@pytest.mark.parametrize("name", [name for name in MESSAGES if name != "message"])
def test_every_usual_name_of_the_text_is_known(name: str) -> None:
    assert parse(orjson.dumps({name: "hello", "a": 1}).decode()) == {"message": "hello", "a": 1}


@pytest.mark.parametrize(
    "line", ['{"message":{"a":1}}', '{"msg":5}', '{"message":["x"],"msg":"y"}', '{"msg":""}', "{}"]
)
def test_without_a_text_the_line_is_its_own(line: str) -> None:
    assert document_of(line)["message"] == line


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"a":1,"a":2}', {"a": [1, 2]}),
        ('{"a":1,"a":2,"a":[3]}', {"a": [1, 2, [3]]}),
        ('{"a" : 1, "a" : 2}', {"a": [1, 2]}),
        ('{"a":{"x":1},"a":{"y":2}}', {"a": [{"x": 1}, {"y": 2}]}),
        ('{"b\\\\":1,"b\\\\":2,"s":"\\":"}', {"b\\": [1, 2], "s": '":'}),
        ('{"l":[{"k":1,"k":2}]}', {"l": [{"k": [1, 2]}]}),
        ('{"a":1,"a.b":2}', {"a": 1, "a.b": 2}),
        ('{"a":{"b":1},"a.b":2}', {"a.b": [2, 1]}),
        ('{"a":{"b":{"c":1},"b.c":2},"a.b":{"c":3}}', {"a.b.c": [2, 3, 1]}),
        ('{"":1,"a":{"":2},".":3,"..":4," ":5}', {"": 1, "a.": 2, ".": 3, "..": 4, " ": 5}),
        ('{"a":{},"b":[],"c":null,"d":[null,{}]}', {"a": {}, "b": [], "c": None, "d": [None, {}]}),
        ('{"a":1e999,"b":-1e999,"c":1e-999}', {"a": "1e999", "b": "-1e999", "c": "1e-999"}),
        ('{"a":1180591620717411303424}', {"a": "1180591620717411303424"}),
        ('{"a":18446744073709551615,"b":-9223372036854775808}', {"a": 18446744073709551615, "b": -9223372036854775808}),
        ('{"a":-9223372036854775809}', {"a": "-9223372036854775809"}),
        ('{"a":0.1000000000000000055511151231257827}', {"a": "0.1000000000000000055511151231257827"}),
        ('{"a":0.10000000000000000000,"b":1.50}', {"a": 0.1, "b": 1.5}),
        ('{"a":1e999999999999999999999}', {"a": "1e999999999999999999999"}),
        (
            '{"a":NaN,"b":Infinity,"c":-Infinity,"d":[NaN]}',
            {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": ["NaN"]},
        ),
        ('{"a":"\\ud800","\\udbff":["x\\udc00"]}', {"a": "\\ud800", "\\udbff": ["x\\udc00"]}),
        ('{"a":"\\ud83e\\udd16","b":"é\\u0000"}', {"a": "🤖", "b": "é\0"}),
        ('{"a":"raw\ttab"}', {"a": "raw\ttab"}),
        ('  {"a":1}\r\n', {"a": 1}),
        ('{"body":"{\\"a\\":1}","x":":"}', {"message": '{"a":1}', "x": ":"}),
    ],
)
def test_odd_json_is_kept_whole(line: str, expected: dict[str, Any]) -> None:
    assert parse(line) == expected
    orjson.dumps(expected)


@pytest.mark.parametrize(
    "line",
    ["", "plain", "[1]", "3", "null", '"x"', "{", '{"a":1', '{"a":1}}', '{"a":1} x', "{'a':1}", '{"a":01}', "\0",
     "{" * 100_000,
     '{"a\\u0000b":1}', '{"a":[{"\\u0000":1}]}', '{"' + "k" * 257 + '":1}'],
)  # fmt: skip
def test_what_is_no_json_object_or_fits_no_store_is_no_such_line(line: str) -> None:
    assert parse(line) is None


def deep(levels: int, array: bool = False) -> str:
    return (
        '{"a":' * (not array)
        + ('{"a":' if not array else "[") * levels
        + "1"
        + ("}" if not array else "]") * levels
        + "}"
    )


@pytest.mark.parametrize("levels", [1_000, 5_000, 500_000])
def test_a_thousand_levels_are_left_as_they_were(levels: int) -> None:
    assert parse('{"a":' * levels + "1" + "}" * levels) is None
    assert parse('{"a":' + "[" * levels + "]" * levels + "}") is None
    assert parse('{"a":' + '[{"b":' * levels + "1" + "}]" * levels + "}") is None


def test_what_lies_too_deep_is_kept_as_text() -> None:
    levels = 100
    found = parse('{"a":' * levels + "1" + "}" * levels)
    assert found
    assert list(found) == [".".join("a" * DEEPEST)]
    (text,) = found.values()
    assert text == '{"a":' * (levels - DEEPEST) + "1" + "}" * (levels - DEEPEST)
    assert parse('{"l":' + "[" * 50 + "1.5" + "]" * 50 + "}") == {"l": "[" * 50 + "1.5" + "]" * 50}
    assert parse('{"l":' + "[" * DEEPEST + "]" * DEEPEST + "}") == {"l": json.loads("[" * DEEPEST + "]" * DEEPEST)}


def test_ten_thousand_keys_are_kept() -> None:
    document = {f"key-{number}": number for number in range(10_000)}
    assert parse(orjson.dumps(document).decode()) == document
    below = parse(orjson.dumps({"a": {"b": document}}).decode())
    assert below == {f"a.b.{name}": value for name, value in document.items()}


def test_long_names_do_not_make_a_line_grow_beyond_measure() -> None:
    long = "k" * (LONGEST_NAME - 20)
    document = {long: {f"{number:06}": 1 for number in range(100_000)}}
    line = orjson.dumps(document).decode()
    found = parse(line)
    assert found == {long: line[len(long) + 4 : -1]}
    found = parse(orjson.dumps({"a" * 200: {"b" * 200: 1}}).decode())
    assert found == {"a" * 200: '{"' + "b" * 200 + '":1}'}
    assert parse(orjson.dumps({"l": [{"b" * 300: 1}]}).decode()) == {"l": '[{"' + "b" * 300 + '":1}]'}


def test_equal_lines_come_out_the_same_by_both_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line for line, _ in LOGGERS.values()]
    fast = [parse(line) for line in lines]
    monkeypatch.setattr(json_lines, "_is_unique", lambda keys, text: False)
    assert [parse(line) for line in lines] == fast


KEYS = ["a", "b", "a.b", "b.a", "", ".", "x y", "é", "日本", 'quo"te', "back\\", "a\\:", ":", "k" * 30, "id", "n"]
TEXTS = ["", "x", '":', '\\":', "a\0b", "\u2028", "🤖", "\\ud800", "1e999", " :", "null", "{}", "line\nfeed", "\x1e"]
NUMBERS = ["0", "-1", "1.5", "1e3", "1E-7", "1e999", "-1e400", "1e-999", str(2**63), str(2**64), str(2**70), "-0.0",
           "123456789012345678901234567890", "0.12345678901234567890123", "1790000000.1234567", "3.0"]  # fmt: skip


class Pairs(list[tuple[str, Any]]):
    """An object with all of its keys."""


def random_json(chooser: random.Random, depth: int = 0) -> str:
    kind = chooser.randrange(10 if depth < 5 else 7)
    space = chooser.choice(["", "", "", " "])
    if kind < 3:
        return json.dumps(chooser.choice(TEXTS), ensure_ascii=chooser.random() < 0.5)
    if kind < 5:
        return chooser.choice(NUMBERS)
    if kind < 7:
        return chooser.choice(["true", "false", "null", "NaN", "[]", "{}", '"\\udc00"'])
    if kind < 8:
        return "[" + ",".join(random_json(chooser, depth + 1) for _ in range(chooser.randrange(4))) + "]"
    return random_object(chooser, depth + 1, space)


def random_object(chooser: random.Random, depth: int = 0, space: str = "") -> str:
    members = [
        json.dumps(chooser.choice(KEYS), ensure_ascii=chooser.random() < 0.5)
        + f"{space}:{space}"
        + random_json(chooser, depth)
        for _ in range(chooser.randrange(6))
    ]
    return "{" + f",{space}".join(members) + "}"


def leaves(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Dotted name and text of each value that is neither an object nor an array, arrays being transparent."""
    if isinstance(value, Pairs) and value:
        return [leaf for key, below in value for leaf in leaves(below, f"{prefix}.{key}" if prefix else "/" + key)]
    if isinstance(value, list) and not isinstance(value, Pairs):
        return [leaf for below in value for leaf in leaves(below, prefix)]
    return [(prefix[1:], "{}" if isinstance(value, Pairs) else shown(value))]


def shown(value: Any) -> str:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return repr(value)


def as_written(line: str) -> list[tuple[str, str]]:
    """What must be there: numbers as their own text where no reader holds them."""
    return leaves(json.loads(line, object_pairs_hook=Pairs, parse_constant=str, parse_int=written, parse_float=written))


def written(digits: str) -> Any:
    value = json_lines._int(digits) if digits.lstrip("-").isdigit() else json_lines._float(digits)
    assert isinstance(value, str) or digits.startswith("-0") or float(value) == float(digits)
    return value


def pairs_of(value: Any) -> Any:
    if isinstance(value, dict):
        return Pairs((key, pairs_of(below)) for key, below in value.items())
    return [pairs_of(below) for below in value] if isinstance(value, list) else value


@pytest.mark.parametrize("round_number", range(4))
def test_no_key_and_no_value_of_random_json_is_lost(round_number: int) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chooser = random.Random(seed)
    for _ in range(300):
        line = random_object(chooser)
        found = parse(line)
        assert found is not None, (seed, line)
        stored = orjson.loads(orjson.dumps(found))
        assert sorted(leaves(pairs_of(stored))) == sorted(as_written(line)), (seed, line)


def document_of(line: str) -> dict[str, Any]:
    """What a store gets."""
    found = parse(line)
    assert found is not None
    rows = Rows(ids=[b"i"], stamps=[b"2026-11-23T10:15:30.000000001Z"], streams=[b"stdout"], sequences=[7],
    texts=[line],
                flags=[()], fields=[found])  # fmt: skip
    if type(text := found.get("message")) is str and text:
        rows.texts[0] = found.pop("message")
    (document,) = rows.documents().replace(b"\x1e", b"").splitlines()[1::2]
    loaded: dict[str, Any] = orjson.loads(document)
    return loaded


@pytest.mark.parametrize(
    "value", ["x" * 9000, "10.0.0.256", 1 << 63, -5, 1.5, True, None, [], {}, "", "200", "GET", "/a", 30]
)
def test_what_gets_a_common_name_has_a_place_in_the_mapping(value: Any) -> None:
    names = [name for name in common_names._PLACES if name != "message"]
    for name in names:
        found = common_names.placed({name: value})
        ecs, _ = common_names._PLACES[name]
        assert found == {name: value} or ecs not in found or fits(ecs, found[ecs]), name
