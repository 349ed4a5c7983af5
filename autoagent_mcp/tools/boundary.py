"""The border to MCP: our errors become ToolErrors, progress becomes notifications, and the lab is opened when needed.

The SDK hides the text of every exception that is not a ToolError, so a message that says what to do would be lost
without this. Anything that is not ours is a bug: the SDK logs its traceback and tells the client no more than that.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Concatenate, Protocol, TypeVar

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from typing_extensions import ParamSpec, Self

from autoagent_mcp.errors import AutoagentError, SetupError
from autoagent_mcp.tools.text import ANSWER_LIMIT_CHARS, RESULT_LIMIT_CHARS, clip
from autoagent_mcp.workspace import Workspace

if TYPE_CHECKING:
    from autoagent_mcp.experiment.lab import Lab

_log = logging.getLogger(__name__)

_NOTES_CHARS = 1_500
_DONE = "Done: no run can start any more, so end here."
_CUT_CHARS = 100
"""What is put in where a note is cut."""

_LOOK = "Call again; if that does not help, a person finds the reason in .autoagent/server.log."

_ROOM = "Call again; if that does not help, a person has to see whether the disk is full or not to be written."

P = ParamSpec("P")
T = TypeVar("T", bound="Answer")


class Door:
    """The way from a tool to the lab of the workspace.

    The lab is opened at the first call, so that the server is ready at once, and again at a later call where it could
    not be opened (no git repository, a broken autoagent.toml): the client gets the reason and may mend it.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._knocks, self._heard = anyio.create_memory_object_stream[anyio.Event](64)
        self._closed = anyio.Event()
        self._lab: Lab | None = None
        self._error: AutoagentError | None = None

    async def lab(self) -> Lab:
        """Return the open lab.

        Raises:
            AutoagentError: It cannot be opened as things are.
        """
        if self._lab is None:
            answered = anyio.Event()
            try:
                await self._knocks.send(answered)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
                raise SetupError("The server is about to end.", "Call again once it was started again.") from error
            await answered.wait()
        if self._lab is None:
            raise self._error or RuntimeError("the lab neither opened nor said why")
        return self._lab

    async def attend(self) -> None:
        """Open the lab when somebody asks, and keep it open until the door is closed.

        One task does both, since a task group must be left by the task that entered it.
        """
        try:
            async for answered in self._heard:
                try:
                    async with self._open() as lab:
                        self._lab = lab
                        answered.set()
                        async for later in self._heard:
                            later.set()
                except AutoagentError as error:
                    self._error = error
                except Exception as error:  # noqa: BLE001 - a bug, or a failing disk: nobody may wait for ever
                    _log.exception("The lab could not be opened, or ended by itself.")
                    self._error = SetupError(f"The workspace cannot be opened: {error!r}.", _LOOK)
                finally:
                    self._lab = None
                    answered.set()
        finally:
            self._heard.close()
            self._closed.set()

    async def close(self) -> None:
        """Close the lab, so that runs are stopped and recorded, and wait until it is closed."""
        self._knocks.close()
        await self._closed.wait()

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[Lab]:
        await anyio.to_thread.run_sync(_load_lab)
        from autoagent_mcp import config as config_file  # noqa: PLC0415 - loaded by now
        from autoagent_mcp.experiment.lab import open_lab  # noqa: PLC0415
        from autoagent_mcp.run.bench import open_bench  # noqa: PLC0415

        settings = config_file.load(self.workspace.folder)
        async with open_bench(self.workspace, settings) as bench, open_lab(bench) as lab:
            yield lab


def _load_lab() -> None:
    """Load all that a lab is made of: half a second, which a client that only starts the server need not wait for."""
    importlib.import_module("autoagent_mcp.experiment.lab")


ToolContext = Context[Door, Any]


class Answer(Protocol):
    """What a tool returns: a model whose last field says what to do now."""

    @property
    def next(self) -> str:
        """What to do now."""
        ...

    def model_dump_json(self, *, indent: int | None = None) -> str:
        """Return it as JSON."""
        ...

    def model_copy(self, *, update: Mapping[str, Any] | None = None) -> Self:
        """Return a copy with other values."""
        ...


def speaks_mcp(
    tool: Callable[Concatenate[ToolContext, P], Awaitable[T]],
) -> Callable[Concatenate[ToolContext, P], Awaitable[T]]:
    """Turn our errors into the ToolErrors whose text the client sees.

    What was changed from outside, a spent budget and a person's stop are told in every answer.
    """

    @functools.wraps(tool)
    async def wrapper(ctx: ToolContext, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            answer = await tool(ctx, *args, **kwargs)
            lab = await ctx.request_context.lifespan_context.lab()
        except AutoagentError as error:
            raise ToolError(clip(str(error), ANSWER_LIMIT_CHARS)) from error
        except OSError as error:
            _log.exception("A file could not be read or written")
            # Its name stands in the log alone: it may be that of a hidden task.
            raise ToolError(f"A file could not be read or written: {error.strerror}. {_ROOM}") from error
        if lab.done():
            answer = answer.model_copy(update={"next": _DONE})
        return told(answer, lab.notes())

    return wrapper


def told(answer: T, notes: Sequence[str]) -> T:
    """Put what every answer has to tell before what to do now, as far as there is room for it."""
    if not notes:
        return answer
    room = RESULT_LIMIT_CHARS - len(answer.model_dump_json(indent=2)) - _CUT_CHARS
    told = clip(" ".join(notes), min(_NOTES_CHARS, room))
    return answer.model_copy(update={"next": f"{told} {answer.next}"})


async def lab_of(ctx: ToolContext) -> Lab:
    """Return the lab that a tool call is about.

    Raises:
        AutoagentError: The workspace cannot be opened as it is.
    """
    lab = await ctx.request_context.lifespan_context.lab()
    await lab.look()
    return lab
