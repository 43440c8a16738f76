"""Lines that were stored or spooled, and lost there to damage: noticed once, also across restarts."""

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
        self._known = (_read(note), 0)
        self._looked = clock() - LOOK_EVERY

    def new(self) -> bool:
        """Whether there is damage that was not dealt with; looks every few seconds."""
        if self._clock() - self._looked < LOOK_EVERY:
            return False
        self._looked = self._clock()
        return (self._ever(), self._here()) != self._known

    def dealt_with(self) -> None:
        """What is there by now needs no more doing."""
        self._known = (self._ever(), self._here())
        with suppress(OSError):  # then it is done once more at the next start
            self._note.write_text(str(self._known[0]))


def _read(note: Path) -> int:
    try:
        return int(note.read_text())
    except (OSError, ValueError):
        return 0
