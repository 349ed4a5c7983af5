"""A client for nights, run as `python night_client.py WORKSPACE PROMPT`: one experiment, its cost, and it stops."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters


async def work(folder: Path, prompt: str) -> None:
    """Change the prompt in agent.py, have it measured, take it back where it is not the baseline."""
    words = ["-m", "autoagent_mcp", "--workspace", str(folder)]
    server = StdioServerParameters(command=sys.executable, args=words, env=dict(os.environ))
    async with Client(server) as client:
        brief = await client.call_tool("get_brief", {})
        agent = folder / "agent.py"
        is_first = "no baseline yet" in str(brief.structured_content)
        if not is_first:
            text = agent.read_text(encoding="utf-8")
            agent.write_text(re.sub(r"# idea.*\n", f"# idea\nIDEA_{os.getpid()} = 1\n", text), encoding="utf-8")
        result = await client.call_tool("run_suite", {"description": prompt[:40], "wait_sec": 40})
        if not is_first:
            await client.call_tool("revert_change", {"lesson": "none"})
        print(json.dumps({"type": "tool", "result": result.structured_content}))  # noqa: T201 - as clients do
    print(json.dumps({"type": "result", "is_error": False, "total_cost_usd": 0.5, "usage": {"output_tokens": 7}}))  # noqa: T201


if __name__ == "__main__":
    anyio.run(work, Path(sys.argv[1]), sys.argv[2])
