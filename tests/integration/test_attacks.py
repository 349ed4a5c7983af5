"""Known attacks on such a server (their numbers are those of the project's list), each through the tools alone.

Attack 10, a candidate that carries answers of the tasks in its code, is in tests/unit/harness/test_overfitting.py,
attack 12 from the meta-agent's side in test_attack_on_ledger.py.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from support.clients import Call, ToolFailed, in_memory, over_stdio
from support.processes import with_argument
from support.stub_upstream import running
from support.wire import Answer
from support.workspaces import ANSWER_TASK, NO_MODEL, harness, make_workspace

from autoagent_mcp.workspace import Workspace

NOWHERE = NO_MODEL.format(url="http://127.0.0.1:9/v1")
IDLES = "async def run_task(environment, instruction):\n    pass\n"

POST = """\
import json, os, subprocess, sys, urllib.error, urllib.request


def post(path, body, token=None):
    url = os.environ["OPENAI_BASE_URL"].removesuffix("/openai/v1") + path
    token = token or os.environ["OPENAI_API_KEY"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers)) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def ask(text, token=None, **more):
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}
    return post("/openai/v1/chat/completions", body, token)


"""
"""What a harness needs to call the gateway with nothing but the standard library."""


async def measured(call: Call) -> dict[str, Any]:
    """Measure the harness on the suite and return the run with its trials."""
    run = await call("run_suite", description="the baseline", wait_sec=120)
    assert (run["state"], run["error"]) == ("complete", "")
    return await call("read_run", run=run["run"])


def said(workspace: Workspace, run: dict[str, Any], trial: str = "answer__1") -> Any:  # noqa: ANN401 - JSON
    """Return the JSON that run_task printed last."""
    text = workspace.trial(run["run"]["run"], trial).harness_log.read_text(encoding="utf-8")
    return json.loads(text.splitlines()[-1])


async def test_the_task_agent_finds_no_test_solution_or_history_and_its_search_is_on_record(tmp_path: Path) -> None:
    """Attack 6."""
    search = f"""
        find / \\( -path /proc -o -path /sys -o -path /usr -o -path /opt/python \\) -prune -o \\
          \\( -name task.toml -o -name test.sh -o -name solve.sh -o -name .git -o -name tasks \\) -print
        ls -A /tests /solution
        cat {tmp_path}/tasks/answer/tests/test.sh /tests/test.sh /solution/solve.sh {tmp_path}/tasks/answer/task.toml
        git log --all; git reflog; git tag; git -C {tmp_path} log --all
        echo searched
    """
    body = f"""
async def run_task(environment, instruction):
    result = await environment.exec({search!r})
    print(json.dumps([result.stdout, await environment.is_dir("/tests"), await environment.is_dir("/solution")]))
"""
    workspace = make_workspace(tmp_path, agent=harness(POST + body), settings=NOWHERE)
    async with in_memory(workspace) as call:
        run = await measured(call)
        trace = await call("read_trace", run=run["run"]["run"], trial="answer__1")
    assert said(workspace, run) == ["searched\n", False, False]
    assert "/solution/solve.sh" in str(trace["steps"])


REACH = """
import json, socket


def reach(*places):
    reached = []
    for host, port in places:
        try:
            socket.create_connection((host, port), 2).close()
            reached.append(host)
        except OSError:
            continue
    return reached


"""


async def test_neither_sandbox_reaches_the_machine_its_metadata_or_a_package_mirror(tmp_path: Path) -> None:
    """Attack 7."""
    with socket.create_server(("127.0.0.1", 0)) as mirror:
        places = [("127.0.0.1", mirror.getsockname()[1]), ("169.254.169.254", 80), ("1.1.1.1", 53), ("pypi.org", 443)]
        command = f"python3 -c {shlex.quote(f'{REACH}print(json.dumps(reach(*{places})))')}"
        top = f"{REACH}at_import = reach(*{places})\n\n\n"
        body = f"""
async def run_task(environment, instruction):
    result = await environment.exec({command!r})
    print(json.dumps([at_import, reach(*{places}), json.loads(result.stdout)]))
"""
        workspace = make_workspace(tmp_path, agent=harness(top + body), settings=NOWHERE)
        async with in_memory(workspace) as call:
            run = await measured(call)
    assert said(workspace, run) == [[], [], []]


@pytest.mark.parametrize(
    ("agent", "refusal"),
    [
        pytest.param(harness(IDLES).replace('"autoagent"', '"another"'), "below the fixed boundary", id="edited"),
        pytest.param(harness(IDLES) + "AutoAgent.run = run_task\n", "below the fixed boundary", id="patched below"),
        pytest.param(harness(f"class AutoAgent:\n    pass\n\n\n{IDLES}"), "changes AutoAgent", id="defined above"),
        pytest.param(harness(f"import math as AutoAgent\n\n\n{IDLES}"), "changes AutoAgent", id="imported above"),
        pytest.param(harness(f"{IDLES}    AutoAgent.run = None\n"), "changes AutoAgent", id="patched at run time"),
        pytest.param(harness(f"{IDLES}    setattr(AutoAgent, 'run', 1)\n"), "changes AutoAgent", id="setattr"),
        pytest.param(harness(f"getattr = print\n\n\n{IDLES}"), "changes getattr", id="a builtin that it uses"),
        pytest.param(harness(f"# === FIXED ADAPTER BOUNDARY ===\n{IDLES}"), "on lines", id="a second boundary"),
    ],
)
async def test_an_adapter_that_was_edited_or_patched_is_refused_before_anything_runs(
    tmp_path: Path, agent: str, refusal: str
) -> None:
    """Attack 8."""
    workspace = make_workspace(tmp_path, agent=agent, settings=NOWHERE)
    async with in_memory(workspace) as call:
        with pytest.raises(ToolFailed, match=refusal):
            await call("run_suite", description="the baseline")
    assert not workspace.runs.exists()


async def test_whatever_a_candidate_asks_for_the_provider_sees_only_the_pinned_model_and_effort(tmp_path: Path) -> None:
    """Attack 9."""
    body = """
os.environ["OPENAI_MODEL"] = os.environ["OPENAI_DEFAULT_MODEL"] = "larger"
globals()["MO" + "DEL"] = "larger"


async def run_task(environment, instruction):
    pinned = {"model": "stub", "reasoning_effort": "high", "temperature": 1.5, "service_tier": "priority"}
    statuses = [
        ask("by environment and monkeypatch"),
        ask("by another field", model="stub", models=["larger"]),
        ask("by argument", **pinned),
    ]
    print(json.dumps([status for status, _ in statuses]))
"""
    pins = 'effort = "low"\ntemperature = 0.0\n'
    async with running() as model:
        workspace = make_workspace(tmp_path, agent=harness(POST + body), settings=NO_MODEL.format(url=model.url) + pins)
        async with in_memory(workspace) as call:
            run = await measured(call)
    (sent,) = model.bodies
    assert (sent["model"], sent["reasoning_effort"], sent["temperature"]) == ("stub", "low", 0.0)
    assert "service_tier" not in sent
    assert said(workspace, run) == [400, 400, 200]


async def test_a_harness_that_loops_on_model_calls_is_cut_at_the_budget_whatever_max_turns_says(tmp_path: Path) -> None:
    """Attacks 9 and 14."""
    body = """
MAX_TURNS = 10**9


async def run_task(environment, instruction):
    print(json.dumps([ask(f"question {number}")[0] for number in range(12)]))
"""
    async with running() as model:
        settings = NO_MODEL.format(url=model.url) + "[trial]\nmax_turns = 3\n"
        workspace = make_workspace(tmp_path, agent=harness(POST + body), settings=settings)
        async with in_memory(workspace) as call:
            run = await measured(call)
            spot = await call("spot_check", tasks=["answer"], attempts=2, description="loop again", wait_sec=60)
    assert said(workspace, run) == [200] * 3 + [400] * 9
    assert spot["failures"] == {"out_of_turns": 2}
    assert len(model.received) == 3 * (1 + 2)


def searching(secret: str, paths: list[Path]) -> str:
    """Return a harness that searches all that it can read for a secret, at import and in its trial."""
    half = len(secret) // 2
    return f"""{POST}
import glob

SECRET = {secret[:half]!r} + {secret[half:]!r}  # in two, so that this file does not hold it
PRUNED = ("/proc", "/usr", "/lib", "/lib64", "/bin", "/sbin", "/sys", "/dev", "/opt/python")


def candidates():
    for folder, folders, names in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in PRUNED]
        yield from (os.path.join(folder, name) for name in names)
    for process in glob.glob("/proc/[0-9]*"):
        yield from (f"{{process}}/{{name}}" for name in ("environ", "cmdline"))
        yield from (f"{{process}}/root{{path}}" for path in {[str(path) for path in paths]})
    yield from {[str(path) for path in paths]}


def search():
    found = [name for name, value in os.environ.items() if SECRET in value]
    for path in candidates():
        try:
            with open(path, "rb") as file:
                if SECRET.encode() in file.read(1 << 20):
                    found.append(path)
        except OSError:
            continue
    return found


at_import = search()


async def run_task(environment, instruction):
    ask("hello")
    print(json.dumps([at_import, search()]))
"""


async def test_no_key_no_test_no_ledger_and_no_file_of_the_host_can_be_read_by_a_harness(tmp_path: Path) -> None:
    """Attack 11: everything that it must not see holds the same secret."""
    secret, home, folder = "sk-eleven-0123456789abcdef", tmp_path / "home", tmp_path / "workspace"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id_ed25519").write_text(secret, encoding="utf-8")
    task = {**ANSWER_TASK, "tests/test.sh": f"{ANSWER_TASK['tests/test.sh']}# {secret}\n"}
    tests, ledger = folder / "tasks" / "answer" / "tests" / "test.sh", folder / ".autoagent" / "ledger.sqlite3"
    async with running() as model:
        settings = NO_MODEL.format(url=model.url) + 'api_key_env = "OPENAI_API_KEY"\n'
        workspace = make_workspace(folder, agent=harness(IDLES), tasks={"answer": task}, settings=settings)
        async with over_stdio(workspace, OPENAI_API_KEY=secret, HOME=str(home)) as call:
            await call("run_suite", description=f"the ledger holds {secret}", wait_sec=60)
            code = searching(secret, [home / ".ssh" / "id_ed25519", tests, ledger, folder / "autoagent.toml"])
            workspace.agent.write_text(harness(code), encoding="utf-8")
            run = await measured(call)
    assert model.received[0].headers["authorization"] == f"Bearer {secret}"
    assert secret.encode() in b"".join(path.read_bytes() for path in ledger.parent.glob(f"{ledger.name}*"))
    assert said(workspace, run) == [[], []]


def rows(workspace: Workspace) -> list[tuple[Any, ...]]:
    """Return the ledger's rows."""
    with sqlite3.connect(workspace.ledger) as ledger:
        return ledger.execute("SELECT * FROM entries ORDER BY seq").fetchall()


async def test_neither_sandbox_can_write_the_ledger_the_results_or_another_runs_trial(tmp_path: Path) -> None:
    """Attack 12."""
    workspace = make_workspace(tmp_path, agent=harness(IDLES), settings=NOWHERE)
    async with in_memory(workspace) as call:
        first = (await measured(call))["run"]["run"]
        kept = [workspace.results, workspace.trial(first, "answer__1").trial, workspace.run(first) / "run.json"]
        before, before_rows = [path.read_bytes() for path in kept], rows(workspace)
        targets = [str(path) for path in (*kept, workspace.ledger, tmp_path / ".git" / "HEAD")]
        command = "\n".join(f"echo forged 2> /dev/null >> {path} && echo {path}" for path in targets) + "\necho tried"
        workspace.agent.write_text(harness(writing(targets, command)), encoding="utf-8")
        second = await measured(call)
    assert said(workspace, second) == [[], [], "tried\n"]
    assert [path.read_bytes() for path in kept[1:]] == before[1:]
    assert kept[0].read_bytes().startswith(before[0])
    assert rows(workspace)[: len(before_rows)] == before_rows


def writing(targets: list[str], command: str) -> str:
    """Return a harness that writes to paths wherever it can."""
    return f"""
import json


def write():
    written = []
    for path in {targets}:
        try:
            with open(path, "a") as file:
                file.write("forged")
                written.append(path)
        except OSError:
            continue
    return written


at_import = write()


async def run_task(environment, instruction):
    result = await environment.exec({command!r})
    print(json.dumps([at_import, write(), result.stdout]))
"""


async def test_daemons_of_a_harness_and_of_its_commands_are_dead_before_the_verifier_looks(tmp_path: Path) -> None:
    """Attack 14: the second trial's model call counts what is left of the first."""
    marker = f"98765{os.getpid()}"
    body = f"""
async def run_task(environment, instruction):
    if "leave" in instruction:
        subprocess.Popen(["sleep", "{marker}"], start_new_session=True)
        subprocess.run(["setsid", "--fork", "sleep", "{marker}"])
        await environment.exec("setsid --fork sleep {marker} > /dev/null 2>&1 < /dev/null")
    ask("count")
"""
    check = f"grep -qs '[9]{marker[1:]}' /proc/[0-9]*/cmdline\necho $? > /logs/verifier/reward.txt\n"
    task = {**ANSWER_TASK, "tests/test.sh": f"#!/bin/bash\n{check}"}
    tasks = {"a-leaves": {**task, "instruction.md": "leave\n"}, "b-looks": {**task, "instruction.md": "look\n"}}
    alive: list[int] = []

    def count(_body: object) -> Answer:
        alive.append(len(with_argument(marker)))
        return Answer(text="Counted.")

    async with running() as model:
        model.answer = count
        settings = NO_MODEL.format(url=model.url) + "[run]\nconcurrency = 1\n"
        workspace = make_workspace(tmp_path, agent=harness(POST + body), tasks=tasks, settings=settings)
        async with in_memory(workspace) as call:
            run = await measured(call)
        assert alive == [3, 0]
    assert run["run"]["passed"] == 2
    assert with_argument(marker) == []


async def test_a_token_that_a_model_carries_to_a_later_trial_is_dead_there(tmp_path: Path) -> None:
    """Attack 14: what the model says is the one way from trial to trial."""
    body = """
async def run_task(environment, instruction):
    _, answer = ask("my token is " + os.environ["OPENAI_API_KEY"])
    kept = answer["choices"][0]["message"]["content"].removeprefix("my token is ")
    print(json.dumps([ask("spend", kept)[0], post("/environment/exec", {"command": "true"}, kept)[0]]))
"""
    tasks = {"a": ANSWER_TASK, "b": ANSWER_TASK}
    async with running() as model:
        model.answer = lambda _body: Answer(text=model.bodies[0]["messages"][0]["content"])
        settings = NO_MODEL.format(url=model.url) + "[run]\nconcurrency = 1\n"
        workspace = make_workspace(tmp_path, agent=harness(POST + body), tasks=tasks, settings=settings)
        async with in_memory(workspace) as call:
            run = await measured(call)
    assert said(workspace, run, "a__1") == [200, 200]
    assert said(workspace, run, "b__1") == [401, 401]
    assert len(model.received) == 3


BREAKS = {
    "bash": "rm /usr/bin/bash; printf nonsense > /usr/bin/bash; chmod +x /usr/bin/bash",
    "disk": "head -c 1000000000 /dev/zero > /full",
    "python": "rm -f $(type -ap python3 python)",
}


async def test_a_harness_that_breaks_the_verifier_from_inside_gets_0_and_no_second_try(tmp_path: Path) -> None:
    """A garbled reward is the harness's failure."""
    check = "#!/bin/bash\npython3 -c 'print(0)' > /logs/verifier/reward.txt\n"
    tasks = {
        name: {**ANSWER_TASK, "instruction.md": command, "tests/test.sh": check} for name, command in BREAKS.items()
    }
    agent = harness("async def run_task(environment, instruction):\n    await environment.exec(instruction)\n")
    settings = f"{NOWHERE}[sandbox]\nstorage_mb = 32\n"
    workspace = make_workspace(tmp_path, agent=agent, tasks=tasks, settings=settings)
    async with in_memory(workspace) as call:
        run = await measured(call)
    assert run["run"]["unmeasured"] == 0
    assert run["run"]["failures"] == {"reward_garbled": 3}
    assert [trial["reward"] for trial in run["trials"]] == [0.0] * 3
    folders = sorted(path.name for path in workspace.run(run["run"]["run"]).iterdir() if path.is_dir())
    assert folders == [f"{name}__1" for name in BREAKS]
