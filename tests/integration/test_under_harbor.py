"""The same agent.py and the same tasks under Harbor itself give the same rewards; needs Harbor and Docker."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.clients import in_memory
from support.harbor import PYTHON, needs_harbor
from support.stub_upstream import running
from support.wire import Answer, ToolCall
from support.workspaces import copy_shipped, on_bubblewrap, write_tree

pytestmark = [needs_harbor, pytest.mark.docker, pytest.mark.timeout(300)]

SETTINGS = on_bubblewrap(
    '[model]\nprovider = "openai-compatible"\nname = "smollm2-135m-instruct"\nbase_url = "{url}"\n'
)
COMMANDS = {
    "incident.txt": "wc -w < incident.txt > words.txt",
    "nginx.conf": "cp nginx.conf nginx.conf.bak",
    "deploy.sh": "ls -l deploy.sh",
}
"""What the model does, by a word of the instruction; the last of these does not solve its task."""
TASKS = ("backup-config", "count-words", "make-executable")
EXPECTED = {"backup-config": 1.0, "count-words": 1.0, "make-executable": 0.0}
UNDER_HARBOR = """
exec 3< <(exec {python} -m autoagent_mcp gateway); gateway=$!; read -r line <&3 && eval "$line"
PYTHONPATH=. {harbor} run -p tasks -a agent:AutoAgent -n 3 -o jobs --job-name agent --quiet; status=$?
kill $gateway
exit $status
"""


def answer(body: dict[str, Any]) -> Answer:
    said = json.dumps(body)
    if "function_call_output" in said or '"role": "tool"' in said:
        return Answer(text="Done.", number=2)
    command = next(command for word, command in COMMANDS.items() if word in said)
    return Answer(calls=(ToolCall("call", "bash", {"command": command}),))


def rewards_in(job: Path) -> dict[str, dict[str, float]]:
    found = [json.loads(path.read_text(encoding="utf-8")) for path in job.glob("*/result.json")]
    assert [one["exception_info"] for one in found if one["exception_info"]] == []
    return {one["task_name"].split("/")[-1]: one["verifier_result"]["rewards"] for one in found}


async def run_bash(script: str, folder: Path) -> None:
    harbor = Path(PYTHON).with_name("harbor")
    words = ["bash", "-c", script.format(python=sys.executable, harbor=harbor)]
    done = await anyio.run_process(
        words, cwd=folder, env={**os.environ, "HARBOR_TELEMETRY": "off"}, check=False, stderr=-2
    )
    assert done.returncode == 0, done.stdout.decode()[-4000:]


async def test_agent_py_gets_the_same_rewards_here_and_under_harbor(tmp_path: Path) -> None:
    workspace = copy_shipped(tmp_path, TASKS)
    async with running() as stub:
        stub.answer = answer
        write_tree(tmp_path, {"autoagent.toml": SETTINGS.format(url=stub.url)})
        async with in_memory(workspace) as call:
            run = await call("run_suite", description="the baseline")
            while run["state"] == "running":
                run = await call("wait_run", run=run["run"])
            trials = (await call("read_run", run=run["run"]))["trials"]
        assert {one["trial"].removesuffix("__1"): one["reward"] for one in trials} == EXPECTED
        await run_bash(UNDER_HARBOR, tmp_path)
    assert rewards_in(tmp_path / "jobs" / "agent") == {task: {"reward": one} for task, one in EXPECTED.items()}
    answers = sorted((tmp_path / "jobs" / "agent").glob("*/agent/answer.txt"))
    assert [path.read_text(encoding="utf-8") for path in answers] == ["Done."] * len(TASKS)
