"""One Towline sends to another by the forward protocol, each with code of its own."""

import orjson
import pytest
from input_world import ANY, Start, World, until

from towline.batch import Batch, Origin, Section
from towline.queues.forward import outlet

STAMP = "2026-11-23T00:25:00.%09dZ"
ORIGIN = {
    "container": {"id": "c" * 64, "name": "web.1", "image": {"name": "nginx"}, "labels": {"a": "b"}},
    "host": {"name": "far"}, "service": {"name": "web"},
    "data_stream": {"type": "logs", "dataset": "docker", "namespace": "default"}}  # fmt: skip


def batch(count: int) -> Batch:
    pairs = []
    for number in range(count):
        head = {"create": {"_id": f"{STAMP % number}-abcdefgho"}}
        own = {"@timestamp": STAMP % number, "message": f"line {number}", "stream": "stderr",
               "event": {"sequence": number}, "log": {"level": "warn", "flags": ["split"]}}  # fmt: skip
        pairs.append(orjson.dumps(head) + b"\n" + orjson.dumps(own)[:-1] + b"\x1e}\n")
    return Batch((Section(Origin(ORIGIN), b"".join(pairs), count, STAMP % 0, STAMP % (count - 1)),))


def sent(world: World, options: str, key: str) -> None:
    """A batch, until the sender has its acks."""
    host, port = world.address("forward")
    confirmed: list[bool] = []
    out = outlet(f"forward://{host}:{port}{options}", 1 << 20, {"TOWLINE_QUEUE_SHARED_KEY": key})
    try:
        assert out.offer(batch(100), lambda: confirmed.append(True))
        until(lambda: world.confirm(world.take()) or confirmed)
    finally:
        out.close()


@pytest.mark.parametrize("options", ["", "?compress=gzip"])
def test_what_another_towline_sends_is_told_as_it_was_and_known_when_it_comes_again(start: Start, options: str) -> None:
    world = start(forward=ANY, shared_key="s3cret")
    sent(world, options, "s3cret")
    sent(world, options, "s3cret")
    first, again = world.taken[:100], world.taken[100:]
    assert [line["message"] for line in first] == [f"line {number}" for number in range(100)]
    assert [line["_id"] for line in first] == [line["_id"] for line in again]
    line = first[7]
    assert (line["@timestamp"], line["stream"]) == (STAMP % 7, "stderr")
    assert (line["service"]["name"], line["host"]["name"]) == ("web", "far")
    assert (line["container"]["id"], line["container"]["name"]) == ("c" * 64, "web.1")
    assert line["log"] == {"level": "warn", "flags": ["split"]}
    assert line["fields"] == {"container.image.name": "nginx", "container.labels.a": "b"}
