"""`stdout://`: lines leave Towline on standard output, one JSON document a line (documents.py), for whoever reads the
pipe. Towline's own log is on stderr.

A batch is confirmed once all of it is written: a pipe then holds it, or its reader, or the file that stdout was
redirected to. What Towline does not know is whether the reader has dealt with it: kill both, and what stood in the pipe
is gone. Where that matters take `file://` or `forward://`. A kill of `ship` repeats the last lines, told by `event.id`.

When the reader goes away there is nobody left to write for: the process stops in order, as SIGPIPE would have it end
at once. What was not written yet comes at the next start.
"""

import os
import select
import signal
from collections.abc import Callable, Sequence

from towline.batch import Batch
from towline.errors import QueueUnavailable, UsageError
from towline.queues.documents import ndjson
from towline.queues.outgoing import Outgoing

STDOUT = 1


def parse(url: str) -> None:
    """Raises UsageError where the URL says more than `stdout://`, or there is no stdout."""
    if url.partition("://")[2] not in ("", "/"):
        raise UsageError(f"queue URL {url!r}: write stdout:// and nothing behind it")
    try:
        os.fstat(STDOUT)
    except OSError as error:
        raise UsageError("queue URL stdout://: standard output is closed; redirect it, or use file:///path") from error


def stop() -> None:
    """End this process in order: what is not written by then goes to the spool, or is read again."""
    os.kill(os.getpid(), signal.SIGTERM)


class StdoutSink:
    """Writes to the descriptor. `gone` is called once, when nobody reads it any more."""

    def __init__(self, descriptor: int = STDOUT, gone: Callable[[], None] = stop) -> None:
        self._descriptor = descriptor
        self._gone: Callable[[], None] | None = gone
        self._rest = memoryview(b"")
        """Of a put that failed half-way: what of it is not written yet."""

    def put(self, batches: Sequence[Batch]) -> None:
        if not self._rest:
            self._rest = memoryview(b"".join(map(ndjson, batches)))
        while self._rest:
            self._rest = self._rest[self._write(self._rest) :]

    def abort(self) -> None:
        """A write that blocks ends with the process."""

    def close(self) -> None:
        """It is not ours to close."""

    def _write(self, rest: memoryview) -> int:
        try:
            return os.write(self._descriptor, rest)
        except BlockingIOError:  # somebody who shares the terminal or pipe has made it non-blocking
            ready = select.poll()
            ready.register(self._descriptor, select.POLLOUT)
            ready.poll()
            return 0
        except BrokenPipeError as error:
            gone, self._gone = self._gone, None
            if gone:
                gone()
            raise QueueUnavailable("stdout: whoever read it is gone, and this process ends as well") from error
        except OSError as error:
            raise QueueUnavailable(f"stdout: {(error.strerror or str(error)).lower()}") from error


def outlet(url: str, max_bytes: int) -> Outgoing:
    """Raises UsageError for a URL that can't be used."""
    parse(url)
    return Outgoing(StdoutSink(), max_bytes)
