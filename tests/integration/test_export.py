"""A run as a Harbor job: what is in it, that Harbor reads it, and what cannot be exported."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.atif import Trajectory
from support.harbor import READS, needs_harbor, run_harbor
from support.suites import Measured, Suites, make_task
from support.workspaces import NO_MODEL, write_tree

from autoagent_mcp.models.records import ModelRequest, ModelResponse
from autoagent_mcp.models.run import Run, RunKind, RunState, Suite
from autoagent_mcp.models.trial import Failure, FailureCause, Trial

AT = datetime(2026, 11, 21, tzinfo=timezone.utc)
SETTINGS = NO_MODEL.format(url="http://127.0.0.1:9/v1")
WORKS = """
if instruction == "Crash.":
    raise KeyError("offers")
if instruction == "Wait.":
    import asyncio
    await asyncio.sleep(60)
await environment.exec(f"mkdir -p kept && echo 42 > kept/answer.txt; echo {instruction!r}")
print("harness says hello")
"""
TWO_STEPS = """
[[steps]]
name = "first"
[[steps]]
name = "second"
"""
CHECKS = '[ "$(cat kept/answer.txt)" = 42 ] && echo 1 > /logs/verifier/reward.txt || echo 0 > /logs/verifier/reward.txt'
TASKS = {
    "passes": make_task(
        'artifacts = ["/app/kept"]\n[task]\nname = "probes/passes"\nversion = "7"\n', test=f"echo checked; {CHECKS}"
    ),
    "crashes": make_task(files={"instruction.md": "Crash."}),
    "is-late": make_task("[agent]\ntimeout_sec = 1\n", files={"instruction.md": "Wait."}),
    "many-keys-and-a-name-longer-than-32-characters": make_task(
        test='echo \'{"reward": 0.5, "style": 1}\' > /logs/verifier/reward.json'
    ),
    "says-nothing": make_task(test="true"),
    "two-steps": make_task(
        TWO_STEPS,
        files={
            "instruction.md": "",
            "steps/first/instruction.md": "Begin.",
            "steps/second/instruction.md": "Go on.",
            "steps/second/tests/test.sh": "#!/bin/bash\necho 0 > /logs/verifier/reward.txt\n",
        },
    ),
}


def autoagent(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "autoagent_mcp", "--workspace", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")


def export(workspace: Path, run: str = "0001", name: str = "job") -> Path:
    folder = workspace / "jobs" / name
    done = autoagent("export", run, "--format", "harbor", str(folder), folder=workspace)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def read(path: Path) -> Any:  # noqa: ANN401 - JSON
    return json.loads(path.read_text(encoding="utf-8"))


def results_of(job: Path) -> dict[str, Any]:
    found = [read(path) for path in job.glob("*/result.json")]
    return {one["task_name"]: one for one in found}


def folder_of(job: Path, task: str) -> Path:
    (folder,) = job.glob(f"{task}__*")
    return folder


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Measure all of TASKS, on real sandboxes, once."""
    folder = tmp_path_factory.mktemp("workspace")
    (folder / "autoagent.toml").write_text(SETTINGS, encoding="utf-8")
    return anyio.run(lambda: Suites(folder, "bubblewrap").measured(TASKS, solver=WORKS))


@pytest.fixture
def workspace(measured: Measured, tmp_path: Path) -> Path:
    """Return a copy of the workspace with that run."""
    return Path(shutil.copytree(measured.folder.parents[2], tmp_path / "workspace"))


def test_a_job_says_what_was_measured_and_what_it_adds_up_to(workspace: Path, measured: Measured) -> None:
    job = export(workspace)
    config, result = read(job / "config.json"), read(job / "result.json")
    assert (config["job_name"], config["jobs_dir"]) == ("job", str(workspace / "jobs"))
    assert config["agents"] == [{"import_path": "agent:AutoAgent", "model_name": "openai-compatible/stub"}]
    assert config["datasets"] == [{"path": str(workspace / "tasks"), "task_names": sorted(TASKS)}]
    stats = result["stats"]
    assert (result["n_total_trials"], stats["n_completed_trials"], stats["n_pending_trials"]) == (6, 6, 0)
    assert (stats["n_errored_trials"], stats["n_retries"]) == (3, 1)
    ((key, evals),) = stats["evals"].items()
    assert key == "autoagent__stub__tasks"
    assert evals["n_trials"] == 4
    assert evals["reward_stats"]["style"] == {"1.0": [folder_of(job, "many-keys-and-a-name-longer-than").name]}
    # Five trials measured something: 1, 0.5, 1 (late), 0.5 (two steps) and the crash without a reward.
    assert evals["metrics"] == [{"reward": pytest.approx(3 / 5), "style": pytest.approx(1 / 5)}]
    log = (job / "job.log").read_text(encoding="utf-8")
    assert "a test" in log
    assert all(notice in log for notice in measured.run.notices)


def test_a_trial_lies_as_harbor_lays_it(workspace: Path, measured: Measured) -> None:
    trial = folder_of(export(workspace), "passes")
    files = {path.relative_to(trial).as_posix() for path in trial.rglob("*") if path.is_file()}
    assert files == {
        *("config.json", "lock.json", "result.json", "trial.log"),
        *("agent/trajectory.json", "agent/harness.log", "agent/execs.jsonl"),
        *("verifier/test-stdout.txt", "verifier/reward.txt"),
        *("artifacts/manifest.json", "artifacts/app/kept/answer.txt"),
    }
    assert (trial / "verifier" / "test-stdout.txt").read_text(encoding="utf-8") == "checked\n"
    assert "hello" in (trial / "agent" / "harness.log").read_text(encoding="utf-8")
    assert {one["source"] for one in read(trial / "artifacts" / "manifest.json")} >= {"/app/kept"}
    Trajectory.model_validate_json((trial / "agent" / "trajectory.json").read_bytes())
    result, own = read(trial / "result.json"), next(one for one in measured.run.trials if one.task == "passes")
    assert result["config"] == read(trial / "config.json")
    assert (result["task_name"], result["trial_uri"]) == ("probes/passes", trial.as_uri())
    assert result["verifier_result"] == {"rewards": {"reward": 1.0}}
    assert "exception_info" not in result
    assert result["agent_result"]["metadata"]["commands"] == own.commands == 1
    assert result["environment_setup"]["started_at"] == result["started_at"]
    assert result["agent_execution"]["finished_at"] == result["verifier"]["started_at"]


def test_what_failed_has_harbors_name_and_what_measured_nothing_has_no_reward(workspace: Path) -> None:
    job = export(workspace)
    found = results_of(job)
    told = {
        task: (one.get("exception_info", {}).get("exception_type"), one.get("verifier_result"))
        for task, one in found.items()
    }
    assert told["crashes"] == ("NonZeroAgentExitCodeError", None)
    assert told["is-late"] == ("AgentTimeoutError", {"rewards": {"reward": 1.0}})
    assert told["says-nothing"] == ("RewardFileNotFoundError", None)
    assert "KeyError: 'offers'" in found["crashes"]["exception_info"]["exception_traceback"]
    assert found["crashes"]["exception_info"]["exception_message"].startswith("harness_crashed: KeyError")
    assert "Traceback" in (folder_of(job, "crashes") / "exception.txt").read_text(encoding="utf-8")
    assert "reward_missing" in (folder_of(job, "says-nothing") / "trial.log").read_text(encoding="utf-8")
    assert not (folder_of(job, "passes") / "exception.txt").exists()


def write_model_calls(path: Path, steps: tuple[str, ...]) -> None:
    """Write what the gateway would have recorded of one call in each step."""
    lines: list[str] = []
    for number, step in enumerate(steps, start=1):
        asked = {"model": "stub", "messages": [{"role": "user", "content": f"Asked in {step}."}]}
        said = {"choices": [{"message": {"role": "assistant", "content": f"Said in {step}."}, "finish_reason": "stop"}]}
        request = ModelRequest(call=number, api="chat", step=step, at=AT, body=asked)
        response = ModelResponse(call=number, at=AT, status=200, body=said)
        lines += [request.model_dump_json(), response.model_dump_json()]
    path.write_text("\n".join(lines) + "\n{half a li", encoding="utf-8")


def test_each_step_has_its_own_outputs_and_its_own_part_of_the_trace(workspace: Path) -> None:
    write_model_calls(workspace / ".autoagent/runs/0001/two-steps__1/model_calls.jsonl", ("first", "second"))
    job = export(workspace)
    result, folder = results_of(job)["two-steps"], folder_of(job, "two-steps")
    assert [(one["step_name"], one["verifier_result"]) for one in result["step_results"]] == [
        ("first", {"rewards": {"reward": 1.0}}),
        ("second", {"rewards": {"reward": 0.0}}),
    ]
    assert result["verifier_result"] == {"rewards": {"reward": 0.5}}
    for step, own, others in (("first", "Begin.", "Go on."), ("second", "Go on.", "Begin.")):
        place = folder / "steps" / step
        text = (place / "agent" / "trajectory.json").read_text(encoding="utf-8")
        Trajectory.model_validate_json(text)
        assert all(words in text for words in (own, f"Said in {step}."))
        assert others not in text
        assert text.count("Said in") == 1
        assert (place / "verifier" / "reward.txt").is_file()
    whole = (folder / "agent" / "trajectory.json").read_text(encoding="utf-8")
    assert all(words in whole for words in ("Begin.", "Go on."))


def test_a_second_export_to_the_same_place_is_the_same(workspace: Path) -> None:
    def content(job: Path) -> dict[str, bytes]:
        return {str(path.relative_to(job)): path.read_bytes() for path in job.rglob("*") if path.is_file()}

    first = content(export(workspace))
    shutil.rmtree(workspace / "jobs")
    assert content(export(workspace)) == first


def test_a_lock_tells_each_tasks_content_and_none_is_written_once_a_task_is_another(workspace: Path) -> None:
    job = export(workspace)
    lock = read(folder_of(job, "passes") / "lock.json")
    assert (lock["task"]["name"], lock["task"]["version"], lock["verifier"]) == (
        "passes",
        "7",
        {"environment_mode": "shared"},
    )
    assert results_of(job)["probes/passes"]["task_checksum"] == lock["task"]["digest"].removeprefix("sha256:")
    assert lock in read(job / "lock.json")["trials"]
    (workspace / "tasks" / "passes" / "instruction.md").write_text("Do something else.", encoding="utf-8")
    shutil.rmtree(workspace / "tasks" / "crashes")
    other = export(workspace, name="other")
    assert not list(other.rglob("lock.json"))
    assert results_of(other)["probes/passes"]["task_checksum"] == ""
    assert results_of(other)["crashes"]["task_id"] == {"path": str(workspace / "tasks" / "crashes")}
    assert "lock.json is left out" in (other / "job.log").read_text(encoding="utf-8")


@needs_harbor
def test_harbor_itself_reads_the_job(workspace: Path) -> None:
    job = export(workspace)
    rows = json.loads(run_harbor("-c", READS, str(job), folder=workspace).stdout)
    assert rows["probes/passes"] == [1.0, None]
    assert rows["is-late"] == [1.0, "AgentTimeoutError"]
    assert rows["says-nothing"] == [None, "RewardFileNotFoundError"]


# Runs that were not measured here


def write_run(
    workspace: Path,
    trials: list[Trial],
    *,
    state: RunState = RunState.COMPLETE,
    attempts: int = 1,
    backend: str = "docker",
) -> None:
    """Write a run as it lies on disk."""
    tasks = tuple(sorted({one.task for one in trials}))
    suite = Suite(tasks=tasks, attempts=attempts, fingerprint="", backend=backend, model="openai/gpt-5-mini")
    run = Run(
        id="0001",
        kind=RunKind.SUITE,
        description="by hand",
        candidate="c0ffee" * 6,
        suite=suite,
        state=state,
        started_at=AT,
        finished_at=None if state is RunState.RUNNING else AT + timedelta(minutes=1),
    )
    folder = workspace / ".autoagent" / "runs" / run.id
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(run.model_dump_json(exclude={"trials"}), encoding="utf-8")
    for trial in trials:
        (folder / trial.id).mkdir()
        (folder / trial.id / "trial.json").write_text(trial.model_dump_json(), encoding="utf-8")
        trajectory = {
            "schema_version": "ATIF-v1.8",
            "agent": {"name": "a", "version": "1"},
            "steps": [{"step_id": 1, "source": "user", "message": "Do it."}],
        }
        (folder / trial.id / "trajectory.json").write_text(json.dumps(trajectory), encoding="utf-8")


def a_trial(task: str, attempt: int, reward: float | None, cause: FailureCause | None = None) -> Trial:
    return Trial(
        id=f"{task}__{attempt}",
        task=task,
        attempt=attempt,
        reward=reward,
        passed=reward == 1,
        rewards={} if reward is None else {"reward": reward},
        failure=Failure(cause=cause) if cause else None,
        started_at=AT,
        duration_sec=2.0,
    )


def test_several_attempts_give_pass_at_k_and_what_measured_nothing_is_in_no_number(tmp_path: Path) -> None:
    trials = [a_trial("one", number, float(number == 1)) for number in (1, 2, 3, 4)]
    trials += [a_trial("two", number, 1.0) for number in (1, 2, 3, 4)]
    trials.append(a_trial("two", 5, None, FailureCause.SANDBOX_LOST))
    write_run(tmp_path, trials, attempts=5)
    job = export(tmp_path)
    stats = read(job / "result.json")["stats"]
    (evals,) = stats["evals"].values()
    assert evals["metrics"] == [{"mean": 5 / 8}]
    assert evals["pass_at_k"] == {"2": pytest.approx((0.5 + 1) / 2), "4": 1.0}
    assert stats["n_pending_trials"] == 1
    assert read(job / "config.json")["environment"] == {"type": "docker"}


def test_a_failure_of_any_cause_is_exported(tmp_path: Path) -> None:
    write_run(tmp_path, [a_trial(cause.value, 1, None, cause) for cause in FailureCause], backend="bubblewrap")
    results = results_of(export(tmp_path))
    assert set(results) == {cause.value for cause in FailureCause}
    for name, result in results.items():
        assert (result["exception_info"]["exception_message"], result.get("verifier_result")) == (name, None)
        assert "agent_result" not in result


@pytest.mark.parametrize("state", [RunState.CANCELLED, RunState.INTERRUPTED, RunState.FAILED])
def test_a_run_that_was_cut_short_is_exported_as_far_as_it_came(tmp_path: Path, state: RunState) -> None:
    write_run(tmp_path, [a_trial("one", 1, 1.0)], state=state, attempts=3)
    stats = read(export(tmp_path) / "result.json")["stats"]
    assert (stats["n_completed_trials"], stats["n_pending_trials"]) == (1, 2)


def test_a_run_without_trials_is_an_empty_job(tmp_path: Path) -> None:
    write_run(tmp_path, [], state=RunState.FAILED)
    assert read(export(tmp_path) / "result.json")["stats"]["evals"] == {}


def test_a_task_that_stands_alone_belongs_to_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "autoagent.toml").write_text('tasks_dir = "one"\n', encoding="utf-8")
    write_tree(tmp_path / "one", make_task())
    write_run(tmp_path, [a_trial("one", 1, 1.0)])
    job = export(tmp_path)
    config = read(job / "config.json")
    assert (config["datasets"], config["tasks"]) == ([], [{"path": str(tmp_path / "one")}])
    assert list(read(job / "result.json")["stats"]["evals"]) == ["autoagent__gpt-5-mini__adhoc"]
    assert results_of(job)["one"]["task_id"] == {"path": str(tmp_path / "one")}


# What cannot be exported


def refusal(workspace: Path, run: str, folder: Path) -> str:
    done = autoagent("export", run, str(folder), folder=workspace)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("name", ["0002", "../runs/0001", ""])
def test_an_unknown_run_is_named_with_those_that_there_are(tmp_path: Path, name: str) -> None:
    write_run(tmp_path, [a_trial("one", 1, 1.0)])
    assert f"There is no run named {name!r}. The nearest are: 0001." in refusal(tmp_path, name, tmp_path / "job")


def test_a_run_that_goes_on_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, [a_trial("one", 1, 1.0)], state=RunState.RUNNING)
    assert "Run 0001 still goes on." in refusal(tmp_path, "0001", tmp_path / "job")


def test_a_run_whose_traces_are_gone_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path, [a_trial("one", 1, 1.0), a_trial("one", 2, 1.0)])
    (tmp_path / ".autoagent" / "runs" / "0001" / "one__2" / "trajectory.json").unlink()
    assert "1 of the 2 trials of run 0001 have no trace any more (one__2)" in refusal(
        tmp_path, "0001", tmp_path / "job"
    )


def test_an_existing_folder_is_left_as_it_is(tmp_path: Path) -> None:
    write_run(tmp_path, [a_trial("one", 1, 1.0)])
    (tmp_path / "job").mkdir()
    assert "exists already" in refusal(tmp_path, "0001", tmp_path / "job")
    assert list((tmp_path / "job").iterdir()) == []


def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_left_there(tmp_path: Path) -> None:
    write_run(tmp_path, [a_trial("one", 1, 1.0)])
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    assert "cannot be written" in refusal(tmp_path, "0001", tmp_path / "file" / "job")
    assert not [path for path in tmp_path.iterdir() if "job" in path.name]
