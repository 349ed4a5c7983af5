"""Process 1 of a bubblewrap sandbox cannot be reached by commands."""

from __future__ import annotations

import pytest

from autoagent_mcp.sandbox.base import Sandbox

ATTACKS = {
    "kill it": "for signal in 9 INT TERM STOP SEGV CHLD USR1; do kill -$signal 1; done; kill -9 -1",
    "read its memory": "head -c 10 /proc/1/mem; cat /proc/1/maps /proc/1/environ",
    "open its files": "for n in $(seq 0 20); do head -c 1 /proc/1/fd/$n; readlink /proc/1/fd/$n; done",
    "trace it": "python3 -c \"import ctypes; print('traced' * (ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0))\"",
    "take its files": (
        'python3 -c "import ctypes, os; f = os.pidfd_open(1);'
        "print('taken' * (ctypes.CDLL(None).syscall(438, f, 0, 0) >= 0))\""
    ),
    "limit its time": "prlimit --pid 1 --cpu=1:1 && echo limited",
    "limit its files": "prlimit --pid 1 --nofile=1:1 && echo limited",
    "make it slow": "renice -n 19 -p 1; renice -n 19 -u 0; chrt --idle --pid 0 1 && echo slow",
    "make its group slow": "echo 19 > /proc/1/autogroup && echo slow",
    "offer it to the memory killer": "echo 1000 > /proc/1/oom_score_adj && echo offered",
    "unmount what covers it": "umount /proc/1 /proc /.usr / && echo unmounted",
    "mount over it": "mount --bind /tmp /proc && echo mounted",
    "make namespaces": "for kind in user mount pid net; do unshare --$kind true && echo made; done",
    "raise the number of namespaces": "echo 10 > /proc/sys/user/max_user_namespaces && echo raised",
    "get capabilities": 'python3 -c "import os; os.setuid(0)"; grep CapEff /proc/self/status | grep -v 4fb',
    "find the upper layer": "ls /.usr/upper",
    "use keys, bpf, io_uring": (
        "python3 -c \"import ctypes; l = ctypes.CDLL(None); print('used' * any("
        'l.syscall(n, 0, 0, 0, 0, 0) >= 0 for n in (250, 321, 425, 323, 298, 447)))"'
    ),
}


@pytest.mark.parametrize("how", ATTACKS)
async def test_commands_cannot(sandbox: Sandbox, how: str) -> None:
    result = await sandbox.exec(ATTACKS[how], timeout_sec=10)
    assert result.stdout.strip() == ""
    assert (await sandbox.exec("echo alive", timeout_sec=10)).stdout == "alive\n"


async def test_commands_have_the_usual_capabilities_and_no_way_to_more(sandbox: Sandbox) -> None:
    result = await sandbox.exec("grep -E 'Cap(Prm|Eff|Bnd)|NoNewPrivs|Seccomp:' /proc/self/status | cut -f2")
    assert result.stdout.split() == ["00000000000004fb", "00000000000004fb", "00000000000004fb", "1", "2"]


async def test_commands_inherit_nothing_of_process_1(sandbox: Sandbox) -> None:
    result = await sandbox.exec("ls /proc/self/fd; ulimit -Sn; ulimit -c; trap")
    assert result.stdout.split() == ["0", "1", "2", "3", "1024", "0"]  # 3 is the folder that ls reads
    ignored = await sandbox.exec("grep -E 'Sig(Ign|Blk)' /proc/self/status | cut -f2")
    blocked_and_ignored = [int(word, 16) & 0x7FFFFFFF for word in ignored.stdout.split()]  # 32 and 33 are glibc's
    assert blocked_and_ignored == [0, 0]


async def test_code_that_commands_plant_does_not_run_in_process_1(sandbox: Sandbox) -> None:
    plant = 'echo \'open("/tmp/ran", "w")\' > {}'
    for place in ("/usr/lib/python3/dist-packages/sitecustomize.py", "/root/usercustomize.py", "/tmp/os.py"):  # noqa: S108
        await sandbox.exec(plant.format(place))
    await sandbox.exec("true", env={"PYTHONPATH": "/tmp", "PYTHONSTARTUP": "/tmp/os.py", "LD_PRELOAD": "/tmp/x.so"})  # noqa: S108
    await sandbox.get("/tmp")  # noqa: S108
    assert (await sandbox.exec("ls /tmp/ran")).stdout == ""
