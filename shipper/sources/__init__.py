"""Where a container's log is read. Two sources yield the same entries: the json-file log in place, the engine's API."""

from typing import Any, Protocol

from shipper.entries import Entries
from shipper.wake import Wake


class Source(Protocol):
    """One container's log from a position on. Used by one thread; `read` never waits.

    The position that it resumes from may stem from the other source.
    """

    tty: bool | None
    """Whether the container has a terminal; None: not known yet."""
    rotates_at: int | None
    """Bytes at which a file of the log is full, and the oldest may vanish; None where that never happens."""
    kind: str
    """"file" or "api"."""
    eager: bool
    """More is there for certain: the last read came back full."""
    problem: str
    """Why nothing comes although the container runs, "" where all is well."""

    def read(self, limit: int) -> Entries | None:
        """The next entries, about `limit` bytes at most, or None where nothing is there now.

        Raises EngineUnavailable never: a source keeps trying, with backoff, until it is `finished` or closed.
        """

    def stopped(self) -> None:
        """The container has stopped: what is left is all there is, until `started`."""

    def started(self) -> None:
        """The container has started again."""

    def rest(self, wake: Wake[Any], key: Any) -> bool:
        """Let `wake` tell of `key` when there is more to read; False where that can't be told, or there is already."""

    def stirred(self) -> None:
        """`wake` has told: something came just now."""

    def fetch(self) -> None:
        """Several are about to be read: take what costs least where it is done for all of them at once."""

    @property
    def finished(self) -> bool:
        """Stopped, and everything read. (Never true while the container runs.)"""

    @property
    def refused(self) -> str:
        """Why the engine will never give this log ("" while it may): removed, driver, ..."""

    def rewind(self) -> bool:
        """Go back to the oldest entry that can still be read; False where the log has to be opened anew for that."""

    def close(self) -> None: ...
