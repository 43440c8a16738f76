"""Syslog over UDP and TCP (RFC 6587: counted frames, or one a line), as RFC 5424 or 3164 write it.

A line that has no such header is kept as it came, flagged "unparsed".
"""

import contextlib
import os
import re
from pathlib import Path

from shipper.inputs.delimited import Syslog as Frames
from shipper.inputs.framed import take_lines
from shipper.inputs.intake import Intake
from shipper.inputs.line import Line, Sender
from shipper.inputs.sections import stamp
from shipper.inputs.streams import Budget, Connection, peer_of
from shipper.rules import line_time
from shipper.rules.common_names import with_level
from shipper.rules.ready_syslog import header
from towline.times import nanoseconds

MOST = 1 << 20
"""Bytes of a frame before it is cut."""
_REST_OF_TAG = re.compile(r"([\w./:@+%-]{1,200}+)\[\d{1,20}\]: ", re.A)
"""Of a tag with a colon in it, as of a container's image (`--log-opt tag={{.ImageName}}/{{.Name}}`)."""


class Syslog:
    """Belongs to the loop; serves connections and datagrams. zone: of times that have none (RFC 3164), UTC where it is
    no name of a time zone."""

    name = "syslog"

    def __init__(self, intake: Intake, budget: Budget, zone: str = "UTC") -> None:
        self._intake = intake
        self._budget = budget
        asked = None
        with contextlib.suppress(ValueError):
            asked = line_time.read(f"time {zone}")
        asked = asked or line_time.read("time UTC")
        assert asked
        self._clock = asked.clock

    def datagram(self, data: bytes, address: object) -> None:
        self._intake.add([self.line(data, peer_of(address)[1])])

    async def serve(self, connection: Connection) -> None:
        await take_lines(connection, Frames(MOST), self._intake, self._budget, self.line)

    def line(self, data: bytes, source_ip: str, cut: bool = False) -> Line:
        """The line in one frame."""
        now = self._intake.now()
        text = data.rstrip(b"\r\n\0").decode("utf-8", "replace")
        found, start = header(text) or ({}, 0)
        if rest := _REST_OF_TAG.match(text, start) if text[start - 1 : start] == ":" else None:
            found["log.syslog.appname"] = f"{found.get('log.syslog.appname', '')}:{rest[1]}"
            start = rest.end()
        flags = (() if found else ("unparsed",)) + (("split",) if cut else ())
        at = self._time(found.pop("time", None), now)
        host, name = str(found.pop("log.syslog.hostname", "")), str(found.get("log.syslog.appname", "") or "syslog")
        if source_ip:
            found["source.ip"] = source_ip
        return Line(Sender("syslog", name, host or source_ip), text[start:], at, with_level(found) or None, flags=flags)

    def _time(self, given: object, now: int) -> int:
        with contextlib.suppress(ValueError, OverflowError):
            return nanoseconds(self._clock(given, stamp(now)).decode()) if isinstance(given, str) else now
        return now


def local_zone(link: Path = Path("/etc/localtime")) -> str:
    """The name of this machine's time zone."""
    name = os.environ.get("TZ", "").lstrip(":")
    if not name:
        with contextlib.suppress(OSError):
            name = os.path.realpath(link).partition("/zoneinfo/")[2]
    return name or "UTC"
