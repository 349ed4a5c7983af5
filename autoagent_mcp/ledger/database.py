"""The ledger's file: made, opened, read and set aside. Knows rows, and nothing of who writes or what was there."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path

from autoagent_mcp.errors import LedgerError
from autoagent_mcp.ledger.rows import GENESIS, Row

SCHEMA_VERSION = 1
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS entries (
  seq INTEGER PRIMARY KEY,
  at TEXT NOT NULL,
  kind TEXT NOT NULL,
  body TEXT NOT NULL,
  previous_sha256 TEXT NOT NULL,
  sha256 TEXT NOT NULL
);
CREATE TRIGGER IF NOT EXISTS entries_never_change BEFORE UPDATE ON entries
  BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entries_never_go BEFORE DELETE ON entries
  BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""
_COLUMNS = "seq, at, kind, body, previous_sha256, sha256"
_SIDES = ("", "-wal", "-shm")

Stats = tuple[tuple[int, ...] | None, ...]


def connect(path: Path, *, writable: bool) -> sqlite3.Connection:
    """Open the database; one that writes makes what is missing.

    Raises:
        LedgerError: A newer version wrote it.
        sqlite3.Error: It cannot be read.
    """
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    try:
        version = _version_of(connection, path)
        if writable:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            if version < SCHEMA_VERSION:
                connection.executescript(_SCHEMA)
        else:
            connection.execute("PRAGMA query_only = 1")
    except BaseException:
        connection.close()
        raise
    return connection


def _version_of(connection: sqlite3.Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"{path} was written by a newer autoagent-mcp (schema {version}, this one knows {SCHEMA_VERSION}).",
            "Update autoagent-mcp.",
        )
    return version


def rows(connection: sqlite3.Connection, start: int = 0, kinds: Sequence[str] = ()) -> Iterator[Row]:
    """Yield the rows from `start` on, in order; those of some kinds alone where they are named."""
    which = f"AND kind IN ({', '.join('?' * len(kinds))}) " if kinds else ""
    query = f"SELECT {_COLUMNS} FROM entries WHERE seq >= ? {which}ORDER BY seq"  # noqa: S608 - constants only
    for row in connection.execute(query, (start, *kinds)):
        yield Row.model_construct(**dict(zip(Row.model_fields, row, strict=True)))


def has_table(connection: sqlite3.Connection) -> bool:
    """Tell whether there is a ledger in it; a reader may come before the writer has made the table."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone() is not None


def insert(connection: sqlite3.Connection, row: Row) -> None:
    """Append a row."""
    values = tuple(row.model_dump().values())
    connection.execute(f"INSERT INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", values)  # noqa: S608 - constants


def chained(found: Iterable[Row]) -> Iterator[Row]:
    """Yield rows as long as each follows on the one before."""
    seq, sha256 = 0, GENESIS
    for row in found:
        if not row.follows(seq, sha256):
            return
        yield row
        seq, sha256 = seq + 1, row.sha256


def stats(path: Path) -> Stats:
    """Tell by what the kernel notes of it whether a database's file was replaced or written to.

    The time of change (ctime) is among it, which no program can set.
    """
    return tuple(_stat(path.with_name(path.name + side)) for side in _SIDES[:2])


def _stat(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read_afresh(path: Path) -> Iterator[Row]:
    """Yield the rows, read by a connection that has nothing cached, as far as they can be read."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            yield from rows(connection)
    except sqlite3.DatabaseError:
        return


def set_aside(path: Path, why: str) -> Path:
    """Rename a database with what belongs to it to a dated name, and return that."""
    aside = path.with_name(f"{path.name}.{why}-{datetime.now(timezone.utc):%Y%m%d-%H%M%S-%f}")
    for side in _SIDES:
        part = path.with_name(path.name + side)
        if part.exists():
            part.rename(aside.with_name(aside.name + side))
    return aside


@contextmanager
def told_as_ours(path: Path) -> Generator[None]:
    """Raise what SQLite or the disk refuses as a LedgerError."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise LedgerError(
            f"The ledger at {path} cannot be used: {error}.",
            "What was appended before is safe. Make room on the disk, or look at the file's permissions; call again.",
        ) from error
