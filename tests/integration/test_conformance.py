"""What the protocol asks of any server: sound schemas, results that keep to them, and no mistake passed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from mcp import Client
from support.clients import Era, ToolFailed, in_memory
from support.workspaces import NO_MODEL, harness, make_workspace

from autoagent_mcp.server import build_server

SETTINGS = NO_MODEL.format(url="http://127.0.0.1:9/v1")
SOLVES = "async def run_task(environment, instruction):\n    await environment.exec('echo 42 > answer.txt')"
ERAS: tuple[Era, ...] = ("legacy", "auto")


@pytest.mark.parametrize("era", ERAS)
async def test_every_schema_is_sound_and_results_keep_to_it(tmp_path: Path, era: Era) -> None:
    workspace = make_workspace(tmp_path, agent=harness(SOLVES), settings=SETTINGS)
    calls: dict[str, dict[str, Any]] = {
        "run_suite": {"description": "the baseline", "wait_sec": 50},
        "wait_run": {"run": "0001"},
        "read_run": {"run": "0001"},
        "read_trace": {"run": "0001", "trial": "answer__1"},
        "get_brief": {},
        "list_tasks": {},
        "read_ledger": {},
        "plot_progress": {},
    }
    async with Client(build_server(workspace), mode=era) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        for tool in tools.values():
            assert tool.annotations
            assert tool.output_schema
            Draft202012Validator.check_schema(tool.input_schema)
            Draft202012Validator.check_schema(tool.output_schema)
        for name, arguments in calls.items():
            check(arguments, tools[name].input_schema)
            check((await client.call_tool(name, arguments)).structured_content, tools[name].output_schema or {})


def check(instance: dict[str, Any] | None, schema: dict[str, Any]) -> None:
    assert Draft202012Validator(schema).is_valid(instance)  # pyright: ignore[reportUnknownMemberType]


async def test_a_misspelt_argument_is_refused_by_name_and_nothing_begins(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, agent=harness(SOLVES), settings=SETTINGS)
    async with in_memory(workspace) as call:
        with pytest.raises(ToolFailed, match=r"'wait_secs'.*wait_sec"):
            await call("run_suite", description="the baseline", wait_secs=50)
        with pytest.raises(ToolFailed, match=r"get_brief has no argument 'run'\. It takes: none"):
            await call("get_brief", run="0001")
        with pytest.raises(ToolFailed, match="description"):
            await call("run_suite")
        assert not workspace.runs.exists() or not [*workspace.runs.iterdir()]


async def test_the_argument_that_gemini_cli_adds_to_every_tool_is_let_pass(tmp_path: Path) -> None:
    """It checks its calls, its own argument included, by the schema that we publish."""
    workspace = make_workspace(tmp_path, agent=harness(SOLVES), settings=SETTINGS)
    async with Client(build_server(workspace)) as client:
        for tool in (await client.list_tools()).tools:
            assert tool.input_schema.get("additionalProperties", True) is True
        assert not (await client.call_tool("get_brief", {"wait_for_previous": True})).is_error


@pytest.mark.parametrize("era", ERAS)
async def test_a_tool_that_is_none_is_an_error_with_its_name(tmp_path: Path, era: Era) -> None:
    workspace = make_workspace(tmp_path, agent=harness(SOLVES), settings=SETTINGS)
    async with in_memory(workspace, era) as call:
        with pytest.raises(ToolFailed, match="no_such_tool"):
            await call("no_such_tool")
