"""The newest lines of one container's log, as its engine gives them: for somebody who only looks."""

import select
import time
from collections.abc import Iterator

from shipper.entries import Entries
from shipper.frames import Demultiplexer, FrameError
from shipper.sources.api_connection import Answered, ConnectionBroken, LogConnection, endpoint, request
from towline.errors import EngineUnavailable

PATIENCE = 30.0
READ = 1 << 20


def recent(engine_url: str, container_id: str, last: int, tty: bool | None = None) -> Iterator[Entries]:
    """The last `last` entries. Raises EngineUnavailable where the engine does not give them."""
    frames = Demultiplexer(tty)
    try:
        connection = LogConnection(endpoint(engine_url), request(container_id, follow=0, tail=last))
        try:
            for data in _read(connection):
                if entries := frames.feed(data):
                    yield entries
        finally:
            connection.close()
    except (ConnectionBroken, FrameError) as error:
        raise EngineUnavailable(f"{error}; is it running?") from error
    except Answered as answer:
        raise EngineUnavailable(f"the engine does not give this log: {answer.text}") from answer
    if rest := frames.finish():
        yield rest


def _read(connection: LogConnection) -> Iterator[bytes]:
    heard = time.monotonic()
    while (data := connection.read(READ)) != b"":
        if data:
            heard = time.monotonic()
            yield data
        elif time.monotonic() - heard > PATIENCE:
            raise ConnectionBroken(f"the engine says nothing for {PATIENCE:.0f} s")
        else:
            select.select([connection], [], [], 0.1)
