"""The night's work: start the client, see why it ended, wait as long as that asks for, start it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import datetime, timedelta

import anyio
import anyio.to_thread

from autoagent_mcp._text import clip
from autoagent_mcp.errors import SetupError
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.night import Ending, Session
from autoagent_mcp.night import client, limits, output
from autoagent_mcp.night.journal import Journal
from autoagent_mcp.night.templates import BRIEF
from autoagent_mcp.night.watch import Watch, now
from autoagent_mcp.workspace import Workspace

GIVE_UP = 10
"""Starts in a row that got nothing done. With the waits between them that is over an hour, as an outage may last."""
_LONGEST_WAIT_SEC = 1800.0
_POLL_SEC = 0.5
_NEXT_CHARS = 2_000
"""Of the step that was said last to be next; what a command line can hold ends at 128 KB."""
_MARGIN = timedelta(seconds=5)
"""After the end of a rate limit, as clocks differ."""

_PROMPT = (
    "You improve the harness in this folder by experiment, with the tools of the MCP server `autoagent`. Read "
    "program.md, then call get_brief: it says where the loop stands and what to do next. Go on with the loop, as each "
    "answer's `next` says, until `next` says that it is over. It is night and nobody is there: do not ask, do not wait "
    "for an answer, and do not stop because a number is good or an idea has failed."
)


class Plan(Frozen):
    """What a night is to be."""

    command: tuple[str, ...]
    """The client's; {brief} stands for the prompt, which else comes last."""
    client: str = ""
    meta_model: str = ""
    variables: Mapping[str, str] = {}
    """What its environment gets besides ours."""
    until: datetime | None = None
    retry_sec: float
    """The first wait after a start that got nothing done, or at a rate limit; each further one takes twice as long."""
    grace_sec: float
    """What the client gets to end by itself before it is made to."""


class Shift:
    """One night at work."""

    def __init__(self, workspace: Workspace, plan: Plan, watch: Watch, journal: Journal) -> None:
        self._workspace = workspace
        self._plan = plan
        self._watch = watch
        self.journal = journal
        self.gave_up = False
        self._idle = 0
        """Starts in a row that got nothing done."""
        self._limited = 0
        """Rate limits in a row, with nothing done between them."""

    async def work(self) -> None:
        """Start the client again and again, until the night is over or the client is given up."""
        self.journal.say(f"The client is: {shlex.join(self.journal.night.command)}")
        self.journal.say(f"Its output and the night's record go to {self.journal.folder}")
        why = self._watch.over()
        try:
            while not why:
                why = await self._session()
        except SetupError as error:
            why = str(error)
            raise
        finally:
            self.journal.end(why)

    async def _session(self) -> str:
        """Let the client work once, and wait where it has to; say why the night is over, if it is."""
        session = Session(n=len(self.journal.night.sessions) + 1, began_at=now(), log="")
        session = session.model_copy(update={"log": f"{session.n}.log"})
        progress = _Progress(self._watch, session.began_at)
        self.journal.begin(session)
        self.journal.say(f"Start {session.n}.")
        exit_code, is_alone = await client.run(
            [word.replace(BRIEF, self._prompt()) for word in self.journal.night.command],
            self.journal.folder / session.log,
            folder=self._workspace.folder,
            variables=self._plan.variables,
            grace_sec=self._plan.grace_sec,
            over=progress.over,
            done=self._watch.done,
        )
        over = progress.over()
        found = await anyio.to_thread.run_sync(output.read, self.journal.folder / session.log)
        limit = limits.find((*found.errors, *(found.last if exit_code else ())), now().astimezone())
        is_ours = bool(over) or not is_alone
        changes = {
            "ended_at": now(),
            "ending": _ending(exit_code, limit, is_ours=is_ours),
            "exit_code": exit_code,
            "experiments": progress.experiments,
            "spend": found.spend,
        }
        session = session.model_copy(update=changes)
        self.journal.end_session(session)
        return over or await self._wait(session, limit, found.end, is_idle=progress.is_idle)

    def _prompt(self) -> str:
        status = self._watch.status()
        step = clip(status.next, _NEXT_CHARS) if status else ""
        return f"{_PROMPT} What was said last to be next: {step}" if step else _PROMPT

    async def _wait(self, session: Session, limit: limits.Limit | None, end: str, *, is_idle: bool) -> str:
        self._limited = (self._limited if is_idle else 0) + 1 if limit else 0
        if not limit:
            self._idle = self._idle + 1 if is_idle else 0
        seen = f"The client {session.ending}" + (f" with status {session.exit_code}" if session.exit_code else "")
        if limit:
            until = max(now() + self._backoff(self._limited), limit.until + _MARGIN if limit.until else now())
            return await self._pause(until, f"A rate limit: {limit.words}")
        if self._idle >= GIVE_UP:
            self.gave_up = True
            return f"{seen} {GIVE_UP} times in a row with nothing done. Its last words: {end or 'none'}"
        nothing = (
            f" with nothing done, {self._idle} of {GIVE_UP} times. Its last words: {end or 'none'}" if is_idle else ""
        )
        return await self._pause(now() + self._backoff(self._idle), f"{seen}{nothing or ' with work left.'}")

    def _backoff(self, times: int) -> timedelta:
        seconds = self._plan.retry_sec * 2.0 ** min(times - 1, 30) if times else 0.0
        return timedelta(seconds=min(seconds, _LONGEST_WAIT_SEC))

    async def _pause(self, until: datetime, why: str) -> str:
        """Wait by the clock on the wall; say why the night is over, if it is meanwhile or would be."""
        if self._plan.until is not None and until >= self._plan.until:
            return f"{why} It would be waited until {until.astimezone():%H:%M:%S}, when the night is over."
        self.journal.say(why + (f" Waiting until {until.astimezone():%H:%M:%S}." if until > now() else ""))
        while not (over := self._watch.over()) and now() < until:  # noqa: ASYNC110 - it sees no event
            await anyio.sleep(min(_POLL_SEC, (until - now()).total_seconds()))
        return over


class _Progress:
    """Sees whether a client gets anything done: an experiment, a decision, a trial."""

    def __init__(self, watch: Watch, since: datetime) -> None:
        before = watch.status()
        self._watch = watch
        self._since = since
        self._before = (before.experiments, before.incumbent) if before else (0, None)
        self._has_changed = False
        self._runs: set[str] = set()
        self.experiments = before.experiments if before else None

    def over(self) -> str:
        """Say why the night is over; empty while it is not."""
        status = self._watch.status(since=self._since)
        if status:
            self.experiments = status.experiments
            self._has_changed |= (status.experiments, status.incumbent) != self._before
            self._runs |= {status.running} if status.running else set()
        return self._watch.over()

    @property
    def is_idle(self) -> bool:
        """Whether nothing was done; a run that failed before its first trial is nothing."""
        return not self._has_changed and not any(self._watch.has_trial(run, self._since) for run in self._runs)


def _ending(exit_code: int | None, limit: limits.Limit | None, *, is_ours: bool) -> Ending:
    if is_ours:
        return "ended"
    if limit:
        return "limited"
    return "crashed" if exit_code else "stopped"
