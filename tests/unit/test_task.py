"""Task folders as people write them, and as they get them wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from autoagent_mcp import task
from autoagent_mcp.errors import TaskError

GOOD: Mapping[str, str] = {
    "task.toml": 'schema_version = "1.4"\n',
    "instruction.md": "Count the lines.\n",
    "environment/Dockerfile": "FROM debian:bookworm-slim\n",
    "tests/test.sh": "#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n",
}


def make(folder: Path, *without: str, **files: str) -> Path:
    """Write a good task folder, with some files left out and others (`tests__test_sh` style paths) changed."""
    return write(folder, {name: text for name, text in GOOD.items() if name not in without} | files)


def write(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def with_toml(folder: Path, toml: str) -> Path:
    return make(folder, **{"task.toml": toml})


def test_a_good_folder_is_read_without_a_notice(tmp_path: Path) -> None:
    found = task.load(make(tmp_path / "count-lines"))
    assert found.name == "count-lines"
    assert found.instruction == "Count the lines.\n"
    assert found.config.verifier.timeout_sec == 600
    assert found.notices == ()


EVERY_KEY = """
schema_version = "1.4"
source = "a benchmark"
artifacts = ["/app/out", {source = "/var/log", destination = "logs", exclude = ["*.gz"], service = "main"}]
multi_step_reward_strategy = "final"

[task]
name = "org/count-lines"
version = "1"
description = "Counts."
authors = [{name = "A", email = "a@example.org"}]
keywords = ["text"]

[metadata]
anything = {goes = ["here"]}

[agent]
timeout_sec = 30
user = "root"
network_mode = "allowlist"
allowed_hosts = ["Example.org.", "*.example.org", "192.0.2.0/24", "2001:DB8::1"]

[verifier]
timeout_sec = 20.5
env = {A = "1"}
user = 0
network_mode = "no-network"
environment_mode = "separate"
[verifier.environment]
docker_image = "debian"
[[verifier.collect]]
command = "dump"
service = "db"
timeout_sec = 5
user = "root"

[solution]
env = {B = "2"}

[environment]
build_timeout_sec = 60
docker_image = "debian"
os = "Linux"
cpus = 1.5
memory_mb = 512
storage_mb = 100
gpus = 1
gpu_types = ["H100"]
network_mode = "no-network"
env = {C = "3"}
skills_dir = "/skills"
workdir = "/app"
[environment.tpu]
type = "v6e"
topology = "2x4"
[[environment.mcp_servers]]
name = "remote"
transport = "http"
url = "http://localhost:1/mcp"
headers = {X = "y"}
[[environment.mcp_servers]]
name = "near"
transport = "stdio"
command = "serve"
args = ["--now"]
[environment.healthcheck]
command = "true"
interval_sec = 1
timeout_sec = 2
start_period_sec = 3
start_interval_sec = 4
retries = 5

[[steps]]
name = "first"
min_reward = 0.5
artifacts = ["/a"]
[steps.agent]
timeout_sec = 10
[steps.verifier]
timeout_sec = 10
[steps.healthcheck]
command = "true"
[[steps]]
name = "second"
min_reward = {reward = 1.0}
"""


def test_every_key_of_schema_1_4_is_read(tmp_path: Path) -> None:
    folder = with_toml(tmp_path / "every-key", EVERY_KEY)
    write(folder, {"steps/first/instruction.md": "One.", "steps/second/instruction.md": "Two."})
    found = task.load(folder)
    assert found.notices == ()
    assert found.instruction == "One.\n\nTwo."
    assert [step.name for step in found.config.steps] == ["first", "second"]
    assert found.config.agent.allowed_hosts == ("example.org", "*.example.org", "192.0.2.0/24", "2001:db8::1")
    assert found.config.environment.os == "linux"
    assert found.config.environment.mcp_servers[0].transport == "streamable-http"
    assert found.config.verifier.is_separate


def test_a_misspelt_key_is_reported_with_the_nearest_known_one(tmp_path: Path) -> None:
    toml = '[agent]\ntimout_sec = 3\n[enviroment]\ncpus = 1\n[[steps]]\nname = "a"\n[steps.verifier]\nbanana = 1\n'
    folder = write(with_toml(tmp_path / "typo", toml), {"steps/a/instruction.md": "One."})
    assert task.load(folder).notices == (
        "task.toml: agent.timout_sec is not known and has no effect. Did you mean timeout_sec?",
        "task.toml: enviroment is not known and has no effect. Did you mean environment?",
        "task.toml: steps[1].verifier.banana is not known and has no effect.",
    )


def test_legacy_keys_work_and_are_named(tmp_path: Path) -> None:
    toml = 'version = "1.0"\n[environment]\nmemory = "2G"\nstorage = "512m"\nallow_internet = false\n'
    found = task.load(with_toml(tmp_path / "old", toml))
    assert found.config.schema_version == "1.0"
    assert (found.config.environment.memory_mb, found.config.environment.storage_mb) == (2048, 512)
    assert found.config.environment.network_mode == "no-network"
    assert found.notices == (
        "task.toml: version is the old name of schema_version.",
        "task.toml: environment.memory is the old name of memory_mb.",
        "task.toml: environment.storage is the old name of storage_mb.",
        "task.toml: environment.allow_internet is the old name of network_mode.",
    )


def test_allow_internet_gives_way_to_the_new_keys(tmp_path: Path) -> None:
    toml = '[environment]\nallow_internet = false\nnetwork_mode = "public"\n'
    assert task.load(with_toml(tmp_path / "both", toml)).config.environment.network_mode == "public"


def test_autoagents_own_habits_are_named(tmp_path: Path) -> None:
    script = "#!/bin/bash\necho 1 > /logs/reward.txt\n"
    folder = make(tmp_path / "habits", **{"files/data.csv": "a,b\n", "tests/test.sh": script})
    notices = task.load(folder).notices
    assert len(notices) == 2
    assert "/task/files" in notices[0]
    assert "/logs/reward.txt" in notices[1]


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("task.toml", "has no task.toml"),
        ("instruction.md", "has no instruction.md"),
        ("tests/test.sh", "has no tests/test.sh"),
        ("environment/Dockerfile", "neither a folder environment/ nor environment.docker_image"),
    ],
)
def test_a_folder_that_lacks_a_part_is_refused_by_its_name(tmp_path: Path, missing: str, said: str) -> None:
    with pytest.raises(TaskError, match=said) as caught:
        task.load(make(tmp_path / "incomplete", missing))
    assert "incomplete" in caught.value.problem
    assert caught.value.hint


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[agent\n", "not valid TOML"),
        ("a = " + "[" * 5000, "not valid TOML"),
        ('[agent]\ntimeout_sec = "long"\n', "agent.timeout_sec: Input should be a valid number"),
        ("[agent]\ntimeout_sec = nan\n", "agent.timeout_sec"),
        ("[verifier]\ntimeout_sec = 0\n", "verifier.timeout_sec"),
        ("version = 1.0\n", "schema_version"),
        ("agent = 3\n", "agent: "),
        ('[task]\nname = "no-org"\n', "task.name"),
        ('[task]\nname = "org/a..b"\n', r"must not contain '\.\.'"),
        ('[environment]\nmemory = "much"\n', "must be a size"),
        ('[environment]\nmemory = "2G"\nmemory_mb = 1\n', "contradicts memory_mb = 1"),
        ('[environment]\nallow_internet = "no"\n', "must be true or false"),
        ("[environment]\ncpus = inf\n", "is not finite"),
        ('[environment]\nos = "plan9"\n', "environment.os"),
        ('[environment]\nallowed_hosts = ["a.org"]\n', "only allowed with network_mode = 'allowlist'"),
        ("[agent]\nallowed_hosts = []\n", "only allowed with network_mode = 'allowlist'"),
        ('[agent]\nnetwork_mode = "allowlist"\nallowed_hosts = ["https://a.org/"]\n', "no URL or path"),
        ('[agent]\nnetwork_mode = "allowlist"\nallowed_hosts = ["a.org:80"]\n', "is no host"),
        ('[agent]\nnetwork_mode = "allowlist"\nallowed_hosts = ["a.*.org"]\n', "is no host"),
        ('[agent]\nnetwork_mode = "allowlist"\nallowed_hosts = ["*.1.2.3.4"]\n', "is no host"),
        ('[agent]\nnetwork_mode = "allowlist"\nallowed_hosts = ["10.0.0.1/8"]\n', "no strict CIDR"),
        ('[verifier]\nenvironment_mode = "shared"\n[verifier.environment]\ncpus = 1\n', "cannot have"),
        ('artifacts = ["/a/../b"]\n', r"must not contain '\.\.'"),
        ('artifacts = [{source = "/a", destination = "/etc"}]\n', "must be a relative path"),
        ('artifacts = [{source = "/a", destination = "manifest.json"}]\n', "must be a relative path"),
        ('[[steps]]\nname = "A"\n[[steps]]\nname = "a"\n', "must differ"),
        ('[[steps]]\nname = "../up"\n', "is not a folder name"),
        ('[[environment.mcp_servers]]\nname = "a"\n', "needs `url`"),
        ('[[environment.mcp_servers]]\nname = "a"\ntransport = "stdio"\n', "needs `command`"),
    ],
)
def test_what_harbor_would_refuse_is_refused_with_its_place(tmp_path: Path, toml: str, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        task.load(with_toml(tmp_path / "bad", toml))


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    folder = make(tmp_path / "latin")
    (folder / "instruction.md").write_bytes(b"Z\xe4hle.")
    with pytest.raises(TaskError, match=r"latin/instruction.md is not UTF-8: .* at byte 1"):
        task.load(folder)


@pytest.mark.parametrize("place", ["tests/secret", "environment/secret", "files/deep/secret", "README.md", "solution"])
def test_a_link_that_leads_out_of_the_task_is_refused(tmp_path: Path, place: str) -> None:
    folder = make(tmp_path / "links")
    (tmp_path / "outside").mkdir()
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    (folder / place).symlink_to(tmp_path / "outside")
    with pytest.raises(TaskError, match=f"links/{place} is a link that leads out of the task"):
        task.load(folder)


def test_a_link_inside_the_task_is_fine_and_a_loop_is_an_error(tmp_path: Path) -> None:
    folder = make(tmp_path / "links")
    (folder / "tests" / "again.sh").symlink_to("test.sh")
    task.load(folder)
    (folder / "tests" / "loop").symlink_to("loop")
    with pytest.raises(TaskError, match=r"loop"):
        task.load(folder)


def test_a_task_of_several_steps_needs_each_steps_parts(tmp_path: Path) -> None:
    toml = '[[steps]]\nname = "one"\n'
    folder = with_toml(tmp_path / "steps", toml)
    with pytest.raises(TaskError, match=r"has no steps/one/instruction.md"):
        task.load(folder)
    write(folder, {"steps/one/instruction.md": "Do."})
    assert task.load(folder).config.steps[0].name == "one"
    (folder / "tests" / "test.sh").unlink()
    with pytest.raises(TaskError, match=r"has no tests/test.sh"):
        task.load(folder)


def test_a_verifier_with_an_image_of_its_own_brings_its_tests(tmp_path: Path) -> None:
    toml = '[verifier]\nenvironment_mode = "separate"\n'
    folder = make(tmp_path / "separate", "tests/test.sh", **{"task.toml": toml})
    with pytest.raises(TaskError, match=r"has no tests/test.sh"):
        task.load(folder)
    write(folder, {"tests/Dockerfile": "FROM scratch"})
    assert task.load(folder).config.verifier.is_separate


def test_leading_canary_lines_are_not_shown_to_the_agent(tmp_path: Path) -> None:
    text = "<!-- harbor-canary GUID 1 -->\n# CANARY two\n\n\nDo it.\n# a canary further down stays\n"
    found = task.load(make(tmp_path / "canary", **{"instruction.md": text}))
    assert found.instruction == "Do it.\n# a canary further down stays\n"


def test_the_digest_is_harbors_and_changes_with_each_part(tmp_path: Path) -> None:
    folder = make(tmp_path / "digest")
    lines = "".join(f"{name}\0{hashlib.sha256(GOOD[name].encode()).hexdigest()}\n" for name in sorted(GOOD))
    expected = f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
    assert task.load(folder).digest == expected
    write(folder, {"tests/__pycache__/x.pyc": "junk", "notes.txt": "beside", "tests/a.swp": "junk"})
    assert task.load(folder).digest == expected
    seen = {expected}
    for place in ("README.md", "solution/solve.sh", "environment/data.csv", "files/data.csv", "tests/extra"):
        write(folder, {place: "new"})
        seen.add(task.load(folder).digest)
    assert len(seen) == 6


def test_one_bad_folder_never_hides_the_rest(tmp_path: Path) -> None:
    make(tmp_path / "b-good")
    make(tmp_path / "a-good")
    (tmp_path / "empty").mkdir()
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    with_toml(tmp_path / "broken", "= 3")
    (tmp_path / ".git").mkdir()
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "README.md").write_text("about", encoding="utf-8")
    tasks, excluded = task.load_all(tmp_path)
    assert [one.name for one in tasks] == ["a-good", "b-good"]
    assert [one.task for one in excluded] == ["broken", "empty", "nowhere"]
    assert "not valid TOML" in excluded[0].reasons[0]
    assert "has no task.toml" in excluded[1].reasons[0]


def test_a_missing_tasks_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="There is no folder 'tasks'"):
        task.load_all(tmp_path / "tasks")


def test_env_values_come_from_the_servers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAGENT_TEST_SET", "value")
    monkeypatch.delenv("AUTOAGENT_TEST_UNSET", raising=False)
    env = {
        "A": "plain",
        "B": "${AUTOAGENT_TEST_SET}",
        "C": "${AUTOAGENT_TEST_UNSET:-default}",
        "D": "${AUTOAGENT_TEST_UNSET:-}",
        "E": "x${AUTOAGENT_TEST_SET}",
        "F": "${AUTOAGENT_TEST_SET:-default}",
    }
    assert task.resolve_env(env) == {
        "A": "plain",
        "B": "value",
        "C": "default",
        "D": "",
        "E": "x${AUTOAGENT_TEST_SET}",
        "F": "value",
    }
    with pytest.raises(TaskError, match="needs the variable AUTOAGENT_TEST_UNSET"):
        task.resolve_env({"A": "${AUTOAGENT_TEST_UNSET}"})
