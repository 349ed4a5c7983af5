"""A trial's conversations and commands as an ATIF trajectory.

ATIF is Harbor's Agent Trajectory Interchange Format; the rules are those of harbor 0.25
(`harbor.models.trajectories`): no unknown keys, steps counted from 1, results that name a call of the same step.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
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


def build(
    files: TrialFiles, *, task: str, instructions: Mapping[str, str], model: str, candidate: str = "unknown"
) -> dict[str, Any]:
    """Build the trajectory of a trial from what was recorded so far; it is valid even if nothing was.

    An instruction is the first user step of its task step, or the harness's message that holds it. Each model call is
    an agent step; a call that failed or never ended says so in its message and in `extra.error`. Commands stand where
    they were run: as observations of the step before where it called no tools, else in its `extra.execs`. Calls that do
    not continue an earlier conversation are sub-agents.

    Args:
        files: Of the trial.
        task: Its name.
        instructions: By the name of each task step that was begun, in order; "" where the task has only one.
        model: The pinned model's name.
        candidate: The harness's version.

    Raises:
        OSError: A file cannot be read.
    """
    records = Records(files)
    steps = {name: Conversations(instruction, name) for name, instruction in instructions.items()}
    last = steps[next(reversed(steps))]  # where a line belongs whose step the task has not any more
    asked: dict[int, Conversations] = {}
    orphans = 0
    for line in records.model_lines():
        if isinstance(line, ModelRequest):
            asked[line.call] = steps.get(line.step, last)
            asked[line.call].ask(line)
        else:
            orphans += line.call not in asked or not asked[line.call].answer(line)
    execs = list(records.execs())
    main = Conversation(system="", base=0)
    sub_agents: list[tuple[str, Conversation]] = []
    for name, conversations in steps.items():
        own = [line for line in execs if steps.get(line.step, last) is conversations]
        sub_agents += _add_step(main, conversations, instructions[name], own)
    root = _trajectory(main, sum((one.usage for _, one in sub_agents), main.usage), model, candidate)
    root |= {"session_id": files.folder.name, "trajectory_id": files.folder.name, "extra": {"task": task}}
    if sub_agents:
        root["subagent_trajectories"] = [
            {**_trajectory(one, one.usage, model, candidate), "trajectory_id": name} for name, one in sub_agents
        ]
    if lost := records.unreadable + orphans:
        root["notes"] = f"{lost} recorded lines could not be read or belong to a call that could not."
    return root


def _add_step(
    main: Conversation, conversations: Conversations, instruction: str, execs: Iterable[Exec]
) -> list[tuple[str, Conversation]]:
    """Let the main conversation go on with a task step's, and return its sub-agents by name."""
    found = conversations.all or [Conversation(system="", base=0)]
    _add_instruction(found[0].steps, instruction)
    _add_execs(found, execs)
    main.steps += found[0].steps
    main.tools |= found[0].tools
    main.usage += found[0].usage
    return [(conversations.name_of(number), one) for number, one in enumerate(found[1:], start=1)]


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
