"""A night of eight hours in fast motion: does everything that breaks at night break without harm?

uv run python benchmarks/night.py [--experiments 200] [--seed 1] [--keep-in FOLDER] [--json]

A scripted client plays 200 experiments with the real server, over stdio and in real bubblewrap sandboxes; the harness
asks a model. Meanwhile the server is killed 30 times (SIGKILL, every third time with all that comes from it), the
client is started anew 10 times, the model has 5 outages, and now and then a run is cancelled or a harness cannot be
imported. With fewer experiments all of this happens as much less often. Kills come at any time within an experiment.

Then `night_judge.py` looks: a program of its own that reads git, the ledger's file, the client's journal and /proc. The
exit status is 1 where it finds anything wrong.

Takes about six seconds of processor time an experiment.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError
from night_client import Player, RefusedError, editable_section
from night_judge import parents_of_processes
from night_model import OUTAGES, Provider, provider

ROOT = Path(__file__).parents[1]
TASKS = 12
SETTINGS = """\
[model]
provider = "openai-compatible"
name = "stub"
base_url = "{url}"

[run]
backend = "bubblewrap"
"""
TASK = {
    "task.toml": 'schema_version = "1.4"\n[agent]\ntimeout_sec = 60\n',
    "instruction.md": "Write 42 to answer.txt. Level {n}\n",
    "environment/Dockerfile": "FROM debian:bookworm-slim\nWORKDIR /app\n",
    "tests/test.sh": '#!/bin/bash\nr=0\n[ "$(cat answer.txt)" = 42 ] && r=1\necho $r > /logs/verifier/reward.txt\n',
}
_PR_SET_CHILD_SUBREAPER = 36
_EVERY = {"kill": 200 / 30, "restart": 200 / 10, "outage": 200 / 5}
_WAIT_SEC = 600.0


def fixed(section: str) -> str:
    """Return an agent.py with this editable section and the shipped fixed one."""
    shipped = (ROOT / "agent.py").read_text(encoding="utf-8")
    boundary = shipped[shipped.index("# === FIXED ADAPTER BOUNDARY ===") :]
    return f'"""A harness."""\n\n# === EDITABLE SECTION ===\nMODEL = "stub"\n{section}\n\n{boundary}'


def make_workspace(folder: Path, url: str) -> None:
    """Make a committed workspace, with something of the user's own staged in it."""
    files = {"agent.py": fixed(editable_section(level=1, size=1)), "autoagent.toml": SETTINGS.format(url=url)}
    files |= {".gitignore": ".autoagent/\nresults.tsv\n"}
    files |= {f"tasks/t{n:02}/{name}": text.replace("{n}", str(n)) for n in range(TASKS) for name, text in TASK.items()}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    who = ("-c", "user.name=night", "-c", "user.email=night@localhost", "-c", "commit.gpgsign=false")
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), (*who, "commit", "-q", "-m", "Begin")):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


class Night:
    """One night."""

    def __init__(self, folder: Path, model: Provider, experiments: int, seed: int) -> None:
        self._folder = folder
        self._model = model
        self._experiments = experiments
        self._chance = random.Random(seed)  # noqa: S311 - moments, no secrets
        self.player = Player(folder / "work" / "agent.py", fixed, folder / "journal", TASKS, self._chance)
        self._due = {what: self._drawn(round(experiments / every)) for what, every in _EVERY.items()}
        self._usual_sec = 2.0
        self._is_aimed_at = False
        self.happened = dict.fromkeys(_EVERY, 0)

    def _drawn(self, count: int) -> list[int]:
        return sorted(self._chance.sample(range(1, self._experiments), max(1, count)))

    async def pass_by(self) -> None:
        """Play all experiments, whatever happens, and leave nothing running."""
        while self.player.idea < self._experiments:
            await self._live()
        async with self._client() as client:
            brief = await caller(client)("get_brief")
            tell(brief["next"])

    async def _live(self) -> None:
        """Play with one client and its server until it is started anew, the server is killed, or all is done."""
        async with self._client() as client, anyio.create_task_group() as group:
            try:
                while self.player.idea < self._experiments:
                    self._disturb(group)
                    began = time.monotonic()
                    await self.player.play_one(caller(client))
                    self._usual_sec = 0.8 * self._usual_sec + 0.2 * (time.monotonic() - began)
                    if not self._is_aimed_at and self._is_due("restart"):
                        self.happened["restart"] += 1
                        return
            except MCPError:
                tell(f"experiment {self.player.idea}: the server was killed")
            finally:
                group.cancel_scope.cancel()

    def _is_due(self, what: str) -> bool:
        due = self._due[what]
        if not due or due[0] > self.player.idea:
            return False
        due.pop(0)
        return True

    def _disturb(self, group: TaskGroup) -> None:
        if not self._is_aimed_at and self._is_due("kill"):
            self._is_aimed_at = True
            group.start_soon(self._kill, self._chance.uniform(0, 1.2 * self._usual_sec))
        if self._is_due("outage"):
            group.start_soon(self._be_down, OUTAGES[self.happened["outage"] % len(OUTAGES)])

    async def _kill(self, after_sec: float) -> None:
        await anyio.sleep(after_sec)
        server = int((self._folder / "work" / ".autoagent" / "lock").read_text(encoding="utf-8"))
        self.happened["kill"] += 1
        for pid in [server, *(descendants(server) if self.happened["kill"] % 3 == 0 else [])]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._is_aimed_at = False

    async def _be_down(self, outage: str) -> None:
        tell(f"experiment {self.player.idea}: the model {outage}")
        self.happened["outage"] += 1
        self._model.go_down(outage)
        try:
            await anyio.sleep(2 * self._usual_sec)
        finally:
            self._model.come_back()

    def _client(self) -> Client:
        words = ["-m", "autoagent_mcp", "--workspace", str(self._folder / "work")]
        env = {**os.environ, "XDG_STATE_HOME": str(self._folder / "state")}
        return Client(StdioServerParameters(command=sys.executable, args=words, env=env))


def caller(client: Client) -> Any:  # noqa: ANN401 - a function of a tool's name and arguments
    """Return what calls a tool."""

    async def call(tool: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        result = await client.call_tool(tool, arguments, read_timeout_seconds=_WAIT_SEC)
        if result.is_error:
            raise RefusedError("".join(getattr(part, "text", "") for part in result.content))
        return result.structured_content or {}

    return call


def descendants(pid: int) -> list[int]:
    """Return the processes that come from one."""
    parents = parents_of_processes()
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


@contextmanager
def heir() -> Generator[None]:
    """Inherit what killed servers leave behind (PR_SET_CHILD_SUBREAPER in prctl(2)), and see it end."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.05)
        except ChildProcessError:
            return


def judge(folder: Path) -> dict[str, Any]:
    """Have the other program look."""
    words = [sys.executable, str(ROOT / "benchmarks" / "night_judge.py"), str(folder / "work"), "--json"]
    words += ["--journal", str(folder / "journal"), "--state", str(folder / "state")]
    words += ["--nobody-below", str(os.getpid())]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=False)
    return json.loads(done.stdout)


def tell(what: object) -> None:
    """Print progress beside the result."""
    print(what, file=sys.stderr, flush=True)


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the night and have it judged."""
    began = time.monotonic()
    with provider() as model, heir():
        make_workspace(folder / "work", model.url)
        night = Night(folder, model, options.experiments, options.seed)
        anyio.run(night.pass_by)
    happened = {**night.happened, "cancelled runs": night.player.cancelled, "calls in outages": model.failed_calls}
    happened |= {"unmeasured trials run again": night.player.unmeasured}
    return {"minutes": round((time.monotonic() - began) / 60, 1), "happened": happened, **judge(folder)}


def main() -> int:
    """Run it and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep-in", type=Path, help="an empty folder that is left as it is afterwards")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="autoagent-night-") as scratch:
        result = run(options, options.keep_in or Path(scratch))
    if options.json:
        print(json.dumps(result))
    else:
        for part in ("happened", "figures"):
            print(*(f"{name}: {count}" for name, count in result[part].items()), sep="\n")
        print(f"minutes: {result['minutes']}", *(f"WRONG: {one}" for one in result["wrong"]), sep="\n")
    return 1 if result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
