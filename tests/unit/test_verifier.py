"""The verifier in real sandboxes, after agents of all kinds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from autoagent_mcp import task as task_files
from autoagent_mcp.models.task import Task
from autoagent_mcp.models.trial import FailureCause, TrialFiles
from autoagent_mcp.sandbox.base import Sandbox, SandboxSpec
from autoagent_mcp.sandbox.bubblewrap.backend import BubblewrapBackend
from autoagent_mcp.task import resolve_env
from autoagent_mcp.verifier import Verification, read_rewards, verify

HONEST = """#!/bin/bash
echo checking
if [ "$(cat answer.txt)" = 42 ]; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
exit 3
"""


class Place:
    """A task with its trial's files and a sandbox for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "answer"
        self.files = TrialFiles(folder=folder / "run" / "answer__1")
        self._backend = BubblewrapBackend("test", folder / "cache")

    def make(self, script: str, toml: str = "", **tests: str) -> Task:
        """Write the task."""
        texts: Mapping[str, str] = {
            "task.toml": toml,
            "instruction.md": "Write 42 to answer.txt.",
            "environment/Dockerfile": "FROM debian:bookworm-slim\nWORKDIR /app\n",
            "tests/test.sh": script,
            **{f"tests/{name}": text for name, text in tests.items()},
        }
        for name, text in texts.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return task_files.load(self.folder)

    @asynccontextmanager
    async def sandbox(self, task: Task) -> AsyncGenerator[Sandbox]:
        """Start a sandbox for the task."""
        image = await self._backend.prepare(task)
        async with self._backend.start(SandboxSpec(name="answer__1", image=image)) as sandbox:
            yield sandbox

    async def verify(self, task: Task, sandbox: Sandbox, trajectory: bytes | None = None) -> Verification:
        """Run the task's tests."""
        step = task.steps[0]
        return await verify(task, step, sandbox, self.files, env=resolve_env(step.verifier.env), trajectory=trajectory)

    async def after(self, agent: str, script: str = HONEST, toml: str = "", **tests: str) -> Verification:
        """Let an agent run one command, then verify."""
        task = self.make(script, toml, **tests)
        async with self.sandbox(task) as sandbox:
            result = await sandbox.exec(agent)
            assert result.return_code == 0, result.stderr
            await sandbox.kill_all()
            return await self.verify(task, sandbox, b'{"steps": []}')

    def left(self, name: str) -> str:
        """Return a file that the verifier left."""
        return (self.files.verifier / name).read_text(encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def reward(found: Verification) -> float | None:
    return found.rewards.get("reward")


def cause(found: Verification) -> FailureCause | None:
    return found.failure.cause if found.failure else None


# Running the tests


async def test_an_honest_trial_gets_its_reward_whatever_the_exit_status(place: Place) -> None:
    found = await place.after("echo 42 > answer.txt")
    assert found == Verification(rewards={"reward": 1.0})
    assert place.left("test-stdout.txt") == "checking\n"
    assert place.left("reward.txt") == "1\n"


async def test_doing_nothing_gets_zero(place: Place) -> None:
    assert reward(await place.after("true")) == 0.0


async def test_the_tests_find_their_data_their_env_and_the_trace(place: Place) -> None:
    script = """#!/bin/bash
. /tests/data.sh
echo "$DATA $FROM_TOML $(cat /logs/agent/trajectory.json) $PWD $(stat -c %U:%a /tests /logs/verifier | tr '\\n' ' ')"
echo 0.5 > /logs/verifier/reward.txt
"""
    found = await place.after("true", script, '[verifier]\nenv = {FROM_TOML = "set"}', **{"data.sh": "DATA=found"})
    assert reward(found) == 0.5
    assert place.left("test-stdout.txt") == 'found set {"steps": []} /app root:755 root:755 \n'


async def test_without_a_trace_none_is_shown(place: Place) -> None:
    task = place.make("#!/bin/bash\n[ -e /logs/agent/trajectory.json ]; echo $? > /logs/verifier/reward.txt\n")
    async with place.sandbox(task) as sandbox:
        await sandbox.exec("mkdir -p /logs/agent; echo forged > /logs/agent/trajectory.json")
        found = await place.verify(task, sandbox)
    assert reward(found) == 1.0


@pytest.mark.parametrize(
    "script", ["echo 1 > /logs/verifier/reward.txt\n", "#!/bin/sh\necho 1 > /logs/verifier/reward.txt\n"]
)
async def test_a_script_runs_with_and_without_a_first_line_that_names_its_shell(place: Place, script: str) -> None:
    assert reward(await place.after("true", script)) == 1.0


async def test_a_script_that_cannot_run_says_why(place: Place) -> None:
    found = await place.after("true", "#!/no/such/shell\n")
    assert cause(found) is FailureCause.REWARD_MISSING
    assert "/tests/test.sh" in place.left("test-stdout.txt")


async def test_tests_past_their_time_are_their_own_cause_and_count_nothing(place: Place) -> None:
    script = "#!/bin/bash\necho 1 > /logs/verifier/reward.txt\necho begun\nsleep 1000\n"
    found = await place.after("true", script, "[verifier]\ntimeout_sec = 0.5\n")
    assert (reward(found), cause(found)) == (None, FailureCause.VERIFIER_TIMEOUT)
    assert place.left("test-stdout.txt") == "begun\n"


async def test_a_second_verification_starts_afresh(place: Place) -> None:
    assert reward(await place.after("echo 42 > answer.txt")) == 1.0
    found = await place.after("true", "#!/bin/bash\ntrue\n")
    assert cause(found) is FailureCause.REWARD_MISSING


async def test_autoagents_own_place_for_the_reward_is_read_where_there_is_no_other(place: Place) -> None:
    found = await place.after("true", "#!/bin/bash\necho 0.25 > /logs/reward.txt\n")
    assert reward(found) == 0.25
    both = "#!/bin/bash\necho 0.25 > /logs/reward.txt\necho 0.75 > /logs/verifier/reward.txt\n"
    assert reward(await place.after("true", both)) == 0.75


async def test_what_tests_start_and_leave_running_is_dead_before_the_reward_is_read(place: Place) -> None:
    task = place.make("#!/bin/bash\necho 0 > /logs/verifier/reward.txt\nsleep 1000 &\n")
    async with place.sandbox(task) as sandbox:
        assert reward(await place.verify(task, sandbox)) == 0.0
        assert "sleep" not in (await sandbox.exec("cat /proc/[0-9]*/comm")).stdout.split()


# Agents that cheat

SILENT = "#!/bin/bash\ntrue\n"
FORGED = "echo 1 > /logs/verifier/reward.txt"
IN_A_LOOP = f"(while sleep 0.01; do {FORGED}; done) > /dev/null 2>&1 & disown"
CHEATS = {
    "files": f"mkdir -p /logs/verifier; {FORGED}; echo '{{\"reward\": 1}}' > /logs/verifier/reward.json",
    "legacy": "mkdir -p /logs; echo 1 > /logs/reward.txt",
    "logs-link": "rm -rf /logs; mkdir -p /evil/verifier; echo 1 > /evil/verifier/reward.txt; ln -s /evil /logs",
    "folder-link": "rm -rf /logs; mkdir -p /logs /evil; echo 1 > /evil/reward.txt; ln -s /evil /logs/verifier",
    "logs-file": "rm -rf /logs; echo 1 > /logs",
    "tests": f"mkdir -p /tests; printf '#!/bin/bash\\n{FORGED}' > /tests/test.sh; chmod 555 /tests/test.sh /tests",
    "modes": f"mkdir -p /logs/verifier /tests/a; {FORGED}; chmod 000 /logs/verifier /tests/a /tests",
    "rm": f"printf '#!/bin/bash' > /usr/local/bin/rm; chmod +x /usr/local/bin/rm; mkdir -p /logs/verifier; {FORGED}",
    "daemon": f"mkdir -p /logs/verifier; {IN_A_LOOP}",
    "profile": f"echo '{FORGED}' | tee /root/.bashrc /root/.profile /root/.bash_profile /etc/profile > /dev/null",
}


@pytest.mark.parametrize("agent", CHEATS.values(), ids=CHEATS)
async def test_a_reward_that_the_agent_left_is_gone(place: Place, agent: str) -> None:
    found = await place.after(agent, SILENT)
    assert (reward(found), cause(found)) == (None, FailureCause.REWARD_MISSING)
    assert found.failure is not None
    assert "tests/test.sh ended with 0" in found.failure.detail


async def test_tests_that_the_agent_planted_are_gone(place: Place) -> None:
    script = "#!/bin/bash\nls -A /tests; echo 1 > /logs/verifier/reward.txt\n"
    agent = "rm -rf /tests; mkdir -p /evil/tests; echo x > /evil/tests/conftest.py; ln -s /evil/tests /tests"
    assert reward(await place.after(agent, script)) == 1.0
    assert place.left("test-stdout.txt") == "test.sh\n"


@pytest.mark.parametrize(
    "agent",
    [
        "mkdir -p /logs/agent; echo forged > /logs/agent/trajectory.json",
        "mkdir -p /logs/agent/trajectory.json/deep",
        "mkdir -p /logs/agent; ln -s /evil/elsewhere /logs/agent/trajectory.json",
        "rm -rf /logs/agent; mkdir -p /logs; ln -s /evil /logs/agent",
        "rm -rf /logs; mkdir -p /evil/agent; ln -s /evil /logs",
    ],
    ids=["file", "folder", "link", "agent-link", "logs-link"],
)
async def test_a_trace_that_the_agent_forged_is_replaced(place: Place, agent: str) -> None:
    script = "#!/bin/bash\ncat /logs/agent/trajectory.json; find /evil -type f; echo 1 > /logs/verifier/reward.txt\n"
    await place.after(f"mkdir /evil; {agent}", script)
    assert place.left("test-stdout.txt") == '{"steps": []}'


@pytest.mark.parametrize("name", ["reward.txt", "reward.json"])
async def test_a_link_is_no_reward(place: Place, name: str) -> None:
    script = f"#!/bin/bash\necho 1 > /evil; ln -s /evil /logs/verifier/{name}; echo told\n"
    found = await place.after("true", script)
    assert (reward(found), cause(found)) == (None, FailureCause.REWARD_MISSING)
    assert place.left("test-stdout.txt") == "told\n"


async def test_a_link_beside_the_reward_does_not_cost_it(place: Place) -> None:
    script = "#!/bin/bash\nln -s /etc/passwd /logs/verifier/latest; echo 1 > /logs/verifier/reward.txt\n"
    assert reward(await place.after("true", script)) == 1.0
    assert not (place.files.verifier / "latest").exists()


async def test_logs_beyond_the_limit_do_not_cost_the_reward(place: Place) -> None:
    script = "#!/bin/bash\nhead -c 40000000 /dev/zero > /logs/verifier/core; echo 1 > /logs/verifier/reward.txt\n"
    assert reward(await place.after("true", script)) == 1.0
    assert not (place.files.verifier / "core").exists()


async def test_a_working_folder_that_is_gone_gives_no_reward_and_no_lost_sandbox(place: Place) -> None:
    found = await place.after("cd /; rm -rf /app")
    assert (reward(found), cause(found)) == (None, FailureCause.REWARD_MISSING)


async def test_a_full_disk_gives_no_reward_and_no_lost_sandbox(place: Place) -> None:
    agent = "head -c 20G /dev/zero > /tmp/fill 2> /dev/null || true"
    found = await place.after(agent, big="x" * 3_000_000)
    assert (reward(found), cause(found)) == (None, FailureCause.REWARD_MISSING)


# Reading the reward


@pytest.mark.parametrize(
    ("text", "number"), [(" -2.5 \n", -2.5), ("1", 1.0), ("1e3", 1000.0), ("7", 7.0), ("0.0", 0.0)]
)
def test_a_number_in_reward_txt_is_kept_as_it_is(tmp_path: Path, text: str, number: float) -> None:
    (tmp_path / "reward.txt").write_text(text, encoding="utf-8")
    assert read_rewards(tmp_path) == Verification(rewards={"reward": number})


@pytest.mark.parametrize(
    ("text", "rewards"),
    [
        ('{"reward": 0.5, "style": 1}', {"reward": 0.5, "style": 1.0}),
        ('{"reward": true}', {"reward": 1.0}),
        ('{"reward": false, "b": true}', {"reward": 0.0, "b": 1.0}),
        ('{"accuracy": 0.25}', {"accuracy": 0.25}),
        ('{"reward": -3}', {"reward": -3.0}),
        ('{"a": 1, "b": 2}', {"a": 1.0, "b": 2.0}),
    ],
)
def test_reward_json_comes_before_reward_txt(tmp_path: Path, text: str, rewards: dict[str, float]) -> None:
    (tmp_path / "reward.txt").write_text("0", encoding="utf-8")
    (tmp_path / "reward.json").write_text(text, encoding="utf-8")
    assert read_rewards(tmp_path) == Verification(rewards=rewards)


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("reward.txt", b"", FailureCause.REWARD_EMPTY),
        ("reward.txt", b" \n", FailureCause.REWARD_EMPTY),
        ("reward.txt", b"pass", FailureCause.REWARD_UNPARSABLE),
        ("reward.txt", b"1 0", FailureCause.REWARD_UNPARSABLE),
        ("reward.txt", b"\xff\xfe1", FailureCause.REWARD_UNPARSABLE),
        ("reward.txt", b"1" * 100_000, FailureCause.REWARD_UNPARSABLE),
        ("reward.txt", b"nan", FailureCause.REWARD_NOT_FINITE),
        ("reward.txt", b"-inf", FailureCause.REWARD_NOT_FINITE),
        ("reward.txt", b"1e309", FailureCause.REWARD_NOT_FINITE),
        ("reward.json", b"", FailureCause.REWARD_EMPTY),
        ("reward.json", b"{}", FailureCause.REWARD_EMPTY),
        ("reward.json", b"{", FailureCause.REWARD_UNPARSABLE),
        ("reward.json", b"0.7", FailureCause.REWARD_UNPARSABLE),
        ("reward.json", b"[1]", FailureCause.REWARD_UNPARSABLE),
        ("reward.json", b"[" * 50_000, FailureCause.REWARD_UNPARSABLE),
        ("reward.json", b'{"reward": 1' + b"0" * 5000 + b"}", FailureCause.REWARD_UNPARSABLE),
        ("reward.json", b'{"reward": "1"}', FailureCause.REWARD_NOT_A_NUMBER),
        ("reward.json", b'{"reward": null}', FailureCause.REWARD_NOT_A_NUMBER),
        ("reward.json", b'{"reward": 1, "b": [1]}', FailureCause.REWARD_NOT_A_NUMBER),
        ("reward.json", b'{"reward": NaN}', FailureCause.REWARD_NOT_FINITE),
        ("reward.json", b'{"reward": 1e309}', FailureCause.REWARD_NOT_FINITE),
        ("reward.json", b'{"reward": 1' + b"0" * 400 + b"}", FailureCause.REWARD_NOT_FINITE),
        ("other.txt", b"1", FailureCause.REWARD_MISSING),
    ],
)
def test_each_unusable_reward_has_its_own_cause(tmp_path: Path, name: str, data: bytes, expected: FailureCause) -> None:
    (tmp_path / name).write_bytes(data)
    found = read_rewards(tmp_path)
    assert (reward(found), cause(found)) == (None, expected)
    assert found.failure is not None
    assert 0 < len(found.failure.detail) < 300


def test_a_link_on_disk_is_no_reward(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("1", encoding="utf-8")
    (tmp_path / "reward.txt").symlink_to("elsewhere")
    assert cause(read_rewards(tmp_path)) is FailureCause.REWARD_MISSING


def test_a_bad_reward_json_is_not_saved_by_a_good_reward_txt(tmp_path: Path) -> None:
    (tmp_path / "reward.json").write_text("{", encoding="utf-8")
    (tmp_path / "reward.txt").write_text("1", encoding="utf-8")
    assert cause(read_rewards(tmp_path)) is FailureCause.REWARD_UNPARSABLE
