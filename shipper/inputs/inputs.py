"""All listeners together, and the thread that they live in."""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from shipper.inputs.complaints import Complaints
from shipper.inputs.datagrams import Datagrams, Take, listen
from shipper.inputs.forward import Forward
from shipper.inputs.forward_handshake import Keys
from shipper.inputs.gelf import Gelf
from shipper.inputs.inbox import Handed, Inbox
from shipper.inputs.intake import Intake
from shipper.inputs.line import Line
from shipper.inputs.ndjson import Ndjson, NdjsonServer
from shipper.inputs.owners import Owners
from shipper.inputs.sections import Writer
from shipper.inputs.senders import Senders, Wants, Written
from shipper.inputs.settings import Address, InputSettings, shown
from shipper.inputs.streams import Budget, Serve, Streams
from shipper.inputs.syslog import Syslog, local_zone
from shipper.inputs.tls import context
from shipper.rules.layers import Rules
from towline.errors import TowlineError
from towline.http import is_loopback

log = logging.getLogger(__name__)

STOP_WITHIN = 2.0
"""Seconds until what listeners have read is in the inbox."""
_SHARE = 4
"""One part in so many of --memory is what inputs may have under way."""


@dataclass(frozen=True)
class Rulers:
    """What says what is to become of lines; see shipper.inputs.senders."""

    owners: Owners
    rules: Rules
    written: Written
    wants: Wants


class Inputs:
    """Listens from the moment it is made; serves once it is started. `node`: the name of this node, set when known.

    Raises TowlineError where an address can't be had, UsageError where a certificate can't be used.
    """

    def __init__(
        self, settings: InputSettings, memory: int, max_line: int, rulers: Rulers, wake: Callable[[], None]
    ) -> None:
        self.node = socket.gethostname()
        self.problem = ""
        self._settings = settings
        self._memory = memory
        self._max_line = max_line
        self._owners = rulers.owners
        self._senders = Senders(lambda: self.node, rulers.owners, rulers.rules, rulers.written, rulers.wants, max_line)
        self._inbox = Inbox(max(memory // _SHARE, 1 << 20), wake)
        self._tls = context(settings)
        self._stopping = False
        self._streams: list[Streams] = []
        self._datagrams: list[asyncio.BaseTransport] = []
        self._intake: Intake | None = None
        self._http: NdjsonServer | None = None
        self._thread = threading.Thread(target=self._run, name="inputs", daemon=True)
        self._tcp = {name: _tcp(name, address) for name, address in settings.addresses.items() if name != "ndjson"}
        self.addresses: dict[str, Address] = {name: one.getsockname()[:2] for name, one in self._tcp.items()}
        """Of each listener, as it was given by the system."""
        self._udp = {name: listen(name, self.addresses[name]) for name in self._tcp if name != "forward"}
        if settings.ndjson:
            self._http = self._http_server(settings.ndjson)
            self.addresses["ndjson"] = self._http.bind_addr[:2]
        self._loop = asyncio.new_event_loop()

    def start(self) -> None:
        log.info("listening for lines", extra={name: shown(address) for name, address in self.addresses.items()})
        self._warn()
        self._thread.start()
        if self._http:
            threading.Thread(target=self._http.serve, name="ndjson", daemon=True).start()

    def takes(self, driver: str, port: int | None) -> bool:
        """Whether what a container's log driver sends to that port (None: nowhere) comes to one of the listeners."""
        address = self.addresses.get({"fluentd": "forward"}.get(driver, driver))
        return address is not None and address[1] == port

    def take(self) -> Handed | None:
        """The next section for the outbox, None where there is none. In the shipper's thread."""
        return self._inbox.take()

    def stop_reading(self) -> None:
        """When this returns, all that was read can be taken, and no more will come."""
        self._stopping = True
        self._wait_for(self._stop())

    def rules_changed(self) -> None:
        """What is said about lines may be something else now. From any thread."""
        self._senders.changed()

    def close(self) -> None:
        """End all connections: acks for what is safe by now are sent, others are not."""
        self._wait_for(self._end())
        self._owners.close()
        if self._http:
            self._http.stop()
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_WITHIN)

    def _wait_for(self, what: Coroutine[Any, Any, None]) -> None:
        try:
            done = asyncio.run_coroutine_threadsafe(what, self._loop)
        except RuntimeError:  # the loop has ended
            what.close()
            return
        with contextlib.suppress(TimeoutError):
            done.result(STOP_WITHIN)

    # --- in the threads of the HTTP server

    def _http_server(self, address: Address) -> NdjsonServer:
        most = max(self._memory // _SHARE, 1 << 20)
        application = Ndjson(self._add, lambda: self._stopping or not self._inbox.room, time.time_ns, most,
                             self._settings.token)  # fmt: skip
        return NdjsonServer(address, application, most, self._settings)

    def _add(self, lines: Sequence[Line], safe: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(self._take_in, lines, safe)

    # --- in the inputs' thread

    def _take_in(self, lines: Sequence[Line], safe: Callable[[], None]) -> None:
        assert self._intake
        self._intake.add(lines, safe)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(_tell)
        try:
            self._loop.run_until_complete(self._open())
            self._loop.run_forever()
        except Exception as error:
            self.problem = f"the listeners have ended: {type(error).__name__}: {error}"
            log.error("the listeners have ended", exc_info=error)
        finally:
            self._loop.close()

    async def _open(self) -> None:
        intake = self._intake = Intake(self._inbox, self._senders, Writer(self._senders, self._max_line))
        own, budget = self._settings, Budget(self._memory)
        if own.forward:
            keys = Keys(own.shared_key, own.user, own.password)
            await self._serve("forward", Forward(intake, keys, self._max_line, budget).serve)
        if own.gelf:
            gelf = Gelf(intake, lambda known: bool(self._owners.of(known)), Complaints("gelf"), budget)
            await self._serve("gelf", gelf.serve)
            await self._receive("gelf", intake, gelf.datagram)
        if own.syslog:
            syslog = Syslog(intake, budget, local_zone())
            await self._serve("syslog", syslog.serve)
            await self._receive("syslog", intake, syslog.datagram)

    async def _serve(self, name: str, serve: Serve) -> None:
        streams = Streams(name, serve, Complaints(name))
        self._streams.append(streams)
        await streams.open(self._tcp[name], self._tls)

    async def _receive(self, name: str, intake: Intake, take: Take) -> None:
        protocol = Datagrams(name, intake, take)
        transport, _ = await self._loop.create_datagram_endpoint(lambda: protocol, sock=self._udp[name])
        self._datagrams.append(transport)

    async def _stop(self) -> None:
        for transport in self._datagrams:
            transport.close()
        for streams in self._streams:
            streams.stop_reading()
        await asyncio.sleep(0)  # those that were cancelled hand on what they have
        await asyncio.sleep(0)
        if self._intake:
            await self._intake.settle(STOP_WITHIN / 2)
            self._intake.flush(everything=True)

    async def _end(self) -> None:
        await asyncio.sleep(0)  # what the shipper has just told goes out first
        for streams in self._streams:
            await streams.close()

    def _warn(self) -> None:
        for name, address in self.addresses.items():
            if not is_loopback(address[0]) and not self._guarded(name):
                log.warning("%s: whoever reaches %s may send lines in anybody's name", name, shown(address))

    def _guarded(self, name: str) -> bool:
        own = self._settings
        secret = {"forward": own.shared_key or own.user, "ndjson": own.token}.get(name)
        return bool(secret or own.authorities)


def _tcp(name: str, address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        return socket.create_server(address, family=family, backlog=128)
    except OSError as error:
        raise TowlineError(f"can't listen on {shown(address)}: {error.strerror or error}; choose another with "
                           f"--listen-{name}") from error  # fmt: skip


def _tell(loop: asyncio.AbstractEventLoop, what: dict[str, object]) -> None:
    """Whatever asyncio has to say about a connection, such as a failed TLS handshake: one line."""
    error = what.get("exception")
    if isinstance(error, OSError):
        log.debug("connection failed: %s", error)
    else:
        log.warning("%s: %s", what.get("message"), error)
