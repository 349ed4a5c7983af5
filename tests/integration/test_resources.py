"""Resources, prompts and completions, in both protocol eras."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from mcp import Client, MCPError
from mcp.types import INVALID_PARAMS, ResourceTemplateReference, TextContent, TextResourceContents
from support.clients import Era
from support.workspaces import ANSWER_TASK, NO_MODEL, commit_all, harness, make_workspace, write_tree

from autoagent_mcp.server import build_server
from autoagent_mcp.workspace import Workspace

SETTINGS = NO_MODEL.format(url="http://127.0.0.1:9/v1")
IDLES = "async def run_task(environment, instruction):\n    pass"
PROGRAM = "# Program\n\n" + "Be good, and measure what you do.\n" * 400
RUN = "autoagent://runs/{run}{?page}"
TRACE = "autoagent://runs/{run}/{trial}{?page}"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = make_workspace(
        tmp_path, agent=harness(IDLES), tasks={"a b": ANSWER_TASK, "c": ANSWER_TASK}, settings=SETTINGS
    )
    write_tree(tmp_path, {"program.md": PROGRAM, ".agent/notes/x.md": "Note.\n"})
    commit_all(tmp_path)
    return made


@pytest.fixture(params=["legacy", "auto"])
async def client(workspace: Workspace, request: pytest.FixtureRequest) -> AsyncGenerator[Client]:
    era: Era = request.param
    async with Client(build_server(workspace), mode=era) as found:
        await found.call_tool("run_suite", {"description": "the baseline", "wait_sec": 50})
        yield found


async def read(client: Client, name: str) -> tuple[str, str]:
    """Return the text of a resource and its type."""
    (content,) = (await client.read_resource(f"autoagent://{name}")).contents
    assert isinstance(content, TextResourceContents)
    return content.text, content.mime_type or ""


async def test_what_the_tools_read_is_there_as_resources(client: Client, workspace: Workspace) -> None:
    listed = {str(one.uri): one.mime_type for one in (await client.list_resources()).resources}
    assert set(listed) == {f"autoagent://{name}" for name in ("program", "harness", "ledger", "progress")}
    for uri, kind in listed.items():
        assert (await read(client, uri.removeprefix("autoagent://")))[1] == kind
    assert await read(client, "harness") == (workspace.agent.read_text(encoding="utf-8"), "text/x-python")
    assert await read(client, "harness/.agent/notes/x.md") == ("Note.\n", "text/plain")
    for resource, tool, arguments in (
        ("ledger", "read_ledger", {}),
        ("runs/0001?page=1", "read_run", {"run": "0001"}),
        ("runs/0001/a%20b__1", "read_trace", {"run": "0001", "trial": "a b__1"}),
    ):
        text, kind = await read(client, resource)
        answer = await client.call_tool(tool, arguments)
        assert (json.loads(text), kind) == (answer.structured_content, "application/json")
    progress = json.loads((await read(client, "progress"))[0])
    assert (progress["state"], bool(progress["next"])) == ("idle", True)
    task = json.loads((await read(client, "tasks/c"))[0])
    assert (task["attempts"], "Write 42" in task["instruction"]) == (1, True)
    page, _ = await read(client, "program")
    assert PROGRAM.startswith(page.rpartition("\n[lines 1 to ")[0])
    more, _ = await read(client, page.rpartition("more: autoagent://")[2].rstrip("]\n"))
    assert more.startswith("Be good")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("runs/0009", "no run named '0009'. The nearest are: 0001."),
        ("runs/0001/none__1", "no trial named 'none__1'"),
        ("tasks/none", "no task named 'none'"),
        ("harness/none.py", "no file named 'none.py'"),
        ("harness/..%2F..%2Fetc%2Fpasswd", "Unknown resource"),
        ("none", "Unknown resource"),
    ],
)
async def test_an_unknown_name_is_refused_with_the_nearest(client: Client, name: str, said: str) -> None:
    with pytest.raises(MCPError) as caught:
        await read(client, name)
    assert (caught.value.error.code, said in str(caught.value)) == (INVALID_PARAMS, True), caught.value


async def test_names_are_completed(client: Client) -> None:
    async def complete(uri: str, name: str, value: str, **known: str) -> list[str]:
        ref = ResourceTemplateReference(type="ref/resource", uri=uri)
        found = await client.complete(ref, {"name": name, "value": value}, context_arguments=known or None)
        return found.completion.values

    assert await complete(RUN, "run", "00") == ["0001"]
    assert await complete(RUN, "run", "9") == []
    assert await complete(TRACE, "trial", "a", run="0001") == ["a b__1"]
    assert await complete(TRACE, "trial", "", run="0009") == []
    assert await complete("autoagent://tasks/{task}", "task", "") == ["a b", "c"]
    assert await complete("autoagent://harness/{+file}{?line}", "file", ".a") == [".agent/notes/x.md"]


async def test_prompts_start_the_loop_and_the_review(client: Client) -> None:
    prompts = {one.name: one for one in (await client.list_prompts()).prompts}
    assert set(prompts) == {"improve", "review"}
    (message,) = (await client.get_prompt("improve", {"goal": "fewer turns"})).messages
    assert isinstance(message.content, TextContent)
    assert "get_brief" in message.content.text
    assert message.content.text.rstrip().endswith("fewer turns")
    (message,) = (await client.get_prompt("review")).messages
    assert isinstance(message.content, TextContent)
    assert "read_ledger" in message.content.text
