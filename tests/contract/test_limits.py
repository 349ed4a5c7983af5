"""Limits for the sandbox as a whole."""

from __future__ import annotations

import pytest

from autoagent_mcp.sandbox import archive
from autoagent_mcp.sandbox.base import Backend, Limits, Sandbox, SandboxSpec

MB = 1_000_000
HOLD = "import time; x = b'x' * {bytes}; print('held', flush=True); time.sleep(1000)"
GREEDY = {
    "one process": "x = bytearray(400_000_000); print(len(x))",
    "many processes": "import os, time; [os.fork() for _ in range(3)]; x = b'x' * 60_000_000; time.sleep(1000)",
    "shared between processes": "import mmap; m = mmap.mmap(-1, 400_000_000); m.write(bytes(400_000_000)); print(1)",
    "files in memory": "open('/tmp/a', 'wb').write(bytes(150_000_000)); x = b'x' * 150_000_000; print(1)",
    "files without a name": (
        "import os; f = os.memfd_create('x'); [os.write(f, bytes(1 << 20)) for _ in range(400)]; print(1)"
    ),
    "segments of System V": (
        "import ctypes; c = ctypes.CDLL(None); c.shmat.restype = ctypes.c_void_p;"
        "i = c.shmget(1, 400_000_000, 0o1600); a = c.shmat(i, None, 0); ctypes.memset(a, 1, 400_000_000); print(1)"
    ),
    "files in /dev/shm": "open('/dev/shm/a', 'wb').write(bytes(60_000_000)); x = b'x' * 190_000_000; print(1)",
    "many empty files": "import os; [os.close(os.open(f'/tmp/{i}', os.O_CREAT)) for i in range(300_000)]; print(1)",
}


IN_MEMORY = {"files in memory", "many empty files"}


def _greedy() -> list[object]:
    on_disk = pytest.mark.only_on("bubblewrap", "a container's files are on the disk")
    chosen = pytest.mark.only_on("bubblewrap", "the kernel chooses which process of a container it kills")
    marks = {**dict.fromkeys(IN_MEMORY, on_disk), "many processes": chosen}
    return [pytest.param(how, marks=marks[how]) if how in marks else how for how in GREEDY]


@pytest.mark.parametrize("how", _greedy())
async def test_past_the_memory_limit_commands_are_killed_and_the_next_one_works(
    backend: Backend, spec: SandboxSpec, how: str
) -> None:
    limits = Limits(memory_mb=200, storage_mb=180)
    async with backend.start(spec.model_copy(update={"limits": limits})) as sandbox:
        result = await sandbox.exec(f'python3 -c "{GREEDY[how]}"', timeout_sec=30)
        assert result.return_code == 137, result
        assert "200 MB of memory" in result.stderr
        assert result.stdout == ""
        await sandbox.exec("rm -rf /tmp/* /dev/shm/*; ipcrm --all")
        assert (await sandbox.exec("echo alive")).stdout == "alive\n"


async def test_within_the_memory_limit_nothing_is_killed(backend: Backend, spec: SandboxSpec) -> None:
    async with backend.start(spec.model_copy(update={"limits": Limits(memory_mb=300)})) as sandbox:
        # The same 150 MB in eight processes, shared after a fork.
        code = "import os, time; x = b'x' * 150_000_000; [os.fork() for _ in range(3)]; time.sleep(0.6); print(len(x))"
        result = await sandbox.exec(f'python3 -c "{code}"; sleep 0.6')
    assert result.stdout == "150000000\n" * 8
    assert result.stderr == ""


@pytest.mark.only_on("bubblewrap", "the kernel chooses which process of a container it kills")
async def test_memory_is_limited_also_for_what_a_command_left_running(backend: Backend, spec: SandboxSpec) -> None:
    async with backend.start(spec.model_copy(update={"limits": Limits(memory_mb=200)})) as sandbox:
        await sandbox.exec(
            f'python3 -c "{HOLD.format(bytes=150 * MB)}" > /tmp/out & until [ -s /tmp/out ]; do sleep 0.01; done'
        )
        result = await sandbox.exec(f'python3 -c "{HOLD.format(bytes=150 * MB)}"', timeout_sec=30)
        assert result.return_code == 137
        assert (await sandbox.exec("pgrep -fc time.sleep")).stdout == "0\n"


@pytest.mark.only_on("bubblewrap", "an engine limits no disk space on the usual overlay2, as under Harbor")
async def test_files_are_limited_wherever_they_lie(backend: Backend, spec: SandboxSpec) -> None:
    async with backend.start(spec.model_copy(update={"limits": Limits(storage_mb=20)})) as sandbox:
        for folder in ("/tmp", "/root", "/usr/local/bin", "/usr/bin", "/etc", "/var/log", "/new"):  # noqa: S108
            await sandbox.exec(f"mkdir -p {folder}")
            result = await sandbox.exec(f"head -c 30000000 /dev/zero > {folder}/big")
            assert "No space left" in result.stderr, folder
            await sandbox.exec(f"mv {folder}/big /keep 2> /dev/null; rm -f {folder}/big; truncate -s 9000000 /keep")
        result = await sandbox.exec(
            "head -c 12000000 /dev/zero > /tmp/a; head -c 12000000 /dev/zero > /usr/local/bin/b"
        )
        assert "No space left" in result.stderr


async def test_nothing_can_be_written_elsewhere(sandbox: Sandbox) -> None:
    result = await sandbox.exec("for f in /proc /proc/sys/kernel /sys; do echo x > $f/new && echo $f; done")
    assert result.stdout == ""


FORK = """
import os, sys, time
for made in range(int(sys.argv[1])):
    try:
        if os.fork() == 0:
            os.close(1)
            time.sleep(1000)
    except BlockingIOError:
        print(made)
        break
else:
    print("all")
"""


async def test_processes_are_limited_together(backend: Backend, spec: SandboxSpec) -> None:
    async with backend.start(spec.model_copy(update={"limits": Limits(processes=50)})) as sandbox:
        await sandbox.put(archive.pack_files({"fork.py": FORK.encode()}), "/tmp")  # noqa: S108
        assert (await sandbox.exec("python3 /tmp/fork.py 30")).stdout == "all\n"
        assert int((await sandbox.exec("python3 /tmp/fork.py 30")).stdout) < 20


async def test_one_sandboxs_processes_do_not_count_for_another(backend: Backend, spec: SandboxSpec) -> None:
    limited = spec.model_copy(update={"limits": Limits(processes=40)})
    async with backend.start(limited) as first, backend.start(limited) as second:
        for sandbox in (first, second):
            await sandbox.put(archive.pack_files({"fork.py": FORK.encode()}), "/tmp")  # noqa: S108
        assert int((await first.exec("python3 /tmp/fork.py 100")).stdout) > 30
        assert (await second.exec("python3 /tmp/fork.py 30")).stdout == "all\n"


async def test_limits_cannot_be_raised_from_inside(backend: Backend, spec: SandboxSpec) -> None:
    async with backend.start(spec.model_copy(update={"limits": Limits(processes=50)})) as sandbox:
        result = await sandbox.exec("ulimit -u 1000 || ulimit -Hu 1000; ulimit -u")
        assert result.stdout in {"50\n", "1000\n"}  # a container's count is its cgroup's
        assert int((await sandbox.exec(f"ulimit -u 1000; python3 -c '{FORK}' 100")).stdout) < 50
        assert (await sandbox.exec("unshare --user --map-root-user true")).return_code != 0
        assert (await sandbox.exec("mount -t tmpfs none /mnt")).return_code != 0
        assert (await sandbox.exec("mount -o remount,size=1G /")).return_code != 0
