"""`autoagent-mcp trace RUN TASK`: one trial step by step, with what the tests said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import anyio
import anyio.to_thread
from rich.console import Console

from autoagent_mcp._text import clip
from autoagent_mcp.errors import LedgerError, UnknownNameError
from autoagent_mcp.models.run import Run
from autoagent_mcp.models.trial import Trial
from autoagent_mcp.report import traces
from autoagent_mcp.report.reading import open_reading
from autoagent_mcp.terminal.show import NONE, block, console, grid, line, usd, write_json
from autoagent_mcp.trace.reading import all_steps, text_of
from autoagent_mcp.workspace import Workspace

Json = dict[str, Any]

FIELD_CHARS = 2_000
_WHOLE_CHARS = 1_000_000_000
_SHOWN_FILES = ("verifier/test-stdout.txt", "harness.log")
"""By how their names end: of a task with several steps each has its own."""
_ID_CHARS = 4


async def show_trace(workspace: Workspace, run_id: str, name: str, *, is_whole: bool, as_json: bool) -> None:
    """Write what happened in a trial, also of a run that goes on.

    Args:
        workspace: Whose.
        run_id: The run, with or without leading zeros.
        name: The trial, or the task, of whose trials in this run the first is taken.
        is_whole: Whether long texts are written whole.
        as_json: Whether to write the trial, its trajectory (ATIF) and its other files as JSON.

    Raises:
        LedgerError: There is no ledger yet, it cannot be read, or the trace is gone.
        UnknownNameError: There is no such run, or no such trial or task in it.
    """
    async with open_reading(workspace) as reading:
        run = (await reading.run(run_id.zfill(_ID_CHARS))).run
    trials = _named(run, name)
    files = workspace.trial(run.id, trials[0].id)
    if not await anyio.to_thread.run_sync(files.folder.is_dir):
        raise LedgerError(
            f"The trace of trial {trials[0].id} of run {run.id} is not on disk any more; its score is in the ledger.",
            "Read another run's traces.",
        )
    told = _read(await anyio.to_thread.run_sync(traces.document, trials[0], files), str(files.trajectory))
    if as_json:
        write_json(told)
        return
    out = console()
    _write_head(out, run, trials)
    limit = _WHOLE_CHARS if is_whole else FIELD_CHARS
    for number, step in enumerate(all_steps(told["trajectory"]) if told["trajectory"] else (), 1):
        _write_step(out, number, step, limit)
    for file in told["files"]:
        if file["path"].endswith(_SHOWN_FILES) and file["text"]:
            out.print()
            out.print(line(f"== {file['path']}", "bold"))
            out.print(block(clip(file["text"], limit)))


def _read(document: bytes, path: str) -> Json:
    try:
        return json.loads(document)
    except (ValueError, RecursionError) as error:
        raise LedgerError(f"The trace cannot be read: {path} is damaged.", "Read another trial's trace.") from error


def _named(run: Run, name: str) -> Sequence[Trial]:
    """Return the trials that are meant, the one to be shown first."""
    found = [one for one in run.trials if name in {one.id, one.task}]
    if not found:
        raise UnknownNameError("trial", name, [one.id for one in run.trials])
    others = [one for one in run.trials if one.task == found[0].task and one is not found[0]]
    return [found[0], *others]


def _write_head(out: Console, run: Run, trials: Sequence[Trial]) -> None:
    trial = trials[0]
    out.print(line(f"{trial.id} of run {run.id} ({run.kind.value}): {run.description}", "bold"))
    table = grid()
    table.add_row("ended", line(_ending(trial), "green" if trial.passed else "red"))
    usage = trial.usage
    took = (
        f"{trial.duration_sec:.1f} s, {usage.model_calls} model calls, {usage.tokens:,} tokens, {usd(usage.cost_usd)}"
    )
    table.add_row("took", line(took))
    for note in (*trial.cheats, *trial.notices):
        table.add_row("note", line(note))
    if len(trials) > 1:
        others = ", ".join(f"{one.id} ({_outcome(one)})" for one in trials[1:])
        table.add_row("others", line(others))
    out.print(table)


def _ending(trial: Trial) -> str:
    reward = NONE if trial.reward is None else f"{trial.reward:g}"
    failure = f": {trial.failure.cause.value}. {trial.failure.detail}" if trial.failure else ""
    return f"{_outcome(trial)}, reward {reward}{failure}"


def _outcome(trial: Trial) -> str:
    return "passed" if trial.passed else "failed" if trial.counts else "measured nothing"


def _write_step(out: Console, number: int, step: Json, limit_chars: int) -> None:
    metrics: Json = step.get("metrics") or {}
    tokens = f"  {metrics['completion_tokens']} tokens" if metrics.get("completion_tokens") else ""
    out.print()
    out.print(line(f"-- {number} {step.get('source')} {step.get('timestamp') or ''}{tokens}", "bold"))
    for text, style in _fields(step):
        if text.strip():
            out.print(block(clip(text, limit_chars), style))


def _fields(step: Json) -> Iterator[tuple[str, str]]:
    yield text_of(step.get("reasoning_content")), "italic dim"
    yield text_of(step.get("message")), ""
    for call in step.get("tool_calls") or ():
        yield f"> {call.get('function_name')} {_arguments(call.get('arguments') or {})}", "cyan"
    observation: Json = step.get("observation") or {}
    for result in observation.get("results") or ():
        yield _result_text(result), "dim"
    extra: Json = step.get("extra") or {}
    error = text_of(extra.get("error"))
    yield error and f"error: {error}", "red"


def _arguments(arguments: Json) -> str:
    """Return a call's arguments; of a command or the like, its text alone."""
    only = next(iter(arguments.values())) if len(arguments) == 1 else None
    return only if isinstance(only, str) else json.dumps(arguments, ensure_ascii=False)


def _result_text(result: Json) -> str:
    extra: Json = result.get("extra") or {}
    command = f"$ {extra['command']}\n" if extra.get("command") else ""
    return command + text_of(result.get("content"))
