"""Lines as they leave Towline: whole documents with their identity, whatever a line holds."""

import json

import orjson
import pytest
from made_batches import batch, section

from towline.batch import ORIGIN_MARK, Batch, Origin, Section
from towline.queues.documents import named, ndjson

NASTY = [
    "",
    "plain",
    'a "quoted" \\ back\\\\slash',
    "line\nbreak\ttab \x1e \x00",
    '{"event":{"sequence":7,"id":"x"}}',
    "ünïcödé 🐳",
]


def documents(body: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in body.decode().split("\n")[:-1]]


def test_each_line_is_one_document_with_its_identity_and_origin() -> None:
    found = documents(ndjson(batch(NASTY)))
    assert [document["message"] for document in found] == NASTY
    for number, document in enumerate(found):
        stamp = f"2026-11-23T10:00:00.{number:09}Z"
        assert document == {
            "@timestamp": stamp, "message": NASTY[number], "stream": "stdout",
            "event": {"sequence": number + 1, "id": f"{stamp}-webo"},
            "container": {"id": "c" * 64, "name": "web"}, "host": {"name": "node1"}, "service": {"name": "web"},
        }  # fmt: skip


def test_sections_keep_their_own_origins() -> None:
    both = Batch([section(["a", "b"]), section(["c"], service="db")])
    assert [document["service"] for document in documents(ndjson(both))] == [{"name": "web"}] * 2 + [{"name": "db"}]


def one(line: bytes, identity: bytes = b"2026-11-23T10:00:00.000000000Z-webg") -> Section:
    origin = Origin({"service": {"name": "web"}})
    docs = b'{"create":{"_id":"%b"}}\n%b\n' % (identity, line)
    return Section(origin, docs, 1, "2026-11-23T10:00:00.000000000Z", "2026-11-23T10:00:00.000000000Z")


HEAD = b'{"@timestamp":"2026-11-23T10:00:00.000000000Z","message":"%b","stream":"stdout","event":{"sequence":5'


def test_what_stands_behind_the_sequence_stays() -> None:
    line = HEAD % b"gap" + b',"action":"gap"},"towline":{"gap":{"after":""}}\x1e}'
    (document,) = documents(ndjson(Batch([one(line)])))
    assert document["event"] == {"sequence": 5, "id": "2026-11-23T10:00:00.000000000Z-webg", "action": "gap"}
    assert document["towline"] == {"gap": {"after": ""}}
    assert document["service"] == {"name": "web"}


def test_half_a_character_is_replaced_and_the_line_stays() -> None:
    line = HEAD % rb"half \ud83d" + b"}" + ORIGIN_MARK + b"}"
    body = ndjson(Batch([one(line)]))
    assert orjson.loads(body)["message"] == "half ?"
    assert orjson.loads(body)["event"] == {"sequence": 5, "id": "2026-11-23T10:00:00.000000000Z-webg"}


@pytest.mark.parametrize("line", [b'{"message":"torn', b"[1]", b"\xff", b'{"a":' * 5000 + b"1" + b"}" * 5000])
def test_what_is_no_document_is_kept_as_the_message_of_one(line: bytes) -> None:
    (document,) = documents(ndjson(Batch([one(line)])))
    assert document["message"] == line.decode("utf-8", "replace")
    assert document["event"] == {"kind": "pipeline_error", "id": "2026-11-23T10:00:00.000000000Z-webg"}


def test_members_in_another_order_are_found_all_the_same() -> None:
    line = b'{"event":{"action":"x"},"message":"m","@timestamp":"2026-11-23T10:00:00.000000000Z"\x1e}'
    (document,) = documents(ndjson(Batch([one(line)])))
    assert document["event"] == {"action": "x", "id": "2026-11-23T10:00:00.000000000Z-webg"}
    assert named(one(line)).endswith(ORIGIN_MARK + b"}\n")
