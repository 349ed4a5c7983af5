"""Harbor itself, where the environment variable AUTOAGENT_HARBOR_PYTHON names a Python that has it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PYTHON = os.environ.get("AUTOAGENT_HARBOR_PYTHON", "")

needs_harbor = pytest.mark.skipif(
    not PYTHON, reason="AUTOAGENT_HARBOR_PYTHON names no Python with harbor 0.25 and openai-agents"
)


def run_harbor(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Harbor's Python with these arguments and return what it printed; it must succeed."""
    done = subprocess.run(
        [PYTHON, *words],
        cwd=folder,
        env={**os.environ, "HARBOR_TELEMETRY": "off", **environment},
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


READS = '''
"""Read a job with Harbor's own models, scanner, validator and viewer, and print each trial's row as JSON."""
import json, sys, warnings
from pathlib import Path

warnings.simplefilter("ignore")
from fastapi.testclient import TestClient
from harbor.models.job.lock import JobLock, TrialLock
from harbor.models.job.result import JobStats
from harbor.models.trial.artifact_manifest import ArtifactManifestEntry
from harbor.utils.pass_at_k import compute_pass_at_k_by_evals
from harbor.utils.trajectory_validator import TrajectoryValidator
from harbor.viewer.scanner import JobScanner
from harbor.viewer.server import create_app

job = Path(sys.argv[1])
scanner = JobScanner(job.parent)
assert scanner.get_job_config(job.name)
stats = scanner.get_job_result(job.name).stats
for path in job.glob("lock.json"):
    JobLock.model_validate_json(path.read_text())
trials = []
for name in scanner.list_trials(job.name):
    config, result = scanner.get_trial_config(job.name, name), scanner.get_trial_result(job.name, name)
    assert result and result.config == config and result.trial_name == config.trial_name == name
    trials.append(result)
for path in job.glob("*/lock.json"):
    TrialLock.model_validate_json(path.read_text())
for path in job.rglob("artifacts/manifest.json"):
    [ArtifactManifestEntry.model_validate(one) for one in json.loads(path.read_text())]
for path in job.rglob("trajectory.json"):
    validator = TrajectoryValidator()
    assert validator.validate(path), (path, validator.get_errors())

again = JobStats.from_trial_results(trials)
(key, ours), (its_key, its) = *stats.evals.items(), *again.evals.items()
assert key == its_key
assert (ours.n_trials, ours.n_errors) == (its.n_trials, its.n_errors)
assert ours.reward_stats == its.reward_stats and ours.exception_stats == its.exception_stats
assert stats.n_input_tokens == again.n_input_tokens and stats.n_cancelled_trials == again.n_cancelled_trials
if all(trial.reward_valid or not trial.exception_info for trial in trials):
    assert ours.pass_at_k == compute_pass_at_k_by_evals(trials).get(key, {})

with TestClient(create_app(job.parent)) as client:
    def get(path, **query):
        answer = client.get(f"/api/jobs{path}", params=query)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()
    assert [one for one in get("")["items"] if one["name"] == job.name]
    rows = get(f"/{job.name}/trials", page_size=100)["items"]
    for row in rows:
        place = f"/{job.name}/trials/{row['name']}"
        steps = [{"step": one["step_name"]} for one in get(place)["step_results"] or []]
        for query in [{}, *steps]:
            assert get(f"{place}/trajectory", **query)["steps"]
            for part in ("verifier-output", "files", "artifacts", "agent-logs"):
                get(f"{place}/{part}", **query)
print(json.dumps({row["task_name"]: [row["reward"], row["error_type"]] for row in rows}))
'''
