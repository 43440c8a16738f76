"""Lines of JSON by HTTP POST: 200 only once they are safe, and the same request twice is stored once."""

import gzip
import http.client
import threading
from typing import Any

import orjson
import pytest
from input_world import ANY, Start, World, until


@pytest.fixture
def world(start: Start) -> World:
    return start(ndjson=ANY, memory=4 << 20)


def post(
    world: World, body: bytes, path: str = "/", method: str = "POST", **headers: str
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(*world.address("ndjson"), timeout=60)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, orjson.loads(answer.read() or b"{}")
    finally:
        connection.close()


class Posting:
    """A request that waits for its answer."""

    def __init__(self, world: World, body: bytes, **more: str) -> None:
        self.answer: tuple[int, dict[str, Any]] | None = None
        self._thread = threading.Thread(target=self._run, args=(world, body, more), daemon=True)
        self._thread.start()

    def _run(self, world: World, body: bytes, more: dict[str, str]) -> None:
        self.answer = post(world, body, **more)

    def result(self) -> tuple[int, dict[str, Any]]:
        self._thread.join(60)
        assert self.answer is not None
        return self.answer


def taken(world: World, body: bytes, count: int, **more: str) -> list[dict[str, Any]]:
    before = len(world.taken)
    posting = Posting(world, body, **more)
    lines = world.lines(before + count)[before:]
    assert posting.result()[0] == 200
    return lines


def test_200_is_said_once_the_queue_has_confirmed(world: World) -> None:
    posting = Posting(world, b'{"message":"a"}\n{"message":"b"}\n', path="/?service=shop")
    deliveries = until(world.take)
    assert posting.answer is None
    world.confirm(deliveries)
    assert posting.result() == (200, {"lines": 2, "unparsed": 0})
    assert [(line["message"], line["service"]["name"]) for line in world.taken] == [("a", "shop"), ("b", "shop")]


def test_a_line_says_itself_who_and_when(world: World) -> None:
    record = {"@timestamp": "2026-11-23T00:25:00.5Z", "msg": "hi", "level": "err", "service": {"name": "pay"},
              "host": {"name": "box"}, "n": 1}  # fmt: skip
    (line,) = taken(world, orjson.dumps(record), 1)
    assert (line["message"], line["@timestamp"]) == ("hi", "2026-11-23T00:25:00.500000000Z")
    assert (line["service"]["name"], line["host"]["name"], line["log"]["level"]) == ("pay", "box", "error")
    assert line["fields"]["n"] == 1


def test_an_array_and_a_compressed_body_are_taken(world: World) -> None:
    body = b'[{"message":"a"},\n{"message":"b"}, 5]'
    assert [line["message"] for line in taken(world, body, 3)] == ["a", "b", "5"]
    assert [line["message"] for line in taken(world, gzip.compress(body), 3, Content_Encoding="gzip")] == [
        "a",
        "b",
        "5",
    ]


def test_the_same_request_with_its_key_has_the_same_identities(world: World) -> None:
    body = b'{"@timestamp":"2026-11-23T00:25:00Z","message":"a"}\n' * 2
    ids = [
        [line["_id"] for line in taken(world, body, 2, **more)]
        for more in ({"Idempotency_Key": "k1"}, {"Idempotency_Key": "k1"}, {"Idempotency_Key": "k2"}, {})
    ]
    assert ids[0] == ids[1]
    assert len({each for pair in ids for each in pair}) == 6


def test_lines_that_are_no_json_are_kept_and_counted(world: World) -> None:
    lines = [b"plain text", b'{"cut": ', b"\xff\xfe", b'{"n": 1e999, "m": 123456789012345678901234567890}', b'"text"',
             b'{"a":' * 3000, b'{"message": "\\ud800 half"}']  # fmt: skip
    posting = Posting(world, b"\n".join(lines))
    found = world.lines(len(lines))
    assert posting.result() == (200, {"lines": 7, "unparsed": 5})
    assert [line["message"] for line in found[:3]] == ["plain text", '{"cut": ', "\\xff\\xfe"]
    assert found[3]["fields"]["m"] == "123456789012345678901234567890"
    assert found[6]["message"] == "\ufffd half"


def test_without_room_429_is_said_and_later_200(start: Start) -> None:
    world = start(ndjson=ANY, memory=1 << 20, spool=0)
    body = orjson.dumps({"message": "x" * 900_000})
    postings = [Posting(world, body), Posting(world, body)]
    until(lambda: world.counted("input_bytes") > 1 << 20)
    assert post(world, b'{"message":"more"}')[0] == 429
    world.lines(2)
    assert [posting.result()[0] for posting in postings] == [200, 200]
    assert len(taken(world, b'{"message":"more"}', 1)) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 403),
        ({"Authorization": "Bearer t0ken", "Origin": "http://evil"}, 403),
    ],
)
def test_only_who_knows_the_token_is_heard_and_no_page_of_a_browser(
    start: Start, headers: dict[str, str], status: int
) -> None:
    world = start(ndjson=ANY, token="t0ken")
    assert post(world, b'{"message":"a"}', **headers)[0] == status
    assert len(taken(world, b'{"message":"a"}', 1, Authorization="Bearer t0ken")) == 1


@pytest.mark.parametrize(
    ("method", "body", "headers", "status"),
    [
        ("GET", b"", {}, 405),
        ("POST", b"x" * (2 << 20), {}, 413),
        ("POST", gzip.compress(bytes(64 << 20)), {"Content_Encoding": "gzip"}, 413),
        ("POST", b"no gzip", {"Content_Encoding": "gzip"}, 400),
        ("POST", b"x", {"Content_Encoding": "br"}, 415),
    ],
)
def test_a_request_that_is_none_is_answered_in_one_line(
    world: World, method: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    answered, answer = post(world, body, method=method, **headers)
    assert answered == status
    assert answer["error"]
    assert len(taken(world, b'{"message":"after"}', 1)) == 1
