"""A client on stdio that does not keep to the protocol is answered or passed over, and the server goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream
from support.served import INITIALIZE
from support.workspaces import NO_MODEL, harness, make_workspace

IDLES = "async def run_task(environment, instruction):\n    pass"


def tool_call(number: int, tool: str, **arguments: object) -> bytes:
    params = {"name": tool, "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}).encode()


async def test_wrong_messages_neither_end_the_server_nor_hold_it_up(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, agent=harness(IDLES), settings=NO_MODEL.format(url="http://127.0.0.1:9/v1"))
    words = [sys.executable, "-m", "autoagent_mcp", "--workspace", str(workspace.folder)]
    async with await anyio.open_process(words) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        said = BufferedByteReceiveStream(server.stdout)

        async def ask(*lines: bytes, answers: int = 1) -> list[dict[str, Any]]:
            assert server.stdin is not None
            await server.stdin.send(b"".join(line + b"\n" for line in lines))
            with anyio.fail_after(60):
                return [json.loads(await said.receive_until(b"\n", 1_000_000)) for _ in range(answers)]

        (early,) = await ask(b"garbage", b"\xff\xfe{", b"[]", b"", tool_call(1, "get_brief"))
        assert "error" in early
        begun = b'{"jsonrpc": "2.0", "method": "notifications/initialized"}'
        (started,) = await ask(json.dumps(INITIALIZE).encode())
        assert started["result"]["serverInfo"]["name"] == "autoagent"
        twice = await ask(begun, tool_call(2, "get_brief"), tool_call(2, "list_tasks"), answers=2)
        assert [one["id"] for one in twice] == [2, 2]
        assert {"brief", "tasks"} <= {key for one in twice for key in one["result"]["structuredContent"]}
        large, after = await ask(
            tool_call(3, "run_suite", description=10_000_000 * "x"), tool_call(4, "get_brief"), answers=2
        )
        assert large["result"]["isError"]
        assert len(str(large)) < 1_000
        assert not after["result"]["isError"]
        await server.stdin.send(b'{"jsonrpc": ')
        await server.stdin.aclose()
        with anyio.fail_after(30):
            assert await server.wait() == 0
