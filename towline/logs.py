"""What Towline says about itself: one line for each event, on stderr.

    2026-11-23T00:25:00.123Z info  shipper.watch: container appeared name=web source=file

What is passed as `extra={…}` follows the text as key=value. An exception is told on the same line, with the places it
came through; only `--log-level debug` prints whole tracebacks.
"""

import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import IO, Any

from towline.terminal import escape, wants_colour

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_HUES = {logging.DEBUG: 2, logging.INFO: 32, logging.WARNING: 33, logging.ERROR: 31, logging.CRITICAL: 31}


def configure(level: str, stream: IO[str] | None = None) -> None:
    """Send all logging of this process to `stream` (stderr). `level` is debug, info, warning or error."""
    target = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(target)
    handler.setFormatter(Formatter(colour=wants_colour(target), tracebacks=level == "debug"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("docker", "urllib3", "werkzeug"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    logging.raiseExceptions = False  # a closed stderr must not stop the flow


class Formatter(logging.Formatter):
    """One harmless line per record; with `tracebacks`, the traceback below it."""

    def __init__(self, *, colour: bool = False, tracebacks: bool = False) -> None:
        super().__init__()
        self._colour = colour
        self._tracebacks = tracebacks

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        level = f"{record.levelname.lower():<7}"
        if self._colour:
            level = f"\x1b[{_HUES.get(record.levelno, 0)}m{level}\x1b[0m"
        stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
        parts = [stamp, level, f"{record.name}:", escape(record.getMessage()), *_pairs(record)]
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            parts.append(_told(error))
            if self._tracebacks:
                return " ".join(parts) + "\n" + "".join(traceback.format_exception(error)).rstrip()
        return " ".join(parts)


def _pairs(record: logging.LogRecord) -> list[str]:
    extra = {key: value for key, value in vars(record).items() if key not in _STANDARD and not key.startswith("_")}
    return [f"{key}={quoted(value)}" for key, value in extra.items()]


def quoted(value: Any) -> str:
    """A value for key=value: in quotes only where it has blanks, quotes or nothing at all."""
    text = escape(str(value))
    if text and not any(character in text for character in ' "=\t'):
        return text
    return '"' + text.replace('"', '\\"') + '"'


def _told(error: BaseException) -> str:
    return f"error={quoted(f'{type(error).__name__}: {error}')} at={_places(error.__traceback__)}"


def _places(trace: TracebackType | None) -> str:
    """Where it happened, innermost first: ship.py:88<ship.py:40."""
    frames = traceback.extract_tb(trace)
    return "<".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in reversed(frames[-5:])) or "?"
