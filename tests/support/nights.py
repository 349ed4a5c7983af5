"""A small night in real sandboxes, for whoever shows what happened: keeps, refusals, a crash, hostile output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from support.hidden import Secrets
from support.labs import REFLECTION
from support.stub_upstream import running
from support.wire import Answer, Json, ToolCall
from support.workspaces import ANSWER_TASK, NO_MODEL, harness, make_workspace

from autoagent_mcp import config as config_file
from autoagent_mcp.experiment.lab import Lab, open_lab
from autoagent_mcp.models.run import Run, RunState
from autoagent_mcp.run.bench import open_bench
from autoagent_mcp.workspace import Workspace

Pause = Callable[[], Awaitable[None]]

HOSTILE = "<script>document.title = 'taken over'</script><img src=x onerror=alert(1)>"
FLOOD_CHARS = 5_000_000
TASKS = (
    "copy-file", "count-words", "find-newest", "fix-permissions", "flaky-service", "join-tables", "parse-dates",
    "rename-columns", "sort-numbers", "unsolvable",
)  # fmt: skip
EASY = {"copy-file", "sort-numbers"}
_SETTINGS = '[decision]\nrule = "evidence"\n[split]\nhidden_dir = "{hidden}"\n'

_LOOP = '''\
import json, os, urllib.request

SYSTEM_PROMPT = "{prompt}"
TOOLS = [{{"type": "function", "function": {{"name": "bash", "parameters": {{"type": "object"}}}}}}]


def ask(messages):
    """Ask the model once."""
    body = json.dumps({{"model": MODEL, "messages": messages, "tools": TOOLS}}).encode()
    headers = {{"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    return json.load(urllib.request.urlopen(urllib.request.Request(url, body, headers)))["choices"][0]["message"]


async def run_task(environment, instruction):
    messages = [{{"role": "system", "content": SYSTEM_PROMPT}}, {{"role": "user", "content": instruction}}]
    for _turn in range({turns}):
        reply = ask(messages)
        messages.append(reply)
        if not reply.get("tool_calls"):
            return
        for call in reply["tool_calls"]:
            result = await environment.exec(json.loads(call["function"]["arguments"])["command"])
            output = {output}
            messages.append({{"role": "tool", "tool_call_id": call["id"], "content": output}})
'''


def looping(prompt: str, *, turns: int = 6, output: str = "result.stdout + (result.stderr or '')") -> str:
    """Return an agent.py with a bash tool; the stub's model does what the prompt says."""
    return harness(_LOOP.format(prompt=prompt, turns=turns, output=output))


class Model:
    """Looks around, writes the answer where the prompt or an easy task lets it, and says that it is done."""

    def __init__(self) -> None:
        self._coins: Counter[str] = Counter()

    def __call__(self, body: Json) -> Answer:
        """Answer."""
        messages: list[Json] = body["messages"]
        prompt, instruction = messages[0]["content"], messages[1]["content"]
        turn = sum(message["role"] == "tool" for message in messages)
        if turn == 0:
            command = f"echo '{HOSTILE}'" if "hostile" in prompt else "ls -la && pwd"
            return _call(turn, command, "I should look at what is there before I change anything.")
        if turn == 1 and self._solves(prompt, instruction):
            return _call(turn, "printf '42\\n' > answer.txt && cat answer.txt", "The answer is known; write it.")
        if turn == 1:
            return _call(turn, "cat notes.txt", "Maybe there are notes.")
        return Answer(text="Done: the file is as it was asked for.", reasoning="Nothing is left to do.")

    def _solves(self, prompt: str, instruction: str) -> bool:
        task = instruction.partition(":")[0]
        if task == "flaky-service":
            self._coins[prompt] += 1
            return self._coins[prompt] % 3 != 1
        is_able = task in EASY or "check" in prompt or task not in TASKS
        return is_able and task != "unsolvable" and ("careless" not in prompt or task in {"copy-file", "count-words"})


def _call(turn: int, command: str, reasoning: str) -> Answer:
    return Answer(
        text="I look first." if turn == 0 else "",
        reasoning=reasoning,
        calls=(ToolCall(f"call_{turn}", "bash", {"command": command}),),
        prompt_tokens=300 + 120 * turn,
        completion_tokens=40,
    )


async def go_on() -> None:
    """Wait for nobody."""


async def small_night(folder: Path, may_go_on: Pause = go_on) -> tuple[Workspace, Secrets]:
    """Make a workspace and work in it: a baseline, a keep, a refusal, a crash, and an open change that is hostile.

    Args:
        folder: Where; the workspace is `invoices` in it.
        may_go_on: Waited for after the baseline, and after the keep.
    """
    secret = Secrets()
    secret.write(folder / "hidden", 2)
    tasks = {name: {**ANSWER_TASK, "instruction.md": f"{name}: write 42 to answer.txt.\n"} for name in TASKS}
    model = Model()
    async with running() as upstream:
        upstream.answer = model
        settings = NO_MODEL.format(url=upstream.url) + _SETTINGS.format(hidden=folder / "hidden")
        agent = looping("You solve tasks with bash.")
        workspace = make_workspace(folder / "invoices", agent=agent, tasks=tasks, settings=settings)
        settled = config_file.load(workspace.folder)
        async with open_bench(workspace, settled) as bench, open_lab(bench) as lab:
            await _work(lab, workspace, may_go_on)
    return workspace, secret


async def _work(lab: Lab, workspace: Workspace, may_go_on: Pause) -> None:
    await _ended(lab, await lab.start_suite("The harness as it came"))
    await may_go_on()
    workspace.agent.write_text(looping("You solve tasks with bash. First look, then check what you wrote."))
    expected = ("count-words", "join-tables", "unsolvable")
    await _ended(lab, await lab.start_suite("Have the agent check its answer before it ends", expected, ("copy-file",)))
    asked = await lab.keep(REFLECTION)
    if asked.run is not None:
        await _ended(lab, asked.run)
    await may_go_on()
    workspace.agent.write_text(looping("Be careless and quick, but check.", turns=4))
    await _ended(lab, await lab.start_suite("Fewer turns and a shorter prompt, to save tokens"))
    await lab.revert("Fewer turns cost more tasks than they save tokens: most need the look at what is there.")
    workspace.agent.write_text(looping("You solve tasks with bash.", output="result.no_such_field"))
    await _ended(lab, await lab.start_suite("Read the command's output from another field"))
    await lab.revert("The result of a command has stdout and stderr, and nothing else to read.")
    flood = f"(result.stdout * 100_000)[:{FLOOD_CHARS}]"
    workspace.agent.write_text(looping("hostile: check what you wrote.", output=flood))
    await _ended(lab, await lab.start_spot(["count-words"], attempts=1, description="Show the agent all output"))


async def _ended(lab: Lab, run: Run) -> None:
    while run.state is RunState.RUNNING:
        run = await lab.wait(run.id, 60)
    if run.state is not RunState.COMPLETE:
        raise RuntimeError(f"run {run.id} is {run.state.value}: {run.error}")
