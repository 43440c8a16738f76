"""One partition: an SQLite file that holds the lines of one stretch of arrival. Opening, checking, making it."""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from towline.errors import StoreUnavailable

APPLICATION = 0x546F776C
"""`Towl` in the file's header: how a foreign SQLite file is told from ours."""
VERSION = 1
SLOT = 10
"""A block's key is its last microsecond shifted by this, so that its lines have the rowids key, key + 1, …"""

_SCHEMA = """
CREATE TABLE partition(created REAL NOT NULL, closed REAL);
CREATE TABLE sources(id INTEGER PRIMARY KEY, json TEXT NOT NULL UNIQUE, container TEXT NOT NULL, service TEXT NOT NULL,
    lines INTEGER NOT NULL DEFAULT 0, first_ns INTEGER NOT NULL DEFAULT 9223372036854775807,
    last_ns INTEGER NOT NULL DEFAULT -1);
CREATE INDEX sources_of_container ON sources(container);
CREATE TABLE blocks(key INTEGER PRIMARY KEY, source INTEGER NOT NULL, first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, count INTEGER NOT NULL,
    arrived INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX blocks_of_source ON blocks(source, last_ns, first_ns);
CREATE UNIQUE INDEX blocks_arrived ON blocks(arrived);
CREATE TABLE dead_letters(id INTEGER PRIMARY KEY, identity TEXT NOT NULL, reason TEXT NOT NULL, original TEXT NOT NULL,
    rejected TEXT NOT NULL, origin TEXT NOT NULL, UNIQUE(identity, original));
CREATE VIRTUAL TABLE words USING fts5(message, source, content='', columnsize=0, detail=full,
    tokenize="unicode61 remove_diacritics 0");
INSERT INTO words(words, rank) VALUES('hashsize', 16777216);
INSERT INTO words(words, rank) VALUES('automerge', 32);
INSERT INTO words(words, rank) VALUES('crisismerge', 128);
"""


class DamagedPartition(Exception):
    """The file is no readable partition of ours; the message says why."""


def is_damage(error: Exception) -> bool:
    """Whether SQLite says that the file itself is broken."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def create(path: Path, created: float) -> None:
    """Make an empty partition (`created`: seconds since the epoch); it appears complete or not at all."""
    fresh = path.with_suffix(".new")
    _remove(fresh)
    try:
        connection = _connect(fresh, "rwc")
        try:
            connection.execute("PRAGMA page_size=8192")
            connection.execute(f"PRAGMA application_id={APPLICATION}")
            connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={VERSION};COMMIT;")
            connection.execute("INSERT INTO partition(created) VALUES (?)", (created,))
        finally:
            connection.close()
        fresh.rename(path)
    except BaseException:
        _remove(fresh)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remove(path: Path) -> None:
    for ending in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def open_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes. Raises DamagedPartition, StoreUnavailable for a newer version."""
    inspect(path)
    connection = _connect(path, "rw")
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=2000")
        connection.execute("PRAGMA journal_size_limit=67108864")
        connection.execute("PRAGMA cache_size=-16384")
        # Debian's SQLite fills what a merge frees with zeros, and writes that out: a seventh of all that is written.
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute("PRAGMA busy_timeout=10000")
        _probe(connection, path)
    except sqlite3.DatabaseError as error:
        connection.close()
        if is_damage(error):
            raise DamagedPartition(str(error)) from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads, also where this process may not write to the folder."""
    inspect(path)
    last: sqlite3.OperationalError | None = None
    for mode in ("ro", "ro&immutable=1"):
        connection = _connect(path, mode)
        try:
            connection.execute("PRAGMA busy_timeout=10000")
            _probe(connection, path)
            return connection
        except sqlite3.DatabaseError as error:
            connection.close()
            if is_damage(error):
                raise DamagedPartition(str(error)) from error
            if not isinstance(error, sqlite3.OperationalError) or os.access(path.parent, os.W_OK):
                raise
            last = error
        except BaseException:
            connection.close()
            raise
    assert last is not None
    raise last


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False,
        cached_statements=64)  # fmt: skip


def _probe(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise StoreUnavailable(
            f"{path} was written by a newer Towline (format {version}, this one knows {VERSION}): upgrade this one"
        )
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    if version != VERSION or not {"blocks", "sources", "words", "dead_letters"} <= tables:
        raise DamagedPartition("its tables are not those of a Towline store")
    connection.execute("SELECT max(key) FROM blocks").fetchone()
    connection.execute("SELECT max(last_ns) FROM sources").fetchone()


def inspect(path: Path) -> None:
    """Look at the file's header without SQLite, which would take an empty file for an empty database."""
    with path.open("rb") as file:
        header = file.read(100)
        size = file.seek(0, os.SEEK_END)
    if not header:
        raise DamagedPartition("it is empty")
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise DamagedPartition("it is no SQLite file")
    if int.from_bytes(header[68:72], "big") != APPLICATION:
        raise DamagedPartition("it is another program's SQLite file")
    page = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    if size < page * pages and not _has_log(path):
        raise DamagedPartition(f"it is cut short: {size} of {page * pages} bytes")


def _has_log(path: Path) -> bool:
    log = path.with_name(path.name + "-wal")
    return log.exists() and log.stat().st_size > 0
