"""The task's own tests, run in a sandbox once the harness is dead.

What the agent left where the verifier works is taken away first: files, folders and links at /tests, /logs/verifier,
/logs/reward.txt and /logs/agent/trajectory.json. What comes out is hostile: only regular files count.

Tests and trace are put under a name that nobody inside could foresee; one command then empties those places, moves them
there and runs them, unless the tests run as somebody who may not do the first two.
"""

from __future__ import annotations

import json
import math
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread

from autoagent_mcp.errors import SandboxRefused
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.task import Step, Task
from autoagent_mcp.models.trial import Failure, FailureCause, TrialFiles
from autoagent_mcp.sandbox import archive
from autoagent_mcp.sandbox.base import ExecResult, Sandbox
from autoagent_mcp.task import is_ignored

LOGS_LIMIT_BYTES = 32 * 1024 * 1024
LOGS_LIMIT_FILES = 2_000
REWARD_LIMIT_BYTES = 64 * 1024
OUTPUT_LIMIT_BYTES = 8 * 1024 * 1024
"""Of test-stdout.txt, where the folder as a whole is too large."""

_PREPARE_SEC = 60
_QUOTE_CHARS = 80
_ROOT = {"root", "0", 0}
_disk = anyio.CapacityLimiter(8)

_UNPRIVILEGED, _PREPARED = "unprivileged", "prepared"
_UNLESS_ROOT = f"if [ $EUID != 0 ]; then echo {_UNPRIVILEGED}; exit; fi\n"
# `command -p` looks in the system's folders only, so that an `rm` put first on the PATH is not met; bash itself looks
# whether a folder is empty then. A mount point of the image cannot be removed, and is emptied. Each program that is
# started adds to every trial, so nothing is removed that is not there.
_EMPTY = """set -e
shopt -s nullglob dotglob
is_there() { [ -L "$1" ] || [ -e "$1" ]; }
folder() {
  if [ -L "$1" ] || [ ! -d "$1" ]; then
    if is_there "$1"; then command -p rm -rf "$1"; fi
    command -p mkdir -m "$2" "$1"
  fi
}
take_away() {
  if is_there "$1"; then command -p rm -rf "$1" 2> /dev/null || folder "$1" 755; fi
  left=("$1"/*)
  if [ ${#left[@]} != 0 ]; then echo "$1 cannot be emptied" >&2; exit 1; fi
}
folder /logs 755; folder /logs/agent 777; folder /logs/artifacts 777
take_away /logs/verifier; folder /logs/verifier 755
for old in /logs/agent/trajectory.json /logs/reward.txt; do
  if is_there "$old"; then command -p rm -rf "$old"; fi
done
"""
_OPEN = "command -p chmod 777 /logs/verifier\n"
_EMPTY_FOR_AGENT = f"{_EMPTY}{_OPEN}take_away /logs/agent; folder /logs/agent 755; command -p chmod 777 /logs/agent\n"
_EMPTY_TESTS = "take_away /tests\n"
_PLACE_TESTS = """take_away /tests
if is_there /tests; then command -p cp -a "$place/tests/." /tests; else command -p mv "$place/tests" /tests; fi
"""
_PLACE_TRACE = """if [ -e "$place/trajectory.json" ]; then
  command -p mv "$place/trajectory.json" /logs/agent/trajectory.json
fi
command -p rm -rf "$place"
[ -x /tests/test.sh ] || command -p chmod +x /tests/test.sh
"""
_SAY = f"set +e\necho {_PREPARED}\n"
_RUN = "exec /tests/test.sh > /logs/verifier/test-stdout.txt 2>&1\n"


class Verification(Frozen):
    """What the verifier found."""

    rewards: dict[str, float] = {}
    """Every key of reward.json, or `reward` for the number in reward.txt; at least one unless it failed."""
    failure: Failure | None = None


async def verify(
    task: Task, step: Step, sandbox: Sandbox, files: TrialFiles, *, env: Mapping[str, str], trajectory: bytes | None
) -> Verification:
    """Run a step's tests, copy what they left to `files.verifier` and read the rewards.

    Everything that the harness started must be dead. The exit status of test.sh does not matter, as under Harbor. What
    the sandbox refuses (no room for the tests, a link for a reward) is a failure of this verification, since an agent
    can bring it about.

    Args:
        task: Whose tests to run.
        step: Which of its steps.
        sandbox: Where the harness worked, or the tests' own.
        files: Of the step; what an earlier verification left there is replaced.
        env: What the tests get beside the sandbox's own variables.
        trajectory: The trace, shown to the tests at /logs/agent/trajectory.json.

    Raises:
        SandboxError: The sandbox is gone.
        OSError: The trial's folder cannot be written.
    """
    await anyio.to_thread.run_sync(_clear, files.verifier, limiter=_disk)
    try:
        result = await _place_and_run(task, step, sandbox, env, trajectory)
    except _NotPlacedError as error:
        return _failed(FailureCause.REWARD_MISSING, f"The tests could not be put in place: {error}")
    except SandboxRefused as error:
        return _failed(FailureCause.REWARD_MISSING, f"The tests could not be run: {error}")
    await sandbox.kill_all()
    await _fetch(sandbox, files.verifier)
    if result.timed_out:
        return _failed(FailureCause.VERIFIER_TIMEOUT, f"tests/test.sh took more than {step.verifier.timeout_sec:g} s.")
    found = await anyio.to_thread.run_sync(read_rewards, files.verifier, limiter=_disk)
    if found.failure is None or found.failure.cause is not FailureCause.REWARD_MISSING:
        return found
    said = f" and said {_quote(result.stderr.strip())}" if result.stderr.strip() else ""
    return _failed(FailureCause.REWARD_MISSING, f"tests/test.sh ended with {result.return_code}{said}; no reward.")


async def take_away(sandbox: Sandbox, *, tests: bool) -> str:
    """Empty /logs before the next step's agent comes, and take away the tests of the step before where there are any.

    Returns:
        What is in the way; "" where nothing is.

    Raises:
        SandboxError: The sandbox is gone.
    """
    script = f"{_EMPTY_FOR_AGENT}{_EMPTY_TESTS if tests else ''}{_SAY}"
    try:
        _see_placed(await sandbox.exec(script, cwd="/", timeout_sec=_PREPARE_SEC, user="root"))
    except _NotPlacedError as error:
        return f"What the step before left could not be taken away: {error}"
    return ""


class _NotPlacedError(Exception):
    pass


async def _place_and_run(
    task: Task, step: Step, sandbox: Sandbox, env: Mapping[str, str], trajectory: bytes | None
) -> ExecResult:
    place = f".{secrets.token_hex(8)}"
    await sandbox.put(await anyio.to_thread.run_sync(_pack, task, step, place, trajectory, limiter=_disk), "/")
    prepare = f"place=/{place}\n{_EMPTY}{'' if step.has_bundled_tests else _PLACE_TESTS}{_PLACE_TRACE}"
    user, limit = step.verifier.user, step.verifier.timeout_sec
    if user is None or user in _ROOT:
        at_once = f"{_UNLESS_ROOT}{prepare}{_SAY}{_RUN}"
        result = await sandbox.exec(at_once, env=env, timeout_sec=limit, user=user)
        if not result.stdout.startswith(_UNPRIVILEGED):
            _see_placed(result)
            return result
    _see_placed(await sandbox.exec(f"{prepare}{_OPEN}{_SAY}", cwd="/", timeout_sec=_PREPARE_SEC, user="root"))
    return await sandbox.exec(_RUN, env=env, timeout_sec=limit, user=user)


def _see_placed(result: ExecResult) -> None:
    if not result.stdout.startswith(_PREPARED):
        raise _NotPlacedError(f"it ended with {result.return_code} and said {_quote(result.stderr.strip())}.")


def _pack(task: Task, step: Step, place: str, trajectory: bytes | None) -> bytes:
    packer, tests = archive.Packer(), f"{place}/tests"
    packer.add_folder(place)
    if not step.has_bundled_tests:
        packer.add_folder(tests)
        for folder in dict.fromkeys(("tests", f"{step.folder}/tests".lstrip("/"))):
            if (task.folder / folder).is_dir():
                packer.add_tree(
                    task.folder / folder,
                    tests,
                    executable={f"{tests}/test.sh"},
                    leaves_out=lambda path: is_ignored(task.folder, path),
                )
    if trajectory is not None:
        packer.add_file(f"{place}/trajectory.json", trajectory)
    return packer.data()


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


def read_rewards(folder: Path) -> Verification:
    """Read reward.json, or else reward.txt, as Harbor does.

    A JSON boolean is 1.0 or 0.0; a bare JSON scalar is no reward.

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
    return Verification(rewards={"reward": _finite(float(text), "reward")})


def _read_json(text: str) -> Verification:
    found: object = json.loads(text)
    if not isinstance(found, dict):
        raise _UnusableError(FailureCause.REWARD_UNPARSABLE, f"is no JSON object: {_quote(text)}")
    rewards = {key: _number(key, value) for key, value in cast("dict[str, Any]", found).items()}
    if not rewards:
        raise _UnusableError(FailureCause.REWARD_EMPTY, "holds no reward")
    return Verification(rewards=rewards)


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
    return Verification(failure=Failure(cause=cause, detail=detail))


def _quote(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _QUOTE_CHARS else f"{text[:_QUOTE_CHARS]}..."
