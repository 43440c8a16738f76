"""Which life of the queue the checkpoints rely on: its name in a small file beside them.

A queue that is deleted and declared again looks the same to one who comes later. With the name of the life that our
confirms came from (towline/queues/amqp_way.py) it is told that they are worth nothing any more.
"""

import contextlib
import os
import re
from collections.abc import Callable
from pathlib import Path

from towline.queues import Outlet


class QueueLife:
    """Has `queue` resume the life that was noted last. Used by one thread."""

    def __init__(self, note: Path, queue: Outlet) -> None:
        self._note = note
        self._queue = queue
        self._noted = _read(note)
        queue.resume(self._noted)

    def lost(self) -> int:
        """How often a life has ended in this process, with confirmed lines in it."""
        return self._queue.lost

    def keep(self, settled: Callable[[], bool]) -> None:
        """Note the queue's present life before checkpoints are saved that rely on it. `settled`: all losses are dealt
        with; else the old name stays, so that the loss is found again should this process be killed now."""
        life = self._queue.life
        if not life or life == self._noted or not settled():
            return
        draft = self._note.with_name(self._note.name + ".tmp")
        with contextlib.suppress(OSError):  # tried again with the next checkpoint
            with draft.open("w") as file:
                file.write(life)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._note)
            self._noted = life


def _read(note: Path) -> str:
    try:
        life = note.read_text(errors="replace").strip()
    except OSError:
        return ""
    return life if re.fullmatch("[0-9a-f]{16}", life) else ""
