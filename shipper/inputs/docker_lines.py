"""What Docker's own log drivers do to a container's lines on their way, undone as far as it can be.

The gelf and syslog drivers send a line that is longer than 16 KiB as several (moby, daemon/logger/copier.go), and do
not say so. A line of just that size is taken for such a part, and it and the one that follows are flagged "split": what
is hidden may stand across the cut (shipper.rules.redact).
"""

from dataclasses import replace
from typing import Any

from shipper.entries import STDERR
from shipper.inputs.line import Line
from shipper.inputs.senders import Source

PART = 16 << 10
"""Bytes of a line that the engine reads at once."""
_ERROR = "err"
"""Severity that the syslog driver gives to lines of stderr (moby, daemon/logger/syslog/syslog.go)."""
_DAEMON = ("process.pid",)
"""What a syslog line tells of the engine, not of the container."""


def as_docker_means(source: Source, lines: list[Line]) -> list[Line]:
    """Lines of a container of this node as its drivers mean them."""
    container = source.container
    if container is None or not (container.guessed or container.driver in ("gelf", "syslog")):
        return lines
    made = []
    for line in lines:
        if line.sender.input == "syslog":
            line = _of_syslog(line)
        part = _is_part(line.text)
        if part or line.stream in source.cut:
            line = replace(line, flags=(*line.flags, "split")) if "split" not in line.flags else line
        (source.cut.add if part else source.cut.discard)(line.stream)
        made.append(line)
    return made


def _is_part(text: str) -> bool:
    """Characters that were cut count as replacements, of three bytes each."""
    return PART // 4 <= len(text) <= PART + 12 and PART <= len(text.encode("utf-8", "replace")) <= PART + 12


def _of_syslog(line: Line) -> Line:
    found: dict[str, Any] = {name: value for name, value in (line.fields or {}).items() if name not in _DAEMON}
    stream = STDERR if found.get("log.syslog.severity.name") == _ERROR else line.stream
    return replace(line, fields=found or None, stream=stream)
