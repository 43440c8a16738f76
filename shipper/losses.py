"""Lines that were stored, spooled or queued, and lost there: noticed once, also across restarts."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LOOK_EVERY = 2.0


class Losses:
    """`ever` counts damage that outlives a process, `here` that of this process; `note` keeps how much of the former
    was dealt with."""

    def __init__(
        self, note: Path, ever: Callable[[], int], here: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._note = note
        self._ever = ever
        self._here = here
        self._clock = clock
        self._told = self._noted = (_read(note), 0)
        self._looked = clock() - LOOK_EVERY

    @property
    def settled(self) -> bool:
        """Whether all damage up to now is dealt with."""
        return self._noted == (self._ever(), self._here())

    def new(self) -> bool:
        """Whether there is damage that was not told of before; looks every few seconds."""
        if self._clock() - self._looked < LOOK_EVERY:
            return False
        self._looked = self._clock()
        before, self._told = self._told, (self._ever(), self._here())
        return self._told != before

    def dealt_with(self) -> None:
        """What `new` told needs no more doing, not even by a process that starts after this one."""
        if self._noted == self._told:
            return
        self._noted = self._told
        with suppress(OSError):  # then it is done once more at the next start
            self._note.write_text(str(self._noted[0]))


def _read(note: Path) -> int:
    try:
        return int(note.read_text())
    except (OSError, ValueError):
        return 0
