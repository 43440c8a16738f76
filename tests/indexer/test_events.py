"""A domain event as a document: identity, time, type, service, and whatever its body is."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from indexer.events import batch_of, identity_of
from towline.live import key
from towline.queues.amqp_events import Event
from towline.stores.es_bulk import Tally, parts_of
from towline.times import format_time

NOW = 1_800_000_000_123_456_789


def event(body: Any = None, key: str = "order.created", **more: Any) -> Event:
    raw = body if isinstance(body, bytes) else orjson.dumps({"order": 17} if body is None else body)
    return Event("events", key, raw, **more)


def document(one: Event) -> dict[str, Any]:
    made = batch_of(one, NOW)
    tally = Tally([made])
    (part,) = parts_of(tally)
    assert part.count == 1, tally.rejected
    (section,) = made.sections
    assert (section.count, section.first) == (1, section.last)
    action, line = section.expand().splitlines()
    found: dict[str, Any] = orjson.loads(line)
    assert orjson.loads(action) == {"create": {"_id": found["event"]["id"]}}
    assert list(found)[:3] == ["@timestamp", "message", "stream"]
    return found


def test_an_event_is_a_document_beside_its_services_lines() -> None:
    body = {"order": {"id": 17, "lines": [{"sku": "a"}]}, "http": {"response": {"status_code": 201}}, "@timestamp": "x"}
    found = document(event(
        body, id="m-1", type="Order.Created", app="shop_orders", user="orders", correlation="req-9",
        timestamp=1_799_000_000, headers={"tenant": "acme", "n": 3}))  # fmt: skip
    assert found == {
        "@timestamp": "2027-01-03T18:13:20.000000000Z", "message": orjson.dumps(body).decode(), "stream": "event",
        "event": {"id": "m-1", "created": format_time(NOW), "kind": "event", "action": "Order.Created"},
        "http": {"response": {"status_code": 201}}, "trace": {"id": "req-9"},
        "fields": {"order": {"id": 17, "lines": [{"sku": "a"}]}, "@timestamp": "x"},
        "rabbitmq": {"exchange": "events", "routing_key": "order.created", "type": "Order.Created",
                     "correlation_id": "req-9", "headers": {"tenant": "acme", "n": 3}},
        "service": {"name": "shop_orders"},
        "data_stream": {"type": "logs", "dataset": "events.order.created", "namespace": "default"}}  # fmt: skip


@pytest.mark.parametrize(
    ("told", "dataset"),
    [
        ({"type": "order.created"}, "events.order.created"),
        ({"type": "Shop/Order-Created v2"}, "events.shop_order_created_v2"),
        ({"key": "invoice.paid.eu"}, "events.invoice"), ({"key": "日本.x"}, "events.other"),
        ({"key": ""}, "events.other"),
        ({"type": "x" * 300}, "events." + "x" * 93), ({"type": "--", "key": "a"}, "events.a"),
    ],
)  # fmt: skip
def test_the_type_names_the_data_stream(told: dict[str, str], dataset: str) -> None:
    assert document(event(**told))["data_stream"]["dataset"] == dataset


@pytest.mark.parametrize(
    ("told", "service"),
    [
        ({"app": "a", "user": "u", "headers": {"service": "h"}}, "a"),
        ({"user": "u", "headers": {"service": "h"}}, "h"),
        ({"headers": {"service.name": "n", "service": "h"}}, "n"), ({"user": "u", "headers": {"service": 7}}, "u"),
        ({}, "events"),
    ],
)  # fmt: skip
def test_the_service_is_who_sent_it(told: dict[str, Any], service: str) -> None:
    assert document(event(**told))["service"] == {"name": service}


@pytest.mark.parametrize(
    ("body", "told", "stamp"),
    [
        ({"time": "2026-11-23T10:00:00.5+01:00"}, {"timestamp": 5}, "2026-11-23T09:00:00.500000000Z"),
        ({"@timestamp": "2026-11-23T10:00:00Z", "time": "2020-01-01T00:00:00Z"}, {}, "2026-11-23T10:00:00.000000000Z"),
        ({"time": "2026-11-23T10:00:00"}, {"timestamp": 5}, "1970-01-01T00:00:05.000000000Z"),
        ({"time": "2026-99-99T10:00:00Z"}, {"timestamp": 5}, "1970-01-01T00:00:05.000000000Z"),
        ({"time": "9999-01-01T10:00:00Z"}, {}, format_time(NOW)), ({"time": 17}, {}, format_time(NOW)),
        ({}, {"headers": {"timestamp_in_ms": 5001}, "timestamp": 7}, "1970-01-01T00:00:05.001000000Z"),
        ({}, {"timestamp": 1 << 60}, format_time(NOW)), ({}, {"timestamp": -1}, format_time(NOW)),
    ],
)  # fmt: skip
def test_the_time_is_the_events_own_where_it_can_be_understood(body: Any, told: dict[str, Any], stamp: str) -> None:
    assert document(event(body, **told))["@timestamp"] == stamp


def test_the_identity_is_the_message_id_or_what_the_message_says() -> None:
    assert identity_of(event(id="m-1")) == "m-1"
    same = event(key="a.b", timestamp=5)
    assert identity_of(same) == identity_of(event(key="a.b", timestamp=5, headers={"x-delivery-count": 3}))
    others = [event(key="a.c", timestamp=5), event(key="a.b", timestamp=6),
              event({"order": 18}, key="a.b", timestamp=5), event(key="a.b", timestamp=5, id='no"id'),
              event(key="a.b", timestamp=5, id="x" * 500)]  # fmt: skip
    identities = [identity_of(one) for one in [same, *others]]
    assert len(set(identities)) == len(identities)
    assert all(identity.startswith("h-") and len(identity) == 42 for identity in identities)
    for one in others:
        document(one)


@pytest.mark.parametrize(
    ("body", "message", "fields"),
    [
        (b"", "", None), (b"plain text\nof two lines", "plain text\nof two lines", None),
        (b"\xff\x00", "\ufffd\0", None),
        (b'{"a":1', '{"a":1', None), (b"[" * 2000, "[" * 2000, None),
    ],
)  # fmt: skip
def test_a_body_that_is_no_json_is_kept_and_marked(body: bytes, message: str, fields: Any) -> None:
    found = document(event(body))
    assert (found["message"], found.get("fields"), found["log"]) == (message, fields, {"flags": ["unparsed"]})


@pytest.mark.parametrize(
    ("body", "fields"),
    [(b"17", {"body": 17}), (b"null", None), (b'["a",{"b":2}]', {"body": ["a", {"b": 2}]}),
     (b'"text"', {"body": "text"}), (b'{"a":1,"a":2}', {"a": 2}), (b'{"message":"m","service":{"name":"forged"}}',
                                   {"message": "m", "service": {"name": "forged"}})],
)  # fmt: skip
def test_any_json_is_kept_and_says_nothing_of_who_it_is_from(body: bytes, fields: Any) -> None:
    found = document(event(body))
    assert found["message"] == body.decode()
    assert found.get("fields") == fields
    assert "log" not in found
    assert found["service"] == {"name": "events"}


def test_what_is_deep_or_long_fits() -> None:
    deep: Any = "end"
    for _ in range(900):
        deep = {"d": deep}
    body = {"deep": deep, "http": deep, "big": 1 << 70, "text": "x" * 100_000}
    found = document(event(json.dumps(body).encode()))
    assert found["log"] == {"flags": ["cut"]}
    assert len(found["message"]) == 64 << 10
    assert len(found["fields"]["text"]) == 100_000
    assert "end" in str(found["fields"])


def test_headers_of_any_kind_are_kept() -> None:
    headers = {
        "when": datetime(2026, 11, 23, tzinfo=UTC), "price": Decimal("1.50"), "raw": b"\xff", "none": None,
        "list": [1, {"a": b"x"}], "float": 0.25, "yes": True, "big": 1 << 80,
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}  # fmt: skip
    found = document(event(headers=headers, correlation="c"))
    assert found["rabbitmq"]["headers"] == {
        "when": "2026-11-23T00:00:00+00:00", "price": "1.50", "raw": "\ufffd", "none": None, "list": [1, {"a": "x"}],
        "float": 0.25, "yes": True, "big": str(1 << 80), "traceparent": headers["traceparent"]}  # fmt: skip
    assert found["trace"] == {"id": "4bf92f3577b34da6a3ce929d0e0e4736"}
    assert found["span"] == {"id": "00f067aa0ba902b7"}


def test_two_events_of_one_moment_are_two_to_who_follows() -> None:
    one, other = (document(event(id=name, timestamp=5)) for name in ("a", "b"))
    assert one["@timestamp"] == other["@timestamp"]
    assert key(one) != key(other)
