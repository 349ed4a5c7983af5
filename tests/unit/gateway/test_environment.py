"""The harness's way into its task's sandbox."""

from __future__ import annotations

from pathlib import Path

import anyio
from support.gateways import a_trial
from support.stub_upstream import StubUpstream

from autoagent_mcp.models.trial import FailureCause


async def test_a_command_runs_in_the_trials_sandbox_and_is_recorded(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial:
        command = {"command": "echo hi", "cwd": "/app", "env": {"A": "b"}, "timeout_sec": 5, "user": "root"}
        answer = await trial.http.post("/environment/exec", json=command)
        assert answer.json() == {"stdout": "hi\n", "stderr": "", "return_code": 0}
        assert trial.sandbox.commands == [command]
        (line,) = trial.execs
        assert (line.kind, line.command, line.cwd, line.user) == ("exec", "echo hi", "/app", "root")
        assert (line.return_code, line.stdout, line.timed_out, line.error) == (0, "hi\n", False, "")
        assert trial.session.commands == 1


async def test_a_command_without_a_limit_gets_none(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial:
        await trial.http.post("/environment/exec", json={"command": "echo hi"})
        assert trial.sandbox.commands[0]["timeout_sec"] is None


async def test_a_command_past_its_time_is_a_result(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial:
        answer = await trial.http.post("/environment/exec", json={"command": "slow", "timeout_sec": 1})
        assert answer.json() == {"stdout": "so far", "stderr": "", "return_code": 124, "timed_out": True}
        assert trial.execs[0].timed_out


async def test_much_output_reaches_the_harness_and_is_cut_in_the_record(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial:
        answer = await trial.http.post("/environment/exec", json={"command": "yes"})
        assert len(answer.json()["stdout"]) == 800_000
        assert len(trial.execs[0].stdout) < 100_100
        assert "700000 characters not recorded" in trial.execs[0].stdout


async def test_files_go_in_and_come_out(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial:
        into = await trial.http.put("/environment/upload", params={"path": "/app/a b"}, content=b"tar")
        out = await trial.http.get("/environment/download", params={"path": "/app/a b"})
        nothing = await trial.http.get("/environment/download", params={"path": "/nowhere"})
        assert (into.status_code, out.content, nothing.status_code) == (200, b"tar", 404)
        assert [(line.kind, line.command, line.size_bytes, line.error) for line in trial.execs] == [
            ("upload", "/app/a b", 3, ""),
            ("download", "/app/a b", 3, ""),
            ("download", "/nowhere", None, "there is nothing at '/nowhere'"),
        ]
        assert trial.session.commands == 0


async def test_a_lost_sandbox_is_not_the_harnesss_fault(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial:
        trial.sandbox.is_lost = True
        answer = await trial.http.post("/environment/exec", json={"command": "echo hi"})
        assert answer.status_code == 502
        assert answer.json() == {"error": "The sandbox is gone. Run the trial again."}
        assert trial.session.failure is not None
        assert trial.session.failure.cause is FailureCause.SANDBOX_LOST
        assert trial.execs[0].error == "The sandbox is gone. Run the trial again."


async def test_a_file_that_cannot_be_carried_buys_no_retry(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial:
        trial.sandbox.files["/big"] = bytes(65 * 1024 * 1024)
        answer = await trial.http.get("/environment/download", params={"path": "/big"})
        assert answer.status_code == 502
        assert trial.session.failure is None


async def test_a_user_that_the_backend_cannot_be_is_refused(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial:
        answer = await trial.http.post("/environment/exec", json={"command": "echo hi", "user": "agent"})
        assert answer.status_code == 400
        assert "no user 'agent'" in answer.json()["error"]
        assert trial.session.failure is None


async def test_what_is_no_command_is_refused(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial:
        for body in (b"", b"{}", b'{"command": 1}', b'{"command": "x", "timeout_sec": 0}', b'{"command": "x", "a": 1}'):
            answer = await trial.http.post("/environment/exec", content=body)
            assert answer.status_code == 400
            assert "not a command" in answer.json()["error"]
        too_large = await trial.http.post("/environment/exec", json={"command": "x" * 3_000_000})
        assert too_large.status_code == 413
        for path in ("", "a\0b", "x" * 5000):
            answer = await trial.http.get("/environment/download", params={"path": path})
            assert answer.status_code == 400
        assert trial.sandbox.commands == []


async def test_a_command_under_way_ends_with_the_session(stub: StubUpstream, tmp_path: Path) -> None:
    async with a_trial(stub, tmp_path) as trial, anyio.create_task_group() as group:

        async def sleep() -> None:
            answer = await trial.http.post("/environment/exec", json={"command": "sleep"})
            assert answer.status_code == 401

        group.start_soon(sleep)
        with anyio.fail_after(5):
            await trial.sandbox.started.wait()
            await trial.session.close()
        assert trial.execs[0].return_code is None
        assert trial.execs[0].error == "cut off"
