"""The fluent forward protocol: Docker's fluentd log driver, fluent-logger, Fluentd and Fluent Bit send here.

A message that asks for an ack gets it once all of its lines are confirmed by the queue or on the spool's disk; their
identities are made of its chunk, so that one that is sent again, because the ack was lost, is stored once.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgpack

from shipper.inputs import forward_message
from shipper.inputs.forward_handshake import Handshake, Keys
from shipper.inputs.forward_lines import ForwardLines
from shipper.inputs.forward_message import Message, Stream
from shipper.inputs.intake import Intake
from shipper.inputs.line import BadInput, Line
from shipper.inputs.streams import HANDSHAKE, Budget, Connection

_SLICE = 256 << 10
_HANDSHAKE_BYTES = 64 << 10


class Forward:
    """Serves connections. keys: what senders have to know. budget: of unfinished messages, which bounds one message
    as well."""

    name = "forward"

    def __init__(self, intake: Intake, keys: Keys, max_line: int, budget: Budget) -> None:
        self._intake = intake
        self._keys = keys
        self._max_line = max_line
        self._budget = budget

    async def serve(self, connection: Connection) -> None:
        shaken = Handshake(self._keys) if self._keys else None
        if shaken:
            await asyncio.wait_for(_shake(connection, shaken), HANDSHAKE)
        lines = ForwardLines(self._max_line, shaken.hostname if shaken else "")
        reading = _Reading(connection, self._intake, lines, self._budget)
        try:
            await reading.run()
        except asyncio.CancelledError:
            pass  # we are to stop: what was read is handed on, and acknowledged
        finally:
            await reading.end()


async def _shake(connection: Connection, shaken: Handshake) -> None:
    """Raises BadInput where the client doesn't know what it has to."""
    connection.writer.write(shaken.helo())
    stream = Stream(_HANDSHAKE_BYTES)
    while True:
        data = await connection.read()
        if not data:
            raise BadInput("it ended within the handshake")
        stream.feed(data)
        ping = next(iter(stream), None)
        if ping is not None:
            break
    answer, refused = shaken.pong(ping)
    connection.writer.write(answer)
    await connection.writer.drain()
    if refused:
        raise BadInput(refused)


class _Reading:
    """The messages of one connection."""

    def __init__(self, connection: Connection, intake: Intake, lines: ForwardLines, budget: Budget) -> None:
        self._connection = connection
        self._intake = intake
        self._lines = lines
        self._budget = budget
        self._stream = Stream(budget.most)
        self._held = 0
        self._acks = 0
        self._acked = asyncio.Event()
        self._ending = False
        """Cancelled within a message: the rest of it is taken, and waits for nothing more."""

    async def run(self) -> None:
        while not self._ending:
            await self._intake.room()
            data = await self._connection.read()
            if not data:
                return
            self._stream.feed(data)
            for item in self._stream:
                await self._take(forward_message.read(item))
            await self._connection.writer.drain()  # of acks, which the other side should read
            self._hold(self._stream.held)

    async def end(self) -> None:
        """Hand on what waits for more, and wait for the acks that are owed."""
        self._budget.change(-self._held)
        self._intake.add(list(self._lines.rest()))
        while self._acks and not self._connection.writer.is_closing():
            self._acked.clear()
            await self._acked.wait()

    def _hold(self, size: int) -> None:
        by, self._held = size - self._held, size
        self._budget.change(by)

    async def _take(self, message: Message) -> None:
        """Hand on a message's lines; the ack is owed once that is done."""
        ack = _Ack(lambda: self._acknowledge(message.chunk)) if message.chunk else None
        chunk = forward_message.as_bytes(message.chunk)
        lines: list[Line] = []
        size = 0
        for number, entry in enumerate(message.entries(self._budget.most)):
            for line in self._lines.line(message.tag, entry, (chunk, number), self._intake.now()):
                lines.append(self._from(line))
                size += len(line.text)
            if size > _SLICE:
                self._intake.add(lines, ack.hold() if ack else None)
                lines, size = [], 0
                await self._unless_ending(self._intake.room())
        self._intake.add(lines, ack.hold() if ack else None)
        if ack:
            self._acks += 1
            ack.release()

    def _from(self, line: Line) -> Line:
        """With the address of who sent it, where that is another machine, and no container of this one."""
        if self._connection.source_ip and not line.sender.container_id:
            line.fields = {**(line.fields or {}), "source.ip": self._connection.source_ip}
        return line

    async def _unless_ending(self, what: Coroutine[Any, Any, None]) -> None:
        if self._ending:
            what.close()
            return
        try:
            await what
        except asyncio.CancelledError:
            self._ending = True

    def _acknowledge(self, chunk: str | bytes) -> None:
        self._acks -= 1
        self._acked.set()
        if not self._connection.writer.is_closing():
            answer = msgpack.packb({"ack": chunk}, unicode_errors="surrogateescape")
            self._connection.writer.write(answer)


class _Ack:
    """Calls `send` once when everything that holds it has let go; whoever makes it holds it."""

    def __init__(self, send: Callable[[], None]) -> None:
        self._send = send
        self._holders = 1

    def hold(self) -> Callable[[], None]:
        self._holders += 1
        return self.release

    def release(self) -> None:
        self._holders -= 1
        if not self._holders:
            self._send()
