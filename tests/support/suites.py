"""Small tasks in Harbor's format, measured as a run measures them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from support.harnesses import agent
from support.workspaces import write_tree

from autoagent_mcp import task as task_files
from autoagent_mcp.config import Config
from autoagent_mcp.models.run import Run, RunKind, RunState
from autoagent_mcp.models.trial import Arm, Trial, TrialFiles
from autoagent_mcp.run.bench import open_bench
from autoagent_mcp.run.run import RunRequest, measure
from autoagent_mcp.run.suite import build_suite
from autoagent_mcp.workspace import Workspace

Files = Mapping[str, str]
Settings = Mapping[str, object]

REWARD_1 = "#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n"
DOCKERFILE = "FROM debian:bookworm-slim\nWORKDIR /app\n"


def make_task(toml: str = "", *, solve: str = "true", test: str = REWARD_1, files: Files | None = None) -> Files:
    """Return a task's files; `files` are added by path, an empty text leaves one out."""
    known = {
        "task.toml": f'schema_version = "1.4"\n{toml}',
        "instruction.md": "Do it.",
        "environment/Dockerfile": DOCKERFILE,
        "solution/solve.sh": f"#!/bin/bash\n{solve}\n",
        "tests/test.sh": test if test.startswith("#!") else f"#!/bin/bash\n{test}\n",
    }
    return {name: text for name, text in {**known, **(files or {})}.items() if text}


@dataclass
class Measured:
    """A run that ended."""

    run: Run
    folder: Path

    @property
    def trial(self) -> Trial:
        """The only trial."""
        (trial,) = self.run.trials
        return trial

    def files(self, task: str = "one") -> TrialFiles:
        """Where a task's first trial's files lie."""
        return TrialFiles(folder=self.folder / f"{task}__1")

    def text(self, path: str, task: str = "one") -> str:
        """Return what a file below the trial's folder says."""
        return (self.files(task).folder / path).read_text(encoding="utf-8")


class Suites:
    """Measures tasks on one backend."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.folder = folder
        self.backend = backend

    async def one(
        self,
        toml: str = "",
        *,
        solve: str = "true",
        test: str = REWARD_1,
        files: Files | None = None,
        solver: str = "oracle",
        settings: Settings | None = None,
    ) -> Measured:
        """Measure one task, `one`; see `make_task` and `measured`."""
        task = make_task(toml, solve=solve, test=test, files=files)
        return await self.measured({"one": task}, solver=solver, settings=settings)

    async def measured(
        self, tasks: Mapping[str, Files], *, solver: str = "oracle", settings: Settings | None = None
    ) -> Measured:
        """Measure tasks.

        Args:
            tasks: By name.
            solver: "oracle", "nop", or the body of a run_task.
            settings: As autoagent.toml would have them.
        """
        for name, files in tasks.items():
            write_tree(self.folder / "tasks" / name, files)
        found, broken = task_files.load_all(self.folder / "tasks")
        model = {"provider": "openai-compatible", "name": "stub", "base_url": "http://127.0.0.1:9/v1"}
        config = Config.model_validate({"model": model, "run": {"backend": self.backend}, **(settings or {})})
        workspace = Workspace(folder=self.folder)
        async with open_bench(workspace, config) as bench:
            able, suite = build_suite(found, broken, attempts=1, config=config, backend=bench.backend)
            request = RunRequest(
                id="0001",
                kind=RunKind.SUITE,
                description="a test",
                candidate=solver if solver in {"oracle", "nop"} else "tree",
                harnesses={} if solver in {"oracle", "nop"} else {Arm.CANDIDATE: agent(solver)},
                tasks=able,
                suite=suite,
            )
            run = await measure(request, bench, lambda _progress: None)
        assert run.state is not RunState.FAILED, run.error
        return Measured(run, workspace.run("0001"))
