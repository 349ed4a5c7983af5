"""Git, and the harness that lies in the repository."""

from __future__ import annotations

from collections.abc import Iterator

import anyio.to_thread

from autoagent_mcp.config import Config
from autoagent_mcp.doctor.finding import Finding, failed, ok, warning
from autoagent_mcp.errors import AutoagentError, SetupError
from autoagent_mcp.harness import boundary
from autoagent_mcp.repo import FALLBACK_IDENTITY, Git, Repo, files
from autoagent_mcp.workspace import EDITABLE, Workspace


async def examine(workspace: Workspace) -> tuple[Finding, ...]:
    """Look at git and at the repository, which must be the workspace's own."""
    try:
        repo = await Repo.open(workspace)
        await repo.check()
    except SetupError as error:
        return (failed("git", error),)
    except AutoagentError as error:
        return (failed("repository", error),)
    return await anyio.to_thread.run_sync(lambda: tuple(_state(Git(workspace.folder))))


def _state(git: Git) -> Iterator[Finding]:
    yield ok("git", git.text("version").removeprefix("git "))
    name, address = (git.try_text("config", key) for key in ("user.name", "user.email"))
    if name and address:
        yield ok("identity", f"what is kept is committed by {name} <{address}>")
    else:
        yield warning(
            "identity",
            f"git does not know who you are: what is kept is committed by {FALLBACK_IDENTITY}",
            "git config user.name NAME && git config user.email ADDRESS",
        )
    changed = git.text("status", "--porcelain", "--", *EDITABLE)
    if changed:
        yield warning(
            "repository",
            f"{len(changed.splitlines())} files of the harness differ from the last commit; the baseline is what is "
            "committed",
            f"Before the first run: git add {' '.join(EDITABLE)} && git commit.",
        )
    else:
        yield ok("repository", f"the harness is committed, on the branch {git.text('branch', '--show-current')}")


async def harness(workspace: Workspace, config: Config) -> Finding:
    """Look whether the harness could be measured."""
    if not workspace.agent.exists():
        return failed(
            "harness",
            SetupError(
                f"There is no agent.py in {workspace.folder}.",
                "Make a workspace of it (`autoagent-mcp init`), or bring yours back (`git checkout -- agent.py`).",
            ),
        )
    try:
        editable = await anyio.to_thread.run_sync(files.read, workspace)
        boundary.check(editable.files, model=config.model.name)
    except AutoagentError as error:
        return failed("harness", error)
    return ok("harness", f"agent.py is whole and asks for {config.model.name}")
