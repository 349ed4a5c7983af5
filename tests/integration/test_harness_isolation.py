"""What a trial's harness can see and reach: nothing but its own trial. Attacks 6 to 12 and 14."""

from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from support.harnesses import Trials, agent, image_env, processes, trials
from support.processes import until

from autoagent_mcp.harness.process import HarnessEnd
from autoagent_mcp.sandbox.base import Backend

LOOK = """
    import os
    def look(function, *args):
        try:
            return function(*args)
        except OSError as error:
            return error.strerror
"""


async def told(body: str, folder: Path, backend: Backend, *, top: str = "") -> Any:  # noqa: ANN401 - what a literal may be
    """Return what run_task evaluates to."""
    async with trials(agent(LOOK + body, top=top), folder, backend) as harness:
        end = await harness.run()
    assert end.how == "returned", end
    return ast.literal_eval(end.detail)


async def test_no_file_of_the_server_is_there(tmp_path: Path, backend: Backend) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key")
    body = f"""
    paths = ["/task", "/tests", "/solution", "/logs", "/var/run/docker.sock", {str(secret)!r},
        {str(Path(__file__).parents[2])!r}, {str(Path.home() / ".cache")!r}]
    return repr(([path for path in paths if os.path.exists(path)], os.listdir("/proc")))
"""
    assert await told(body, tmp_path, backend) == ([], [])


@pytest.mark.only_on("bubblewrap", "a container's root is its image's")
async def test_nothing_is_there_but_programs_and_libraries(tmp_path: Path, backend: Backend) -> None:
    body = """
    paths = ["/root", "/home", "/work", "/var", "/opt", "/etc/shadow", "/etc/ssh", "/sys", "/run"]
    found = [path for path in paths if os.path.exists(path)]
    files = [os.path.join(folder, name) for path in found for folder, _, names in os.walk(path) for name in names]
    return repr([name for name in files if not name.startswith(("/opt/python", "/opt/harness"))])
"""
    assert await told(body, tmp_path, backend) == []


async def test_no_key_is_in_its_environment(tmp_path: Path, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-server")
    environ = await told("    return repr(dict(os.environ))", tmp_path, backend)
    assert environ.pop("OPENAI_API_KEY") == environ.pop("ANTHROPIC_API_KEY") == "token-of-trial"
    assert environ.pop("OPENAI_BASE_URL") == "http://127.0.0.1:4000/openai/v1"
    assert environ.pop("ANTHROPIC_BASE_URL") == "http://127.0.0.1:4000/anthropic"
    assert "sk-of-the-server" not in environ.values()
    of_the_image: set[str] = {"HOSTNAME", *image_env()} if backend.name == "docker" else set()
    assert set(environ) - of_the_image <= {
        "HOME",
        "LANG",
        "LC_CTYPE",
        "OPENAI_AGENTS_DISABLE_TRACING",
        "PATH",
        "PWD",
        "PYTHONPATH",
        "USER",
    }


async def test_nothing_can_be_reached_but_the_gateway(tmp_path: Path, backend: Backend) -> None:
    body = """
    import socket
    def connect(address, port):
        socket.create_connection((address, port), 2).close()
        return "connected"
    gateway_port = int(instruction)
    places = [("8.8.8.8", 53), ("169.254.169.254", 80), ("127.0.0.1", gateway_port), ("127.0.0.1", 22)]
    answers = [look(connect, *place) for place in places]
    return repr((answers, look(connect, "127.0.0.1", 4000), [name for _, name in socket.if_nameindex()]))
"""
    async with trials(agent(LOOK + body), tmp_path, backend) as harness:
        end = await harness.run(str(harness.gateway.port))
    refused, gateway, interfaces = ast.literal_eval(end.detail)
    assert refused == ["Network is unreachable"] * 2 + ["Connection refused"] * 2
    assert gateway == "connected"
    assert interfaces == ["lo"]


async def test_nothing_can_be_written_but_its_own_temporary_folders(tmp_path: Path, backend: Backend) -> None:
    body = """
    def write(path):
        with open(path, "w") as file:
            file.write("x")
        os.unlink(path)
        return "written"
    folders = ["/", "/harness", "/harness/workspace", "/harness/lib", "/usr", "/etc", "/dev", "/proc", "/opt", "/tmp",
        "/dev/shm"]
    return repr({folder: look(write, folder + "/x") for folder in folders})
"""
    answers = await told(body, tmp_path, backend)
    assert {folder for folder, answer in answers.items() if answer == "written"} == {"/tmp", "/dev/shm"}  # noqa: S108


async def test_what_covers_the_processes_cannot_be_taken_away(tmp_path: Path, backend: Backend) -> None:
    body = """
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    def take_away(path):
        return "gone" if libc.umount2(path, 2) == 0 else os.strerror(ctypes.get_errno())
    before = take_away(b"/proc")
    inside = libc.unshare(0x10020000)  # user and mount namespaces of its own making
    return repr((before, inside, take_away(b"/proc"), take_away(b"/tmp"), os.listdir("/proc")))
"""
    before, inside, proc, tmp, seen = await told(body, tmp_path, backend)
    assert before == "Operation not permitted"
    assert inside == -1
    assert "gone" not in {proc, tmp}
    assert seen == []


async def live_pair(harness: Trials, look: str) -> HarnessEnd:
    """Run one trial that holds a secret while another looks for it."""
    ends: list[HarnessEnd] = []
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: harness.run("hold", trial="holder"))
        await anyio.to_thread.run_sync(harness.gateway.wait_for, "hold")
        ends.append(await harness.run(look, trial="looker"))
        harness.gateway.release.set()
    return ends[0]


async def test_a_sibling_is_neither_seen_nor_read_nor_signalled(tmp_path: Path, backend: Backend) -> None:
    body = (
        LOOK
        + """
    import ctypes, glob
    if instruction == "hold":
        open("/tmp/secret", "w").write("s")
        open("/dev/shm/secret", "w").write("s")
        await environment.exec("hold")
        return "held"
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(8)
    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
    here = there = Vector(ctypes.cast(buffer, ctypes.c_void_p), 8)
    def reach(pid):
        read = libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
        trace = libc.ptrace(16, pid, 0, 0)
        seen = look(os.kill, pid, 0) is None or look(os.pidfd_open, pid) != "No such process"
        return read != -1 or trace == 0 or seen
    own = {os.getpid(), 1}
    return repr((
        [pid for pid in range(2, 3000) if pid not in own and reach(pid)],
        glob.glob("/tmp/*") + glob.glob("/dev/shm/*") + glob.glob("/proc/*"),
        os.getppid(),
    ))
"""
    )
    async with trials(agent(body), tmp_path, backend) as harness:
        end = await live_pair(harness, "look")
    assert ast.literal_eval(end.detail) == ([], [], 1)


async def test_two_siblings_cannot_meet_on_the_loopback_or_in_ipc(tmp_path: Path, backend: Backend) -> None:
    body = (
        LOOK
        + """
    import ctypes, socket
    libc = ctypes.CDLL(None, use_errno=True)
    if instruction == "hold":
        meeting = socket.create_server(("127.0.0.1", 5000))
        abstract = socket.socket(socket.AF_UNIX)
        abstract.bind("\\0meeting")
        abstract.listen()
        assert libc.shmget(77, 4096, 0o1666) != -1
        await environment.exec("hold")
        return "held"
    def unix():
        socket.socket(socket.AF_UNIX).connect("\\0meeting")
    return repr((
        look(socket.create_connection, ("127.0.0.1", 5000)),
        look(unix),
        libc.shmget(77, 4096, 0),
    ))
"""
    )
    async with trials(agent(body), tmp_path, backend) as harness:
        end = await live_pair(harness, "look")
    assert ast.literal_eval(end.detail) == ("Connection refused", "Connection refused", -1)


async def test_a_daemon_is_gone_when_its_trial_ends(tmp_path: Path, backend: Backend) -> None:
    marker = f"98765{os.getpid()}"
    body = f"""
    import os, subprocess
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "{marker}"])
        os._exit(0)
    subprocess.Popen(["sleep", "{marker}"], start_new_session=True)
    await environment.exec("hold")
"""

    async with trials(agent(body), tmp_path, backend) as harness:
        async with anyio.create_task_group() as group:
            group.start_soon(harness.run)
            await anyio.to_thread.run_sync(harness.gateway.wait_for, "hold")
            await until(lambda: len(processes(marker)) == 2)
            harness.gateway.release.set()
        assert processes(marker) == []


COUNT = "global seen\nseen += 1\nreturn str(seen)"


async def test_nothing_carries_over_from_one_trial_to_the_next(tmp_path: Path, backend: Backend) -> None:
    async with trials(agent(COUNT, top="seen = 0"), tmp_path, backend) as harness:
        assert harness.harness.notices == ()
        assert [(await harness.run(trial=name)).detail for name in ("one", "two")] == ["1", "1"]


@pytest.mark.parametrize(
    ("top", "notice"),
    [
        ("import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()", "a thread"),
        ("import mmap\nshared = mmap.mmap(-1, 4096)", "shared memory"),
        ("import os\nfile = os.memfd_create('x')", "an open file"),
        ("import os\npipe = os.pipe()", "an open file"),
        ("import socket\npair = socket.socketpair()", "an open file"),
        ("import subprocess\nsubprocess.Popen(['sleep', '1000'])", "a process"),
        ("import os, time\nif os.fork() == 0:\n    time.sleep(1000)", "a process"),
        (
            (
                "import mmap, os, ctypes\nfile = os.open('/tmp/x', os.O_RDWR | os.O_CREAT)\nos.ftruncate(file, 4096)\n"
                "shared = mmap.mmap(file, 4096, prot=mmap.PROT_READ)\nos.close(file)"
            ),
            "shared memory",
        ),
    ],
    ids=["thread", "shared mmap", "memfd", "pipe", "socketpair", "process", "fork", "shared file mapped to read"],
)
async def test_what_an_import_leaves_behind_makes_each_trial_import_by_itself(
    top: str, notice: str, tmp_path: Path, backend: Backend
) -> None:
    async with trials(agent(COUNT, top=f"{top}\nseen = 0"), tmp_path, backend) as harness:
        assert len(harness.harness.notices) == 1
        assert notice in harness.harness.notices[0]
        assert [(await harness.run(trial=name)).detail for name in ("one", "two")] == ["1", "1"]


async def test_memory_shared_at_import_is_not_shared_by_trials(tmp_path: Path, backend: Backend) -> None:
    files = agent("shared[0] += 1\nreturn str(shared[0])", top="import mmap\nshared = mmap.mmap(-1, 4096)")
    async with trials(files, tmp_path, backend) as harness:
        assert [(await harness.run(trial=name)).detail for name in ("one", "two")] == ["1", "1"]


@pytest.mark.parametrize(
    ("top", "complaint"),
    [
        ("os.register_at_fork(before=lambda: keep(mmap.mmap(-1, 4096)))", "shared memory"),
        ("os.register_at_fork(before=lambda: keep(os.pipe()))", "an open file"),
        ("os.register_at_fork(after_in_child=lambda: os.getpid() == 1 and keep(os.pipe()))", "an open file"),
        (
            (
                "os.register_at_fork(after_in_parent=lambda: os.getpid() == 1 and not kept and "
                "keep(subprocess.Popen(['sleep', '1000'])))"
            ),
            "outside of any trial",
        ),
        ("child.kernel.drop_all_capabilities = lambda: None", "kept rights"),
        ("child._enter = lambda **_: os.fork() and os._exit(0)", "not in namespaces of its own"),
        ("os.register_at_fork(after_in_parent=lambda: os._exit(1))", "is gone"),
        ("child.kernel.mount = lambda *_: None", "can write where others read"),
        ("child.kernel.mount = lambda *_: None", "sees the processes of others"),
    ],
    ids=[
        "shared mmap",
        "pipe",
        "pipe in the child",
        "process",
        "capabilities",
        "namespaces",
        "death",
        "mounts",
        "proc",
    ],
)
async def test_an_agent_that_undermines_the_fork_gets_no_trial(
    top: str, complaint: str, tmp_path: Path, backend: Backend
) -> None:
    prelude = (
        "from autoagent_mcp.harness.inside import child\nimport mmap, os, subprocess\nkept = []\nkeep = kept.append\n"
    )
    async with trials(agent("return 'in'", top=prelude + top), tmp_path, backend) as harness:
        end = await harness.run()
        assert end.how == "crashed"
        assert complaint in end.detail
