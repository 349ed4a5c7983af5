"""The task's own tests, run in its sandbox once the harness is dead.

What the agent left where the verifier works is taken away first: files, folders and links at /tests, /logs/verifier,
/logs/reward.txt and /logs/agent/trajectory.json. What comes out is hostile: only regular files count.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread

from autoagent_mcp.errors import SandboxRefused
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import Failure, FailureCause, TrialFiles
from autoagent_mcp.sandbox import archive
from autoagent_mcp.sandbox.base import Sandbox
from autoagent_mcp.task import resolve_env

LOGS_LIMIT_BYTES = 32 * 1024 * 1024
LOGS_LIMIT_FILES = 2_000
REWARD_LIMIT_BYTES = 64 * 1024
OUTPUT_LIMIT_BYTES = 8 * 1024 * 1024
"""Of test-stdout.txt, where the folder as a whole is too large."""

_PREPARE_SEC = 60
_QUOTE_CHARS = 80
_disk = anyio.CapacityLimiter(8)

# `command -p` looks in the system's folders only, so that an `rm` put first on the PATH is not met.
_PREPARE = """set -e
for folder in /logs /logs/agent; do
  if [ -L $folder ] || [ ! -d $folder ]; then command -p rm -rf $folder; command -p mkdir $folder; fi
done
command -p rm -rf /logs/verifier /tests /logs/agent/trajectory.json /logs/reward.txt
command -p mkdir -m 755 /logs/verifier /tests
"""
_RUN = """[ -x /tests/test.sh ] || command -p chmod +x /tests/test.sh
exec /tests/test.sh > /logs/verifier/test-stdout.txt 2>&1
"""


class Verification(Frozen):
    """What the verifier found."""

    reward: float | None
    """The number that counts, kept as it is; None where there is none."""
    rewards: dict[str, float] = {}
    failure: Failure | None = None


async def verify(task: Task, sandbox: Sandbox, files: TrialFiles, *, trajectory: bytes | None) -> Verification:
    """Run the task's tests, copy what they left to `files.verifier` and read the reward.

    Everything that the harness started must be dead. The exit status of test.sh does not matter, as under Harbor. What
    the sandbox refuses (no room for the tests, a link for a reward) is a failure of this verification, since an agent
    can bring it about.

    Args:
        task: Whose tests to run.
        sandbox: Where the harness worked.
        files: Of the trial; what an earlier verification left there is replaced.
        trajectory: The trace, shown to the tests at /logs/agent/trajectory.json.

    Raises:
        SandboxError: The sandbox is gone.
        TaskError: The verifier's env needs a variable that is not set here.
        OSError: The trial's folder cannot be written.
    """
    await anyio.to_thread.run_sync(_clear, files.verifier, limiter=_disk)
    env = resolve_env(task.config.verifier.env)
    try:
        problem = await _prepare(task, sandbox, trajectory)
    except SandboxRefused as error:
        problem = str(error)
    if problem:
        return _failed(FailureCause.REWARD_MISSING, f"The tests could not be put in place: {problem}")
    limit = task.config.verifier.timeout_sec
    result = await sandbox.exec(_RUN, env=env, timeout_sec=limit, user=task.config.verifier.user)
    await sandbox.kill_all()
    await _fetch(sandbox, files.verifier)
    if result.timed_out:
        return _failed(FailureCause.VERIFIER_TIMEOUT, f"tests/test.sh took more than {limit:g} s.")
    found = await anyio.to_thread.run_sync(read_reward, files.verifier, limiter=_disk)
    if found.failure is None or found.failure.cause is not FailureCause.REWARD_MISSING or found.rewards:
        return found
    said = f" and said {_quote(result.stderr.strip())}" if result.stderr.strip() else ""
    return _failed(FailureCause.REWARD_MISSING, f"tests/test.sh ended with {result.return_code}{said}; no reward.")


async def _prepare(task: Task, sandbox: Sandbox, trajectory: bytes | None) -> str:
    """Put tests and trace in place; return what is in the way."""
    emptied = await sandbox.exec(_PREPARE, cwd="/", timeout_sec=_PREPARE_SEC, user="root")
    if emptied.return_code != 0:
        return f"emptying /tests and /logs/verifier ended with {emptied.return_code}: {_quote(emptied.stderr)}"
    traces = {} if trajectory is None else {"logs/agent/trajectory.json": trajectory}
    await sandbox.put(await anyio.to_thread.run_sync(_pack, task.folder / "tests", traces, limiter=_disk), "/")
    return ""


def _pack(tests: Path, traces: dict[str, bytes]) -> bytes:
    return archive.pack(tests, under="tests", executable={"tests/test.sh"}, beside=traces)


def _clear(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


async def _fetch(sandbox: Sandbox, folder: Path) -> None:
    """Copy /logs/verifier out; where it holds too much, or what may not come out, what matters of it."""
    if not await _copy(sandbox, "/logs/verifier", folder, LOGS_LIMIT_BYTES):
        for name, limit in (
            ("reward.json", REWARD_LIMIT_BYTES),
            ("reward.txt", REWARD_LIMIT_BYTES),
            ("test-stdout.txt", OUTPUT_LIMIT_BYTES),
        ):
            await _copy(sandbox, f"/logs/verifier/{name}", folder, limit)
    if not any((folder / name).exists() for name in ("reward.json", "reward.txt")):
        await _copy(sandbox, "/logs/reward.txt", folder, REWARD_LIMIT_BYTES)


async def _copy(sandbox: Sandbox, source: str, folder: Path, limit: int) -> bool:
    try:
        # A tar archive takes at least 10 kB beside the files' own bytes.
        data = await sandbox.get(source, limit_bytes=limit + 64 * 1024)
        if data is not None:
            await anyio.to_thread.run_sync(_unpack, data, folder, limit, limiter=_disk)
    except SandboxRefused:
        return False
    return True


def _unpack(data: bytes, folder: Path, limit: int) -> None:
    archive.unpack(data, folder, limit_bytes=limit, limit_files=LOGS_LIMIT_FILES)


# Reading the reward


def read_reward(folder: Path) -> Verification:
    """Read reward.json, or else reward.txt, as Harbor does.

    Of several keys `reward` counts, or the only one. A JSON boolean is 1.0 or 0.0; a bare JSON scalar is no reward.

    Raises:
        OSError: A file cannot be read.
    """
    for name, read in (("reward.json", _read_json), ("reward.txt", _read_text)):
        path = folder / name
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        if not data.strip():
            return _failed(FailureCause.REWARD_EMPTY, f"{name} is empty.")
        if len(data) > REWARD_LIMIT_BYTES:
            return _failed(FailureCause.REWARD_UNPARSABLE, f"{name} has {len(data)} bytes.")
        try:
            return read(data.decode())
        except _UnusableError as error:
            return _failed(error.cause, f"{name} {error}.")
        except (ValueError, RecursionError):
            said = _quote(data.decode(errors="replace"))
            return _failed(FailureCause.REWARD_UNPARSABLE, f"{name} cannot be read: {said}.")
    return _failed(FailureCause.REWARD_MISSING, "There is no reward.json and no reward.txt.")


class _UnusableError(Exception):
    def __init__(self, cause: FailureCause, problem: str) -> None:
        super().__init__(problem)
        self.cause = cause


def _read_text(text: str) -> Verification:
    reward = _finite(float(text), "reward")
    return Verification(reward=reward, rewards={"reward": reward})


def _read_json(text: str) -> Verification:
    found: object = json.loads(text)
    if not isinstance(found, dict):
        raise _UnusableError(FailureCause.REWARD_UNPARSABLE, f"is no JSON object: {_quote(text)}")
    rewards = {key: _number(key, value) for key, value in cast("dict[str, Any]", found).items()}
    if not rewards:
        raise _UnusableError(FailureCause.REWARD_EMPTY, "holds no reward")
    if "reward" not in rewards and len(rewards) > 1:
        problem = f"reward.json has no key 'reward' among {_quote(', '.join(rewards))}."
        return Verification(
            reward=None, rewards=rewards, failure=Failure(cause=FailureCause.REWARD_MISSING, detail=problem)
        )
    return Verification(reward=rewards.get("reward", next(iter(rewards.values()))), rewards=rewards)


def _number(key: str, value: object) -> float:
    if not isinstance(value, int | float):
        raise _UnusableError(FailureCause.REWARD_NOT_A_NUMBER, f"has {_quote(value)} for {_quote(key)}")
    return _finite(value, key)


def _finite(value: float, key: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _UnusableError(FailureCause.REWARD_NOT_FINITE, f"has {number} for {_quote(key)}")
    return number


def _failed(cause: FailureCause, detail: str) -> Verification:
    return Verification(reward=None, failure=Failure(cause=cause, detail=detail))


def _quote(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _QUOTE_CHARS else f"{text[:_QUOTE_CHARS]}..."
