"""A container that was gone before the watcher could ask: its driver is known all the same, where a listener asked."""

from pathlib import Path
from typing import Any

from shipper.container import Container, Node, described, provisional
from shipper.open_logs import OpenLogs
from shipper.schedule import Schedule
from shipper.tail import Tail
from shipper.wake import Wake

ID = "ab" * 32
GONE = provisional(ID, {"name": "web", "image": "i"}, Node("n"), running=False)
ASKED = described(
    {"Id": ID, "Name": "/web", "State": {"Running": True}, "HostConfig": {
        "LogConfig": {"Type": "fluentd", "Config": {"fluentd-address": "127.0.0.1:24224"}}}}, Node("n"))  # fmt: skip


class Log:
    """A log that is open, of which nothing is read here."""

    kind, finished, refused, closed = "api", False, "", False
    tty: Any = None
    rotates_at: Any = None

    def stopped(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def logs(log: Log, asked: dict[str, Container]) -> OpenLogs:
    wake: Wake[Tail] = Wake()
    made = OpenLogs(lambda *_: log, {}, Schedule(wake), 1000, lambda: None)  # type: ignore[arg-type,return-value]
    made.delivered = lambda driver, port: (driver, port) == ("fluentd", 24224)
    made.asked = asked.get
    made.appeared(ID, {}, Path("none"), True)
    made.described(GONE)
    made.take_in()
    return made


def test_what_came_to_a_listener_is_not_read_as_well() -> None:
    log = Log()
    made = logs(log, {ID: ASKED})
    assert log.closed
    known = made.container(ID)
    assert known is not None
    assert (known.driver, known.running) == ("fluentd", False)


def test_one_of_which_nothing_came_is_read() -> None:
    log = Log()
    assert logs(log, {}).container(ID) == GONE
    assert not log.closed
