"""What a log line may do to the terminal that shows it: nothing.

Containers write what they like: escape sequences that retitle, repaint or answer (CVE-2021-25743), carriage returns
that hide what went before, marks that turn the reading direction. Shown to people, each of these becomes visible text.
"""

import os
import re
import zlib
from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import IO, Any

_HARMFUL = re.compile(
    "["
    "\x00-\x08\x0a-\x1f\x7f"  # C0 but the tab, and DEL
    "\x80-\x9f"  # C1: one character that some terminals take as ESC [
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # reading direction
    "\u200b\u2028\u2029\u2060-\u2064\ufeff\ufff9-\ufffb"  # invisible, line ends
    "\ud800-\udfff"  # half a surrogate pair can't be encoded
    "\U000e0000-\U000e007f"  # tags: invisible text
    "]"
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\x1b": "\\e", "\0": "\\0"}
_PALETTE = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
"""Colours of names. No red: that is what stderr has."""


def escape(text: str) -> str:
    """The text with everything that could steer a terminal written out (`\\e[2J`); tabs and printable text stay."""
    return _HARMFUL.sub(_written, text)


def _written(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def wants_colour(stream: IO[str], environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the stream shows colours: a terminal, not a dumb one, and NO_COLOR (no-color.org) is not set."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb" and stream.isatty()


class Painter:
    """Puts documents on lines of text, with ANSI colours or without."""

    def __init__(self, *, colour: bool, raw: bool = False, zone: tzinfo | None = None) -> None:
        self._colour = colour
        self._clean = (lambda text: text) if raw else escape
        self._zone = zone

    def line(self, document: Mapping[str, Any], *, dim: bool = False) -> str:
        """`2026-11-23 00:25:00.123 web/web.1 | text`; `!` instead of `|` where it was written to stderr."""
        stamp = local_time(str(document.get("@timestamp", "")), self._zone)
        label = name_of(document)
        error = document.get("stream") == "stderr"
        bar = self.paint("!", 31) if error else self.paint("|", 2)
        message = self._clean(str(document.get("message", "")))
        if dim:
            return self.paint(f"{stamp} {escape(label)} {'!' if error else '|'} {message}", 2)
        return f"{self.paint(stamp, 2)} {self.paint(escape(label), hue(label))} {bar} {message}"

    def paint(self, text: str, code: int) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def name_of(document: Mapping[str, Any]) -> str:
    """`service/container`, or only the container where both are called the same."""
    container = str((document.get("container") or {}).get("name", "?"))
    service = str((document.get("service") or {}).get("name", container))
    return container if service == container else f"{service}/{container}"


def hue(name: str) -> int:
    """The ANSI colour of a name: the same one each time, on each machine."""
    return _PALETTE[zlib.crc32(name.encode("utf-8", "replace")) % len(_PALETTE)]


def local_time(stamp: str, zone: tzinfo | None = None) -> str:
    """An RFC 3339 stamp as local time with milliseconds; as it is (made harmless) where it is no such stamp."""
    try:
        moment = datetime.fromisoformat(stamp[:26].removesuffix("Z") + "+00:00").astimezone(zone)
    except (ValueError, OverflowError):
        return escape(stamp)
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
