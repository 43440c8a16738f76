"""What Docker's fluentd log driver sends: lines of containers, in parts where they are long."""

import uuid

import docker
import pytest
from forward_client import Client, event_time
from input_world import ANY, Start, World

AT = 1795393500
ID = "0123456789abcdef" * 4


@pytest.fixture
def world(start: Start) -> World:
    return start(forward=ANY, max_line=60_000)


def record(log: str, **more: str) -> dict[str, str]:
    return {"container_id": ID, "container_name": "/web", "source": "stdout", "log": log, **more}


def part(log: str, number: int, last: bool, key: str = "p1") -> dict[str, str]:
    return record(log, partial_message="true", partial_id=key, partial_ordinal=str(number),
                  partial_last="true" if last else "false")  # fmt: skip


def test_a_line_belongs_to_its_container(world: World) -> None:
    with Client(world.address("forward")) as client:
        client.send(ID[:12], AT, record("hello"))
        client.send("shop.web", AT, record("", source="stderr", **{"com.docker.compose.service": "web2"}))
        first, second = world.lines(2)
    assert first["container"] | {"labels": {}} == {"id": ID, "name": "web", "image": {"name": ""}, "labels": {}}
    assert (first["message"], first["stream"], first["service"]["name"]) == ("hello", "stdout", "web")
    assert "fields" not in first
    assert (second["message"], second["stream"], second["service"]["name"]) == ("", "stderr", "web2")
    assert second["fields"] == {"com.docker.compose.service": "web2", "tag": "shop.web"}


def test_parts_are_joined_also_where_two_lines_come_in_turns(world: World) -> None:
    with Client(world.address("forward")) as client:
        client.send("t", event_time(AT, 1), part("a" * 16384, 1, False))
        client.send("t", event_time(AT, 2), part("x" * 16384, 1, False, "p2"))
        client.send("t", event_time(AT, 1), part("b" * 16384, 2, False))
        client.send("t", event_time(AT, 1), part("c", 3, True))
        client.send("t", event_time(AT, 2), part("y", 2, True, "p2"))
        first, second = world.lines(2)
    assert first["message"] == "a" * 16384 + "b" * 16384 + "c"
    assert first["@timestamp"].endswith("000000001Z")
    assert second["message"] == "x" * 16384 + "y"


def test_parts_beyond_the_longest_line_and_those_without_an_end_are_kept_as_pieces(world: World) -> None:
    with Client(world.address("forward")) as client:
        for number in range(5):
            client.send("t", AT, part(str(number) * 16384, number, False))
    first, second = world.lines(2)
    assert first["message"] == "".join(str(number) * 16384 for number in range(3))
    assert second["message"] == "3" * 16384 + "4" * 16384
    assert first["log"]["flags"] == second["log"]["flags"] == ["split"]


def test_parts_that_are_acknowledged_one_by_one_are_lines_each(world: World) -> None:
    with Client(world.address("forward")) as client:
        for number, last in ((1, False), (2, True)):
            client.send("t", AT, part(f"part {number}", number, last), {"chunk": f"c{number}"})
            world.lines(number)
            assert client.receive() == {"ack": f"c{number}"}
    assert [line["log"]["flags"] for line in world.taken] == [["split"], ["split"]]


@pytest.mark.engine
def test_a_real_container_with_the_fluentd_driver_is_told_of_once_and_as_what_it_is(
    start: Start, engine: docker.DockerClient, engine_url: str, test_image: str
) -> None:
    name = f"fwd{uuid.uuid4().hex[:8]}"
    world = start(forward=ANY, engine=engine_url, include=(name,))
    host, port = world.address("forward")
    script = "echo out; echo err >&2; head -c 40000 /dev/zero | tr '\\0' x; echo; echo; echo end"
    container = engine.containers.run(
        test_image, ["sh", "-c", script], name=name, detach=True, network_mode="none",
        labels={"com.docker.compose.service": "shop"},
        log_config=docker.types.LogConfig(
            type="fluentd", config={"fluentd-address": f"{host}:{port}", "fluentd-async": "true"}))  # fmt: skip
    try:
        documents = world.lines(5)
        world.confirm(world.take(1.0))
    finally:
        container.remove(force=True)
    assert sorted(document["message"] for document in documents) == ["", "end", "err", "out", "x" * 40000]
    assert {document["service"]["name"] for document in documents} == {"shop"}
    assert {document["container"]["id"] for document in documents} == {container.id}
    assert {document["container"]["labels"]["com.docker.compose.service"] for document in documents} == {"shop"}
    assert [document["stream"] for document in documents if document["message"] == "err"] == ["stderr"]


@pytest.mark.engine
def test_a_real_container_whose_driver_asks_for_acks(
    start: Start, engine: docker.DockerClient, test_image: str
) -> None:
    world = start(forward=ANY)
    host, port = world.address("forward")
    options = {"fluentd-address": f"{host}:{port}", "fluentd-async": "true", "fluentd-request-ack": "true"}
    container = engine.containers.run(
        test_image, ["sh", "-c", "for n in 1 2 3 4 5; do echo $n; done; exec sleep 60"], detach=True,
        network_mode="none",
        log_config=docker.types.LogConfig(type="fluentd", config=options))  # fmt: skip
    try:
        documents = world.lines(5)
        world.confirm(world.take(0.5))
    finally:
        container.remove(force=True)
    assert [document["message"] for document in documents] == ["1", "2", "3", "4", "5"]
