"""The ledger: an append-only, hash-chained list of entries in SQLite, written by one server at a time.

It knows what an entry is but not what it means; `experiment.book` reads experiments out of entries. Every entry's hash
covers the hash of the one before, so that a row cannot be changed, taken out or put in without a break that shows. The
same entries are kept as lines in git (refs/autoagent/ledger), from which a lost or changed database is filled again.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

import anyio
from typing_extensions import Self

from autoagent_mcp._io import FileLock, clear_unfinished, write_whole
from autoagent_mcp.errors import LedgerError
from autoagent_mcp.ledger import database
from autoagent_mcp.ledger.rows import GENESIS, REF, Entry, Row, canonical, parse
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.workspace import Workspace, user_state

T = TypeVar("T")


class Ledger:
    """The open ledger of a workspace; made by `open`. SQLite runs in a worker thread, one call at a time."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._limiter = anyio.CapacityLimiter(1)
        self._lock = FileLock(workspace.lock)
        self._connection: sqlite3.Connection | None = None
        self._hashes: list[str] = []
        self._stats: database.Stats = ()
        self._data_version = 0
        self.writable = False
        """Whether this server holds the workspace's lock; only one does."""
        self.notices: list[str] = []
        """What a person should know about how the ledger was found."""
        self.changed: list[int] = []
        """Entries from which on rows were changed, taken out or put in from outside; cleared by who tells it."""

    @property
    def length(self) -> int:
        """How many entries there are."""
        return len(self._hashes)

    @property
    def head_sha256(self) -> str:
        """The hash of the last entry."""
        return self._hashes[-1] if self._hashes else GENESIS

    @classmethod
    async def open(cls, workspace: Workspace, *, to_read: bool = False) -> Self:
        """Open the ledger and check its chain; read-only where another server holds the lock, or if asked `to_read`.

        A file that is no database any more, or whose chain is broken, is set aside under a dated name; the ledger then
        starts with the entries before the break, and `changed` names it: fill it with `rebuild`.

        Raises:
            LedgerError: The file is a newer version's, or it cannot be read.
        """
        ledger = cls(workspace)
        try:
            await ledger._in_thread(lambda: ledger._open(to_read=to_read))
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
        await self._in_thread(self._refresh)

    async def append(self, kind: str, body: Frozen) -> Entry:
        """Append an entry and see it on disk.

        Raises:
            LedgerError: Another server writes, or the disk is full; then nothing was appended and nothing is lost.
        """
        self.check_writable()
        text = canonical(body.model_dump(mode="json", exclude_defaults=True))
        row = await self._in_thread(lambda: self._append(kind, text))
        return row.entry()

    async def entries(self, start: int = 0, *, limit: int | None = None, kinds: Sequence[str] = ()) -> list[Entry]:
        """Return the entries from `start` on, at most `limit`; of some kinds alone where they are named."""
        return await self._in_thread(
            lambda: [row.entry() for row in itertools.islice(database.rows(self._db, start, kinds), limit)]
        )

    async def entry(self, seq: int) -> Entry:
        """Return one entry."""
        return await self._in_thread(lambda: next(database.rows(self._db, seq)).entry())

    async def lines(self, start: int = 0) -> list[str]:
        """Return the entries from `start` on as they are kept in git: one JSON object a line, keys sorted."""
        return await self._in_thread(lambda: [row.line() for row in database.rows(self._db, start)])

    async def rebuild(self, lines: Sequence[str]) -> None:
        """Append those entries of `lines` (all of the ledger's, oldest first) that are not there yet.

        Raises:
            LedgerError: The lines' chain is broken, or it is another one than the database's.
        """
        await self._in_thread(lambda: self._rebuild(lines))

    async def is_as_written(self) -> bool:
        """Tell whether the database is as this server left it; where it is not, `changed` names the first such entry.

        Costs two looks at the file system and one question to SQLite; the rows are read only where another program has
        written to the file.
        """
        return await self._in_thread(self._is_as_written)

    async def restore(self, lines: Sequence[str]) -> None:
        """Set the database aside and make it anew of its rows that are unchanged and, for the others, of `lines`.

        Raises:
            LedgerError: An entry is in neither of them as it was written; the ledger is then closed.
        """
        await self._in_thread(lambda: self._restore(lines))

    async def seal(self) -> None:
        """Note the chain's head in the user's state folder; where that cannot be written, a notice says so.

        While `changed` names something, the head stays what it was, so that a next start sees the same.
        """
        if not self.changed:
            await self._in_thread(self._seal)

    async def check_seal(self) -> None:
        """Compare the chain with the head that was noted last; `changed` says where entries are gone or different."""
        await self._in_thread(self._check_seal)

    def check_writable(self) -> None:
        """See that this server may write.

        Raises:
            LedgerError: Another server works on the workspace.
        """
        if not self.writable:
            raise LedgerError(self.standing, "Use that one, or end it: this one then takes over by itself.")

    @property
    def standing(self) -> str:
        """Say who writes, where this server does not; empty where it does."""
        if self.writable:
            return ""
        return f"Another server works on this workspace ({self._lock.holder()}); this one only reads."

    async def _in_thread(self, work: Callable[[], T]) -> T:
        with database.told_as_ours(self._workspace.ledger):
            return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    def _open(self, *, to_read: bool) -> None:
        if not to_read:
            self._workspace.state.mkdir(exist_ok=True)
            ignore = self._workspace.state / ".gitignore"
            if not ignore.exists():
                write_whole(ignore, "*\n", mode=0o644, scratch=self._workspace.scratch)
            self.writable = self._lock.take()
        self._open_database()

    def _open_database(self) -> None:
        try:
            self._connect()
            self._load()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            if not self.writable:
                raise
            self._start_anew("damaged", str(error))
        self._note_state()

    def _connect(self) -> None:
        self._connection = database.connect(self._workspace.ledger, writable=self.writable)

    def _load(self) -> None:
        """Read the chain as far as it is whole; one that writes goes on from there."""
        self._hashes = []
        if not database.has_table(self._db):
            return
        whole = [row.sha256 for row in database.chained(database.rows(self._db))]
        if not self._has_more(len(whole)):
            self._hashes = whole
            return
        self.changed.append(len(whole))
        if self.writable:
            self._start_anew("changed", rows=list(itertools.islice(database.rows(self._db), len(whole))))
        else:
            self._hashes = whole

    def _has_more(self, count: int) -> bool:
        (found,) = self._db.execute("SELECT count(*) FROM entries").fetchone()
        return found > count

    def _start_anew(self, what: str, why: str = "", *, rows: Sequence[Row] = ()) -> None:
        """Set the file aside and begin another one with these rows."""
        self._drop_connection()
        aside = database.set_aside(self._workspace.ledger, what)
        self.notices.append(f"The ledger's file was {what}{f' ({why})' if why else ''}; it lies at {aside.name}.")
        self._workspace.state.mkdir(exist_ok=True)
        self._hashes = []
        self._connect()
        self._db.execute("BEGIN IMMEDIATE")
        for row in rows:
            self._insert(row)
        self._db.execute("COMMIT")

    def _close(self) -> None:
        self._drop_connection()
        self.writable = False
        self._lock.give_back()

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _take_over(self) -> bool:
        if not self.writable and self._lock.take():
            self.writable = True
            self._drop_connection()
            self._open_database()
        return self.writable

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise LedgerError("The ledger is closed.", "Start the server again.")
        return self._connection

    def _refresh(self) -> None:
        if self.writable:
            return
        now = database.stats(self._workspace.ledger)
        if now[0] is not None and now[0][:2] != (self._stats[0] or ())[:2]:
            self._drop_connection()  # the server that writes has made the file anew
            self._connect()
        self._stats = now
        if database.has_table(self._db):
            found = self._db.execute("SELECT sha256 FROM entries WHERE seq >= ? ORDER BY seq", (self.length,))
            self._hashes += [sha256 for (sha256,) in found]

    def _append(self, kind: str, body: str) -> Row:
        row = Row(
            seq=self.length,
            at=datetime.now(timezone.utc).isoformat(),
            kind=kind,
            body=body,
            previous_sha256=self.head_sha256,
            sha256="",
        )
        row = row.model_copy(update={"sha256": row.expected_sha256()})
        is_ours = self._has_our_state()
        self._insert(row)
        if is_ours:
            self._note_state()
        return row

    def _insert(self, row: Row) -> None:
        database.insert(self._db, row)
        self._hashes.append(row.sha256)

    def _rebuild(self, lines: Sequence[str]) -> None:
        known = self.length
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._check_same([parse(line, number) for number, line in enumerate(lines[:known])])
            for number, line in enumerate(lines[known:], start=known):
                row = parse(line, number)
                self._check_next(row)
                self._insert(row)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            del self._hashes[known:]
            raise
        self._note_state()

    def _check_next(self, row: Row) -> None:
        if not row.follows(self.length, self.head_sha256):
            raise LedgerError(
                f"Entry {self.length} of the ledger in {REF} was changed, taken out or put in from outside, and the "
                "database does not have it.",
                f"Find out who did it. To go on with the {self.length} entries before it: git update-ref -d {REF}.",
            )

    def _check_same(self, rows: Sequence[Row]) -> None:
        """See that the ref has the same chain; where not, the head that was noted last says which one is genuine."""
        seq = next((row.seq for row, ours in zip(rows, self._hashes, strict=False) if row.sha256 != ours), None)
        if seq is None:
            return
        length, sha256 = self._sealed() or (0, "")
        hint = "One of them was changed from outside: delete the wrong one."
        if self._hashes[length - 1 : length] == [sha256]:
            hint = f"The database is the one that was written here: git update-ref -d {REF}."
        elif [row.sha256 for row in rows[length - 1 : length]] == [sha256]:
            hint = f"{REF} is the one that was written here: delete .autoagent/ledger.sqlite3."
        raise LedgerError(f"Entry {seq} differs between .autoagent/ledger.sqlite3 and {REF}.", hint)

    def _has_our_state(self) -> bool:
        return (database.stats(self._workspace.ledger), self._version()) == (self._stats, self._data_version)

    def _note_state(self) -> None:
        self._stats, self._data_version = database.stats(self._workspace.ledger), self._version()

    def _version(self) -> int:
        """Return SQLite's count of what other connections have written."""
        return self._db.execute("PRAGMA data_version").fetchone()[0]

    def _is_as_written(self) -> bool:
        if self._has_our_state():
            return True
        state = database.stats(self._workspace.ledger), self._version()
        first = self._first_changed(self._read_afresh())
        if first is None:
            self._stats, self._data_version = state
            return True
        self.changed.append(first)
        return False

    def _read_afresh(self) -> Iterator[Row]:
        return database.read_afresh(self._workspace.ledger)

    def _first_changed(self, rows: Iterable[Row]) -> int | None:
        pairs = enumerate(itertools.zip_longest(self._hashes, (row.sha256 if row.is_whole else "" for row in rows)))
        return next((seq for seq, (ours, theirs) in pairs if ours != theirs), None)

    def _restore(self, lines: Sequence[str]) -> None:
        found = itertools.chain(map(parse, lines, itertools.count()), self._read_afresh())
        whole = {row.sha256: row for row in found if row.is_whole}
        missing = next((seq for seq, sha256 in enumerate(self._hashes) if sha256 not in whole), None)
        if missing is not None:
            self._drop_connection()
            raise LedgerError(
                f"Entry {missing} of the ledger was changed from outside, both in the database and in {REF}.",
                "Find out who did it, and start the server again: it goes on with the entries that are whole.",
            )
        self._start_anew("changed", rows=[whole[sha256] for sha256 in self._hashes])
        self._note_state()

    @property
    def _head_file(self) -> Path:
        return user_state() / "heads" / self._workspace.id

    def _sealed(self) -> tuple[int, str] | None:
        """Return the length and the head that were noted last."""
        if not self._head_file.exists():
            return None
        length, sha256 = self._head_file.read_text(encoding="utf-8").split()
        return int(length), sha256

    def _seal(self) -> None:
        try:
            self._head_file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._head_file, f"{self.length} {self.head_sha256}\n")
        except OSError as error:
            notice = f"The ledger's head is not kept outside the workspace: {error}."
            self.notices = [*(one for one in self.notices if one != notice), notice]

    def _check_seal(self) -> None:
        clear_unfinished(self._head_file)
        length, sha256 = self._sealed() or (0, "")
        if length == 0:
            return
        if self.length == 0:
            self.notices.append(f"An earlier ledger of this folder had {length} entries; it is not here any more.")
        elif self._hashes[length - 1 : length] != [sha256]:
            self.changed.append(min(length, self.length))
            self.notices.append(
                f"The ledger had {length} entries when it was written last; now it has {self.length}, "
                f"and entry {length - 1} is gone or another."
            )
