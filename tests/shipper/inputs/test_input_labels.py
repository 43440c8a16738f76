"""What labels and the rules file say holds for lines that come by listeners, before anything leaves the process."""

import shutil
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import orjson
import pytest
from fluent.sender import FluentSender
from forward_client import Client, packed
from input_world import ANY, Start, World, until

SECRET = "jane.doe@example.com"
AT = 1795393500
RULES = """
"towline.redact" = "emails"

[service."parsed"]
"towline.parse" = "logfmt"
"towline.dataset" = "parsed.lines"
"towline.metric.INPUTS" = "counter by status"

[service."quiet"]
"towline.drop" = "noise"

[service."traced"]
"towline.multiline" = "indented"
"towline.multiline.wait" = "60s"

[service."brief"]
"towline.multiline" = "indented"
"towline.multiline.wait" = "0.05s"

[service."off"]
"towline.enable" = false

[service."few"]
"towline.sample" = "0.000000001"
"""


@pytest.fixture
def world(start: Start, tmp_path: Path) -> World:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    return start(forward=ANY, gelf=ANY, syslog=ANY, ndjson=ANY, rules=rules)


def gelf(world: World, *said: tuple[str, str], **more: Any) -> None:
    """Services, and what each of them says, in this order."""
    with socket.create_connection(world.address("gelf")) as tcp:
        for service, text in said:
            message = {"version": "1.1", "host": "h", "short_message": text, "timestamp": AT, "_service": service}
            tcp.sendall(orjson.dumps(message | more) + b"\0")


def post(world: World, *records: dict[str, Any]) -> None:
    """Not waited for: 200 is said once a test has confirmed."""
    body = b"\n".join(map(orjson.dumps, records))
    head = f"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(world.address("ndjson"), timeout=60) as tcp:
        tcp.sendall(head + body)
        until(lambda: world.confirm(world.take()) or world.taken)
        assert b"200 OK" in tcp.recv(1000)


def by_fluent_logger(world: World) -> None:
    sender = FluentSender("app.s", host=world.address("forward")[0], port=world.address("forward")[1], timeout=60)
    assert sender.emit(None, {"message": f"mail {SECRET}", "user": {"mail": SECRET}})
    sender.close()


def by_logger(world: World) -> None:
    if shutil.which("logger") is None:
        pytest.skip("no logger (bsdutils)")
    host, port = world.address("syslog")
    command = ["logger", "--server", host, "--port", str(port), "--tcp", "--tag", "s", f"mail {SECRET}"]
    subprocess.run(command, check=True, timeout=60)


@pytest.mark.parametrize(
    "send",
    [by_fluent_logger, by_logger, lambda world: gelf(world, ("s", f"mail {SECRET}"), _mail=SECRET),
     lambda world: post(world, {"message": f"mail {SECRET}", "mail": SECRET, "service": "s"})],
    ids=["fluent-logger", "logger", "gelf", "ndjson"],
)  # fmt: skip
def test_what_is_hidden_for_all_is_hidden_whatever_way_it_comes(world: World, send: Callable[[World], None]) -> None:
    send(world)
    (line,) = world.lines(1)
    assert line["message"] == "mail [email]"
    assert SECRET not in orjson.dumps(line).decode()


def test_lines_are_parsed_routed_measured_and_dropped_as_is_said_for_their_service(world: World) -> None:
    dropped = world.counted("lines_dropped_total", service="quiet", reason="drop")
    read = world.counted("lines_read_total", service="quiet")
    gelf(world, ("parsed", "status=200 path=/a"), ("quiet", "noise"), ("quiet", "noise"), ("parsed", "no pairs at all"),
         ("quiet", "a voice"))  # fmt: skip
    lines = {line["message"]: line for line in world.lines(3)}
    assert set(lines) == {"status=200 path=/a", "no pairs at all", "a voice"}
    parsed = lines["status=200 path=/a"]
    assert parsed["http"]["response"]["status_code"] == 200
    assert parsed["data_stream"]["dataset"] == "parsed.lines"
    assert "log" not in lines["no pairs at all"], "a record's text need not be of any form"
    assert world.counted("log_INPUTS_total", service="parsed", status="200") >= 1
    assert world.counted("lines_dropped_total", service="quiet", reason="drop") == dropped + 2
    until(lambda: world.counted("lines_read_total", service="quiet") == read + 3)


def test_what_is_not_to_be_collected_is_left_out_and_the_ledger_says_so(world: World) -> None:
    names = ("lines_read_total", "lines_listened_total")
    before = [world.counted(name, service="off") for name in names]
    dropped = world.counted("lines_dropped_total", service="off", reason="excluded")
    gelf(world, ("off", "one"), ("off", "two"), ("s", "kept"))
    assert [line["message"] for line in world.lines(1)] == ["kept"]
    assert world.counted("lines_dropped_total", service="off", reason="excluded") == dropped + 2
    assert [world.counted(name, service="off") for name in names] == [count + 2 for count in before]


def test_lines_that_nobody_acknowledges_are_joined_as_they_come(world: World) -> None:
    gelf(world, ("traced", "boom"), ("traced", "  at a"), ("traced", "next"))
    assert [line["message"] for line in world.lines(1)] == ["boom\n  at a"]
    gelf(world, ("traced", "  other fields"), ("traced", "  at b"), ("traced", "last"), level=3)
    lines = world.lines(3)
    assert [line["message"] for line in lines] == ["boom\n  at a", "next", "  other fields\n  at b"]
    first = lines[0]["event"]["sequence"]
    assert [line["event"]["sequence"] - first for line in lines] == [0, 2, 3]


def test_an_event_that_waits_for_more_is_handed_on_at_the_end(world: World) -> None:
    gelf(world, ("traced", "boom"), ("traced", "  at a"), ("s", "other"))
    assert [line["message"] for line in world.lines(1)] == ["other"]
    world.stop()
    assert [line["message"] for line in world.taken] == ["other", "boom\n  at a"]


def test_an_event_to_which_nothing_is_added_is_complete(world: World) -> None:
    gelf(world, ("brief", "boom"))
    assert [line["message"] for line in world.lines(1)] == ["boom"]


def test_what_is_acknowledged_together_is_joined_together_and_the_same_when_it_comes_again(world: World) -> None:
    entries = packed(*([AT, {"message": text}] for text in ("boom", "  at a", "next")))
    for _ in range(2):
        with Client(world.address("forward")) as client:
            client.send("traced", entries, {"chunk": "c1"})
            client.send("traced", packed([AT, {"message": "  alone"}]), {"chunk": "c2"})
            count = len(world.taken) + 3
            until(lambda count=count: world.confirm(world.take()) or len(world.taken) >= count)
            assert [client.receive(), client.receive()] == [{"ack": "c1"}, {"ack": "c2"}]
    first, again = world.taken[:3], world.taken[3:]
    assert [line["message"] for line in first] == ["boom\n  at a", "next", "  alone"]
    assert [line["_id"] for line in first] == [line["_id"] for line in again]


def test_an_ack_is_sent_also_where_nothing_is_left_of_its_lines(world: World) -> None:
    with Client(world.address("forward")) as client:
        client.send("quiet", packed([AT, {"message": "noise"}]), {"chunk": "c1"})
        assert client.receive() == {"ack": "c1"}
        client.send("off", packed([AT, {"message": "never"}]), {"chunk": "c2"})
        assert client.receive() == {"ack": "c2"}
    assert not world.taken


def test_what_another_towline_sends_is_looked_through_for_secrets_and_not_thinned_again(world: World) -> None:
    record = {"message": f"mail {SECRET}", "stream": "stdout", "container": {"id": "c" * 64, "name": "x"},
              "host": {"name": "far"}, "service": {"name": "few"}, "event": {"id": "far-1"}}  # fmt: skip
    with Client(world.address("forward")) as client:
        client.send("t", AT, record)
        client.send("few", AT, {"message": "sampled"})
        client.send("t", AT, {**record, "event": {"id": "far-2"}})
        lines = world.lines(2)
    assert [line["message"] for line in lines] == ["mail [email]", "mail [email]"]


def test_a_rules_file_that_changes_counts_for_senders_that_are_known(world: World, tmp_path: Path) -> None:
    gelf(world, ("later", "a"))
    assert world.lines(1)[0]["data_stream"]["dataset"] == "docker"
    (tmp_path / "rules.toml").write_text('"towline.dataset" = "new"\n')

    def routed() -> bool:
        gelf(world, ("later", "b"))
        world.confirm(world.take())
        return world.taken[-1]["data_stream"]["dataset"] == "new"

    until(routed)


class Containers:
    """Of one test, on the real engine; each prints what `script` says."""

    def __init__(self, engine: docker.DockerClient, image: str) -> None:
        self.prefix = f"towlabels{uuid.uuid4().hex[:8]}"
        self._engine, self._image = engine, image
        self.all: list[Any] = []

    def start(self, name: str, script: str, driver: str, labels: dict[str, str], **options: str) -> Any:
        log = docker.types.LogConfig(type=driver, config=options)
        self.all.append(self._engine.containers.run(
            self._image, ["sh", "-c", script], name=f"{self.prefix}-{name}", detach=True, network_mode="none",
            labels=labels, log_config=log))  # fmt: skip
        return self.all[-1]

    def remove(self) -> None:
        for container in self.all:
            container.remove(force=True)


@pytest.fixture
def containers(engine: docker.DockerClient, test_image: str) -> Iterator[Containers]:
    made = Containers(engine, test_image)
    yield made
    made.remove()


HIDE = {"towline.redact": "emails", "towline.drop": "noise", "towline.dataset": "by.label"}
SAY = f"echo 'mail {SECRET}'; echo noise; echo 'mail {SECRET} again' >&2"


@pytest.mark.engine
def test_labels_of_real_containers_hold_from_the_first_line_on_by_each_driver(
    start: Start, containers: Containers, engine_url: str
) -> None:
    world = start(forward=ANY, gelf=ANY, syslog=ANY, engine=engine_url, include=(f"{containers.prefix}-*",))
    to = {name: f"{address[0]}:{address[1]}" for name, address in world.shipper.listening.items()}
    fluentd = {"fluentd-address": to["forward"], "fluentd-async": "true"}
    names = "{{.ImageName}}/{{.Name}}/{{.ID}}"
    containers.start("fluentd", SAY, "fluentd", HIDE, **fluentd)
    containers.start("acked", f"{SAY}; sleep 60", "fluentd", HIDE, **fluentd, **{"fluentd-request-ack": "true"})
    containers.start("gelf", SAY, "gelf", HIDE, **{"gelf-address": f"tcp://{to['gelf']}"})
    containers.start("syslog", SAY, "syslog", HIDE, **{"syslog-address": f"tcp://{to['syslog']}"})
    tagged = {"syslog-address": f"udp://{to['syslog']}", "syslog-format": "rfc5424", "tag": names}
    containers.start("tagged", SAY, "syslog", HIDE, **tagged)
    old = {"syslog-address": f"udp://{to['syslog']}", "tag": names}
    containers.start("old", SAY, "syslog", HIDE, **old)
    containers.start("off", SAY, "fluentd", {"towline.enable": "false"}, **fluentd)
    lines = world.lines(12)
    assert SECRET not in orjson.dumps(lines).decode()
    by_name = {own.name: own.id for own in containers.all if not own.name.endswith("-off")}
    found = sorted((line["service"]["name"], line["stream"], line["message"]) for line in lines)
    assert found == sorted(
        (name, *said) for name in by_name for said in (("stdout", "mail [email]"), ("stderr", "mail [email] again"))
    )
    assert {line["container"]["id"] for line in lines} == set(by_name.values())
    assert {line["data_stream"]["dataset"] for line in lines} == {"by.label"}
    off = f"{containers.prefix}-off"
    until(lambda: world.counted("lines_dropped_total", service=off, reason="excluded") == 3)
    for name in by_name:
        until(lambda name=name: world.confirm(world.take()) or world.counted("lines_read_total", service=name) == 3)
        assert world.counted("lines_dropped_total", service=name, reason="drop") == 1


@pytest.mark.engine
def test_a_trace_of_a_real_container_is_one_event(start: Start, containers: Containers, engine_url: str) -> None:
    world = start(forward=ANY, engine=engine_url, include=(f"{containers.prefix}-*",))
    host, port = world.address("forward")
    script = "echo 'Traceback (most recent call last):'; echo '  File 1'; echo 'E: x'; echo after"
    containers.start("trace", script, "fluentd", {"towline.multiline": "python", "towline.multiline.wait": "60s"},
                     **{"fluentd-address": f"{host}:{port}", "fluentd-async": "true"})  # fmt: skip
    assert [line["message"] for line in world.lines(1)] == ["Traceback (most recent call last):\n  File 1\nE: x"]
    world.stop()
    assert [line["message"] for line in world.taken[1:]] == ["after"]


@pytest.mark.engine
def test_what_is_hidden_may_stand_across_the_parts_of_a_line(
    start: Start, containers: Containers, engine_url: str
) -> None:
    world = start(gelf=ANY, engine=engine_url, include=(f"{containers.prefix}-*",))
    host, port = world.address("gelf")
    script = f"head -c 16374 /dev/zero | tr '\\0' ' '; echo '{SECRET} and more'; echo end"
    containers.start("long", script, "gelf", {"towline.redact": "emails"}, **{"gelf-address": f"tcp://{host}:{port}"})
    lines = world.lines(3)
    assert [line["log"].get("flags") for line in lines] == [["split"], ["split"], None]
    said = orjson.dumps([line["message"] for line in lines]).decode()
    assert "jane" not in said
    assert "example" not in said
