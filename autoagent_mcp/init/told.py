"""What `init` prints."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from autoagent_mcp.gateway.upstream import PROVIDERS
from autoagent_mcp.init.init import Initialised


def lines(done: Initialised) -> Iterator[str]:
    """Say what was made, what was left and what comes next."""
    yield f"{done.folder} is a workspace of autoagent-mcp, with the model {done.model}."
    for step in done.steps:
        yield f"  {step.done:<9} {step.path}"
        if step.by_hand:
            yield f"            {step.by_hand}"
    yield "Next:"
    for number, text in enumerate(_next(done), start=1):
        yield f"  {number}. {text}"


def _next(done: Initialised) -> Iterator[str]:
    if done.commit:
        yield f"Commit it, since the first run measures what is committed: {done.commit}"
    key = PROVIDERS[done.model.partition("/")[0]].key_env
    if key:
        yield f"Set {key} in the environment in which your client runs."
    if shutil.which("autoagent-mcp") is None:
        yield (
            "`autoagent-mcp` is not on the PATH, and .mcp.json starts it by that name: install it "
            "(in its clone: `uv tool install .`), or write its place into the client's file: "
            "`autoagent-mcp connect claude-code --write`."
        )
    yield "Put your own tasks into tasks/ beside or instead of the examples, and say in program.md what they are about."
    yield "See whether all is well: autoagent-mcp doctor"
    yield (
        'Open the folder with Claude Code, trust it, and say "read program.md and start"; for other clients see '
        "autoagent-mcp connect --help."
    )
