"""Where reading goes on after a restart: one small file, written whole, or not at all.

    {"towline-checkpoints":1,"crc32":…}\\n
    {"<container id>":{…},…}

The file itself is made durable before it takes the old one's name; the rename is not: after a power cut the older
file may be back, lines are then read twice, and the store recognises them.
"""

import contextlib
import logging
import os
import zlib
from pathlib import Path
from typing import Any

import orjson

from shipper.aside import set_aside
from towline.errors import TowlineError

log = logging.getLogger(__name__)

VERSION = 1
_KEY = "towline-checkpoints"

Rows = dict[str, dict[str, Any]]


class Checkpoints:
    """The checkpoint file at `path`: rows by container id, each a JSON-able object. Used by one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._saved: bytes | None = None
        self._failing = False

    def load(self) -> Rows:
        """What was saved last; {} where nothing was, or where the file is damaged (it is then moved aside and said).

        Raises TowlineError where the file is of a newer Towline, or may not be read.
        """
        try:
            return self._parse(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except PermissionError as error:
            raise TowlineError(f"checkpoint file {self._path} can't be read: {error.strerror}; "
                               "run as its owner, or give --state another folder") from error  # fmt: skip
        except (ValueError, OSError) as error:
            self._move_aside(error)
            return {}

    def peek(self) -> Rows:
        """What was saved last, for somebody who only looks: {} where it can't be read; nothing is moved or said."""
        try:
            return self._parse(self._path.read_bytes())
        except (OSError, ValueError, TowlineError):
            return {}

    def save(self, rows: Rows) -> bool:
        """Replace the file by `rows`, durably; False where that is impossible right now (said once; try again)."""
        body = orjson.dumps(rows)
        if body == self._saved:
            return True
        try:
            self._replace(orjson.dumps({_KEY: VERSION, "crc32": zlib.crc32(body)}) + b"\n" + body)
        except OSError as error:
            self._failed(error)
            return False
        self._saved = body
        self._works()
        return True

    def _parse(self, content: bytes) -> Rows:
        head, _, body = content.partition(b"\n")
        header = orjson.loads(head)
        if not isinstance(header, dict) or not isinstance(header.get(_KEY), int):
            raise ValueError("not a checkpoint file")
        if header[_KEY] > VERSION:
            raise TowlineError(
                f"checkpoint file {self._path} is of version {header[_KEY]}, this program reads version {VERSION}: "
                "run the newer Towline, or move the file away to read all logs again"
            )
        if header.get("crc32") != zlib.crc32(body):
            raise ValueError("its checksum does not fit its content")
        rows = orjson.loads(body)
        if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
            raise ValueError("not rows by container id")
        return rows

    def _replace(self, content: bytes) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._path.with_name(self._path.name + ".tmp")
        try:
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise

    def _move_aside(self, reason: Exception) -> None:
        try:
            where = f"moved to {set_aside(self._path).name}"
        except OSError as error:
            where = f"can't be moved aside ({error.strerror}), will be replaced"
        log.warning("checkpoint file %s is damaged (%s), %s: all logs are read again from the start; lines already "
                    "stored are recognised", self._path, reason, where)  # fmt: skip

    def _failed(self, error: OSError) -> None:
        if not self._failing:
            log.error(
                "checkpoint file %s can't be written: %s; free space or give write permission. Until then a restart "
                "reads some lines again; the store recognises them", self._path, error.strerror)  # fmt: skip
        self._failing = True

    def _works(self) -> None:
        if self._failing:
            log.info("checkpoint file %s is written again", self._path)
        self._failing = False
