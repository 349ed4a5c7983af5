"""The ledger: an append-only, hash-chained list of entries in SQLite, written by one server at a time.

It knows what an entry is but not what it means; `experiment.book` reads experiments out of entries. Every entry's hash
covers the hash of the one before, so that a row cannot be changed, taken out or put in without a break that shows. The
same entries are kept as lines in git (refs/autoagent/ledger), from which a lost database is filled again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sqlite3
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

import anyio
from typing_extensions import Self

from autoagent_mcp._io import FileLock, write_whole
from autoagent_mcp.errors import LedgerError
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.workspace import Workspace, user_state

SCHEMA_VERSION = 1
GENESIS = "0" * 64
"""What the first entry has for the hash of the one before."""

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

T = TypeVar("T")


class Entry(Frozen):
    """One row of the ledger."""

    seq: int
    """Counted from 0."""
    at: datetime
    kind: str
    body: str
    """JSON."""
    previous_sha256: str
    sha256: str


class _Row(Frozen):
    """An entry with its body as the text that was hashed."""

    seq: int
    at: str
    kind: str
    body: str
    previous_sha256: str
    sha256: str

    def entry(self) -> Entry:
        return Entry.model_validate(self.model_dump())

    def line(self) -> str:
        return _canonical({**self.model_dump(), "body": json.loads(self.body)})

    def expected_sha256(self) -> str:
        content = f"{self.previous_sha256}\n{self.seq}\n{self.at}\n{self.kind}\n{self.body}"
        return hashlib.sha256(content.encode()).hexdigest()


class Ledger:
    """The open ledger of a workspace; made by `open`. SQLite runs in a worker thread, one call at a time."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._limiter = anyio.CapacityLimiter(1)
        self._lock = FileLock(workspace.lock)
        self._connection: sqlite3.Connection | None = None
        self.writable = False
        """Whether this server holds the workspace's lock; only one does."""
        self.notices: list[str] = []
        """What a person should know about how the ledger was found."""
        self.length = 0
        self.head_sha256 = GENESIS

    @classmethod
    async def open(cls, workspace: Workspace) -> Self:
        """Open the ledger and check its chain; read-only where another server holds the lock.

        A file that is no database any more is set aside under a dated name, and the ledger starts empty: fill it with
        `rebuild`.

        Raises:
            LedgerError: A row was changed from outside, the file is a newer version's, or it cannot be read.
        """
        ledger = cls(workspace)
        try:
            await ledger._in_thread(ledger._open)
        except BaseException:
            await ledger.close()
            raise
        return ledger

    async def close(self) -> None:
        """Give the lock back. The ledger cannot be used afterwards."""
        with anyio.CancelScope(shield=True):
            await self._in_thread(self._close)

    async def take_over(self) -> bool:
        """Become the one that writes, where no other server does; tell whether this one may write now.

        Raises:
            LedgerError: See `open`.
        """
        return await self._in_thread(self._take_over)

    async def refresh(self) -> None:
        """See what another server has appended; `length` and `head_sha256` follow."""
        await self._in_thread(self._read_head)

    async def append(self, kind: str, body: Frozen) -> Entry:
        """Append an entry and see it on disk.

        Raises:
            LedgerError: Another server writes, or the disk is full; then nothing was appended and nothing is lost.
        """
        self.check_writable()
        text = _canonical(body.model_dump(mode="json", exclude_defaults=True))
        row = await self._in_thread(lambda: self._append(kind, text))
        return row.entry()

    async def entries(self, start: int = 0, *, limit: int | None = None) -> list[Entry]:
        """Return the entries from `start` on, at most `limit`."""
        return await self._in_thread(lambda: [row.entry() for row in itertools.islice(self._rows(start), limit)])

    async def entry(self, seq: int) -> Entry:
        """Return one entry."""
        return await self._in_thread(lambda: next(self._rows(seq)).entry())

    async def lines(self, start: int = 0) -> list[str]:
        """Return the entries from `start` on as they are kept in git: one JSON object a line, keys sorted."""
        return await self._in_thread(lambda: [row.line() for row in self._rows(start)])

    async def rebuild(self, lines: Sequence[str]) -> None:
        """Append those entries of `lines` (all of the ledger's, oldest first) that are not there yet.

        Raises:
            LedgerError: The lines' chain is broken, or it is another one than the database's.
        """
        await self._in_thread(lambda: self._rebuild(lines))

    async def seal(self) -> None:
        """Note the chain's head in the user's state folder; where that cannot be written, a notice says so."""
        await self._in_thread(self._seal)

    async def check_seal(self) -> None:
        """Compare the chain with the head that was noted last.

        Raises:
            LedgerError: Entries that were there are gone or different.
        """
        await self._in_thread(self._check_seal)

    def check_writable(self) -> None:
        """See that this server may write.

        Raises:
            LedgerError: Another server works on the workspace.
        """
        if not self.writable:
            raise LedgerError(
                f"Another server works on this workspace ({self._lock.holder()}); this one only reads.",
                "Use that one, or end it: this one then takes over by itself.",
            )

    async def _in_thread(self, work: Callable[[], T]) -> T:
        with _told_as_ours(self._workspace.ledger):
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    def _open(self) -> None:
        self._workspace.state.mkdir(exist_ok=True)
        ignore = self._workspace.state / ".gitignore"
        if not ignore.exists():
            write_whole(ignore, "*\n", mode=0o644)
        self.writable = self._lock.take()
        self._open_database()

    def _open_database(self) -> None:
        try:
            self._connect()
            self._verify()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            if not self.writable:
                raise
            self._set_aside(error)
            self._connect()
            self._verify()

    def _connect(self) -> None:
        path = self._workspace.ledger
        self._connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise LedgerError(
                f"{path} was written by a newer autoagent-mcp (schema {version}, this one knows {SCHEMA_VERSION}).",
                "Update autoagent-mcp.",
            )
        if self.writable:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            if version < SCHEMA_VERSION:
                self._connection.executescript(_SCHEMA)
        else:
            self._connection.execute("PRAGMA query_only = 1")

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.writable = False
        self._lock.give_back()

    def _take_over(self) -> bool:
        if not self.writable and self._lock.take():
            self.writable = True
            self._db.close()
            self._open_database()
        return self.writable

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise LedgerError("The ledger is closed.", "Start the server again.")
        return self._connection

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        if self._connection is not None:
            self._connection.close()
        path = self._workspace.ledger
        aside = path.with_name(f"{path.name}.damaged-{datetime.now(timezone.utc):%Y%m%d-%H%M%S}")
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
        self.notices.append(f"The ledger's file was damaged ({error}); it lies at {aside.name}.")

    def _rows(self, start: int) -> Iterator[_Row]:
        query = f"SELECT {_COLUMNS} FROM entries WHERE seq >= ? ORDER BY seq"  # noqa: S608 - constants only
        for row in self._db.execute(query, (start,)):
            yield _Row.model_construct(**dict(zip(_Row.model_fields, row, strict=True)))

    def _verify(self) -> None:
        self.length, self.head_sha256 = 0, GENESIS
        if self._has_table():
            for row in self._rows(0):
                self._check_next(row, str(self._workspace.ledger))
                self.length, self.head_sha256 = row.seq + 1, row.sha256

    def _has_table(self) -> bool:
        """A reader may come before the writer has made the table."""
        return self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone() is not None

    def _check_next(self, row: _Row, place: str) -> None:
        is_next = row.seq == self.length and row.previous_sha256 == self.head_sha256
        if not is_next or row.sha256 != row.expected_sha256():
            raise LedgerError(
                f"Entry {self.length} of the ledger in {place} was changed, taken out or put in from outside.",
                "Find out who did it. Without .autoagent/ledger.sqlite3 it is filled again from refs/autoagent/ledger.",
            )

    def _read_head(self) -> None:
        if not self._has_table():
            return
        found = self._db.execute("SELECT seq, sha256 FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
        if found is not None:
            self.length, self.head_sha256 = found[0] + 1, found[1]

    def _append(self, kind: str, body: str) -> _Row:
        row = _Row(
            seq=self.length,
            at=datetime.now(timezone.utc).isoformat(),
            kind=kind,
            body=body,
            previous_sha256=self.head_sha256,
            sha256="",
        )
        row = row.model_copy(update={"sha256": row.expected_sha256()})
        self._insert(row)
        return row

    def _insert(self, row: _Row) -> None:
        values = tuple(row.model_dump().values())
        self._db.execute(f"INSERT INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", values)  # noqa: S608 - constants
        self.length, self.head_sha256 = row.seq + 1, row.sha256

    def _rebuild(self, lines: Sequence[str]) -> None:
        known = {row.seq: row.sha256 for row in self._rows(0)}
        self._db.execute("BEGIN IMMEDIATE")
        before = self.length, self.head_sha256
        try:
            for number, line in enumerate(lines):
                row = _parse(line, number)
                if number not in known:
                    self._check_next(row, "refs/autoagent/ledger")
                    self._insert(row)
                else:
                    _check_same(number, known[number], row.sha256)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            self.length, self.head_sha256 = before
            raise

    @property
    def _head_file(self) -> Path:
        return user_state() / "heads" / self._workspace.id

    def _seal(self) -> None:
        try:
            self._head_file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._head_file, f"{self.length} {self.head_sha256}\n")
        except OSError as error:
            notice = f"The ledger's head is not kept outside the workspace: {error}."
            self.notices = [*(one for one in self.notices if one != notice), notice]

    def _check_seal(self) -> None:
        if not self._head_file.exists():
            return
        length, sha256 = self._head_file.read_text(encoding="utf-8").split()
        if self.length == 0:
            self.notices.append(f"An earlier ledger of this folder had {length} entries; it is not here any more.")
            return
        row = next(self._rows(int(length) - 1), None)
        if row is None or row.sha256 != sha256:
            raise LedgerError(
                f"The ledger had {length} entries when it was written last; now it has {self.length}, "
                f"and entry {int(length) - 1} is gone or another.",
                f"Put the old ledger back, or, if this is as you want it, delete {self._head_file}.",
            )


def _check_same(seq: int, one: str, other: str) -> None:
    if one != other:
        raise LedgerError(
            f"Entry {seq} differs between .autoagent/ledger.sqlite3 and refs/autoagent/ledger.",
            "One of them was changed from outside: delete the wrong one.",
        )


def _parse(line: str, number: int) -> _Row:
    try:
        value = json.loads(line)
        return _Row.model_validate({**value, "body": _canonical(value["body"])})
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(
            f"Line {number} of refs/autoagent/ledger is no entry: {error}.", "The ref was changed from outside."
        ) from error


def _canonical(value: object) -> str:
    """JSON with sorted keys and no spaces, in ASCII, so that the same value always gives the same bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


@contextmanager
def _told_as_ours(path: Path) -> Generator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise LedgerError(
            f"The ledger at {path} cannot be used: {error}.",
            "What was appended before is safe. Make room on the disk, or look at the file's permissions; call again.",
        ) from error
