"""A trial's conversations and commands as an ATIF trajectory.

ATIF is Harbor's Agent Trajectory Interchange Format; the rules are those of harbor 0.25
(`harbor.models.trajectories`): no unknown keys, steps counted from 1, results that name a call of the same step.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from operator import attrgetter, itemgetter
from typing import Any

from autoagent_mcp.models.records import Exec
from autoagent_mcp.models.trial import TrialFiles, Usage
from autoagent_mcp.trace.conversation import Conversation, Conversations
from autoagent_mcp.trace.records import ModelRequest, Records
from autoagent_mcp.trace.step import Result, Step
from autoagent_mcp.trace.wire import JsonObject

SCHEMA_VERSION = "ATIF-v1.8"
AGENT_NAME = "autoagent-harness"
OUTPUT_LIMIT_CHARS = 10_000
"""Of a command's stdout and of its stderr, where no tool call tells of it; the whole is in execs.jsonl."""
BESIDE_LIMIT_CHARS = 2_000
"""The same, where a tool call's result has most of it already."""


def build(files: TrialFiles, *, task: str, instruction: str, model: str, candidate: str = "unknown") -> dict[str, Any]:
    """Build the trajectory of a trial from what was recorded so far; it is valid even if nothing was.

    The instruction is the first user step, or the harness's message that holds it. Each model call is an agent step; a
    call that failed or never ended says so in its message and in `extra.error`. Commands stand where they were run: as
    observations of the step before where it called no tools, else in its `extra.execs`. Calls that do not continue an
    earlier conversation are sub-agents.

    Raises:
        OSError: A file cannot be read.
    """
    records = Records(files)
    conversations = Conversations(instruction)
    orphans = 0
    for line in records.model_lines():
        if isinstance(line, ModelRequest):
            conversations.ask(line)
        else:
            orphans += not conversations.answer(line)
    found = conversations.all or [Conversation(system="", base=0)]
    main = found[0]
    _add_instruction(main.steps, instruction)
    _add_execs(found, records.execs())
    whole = sum((one.usage for one in found[1:]), main.usage)
    root = _trajectory(main, whole, model, candidate)
    root |= {"session_id": files.folder.name, "trajectory_id": files.folder.name, "extra": {"task": task}}
    if len(found) > 1:
        root["subagent_trajectories"] = [
            {**_trajectory(one, one.usage, model, candidate), "trajectory_id": f"subagent-{number}"}
            for number, one in enumerate(found[1:], start=1)
        ]
    if lost := records.unreadable + orphans:
        root["notes"] = f"{lost} recorded lines could not be read or belong to a call that could not."
    return root


def _trajectory(conversation: Conversation, usage: Usage, model: str, candidate: str) -> JsonObject:
    agent: JsonObject = {"name": AGENT_NAME, "version": candidate, "model_name": model}
    if conversation.tools:
        agent["tool_definitions"] = list(conversation.tools.values())
    steps = [step.to_atif(number, model) for number, step in enumerate(conversation.steps, start=1)]
    return {
        "schema_version": SCHEMA_VERSION,
        "agent": agent,
        "steps": steps,
        "final_metrics": _final_metrics(usage, len(steps)),
    }


def _final_metrics(usage: Usage, steps: int) -> JsonObject:
    metrics: JsonObject = {
        "total_prompt_tokens": usage.prompt_tokens,
        "total_completion_tokens": usage.completion_tokens,
        "total_cached_tokens": usage.cached_tokens,
        "total_steps": steps,
    }
    return metrics if usage.cost_usd is None else {**metrics, "total_cost_usd": usage.cost_usd}


def _add_instruction(steps: list[Step], instruction: str) -> None:
    """Put the instruction where the first user speaks, unless the harness passed it on there itself."""
    start = next((index for index, step in enumerate(steps) if step.source != "system"), len(steps))
    for step in steps[start:]:
        if step.model_calls:
            break
        if step.source == "user" and instruction.strip() in step.message:
            return
    extra = {"note": "The task's instruction; the harness did not pass it on in these words."} if steps else {}
    steps.insert(start, Step("user", instruction, extra=extra))


def _add_execs(conversations: list[Conversation], execs: Iterable[Exec]) -> None:
    """Give each command to the model call that was answered last before it began; before any, to the instruction."""
    answered = [(step.acts_from, step) for one in conversations for step in one.steps if step.acts_from]
    answered.sort(key=itemgetter(0))
    times = [at for at, _ in answered]
    first = next(step for step in conversations[0].steps if step.source == "user")
    for line in sorted(execs, key=attrgetter("at")):
        place = bisect_right(times, line.at)
        _add_exec(answered[place - 1][1] if place else first, line)


def _add_exec(step: Step, line: Exec) -> None:
    facts: JsonObject = {"kind": line.kind, "command": line.command, "duration_sec": round(line.duration_sec, 3)}
    known = {"return_code": line.return_code, "timed_out": line.timed_out or None, "cwd": line.cwd, "user": line.user}
    facts |= {key: value for key, value in known.items() if value is not None}
    facts |= {"error": line.error} if line.error else {}
    if step.calls:
        outputs = {"stdout": _cut(line.stdout, BESIDE_LIMIT_CHARS), "stderr": _cut(line.stderr, BESIDE_LIMIT_CHARS)}
        facts |= {key: value for key, value in outputs.items() if value}
        step.extra.setdefault("execs", []).append(facts)
    else:
        step.results.append(Result(_output(line), extra=facts))


def _output(line: Exec) -> str:
    stdout, stderr = _cut(line.stdout, OUTPUT_LIMIT_CHARS), _cut(line.stderr, OUTPUT_LIMIT_CHARS)
    return f"{stdout}\n[stderr]\n{stderr}" if stderr else stdout


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out, see execs.jsonl ...]\n{text[-half:]}"
