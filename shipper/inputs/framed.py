"""A TCP connection whose frames are one line each, as GELF and syslog have it."""

import asyncio
from collections.abc import Callable

from shipper.inputs.delimited import Delimited, Syslog
from shipper.inputs.intake import Intake
from shipper.inputs.line import Line
from shipper.inputs.streams import Budget, Connection

MakeLine = Callable[[bytes, str, bool], Line]
"""The line in one frame, of a sender at this address; whether the frame is only a piece of one."""


async def take_lines(
    connection: Connection, frames: Delimited | Syslog, intake: Intake, budget: Budget, line: MakeLine
) -> None:
    """Hand on what comes until the connection ends; what has come of the last frame is a line as well. Nothing is read
    while there is no room."""
    held = 0
    try:
        while data := await _read(connection, intake):
            intake.add([line(frame, connection.source_ip, cut) for frame, cut in frames.feed(data) if frame])
            by, held = frames.held - held, frames.held
            budget.change(by)
    except asyncio.CancelledError:
        pass
    finally:
        budget.change(-held)
    if rest := frames.rest().rstrip(b"\r\n\0"):
        intake.add([line(rest, connection.source_ip, False)])


async def _read(connection: Connection, intake: Intake) -> bytes:
    await intake.room()
    return await connection.read()
