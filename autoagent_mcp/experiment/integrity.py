"""Tampering: whether anything was changed from outside since the last look, named until a person accepts it.

The meta-agent has a shell as the same user and could write to the ledger, our refs, the settings, the tasks and our
own code. How all of that was at the baseline is an entry of the ledger; so is each change, as it was found, and each
word of a person about it (`autoagent-mcp accept-changes`). What belongs to this tool alone, the ledger and its refs, is
put back at once; what belongs to the user stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path

import anyio
from pydantic import ValidationError

from autoagent_mcp._io import write_whole
from autoagent_mcp.errors import DecisionRefused, SetupError
from autoagent_mcp.experiment.alarm import Alarm
from autoagent_mcp.experiment.changes import ACCEPTED, KINDS, TAMPERED, WATCHED, Changes, sentences
from autoagent_mcp.experiment.fingerprints import PACKAGE, Fingerprints
from autoagent_mcp.experiment.record import Record
from autoagent_mcp.models.integrity import Accepted, Kind, Tampered, Thing, Watched
from autoagent_mcp.models.task import Task
from autoagent_mcp.workspace import Workspace, user_state

_HINT = "Nothing is kept until a person has looked at that and said: autoagent-mcp accept-changes."
_log = logging.getLogger(__name__)
_disk = anyio.CapacityLimiter(1)


class Watch:
    """Watches one workspace; `close` it in the end.

    Args:
        workspace: Which.
        record: Its ledger and git.
        package: Where our own code lies.
    """

    def __init__(self, workspace: Workspace, record: Record, *, package: Path = PACKAGE) -> None:
        self._word = _word_of(workspace)
        self._database = workspace.ledger
        self._record = record
        self._alarm = Alarm()
        self._looked_at: tuple[Path, ...] | None = None
        self._fingerprints = Fingerprints(workspace, package)
        self._changes = Changes()
        self._before_baseline: tuple[Thing, ...] = ()
        self._read = 0
        self._has_refs = False
        self._looking = anyio.Lock()

    @property
    def notices(self) -> tuple[str, ...]:
        """What was changed and is not accepted yet, as sentences; empty where all is well."""
        found = sentences(self._changes.waiting.values())
        return (*found, _HINT) if found else ()

    async def look(
        self, tasks: Iterable[Task], hidden: Iterable[Task] = (), *, is_thorough: bool = True
    ) -> tuple[str, ...]:
        """Look for changes, put back what is ours, enter what was found, and return `notices`.

        A server that only reads learns of changes from the ledger. Before the first experiment everything is taken as
        it is; a call that starts one must look first.

        Args:
            tasks: The visible ones, as they were read last.
            hidden: The hidden ones.
            is_thorough: Look at each file; else only where the kernel told of a write, see `Alarm`.

        Raises:
            LedgerError: An entry was changed and no copy of it is left, or nothing can be entered.
            RepoError: Git hinders it.
        """
        async with self._looking:
            await self._catch_up()
            if self._record.ledger.writable:
                tasks, hidden = tuple(tasks), tuple(hidden)
                folders = tuple(task.folder for task in (*tasks, *hidden))
                has_rung = self._alarm.rings() or folders != self._looked_at or bool(self._record.ledger.changed)
                if is_thorough or has_rung:
                    self._looked_at = None
                    with anyio.CancelScope(shield=True):
                        await self._look(tasks, hidden)
                    self._looked_at = folders
            return self.notices

    def close(self) -> None:
        """Watch nothing any more."""
        self._alarm.close()

    def require_accepted(self) -> None:
        """See that nothing waits for a person's word. Raises: DecisionRefused: something does."""
        if self._changes.waiting:
            raise DecisionRefused(" ".join(sentences(self._changes.waiting.values())), _HINT)

    async def _look(self, tasks: tuple[Task, ...], hidden: tuple[Task, ...]) -> None:
        refs = await self._moved_refs()
        entries = await self._changed_entries()
        now, accepted = await anyio.to_thread.run_sync(self._read_disk, tasks, hidden, limiter=_disk)
        await self._begin(now)
        if found := (*entries, *refs, *self._changes.since(now)):
            await self._append(TAMPERED, Tampered(things=found))
            self._record.ledger.changed.clear()
        if accepted is not None:
            await self._take_word(accepted)

    def _read_disk(
        self, tasks: tuple[Task, ...], hidden: tuple[Task, ...]
    ) -> tuple[tuple[Thing, ...], Accepted | None]:
        """Return everything as it is now, and a person's word about it."""
        now = self._fingerprints.take(tasks, hidden), _read(self._word)
        self._alarm.watch(
            {
                **self._fingerprints.folders(),
                **self._record.repo.ref_folders(),
                self._database.parent: frozenset({self._database.name, f"{self._database.name}-wal"}),
                self._word.parent: frozenset({self._word.name}),
            }
        )
        return now

    async def _begin(self, now: tuple[Thing, ...]) -> None:
        """Enter how everything was when the call came that began the first experiment."""
        if self._changes.is_begun:
            return
        if self._record.book.experiments:
            await self._append(WATCHED, Watched(things=self._before_baseline or now))
        else:
            self._before_baseline = now

    async def _moved_refs(self) -> tuple[Thing, ...]:
        repo = self._record.repo
        if not self._has_refs:
            await repo.watch_refs([experiment.candidate.commit for experiment in self._record.book.experiments])
            self._has_refs = True
        moved = {Thing(kind=Kind.REF, name=one.ref, digest=one.found): one for one in await repo.moved_refs()}
        # One that cannot be put back is found again at each start.
        return tuple(thing for thing, one in moved.items() if one.is_put_back or not self._changes.is_known(thing))

    async def _changed_entries(self) -> tuple[Thing, ...]:
        ledger = self._record.ledger
        if not await ledger.is_as_written():
            await ledger.restore(await self._record.repo.read_ledger())
        return tuple(Thing(kind=Kind.LEDGER, name=str(seq)) for seq in sorted(set(ledger.changed)))

    async def _take_word(self, accepted: Accepted) -> None:
        """Enter what a person accepted since."""
        if self._changes.cleared_by(accepted):
            await self._append(ACCEPTED, accepted)
        await anyio.to_thread.run_sync(self._forget_word, accepted, limiter=_disk)

    def _forget_word(self, accepted: Accepted) -> None:
        if _read(self._word) == accepted:  # another one may have come since
            self._word.unlink()

    async def _append(self, kind: str, body: Watched | Tampered | Accepted) -> None:
        await self._record.append(kind, body)
        await self._catch_up()

    async def _catch_up(self) -> None:
        length = self._record.ledger.length
        if length > self._read:
            entries = await self._record.ledger.entries(self._read, kinds=KINDS)
            for entry in entries:
                self._changes.apply(entry)
            self._read = max([length, *(entry.seq + 1 for entry in entries)])


def accept(workspace: Workspace, things: Iterable[Thing]) -> None:
    """Leave a person's word for the server that writes, which takes it in at its next call.

    Raises:
        SetupError: The user's state folder cannot be written.
    """
    path = _word_of(workspace)
    accepted = Accepted(things=tuple(things), said_at=datetime.now(timezone.utc))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, accepted.model_dump_json())
    except OSError as error:
        hint = "Make it writable, or set XDG_STATE_HOME, for the server too, to a folder that is."
        raise SetupError(f"What you accept cannot be kept in {path.parent}: {error}.", hint) from error


def _word_of(workspace: Workspace) -> Path:
    return user_state() / "accepted" / workspace.id


def _read(path: Path) -> Accepted | None:
    try:
        return Accepted.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        _log.exception("What a person accepted cannot be read")
        path.unlink(missing_ok=True)
        return None
