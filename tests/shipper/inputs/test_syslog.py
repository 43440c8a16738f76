"""Syslog over UDP and TCP, as RFC 5424 and 3164 write it, and what is none of it."""

import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from input_world import ANY, Start, World

NEW = '<165>1 2026-11-23T00:25:00.123456Z box shop 77 ID47 [ex@32473 iut="3"] an event'
OLD = "<34>Nov 23 00:25:00 mymachine su[12]: 'su root' failed"


@pytest.fixture
def world(start: Start, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("TZ", "UTC")
    return start(syslog=ANY)


def send(world: World, *datagrams: str | bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for datagram in datagrams:
            udp.sendto(datagram if isinstance(datagram, bytes) else datagram.encode(), world.address("syslog"))


def test_a_header_of_rfc_5424_says_who_and_when(world: World) -> None:
    send(world, NEW)
    line = world.lines(1)[0]
    assert (line["message"], line["@timestamp"]) == ("an event", "2026-11-23T00:25:00.123456000Z")
    assert (line["service"]["name"], line["host"]["name"]) == ("shop", "box")
    assert line["log"]["level"] == "notice"
    assert line["log"]["syslog"]["facility"]["name"] == "local4"
    assert line["process"]["pid"] == 77


def test_a_header_of_rfc_3164_has_no_year_and_no_zone(world: World) -> None:
    send(world, OLD + "\n")
    line = world.lines(1)[0]
    assert line["message"] == "'su root' failed"
    assert line["@timestamp"][4:] == "-11-23T00:25:00.000000000Z"
    assert (line["service"]["name"], line["host"]["name"], line["log"]["level"]) == ("su", "mymachine", "critical")


@pytest.mark.skipif(not Path("/usr/share/zoneinfo/Europe/Vienna").exists(), reason="no time zones here")
def test_a_time_without_zone_is_in_that_of_this_machine(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Vienna")
    world = start(syslog=ANY)
    send(world, "<34>Jul 23 02:25:00 box su: x")
    assert world.lines(1)[0]["@timestamp"][10:19] == "T00:25:00"


@pytest.mark.parametrize("text", ["no header at all", "<999>x", "<>", "\x00\x01binary", "<34"])
def test_a_line_without_a_header_is_kept_and_marked(world: World, text: str) -> None:
    send(world, text)
    line = world.lines(1)[0]
    assert line["message"] == text.rstrip("\0")
    assert line["log"]["flags"] == ["unparsed"]
    assert line["service"]["name"] == "syslog"


def test_frames_over_tcp_are_counted_or_a_line_each(world: World) -> None:
    with socket.create_connection(world.address("syslog")) as tcp:
        tcp.sendall(f"{OLD}\n{len(NEW)} {NEW}{OLD}".encode())
    assert sorted(line["service"]["name"] for line in world.lines(3)) == ["shop", "su", "su"]


def test_a_frame_of_no_end_comes_in_pieces_and_others_are_served(world: World) -> None:
    with socket.create_connection(world.address("syslog")) as tcp:
        tcp.sendall(b"<34>" + b"x" * (3 << 20))
        send(world, NEW)
        lines = world.lines(4)
    assert [line for line in lines if line["message"] == "an event"]
    assert {"split"} <= set(next(line for line in lines if line["message"].startswith("x"))["log"]["flags"])


@pytest.mark.parametrize("option", [["--udp"], ["--tcp"], ["--tcp", "--octet-count"], ["--udp", "--rfc3164"]])
def test_what_logger_sends(world: World, option: list[str]) -> None:
    if shutil.which("logger") is None:
        pytest.skip("no logger (bsdutils)")
    host, port = world.address("syslog")
    command = ["logger", "--server", host, "--port", str(port), "--tag", "job", "--priority", "daemon.warning", *option]
    subprocess.run([*command, "backup done"], check=True, timeout=30)
    line = world.lines(1)[0]
    assert (line["message"], line["service"]["name"]) == ("backup done", "job")
    assert (line["log"]["level"], line["log"]["syslog"]["facility"]["name"]) == ("warn", "daemon")
    assert line["log"].get("flags") is None
