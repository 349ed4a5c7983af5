"""`autoagent-mcp night`, as a process, with clients that are scripts: they stop, crash, meet limits and hang."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from support import night_client
from support.hooks import AUTOAGENT
from support.processes import until, with_argument
from support.workspaces import NO_MODEL, git, harness, make_workspace

from autoagent_mcp.models.night import Night
from autoagent_mcp.models.status import Status
from autoagent_mcp.night.command import next_time
from autoagent_mcp.workspace import Workspace

IDLE = harness("# idea\nasync def run_task(environment, instruction):\n    return 'nothing'")
QUICK = ("--retry-sec", "0", "--grace-sec", "0.3")


def night(workspace: Workspace, *words: str) -> subprocess.Popen[str]:
    command = [*AUTOAGENT, "--workspace", str(workspace.folder), "night", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8")


def spent(workspace: Workspace, script: str, *options: str) -> tuple[int, str, Night]:
    """Spend a night with a client that is a Python script; return its status, what it printed and its record."""
    process = night(workspace, *QUICK, *options, "--", sys.executable, "-c", script)
    told, _ = process.communicate(timeout=120)
    return process.returncode, told, record(workspace)


def record(workspace: Workspace) -> Night:
    (path,) = workspace.nights.glob("*/night.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    computed = {name: found.pop(name) for name in ("self_stops", "client_cost_usd")}
    read = Night.model_validate(found)
    assert computed == {"self_stops": read.self_stops, "client_cost_usd": read.client_cost_usd}
    return read


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path, agent=IDLE, settings=NO_MODEL.format(url="http://127.0.0.1:9"))


@pytest.mark.timeout(180)
def test_a_client_that_stops_is_started_again_until_the_budget_is_used_up(tmp_path: Path) -> None:
    settings = NO_MODEL.format(url="http://127.0.0.1:9") + "\n[budget]\nmax_experiments = 2\n"
    workspace = make_workspace(tmp_path, agent=IDLE, settings=settings)
    script = str(Path(night_client.__file__))
    process = night(
        workspace, "--retry-sec", "0", "--model", "stub-5", "--", sys.executable, script, str(tmp_path), "Go: {brief}"
    )
    told, _ = process.communicate(timeout=150)
    assert process.returncode == 0, told
    found = record(workspace)
    assert [session.ending for session in found.sessions] == ["stopped", "ended"]
    assert [session.experiments for session in found.sessions] == [1, 2]
    assert "max_experiments" in found.why
    assert (found.self_stops, found.client_cost_usd, found.meta_model) == (1, 1.0, "stub-5")
    assert "Experiments: 2 new, 2 in all." in told
    assert "$1.0000" in told
    assert len(git(tmp_path, "for-each-ref", "refs/autoagent/experiments").splitlines()) == 2
    assert "Go: You improve the harness" in (tmp_path / ".autoagent" / "ledger.sqlite3").read_bytes().decode("latin-1")
    assert not with_argument(str(tmp_path))


def test_a_client_that_crashes_at_once_is_given_up(workspace: Workspace) -> None:
    code, told, found = spent(workspace, "print('not logged in'); raise SystemExit(3)")
    assert code == 1
    assert "10 times in a row" in found.why
    assert "not logged in" in found.why
    assert {session.ending for session in found.sessions} == {"crashed"}
    assert "unknown" in told


def test_a_rate_limit_is_waited_out(workspace: Workspace) -> None:
    script = f"""
import json, pathlib, sys, time
state = pathlib.Path({str(workspace.state)!r})
ends = state / "ends"
if ends.exists():
    (state / "stop").touch()
else:
    ends.write_text(str(int(time.time()) + 1))  # five seconds are added to what is named
    sys.exit("Claude AI usage limit reached|" + ends.read_text())
"""
    code, _, found = spent(workspace, script)
    assert code == 0
    assert found.why == "A person said stop."
    assert [session.ending for session in found.sessions] == ["limited", "ended"]
    named = float((workspace.state / "ends").read_text(encoding="utf-8"))
    assert found.sessions[1].began_at.timestamp() >= named


def test_a_limit_that_lasts_longer_than_the_night_ends_it(workspace: Workspace) -> None:
    event = {
        "type": "rate_limit_event",
        "rate_limit_info": {"status": "rejected", "resetsAt": int(time.time()) + 90000},
    }
    code, told, found = spent(workspace, f"print('''{json.dumps(event)}''')", "--hours", "2")
    assert code == 0
    assert len(found.sessions) == 1
    assert "when the night is over" in told


STUBBORN = """
import pathlib, signal, subprocess, sys, time
if sys.argv[-1] == FOLDER:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pathlib.Path(FOLDER, "ready").touch()
else:
    subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[1], FOLDER], start_new_session=True)
time.sleep(600)
"""


def stubborn(workspace: Workspace) -> tuple[str, ...]:
    """Return a client that leaves a child behind, in a session of its own, which ends on no signal but SIGKILL."""
    script = STUBBORN.replace("FOLDER", repr(str(workspace.state)))
    return ("--", sys.executable, "-c", script, script)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_night_and_all_of_the_client(workspace: Workspace, number: signal.Signals) -> None:
    workspace.state.mkdir()
    process = night(workspace, *QUICK, *stubborn(workspace))
    await until((workspace.state / "ready").exists)
    other = night(workspace, *QUICK, "--", "true")
    assert "Another night goes on" in other.communicate(timeout=60)[0]
    process.send_signal(number)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, told
    assert f"{number.name} came." in told
    found = record(workspace)
    assert [session.ending for session in found.sessions] == ["ended"]
    assert with_argument(str(workspace.state)) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
async def test_a_night_that_is_killed_takes_its_client_along(workspace: Workspace) -> None:
    """It would work and spend past the hour."""
    workspace.state.mkdir()
    script = f"import pathlib, time; pathlib.Path({str(workspace.state)!r}, 'ready').touch(); time.sleep(600)"
    process = night(workspace, *QUICK, "--", sys.executable, "-c", script)
    await until((workspace.state / "ready").exists)
    process.kill()
    process.communicate(timeout=60)
    await until(lambda: not with_argument(str(workspace.state)))


def test_the_hour_ends_the_night(workspace: Workspace) -> None:
    workspace.state.mkdir()
    process = night(workspace, *QUICK, "--hours", "0.0006", *stubborn(workspace))
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert record(workspace).why == "The hour has come."
    assert with_argument(str(workspace.state)) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "needs either a client or a command"),
        (("--client", "claud-code"), "claude-code"),
        (("--until", "25:00", "--", "true"), "HH:MM"),
        (("--hours", "inf", "--", "true"), "8760"),
        (("--until", "07:00", "--hours", "1", "--", "true"), "Give one of them"),
        (("--", "no-such-client-anywhere"), "cannot be started"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(workspace: Workspace, words: tuple[str, ...], says: str) -> None:
    process = night(workspace, *words)
    told, _ = process.communicate(timeout=60)
    assert process.returncode in {1, 2}
    assert says in told
    assert "Traceback" not in told


def a_status() -> Status:
    """Return what a server wrote an hour ago."""
    return Status(
        server_pid=1,
        server_version="1",
        is_serving=False,
        is_looping=True,
        running="0001",
        experiments=4,
        incumbent=1,
        passed=1,
        trials=2,
        done="",
        next="Nothing.",
        spent_usd=None,
        updated_at=datetime.now(timezone.utc) - timedelta(hours=1),
    )


def test_an_end_that_was_said_before_the_night_does_not_end_it(workspace: Workspace) -> None:
    """The budget may have been raised since; the client's server will say what is so now."""
    workspace.state.mkdir()
    status = a_status().model_copy(update={"done": "The budget is used up."})
    workspace.status.write_text(status.model_dump_json(), encoding="utf-8")
    code, told, found = spent(workspace, f"import pathlib; pathlib.Path({str(workspace.stop)!r}).touch()")
    assert (code, found.why, len(found.sessions)) == (0, "A person said stop.", 1)
    assert "Experiments: 0 new, 4 in all." in told


FAILS = """
import datetime, json, pathlib
state = pathlib.Path(STATE)
status = json.loads((state / "status.json").read_bytes())
now = datetime.datetime.now(datetime.timezone.utc).isoformat()
(state / "status.json").write_text(json.dumps(status | {"updated_at": now}))
trial = state / "runs" / "0001" / "answer__1" / "trial.json"
if not trial.exists():
    trial.parent.mkdir(parents=True)
    trial.write_text("{}")
with (state / "starts").open("a+") as starts:
    starts.write("x")
    if starts.tell() > 15:
        (state / "stop").touch()
"""


def test_a_run_that_fails_before_its_first_trial_is_nothing_done(workspace: Workspace) -> None:
    workspace.state.mkdir()
    workspace.status.write_text(a_status().model_dump_json(), encoding="utf-8")
    code, _, found = spent(workspace, FAILS.replace("STATE", repr(str(workspace.state))))
    assert (code, len(found.sessions)) == (1, 11)
    assert "10 times in a row" in found.why


def test_a_night_whose_settings_cannot_be_used_does_not_begin(workspace: Workspace) -> None:
    (workspace.folder / "autoagent.toml").write_text("[run\n", encoding="utf-8")
    told, _ = night(workspace, "--", "true").communicate(timeout=60)
    assert "autoagent.toml is not valid TOML" in told
    assert not workspace.nights.exists()


HOSTILE = """
import json, pathlib, sys
state = pathlib.Path(STATE)
status = dict(version=1, server_pid=1, server_version="1", is_serving=True, is_looping=True, running=None, done="")
status |= dict(experiments=1, incumbent=None, passed=None, trials=None, spent_usd=None)
status["updated_at"] = "2026-01-01T00:00:00Z"
if (state / "status.json").exists():
    assert "\\0" not in sys.argv[-1] and len(sys.argv[-1]) < 100_000
    (state / "stop").touch()
else:
    (state / "status.json").write_text(json.dumps(status | UPDATE))
    sys.stdout.buffer.write(bytes(range(256)) * 1000)
    print(json.dumps({"type": ["result"], "usage": {"input_tokens": float("inf")}, "total_cost_usd": -5}))
    sys.exit("rate limit: try again in 99999999999999999999999999 days")
"""


@pytest.mark.parametrize(
    "update", ['{"next": "a\\0b"}', '{"next": "long " * 50_000}', '{"next": "x", "updated_at": "2026-01-01T00:00:00"}']
)
def test_a_client_that_writes_what_it_likes_does_not_end_the_night(workspace: Workspace, update: str) -> None:
    workspace.state.mkdir()
    script = HOSTILE.replace("STATE", repr(str(workspace.state))).replace("UPDATE", update)
    code, told, found = spent(workspace, script)
    assert (code, found.why) == (0, "A person said stop."), told
    assert [session.ending for session in found.sessions] == ["limited", "ended"]
    assert found.client_cost_usd is None
    assert told.replace("\n", "").isprintable()


def test_a_client_that_removes_the_nights_own_files_does_not_end_it(workspace: Workspace) -> None:
    """`git clean -fdx` does that."""
    script = f"""
import pathlib, shutil, sys
seen = pathlib.Path({str(workspace.folder)!r}, "seen")
state = pathlib.Path({str(workspace.state)!r})
if seen.exists():
    (state / "stop").touch()
else:
    seen.touch()
    shutil.rmtree(state)
"""
    code, told, found = spent(workspace, script)
    assert (code, found.why) == (0, "A person said stop."), told
    assert [session.ending for session in found.sessions] == ["stopped", "ended"]


def test_a_client_that_prints_without_end_does_not_fill_the_disk(workspace: Workspace) -> None:
    script = f"""
import json, os, pathlib, sys, time
pathlib.Path({str(workspace.stop)!r}).parent.mkdir(exist_ok=True)
os.truncate(1, 2**31)
while os.fstat(1).st_size:
    time.sleep(0.05)
print(json.dumps({{"type": "result", "total_cost_usd": 2}}), flush=True)
pathlib.Path({str(workspace.stop)!r}).touch()
"""
    code, told, found = spent(workspace, script)
    assert (code, found.client_cost_usd) == (0, 2.0), told


def test_a_night_that_was_to_outlive_its_terminal_does(workspace: Workspace) -> None:
    state = str(workspace.state)
    script = f"""
import os, pathlib, signal
ended = pathlib.Path({state!r}, "hung-up")
if ended.exists():
    pathlib.Path({state!r}, "stop").touch()
ended.touch()
os.kill(os.getppid(), signal.SIGHUP)
"""
    command = [*AUTOAGENT, "--workspace", str(workspace.folder), "night", *QUICK, "--", sys.executable, "-c", script]
    done = subprocess.run(["nohup", *command], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, record(workspace).why) == (0, "A person said stop."), done.stdout


@pytest.mark.parametrize(("day", "end"), [(24, "2026-10-25T06:30+00:00"), (25, "2026-10-26T06:30+00:00")])
def test_the_hour_is_that_of_the_clock_on_the_wall(day: int, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Europe/Berlin")  # whose clocks go back in the night to the 25th
        time.tzset()
        evening = datetime(2026, 10, day, 20, tzinfo=timezone.utc)
        assert next_time(7, 30, evening) == datetime.fromisoformat(end)
        assert next_time(23, 30, evening) - evening == timedelta(hours=1.5 if day == 24 else 2.5)
    time.tzset()


def test_after_a_persons_stop_no_night_begins(workspace: Workspace) -> None:
    workspace.state.mkdir()
    workspace.stop.touch()
    told, _ = night(workspace, "--", "true").communicate(timeout=60)
    assert "stop --undo" in told
    assert not workspace.nights.exists()


def test_a_night_until_an_hour_that_is_past_is_until_tomorrows(workspace: Workspace) -> None:
    now = datetime.now().astimezone()
    script = f"import pathlib; pathlib.Path({str(workspace.stop)!r}).touch()"
    code, _, found = spent(workspace, script, "--until", f"{now:%H:%M}")
    assert code == 0
    assert found.until is not None
    assert 0 < (found.until - found.began_at).total_seconds() <= 86400
