"""Running commands."""

from __future__ import annotations

import anyio
import pytest

from autoagent_mcp.errors import SandboxRefused
from autoagent_mcp.sandbox.base import OUTPUT_LIMIT_BYTES, Backend, ExecResult, Sandbox, SandboxSpec


async def test_a_command_gives_its_output_and_its_errors_apart_and_its_status(sandbox: Sandbox) -> None:
    result = await sandbox.exec("echo out; echo err >&2; exit 3")
    assert result == ExecResult(stdout="out\n", stderr="err\n", return_code=3)


async def test_a_command_that_a_signal_ends_gives_128_and_the_signal(sandbox: Sandbox) -> None:
    result = await sandbox.exec("kill -TERM $$")
    assert result.return_code == 128 + 15


async def test_a_command_runs_in_the_sandboxs_folder_unless_told_another(backend: Backend, spec: SandboxSpec) -> None:
    async with backend.start(spec.model_copy(update={"workdir": "/app/deep"})) as sandbox:
        assert (await sandbox.exec("pwd")).stdout == "/app/deep\n"
        assert (await sandbox.exec("pwd", cwd="/tmp")).stdout == "/tmp\n"  # noqa: S108
        assert (await sandbox.exec("mkdir sub && cd sub && pwd")).stdout == "/app/deep/sub\n"
        assert (await sandbox.exec("pwd", cwd="sub")).stdout == "/app/deep/sub\n"


async def test_a_folder_that_does_not_exist_is_the_commands_failure(sandbox: Sandbox) -> None:
    result = await sandbox.exec("true", cwd="/does/not/exist")
    assert result.return_code == 126
    assert "/does/not/exist" in result.stderr


async def test_variables_come_from_the_image_the_sandbox_and_the_command_in_that_order(
    backend: Backend, spec: SandboxSpec
) -> None:
    spec = spec.model_copy(update={"env": {"LANG": "sandbox", "B": "sandbox", "C": "sandbox"}})
    async with backend.start(spec) as sandbox:
        result = await sandbox.exec('echo "$PATH $LANG $B $C"', env={"C": "a command's, with = and\nmore"})
    assert result.stdout.split(" ", 1)[0].endswith("bin")
    assert result.stdout.split(" ", 1)[1] == "sandbox sandbox a command's, with = and\nmore\n"


async def test_the_servers_variables_are_not_seen(
    monkeypatch: pytest.MonkeyPatch, backend: Backend, spec: SandboxSpec
) -> None:
    monkeypatch.setenv("AUTOAGENT_TEST_SECRET", "sk-secret")
    async with backend.start(spec) as sandbox:
        result = await sandbox.exec("env; cat /proc/*/environ")
    assert "sk-secret" not in result.stdout


async def test_nothing_is_at_stdin(sandbox: Sandbox) -> None:
    assert (await sandbox.exec("cat; echo done")).stdout == "done\n"


async def test_output_beyond_the_limit_is_cut_in_the_middle_with_a_note(sandbox: Sandbox) -> None:
    result = await sandbox.exec("echo first; head -c 30000000 /dev/zero | tr '\\0' x; echo last")
    assert result.stdout.startswith("first\nxxx")
    assert result.stdout.endswith("xxx" + "last\n")
    assert f"[... {30_000_000 + 11 - OUTPUT_LIMIT_BYTES} bytes are left out here ...]" in result.stdout
    assert len(result.stdout) < OUTPUT_LIMIT_BYTES + 100


async def test_output_just_within_the_limit_is_whole(sandbox: Sandbox) -> None:
    result = await sandbox.exec(f"head -c {OUTPUT_LIMIT_BYTES} /dev/zero | tr '\\0' x")
    assert result.stdout == "x" * OUTPUT_LIMIT_BYTES


async def test_output_that_is_no_text_is_shown_with_replacements(sandbox: Sandbox) -> None:
    assert (await sandbox.exec("printf 'a\\xffb'")).stdout == "a\N{REPLACEMENT CHARACTER}b"


async def test_commands_of_one_sandbox_run_side_by_side(sandbox: Sandbox) -> None:
    async def meet(mine: str, other: str) -> None:
        result = await sandbox.exec(
            f"touch /tmp/{mine}; until [ -e /tmp/{other} ]; do sleep 0.01; done", timeout_sec=20
        )
        assert result.return_code == 0

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(meet, str(number), str((number + 1) % 8))


async def test_root_may_be_named(sandbox: Sandbox) -> None:
    for user in (None, "root", 0):
        assert (await sandbox.exec("id -u", user=user)).stdout == "0\n"


async def test_a_user_whom_the_sandbox_does_not_have_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxRefused, match="'postgres'"):
        await sandbox.exec("true", user="postgres")


@pytest.mark.only_on("docker", "a bubblewrap sandbox has one user")
async def test_users_are_known_by_name_and_by_number(backend: Backend, spec: SandboxSpec) -> None:
    async with backend.start(spec.model_copy(update={"user": "daemon"})) as sandbox:
        assert (await sandbox.exec("id -un")).stdout == "daemon\n"
        assert (await sandbox.exec("id -un", user="nobody")).stdout == "nobody\n"
        assert (await sandbox.exec("id -u; sleep 1000", user=4321, timeout_sec=1)).stdout == "4321\n"


async def test_a_command_with_a_nul_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxRefused, match="NUL"):
        await sandbox.exec("echo \0")


async def test_a_command_too_long_for_the_system_is_the_commands_failure(sandbox: Sandbox) -> None:
    result = await sandbox.exec("true " + "x" * 3_000_000)
    assert result.return_code != 0
    assert "too long" in result.stderr
    assert (await sandbox.exec("echo alive")).stdout == "alive\n"


async def test_python3_and_the_usual_programs_are_there(sandbox: Sandbox) -> None:
    result = await sandbox.exec(
        "python3 -c 'import ssl, sqlite3, json; print(1)' && python -c 'print(2)' && grep --version"
    )
    assert result.return_code == 0, result.stderr


async def test_root_may_write_where_programs_are_installed(sandbox: Sandbox) -> None:
    script = "printf '#!/bin/sh\\necho mine\\n' > $0 && chmod +x $0"
    for path in ("/usr/local/bin/mine", "/usr/bin/mine2", "/opt/mine3", "/etc/mine4", "/root/mine5", "/srv/mine6"):
        assert (await sandbox.exec(f"set -- {path}; {script.replace('$0', '$1')} && {path}")).stdout == "mine\n"
