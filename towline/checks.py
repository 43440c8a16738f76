"""What `towline check` looks at before anything runs: each finding is good, a hint, or bad, and names its fix.

This module looks at the machine; checks_engine at the Docker engine and its containers.
"""

import os
import shutil
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from towline.errors import TowlineError
from towline.finding import Finding, Mark
from towline.http import probe, shown

LEAST_DISK = 1 << 30
OLDEST_SANE = 1_760_000_000
"""October 2025, in seconds: no machine that runs this program is older."""


@dataclass(frozen=True)
class Place:
    """What the checks of the machine need to know; `keep_size` in bytes, 0 for no bound."""

    data: Path
    state: Path
    listen: tuple[str, int]
    keep_size: int
    clock: Callable[[], float] = time.time


def machine(place: Place) -> Iterator[Finding]:
    """The findings about this machine, one after another."""
    yield python()
    yield search_engine()
    yield clock(place.clock())
    for option, folder in (("--data", place.data), ("--state", place.state)):
        yield writable(folder, option)
    yield free(place.data, place.keep_size)
    yield port(place.listen)


def python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    text = "Python " + ".".join(map(str, version))
    if version < (3, 11):
        return Finding(Mark.BAD, text, "install Python 3.11 or newer")
    return Finding(Mark.GOOD, text)


def search_engine() -> Finding:
    """Whether this Python's SQLite can search text."""
    text = f"SQLite {sqlite3.sqlite_version} with FTS5"
    try:
        with sqlite3.connect(":memory:") as database:
            database.execute("create virtual table probe using fts5(text)")
        database.close()
    except sqlite3.OperationalError:
        return Finding(Mark.BAD, f"SQLite {sqlite3.sqlite_version} lacks FTS5", "use your distribution's own Python")
    return Finding(Mark.GOOD, text)


def clock(now: float) -> Finding:
    if now < OLDEST_SANE:
        return Finding(Mark.BAD, f"the clock says {time.strftime('%Y-%m-%d', time.gmtime(now))}", "set it, or run NTP")
    return Finding(Mark.GOOD, f"the clock says {time.strftime('%Y-%m-%d %H:%M:%SZ', time.gmtime(now))}")


def writable(folder: Path, option: str) -> Finding:
    """Whether a file can be made in the folder, or in the nearest one above that exists. Leaves nothing behind."""
    existing = _existing(folder)
    fix = f"sudo install -d -o {os.geteuid()} {folder}, or choose another with {option} DIR"
    if not existing.is_dir():
        return Finding(Mark.BAD, f"{existing} is no folder", fix)
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return Finding(Mark.BAD, f"{existing} can't be written: {(error.strerror or str(error)).lower()}", fix)
    made = "" if existing == folder else " (will be made)"
    return Finding(Mark.GOOD, f"{folder} can be written{made}")


def free(folder: Path, keep_size: int, usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage) -> Finding:
    """Whether there is room for what `--keep-size` allows the store."""
    _, _, left = usage(_existing(folder))
    text = f"{size(left)} free for {folder}"
    if left < LEAST_DISK:
        return Finding(Mark.HINT, f"only {text}", "make room, or put --data DIR on another disk")
    if left < keep_size:
        return Finding(Mark.HINT, f"{text}, less than --keep-size {size(keep_size)}",
                       f"set --keep-size {max(1, left * 8 // 10 >> 30)}G")  # fmt: skip
    return Finding(Mark.GOOD, text)


def port(address: tuple[str, int]) -> Finding:
    """Whether `up` could listen there, or does so already."""
    try:
        probe(address)
    except TowlineError as error:
        if is_towline(address):
            return Finding(Mark.GOOD, f"towline is running at {shown(address)}")
        text, _, fix = str(error).partition("; ")
        return Finding(Mark.BAD, text, fix)
    return Finding(Mark.GOOD, f"{shown(address)} is free to listen on")


def is_towline(address: tuple[str, int], timeout: float = 2) -> bool:
    """Whether a Towline answers at the address."""
    request = f"GET /healthz HTTP/1.0\r\nHost: localhost:{address[1]}\r\n\r\n"
    try:
        with socket.create_connection(address, timeout) as connection:
            connection.sendall(request.encode())
            return b"towline" in connection.makefile("rb").read(4096).lower()
    except OSError:
        return False


def size(count: int) -> str:
    """Bytes for people: 512.0 MiB."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def _existing(folder: Path) -> Path:
    path = folder.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
