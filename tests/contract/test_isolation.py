"""What is not seen and not reached from inside (attacks 6, 7 and 11 of the list of known ones)."""

from __future__ import annotations

import os
import socket
from pathlib import Path, PurePosixPath

import anyio
import pytest

from autoagent_mcp.sandbox.base import Backend, Limits, Mount, Sandbox, SandboxSpec

CONNECT = """
import socket, sys
for address in sys.argv[2:]:
    try:
        socket.create_connection((address, int(sys.argv[1])), 1)
        print("reached", address)
    except OSError as error:
        print("cannot reach", address, error)
"""


async def test_no_network_but_the_sandboxs_own(sandbox: Sandbox) -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 - to be as reachable as can be
        port = server.getsockname()[1]
        addresses = ("127.0.0.1", _own_address(), "169.254.169.254", "1.1.1.1")
        result = await sandbox.exec(f"python3 -c '{CONNECT}' {port} {' '.join(addresses)}")
    assert result.stdout.count("cannot reach") == 4
    assert result.stdout.count("reached") == 0
    names = await sandbox.exec("cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '")
    assert names.stdout == "lo\n"


def _own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


@pytest.mark.only_on("bubblewrap", "the engine's own filter decides; engines before 23 let vsock through")
async def test_no_socket_family_that_leads_past_the_network(sandbox: Sandbox) -> None:
    code = """
import socket
for family in (40, 38, 17, 29, 31):
    try:
        socket.socket(family, 1)
    except OSError:
        continue
    print("made", family)
"""
    assert (await sandbox.exec(f"python3 -c '{code}'")).stdout == ""


async def test_the_hosts_abstract_sockets_are_not_reached(sandbox: Sandbox) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0autoagent-test-{os.getpid()}")
        server.listen()
        code = f"import socket; socket.socket(socket.AF_UNIX).connect(chr(0) + 'autoagent-test-{os.getpid()}')"
        assert "ConnectionRefusedError" in (await sandbox.exec(f'python3 -c "{code}"')).stderr


async def test_the_machines_loopback_works_inside(sandbox: Sandbox) -> None:
    code = (
        "import socket; s = socket.create_server(('127.0.0.1', 0));"
        "socket.create_connection(s.getsockname()); print('connected')"
    )
    assert (await sandbox.exec(f'python3 -c "{code}"')).stdout == "connected\n"


@pytest.mark.only_on("bubblewrap", "a container's files are its image's")
async def test_no_file_of_the_host_but_programs_and_libraries(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("sk-secret", encoding="utf-8")
    for place in (Path.home(), tmp_path, Path.cwd(), Path(__file__).parents[2], Path("/var/lib"), Path("/home")):
        result = await sandbox.exec(f"find {place} -type f")
        assert result.stdout == "", place
    result = await sandbox.exec("ls -A /home /mnt /media /srv /boot /sys /run /var/lib 2> /dev/null | grep -v :")
    assert result.stdout.strip() == ""


@pytest.mark.only_on("bubblewrap", "a container's accounts are its image's")
async def test_no_secret_and_no_account_of_the_host(sandbox: Sandbox) -> None:
    result = await sandbox.exec(
        "cat /etc/shadow /etc/gshadow /etc/sudoers /etc/machine-id; ls /etc/ssh /etc/ssl/private"
    )
    assert result.stdout == ""
    result = await sandbox.exec("cut -d: -f1 /etc/passwd; cut -d: -f1 /etc/group; hostname; cat /etc/hostname")
    assert result.stdout.split() == ["root", "nobody", "root", "nogroup", "sandbox", "sandbox"]
    assert socket.gethostname() not in (await sandbox.exec("cat /etc/hosts; uname -n")).stdout


async def test_no_process_of_the_host(sandbox: Sandbox) -> None:
    result = await sandbox.exec("cat /proc/[0-9]*/cmdline | tr '\\0' ' '; ls -d /proc/[0-9]* | wc -l")
    assert "pytest" not in result.stdout
    assert int(result.stdout.split()[-1]) < 8


@pytest.mark.only_on("bubblewrap", "a container's programs are its image's")
async def test_programs_of_the_host_cannot_be_changed(sandbox: Sandbox) -> None:
    before = Path("/usr/bin/env").stat()
    await sandbox.exec("rm -f /usr/bin/env; echo forged > /usr/bin/env; echo x > /lib/x; echo x > /bin/x")
    assert Path("/usr/bin/env").stat() == before
    assert not Path("/usr/lib/x").exists()
    assert not Path("/usr/bin/x").exists()


async def test_two_sandboxes_do_not_see_each_other(backend: Backend, spec: SandboxSpec) -> None:
    async with backend.start(spec) as first, backend.start(spec) as second:
        await first.exec("echo first > /tmp/mine; sleep 1234 & true")
        assert (await second.exec("ls -A /tmp /dev/shm; pgrep -f 123[4]")).stdout == "/dev/shm:\n\n/tmp:\n"  # noqa: S108


async def test_nothing_carries_over_to_the_next_sandbox(backend: Backend, spec: SandboxSpec) -> None:
    async with backend.start(spec) as first:
        await first.exec("echo x | tee /tmp/a /root/b /usr/local/bin/c /etc/d /var/e")
    async with backend.start(spec) as second:
        assert (await second.exec("ls /tmp/a /root/b /usr/local/bin/c /etc/d /var/e 2>/dev/null")).stdout == ""


@pytest.mark.only_on("bubblewrap", "a far engine cannot see this machine's folders")
async def test_a_mounted_folder_is_read_only_and_shows_in_its_place(
    backend: Backend, spec: SandboxSpec, tmp_path: Path
) -> None:
    folder = tmp_path / "deep" / "library"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "file").write_text("shown", encoding="utf-8")
    tmp_path.chmod(0o700)
    mounts = (Mount(source=folder, target=PurePosixPath("/opt/library")),)
    async with backend.start(spec.model_copy(update={"mounts": mounts})) as sandbox:
        assert (await sandbox.exec("cat /opt/library/file")).stdout == "shown"
        assert (
            await sandbox.exec("echo x > /opt/library/file; rm -f /opt/library/file; touch /opt/library/y")
        ).return_code != 0
    assert (folder / "file").read_text(encoding="utf-8") == "shown"
    assert not (folder / "y").exists()


@pytest.mark.parametrize("role", ["task", "harness"])
async def test_both_roles_start(backend: Backend, spec: SandboxSpec, role: str) -> None:
    async with backend.start(spec.model_copy(update={"role": role})) as sandbox:
        assert (await sandbox.exec("echo here")).stdout == "here\n"


async def test_a_harness_sandbox_has_one_small_place_to_write(backend: Backend, spec: SandboxSpec) -> None:
    harness = spec.model_copy(update={"role": "harness", "limits": Limits(storage_mb=16)})
    async with backend.start(harness) as sandbox:
        result = await sandbox.exec(
            "for f in / /usr /usr/bin /etc /root /var /opt /home; do touch $f/x && echo $f; done"
        )
        assert result.stdout == ""
        assert (await sandbox.exec("touch /tmp/x && head -c 20000000 /dev/zero > /tmp/y")).return_code != 0


async def test_a_harness_sandbox_may_make_namespaces_with_a_working_loopback(
    backend: Backend, spec: SandboxSpec
) -> None:
    code = (
        "import fcntl, os, socket, struct; s = socket.socket();"
        "fcntl.ioctl(s, 0x8914, struct.pack('16sh14x', b'lo', 1)); s.bind(('127.0.0.1', 0)); s.listen();"
        "socket.create_connection(s.getsockname()); print('connected as', os.getpid())"
    )
    own = "unshare --user --map-root-user --pid --fork --mount --ipc --net"
    async with backend.start(spec.model_copy(update={"role": "harness"})) as sandbox:
        result = await sandbox.exec(f'{own} python3 -c "{code}"')
        assert result.stdout == "connected as 1\n", result.stderr


async def test_sandboxes_start_side_by_side(backend: Backend, spec: SandboxSpec) -> None:
    async def use() -> None:
        async with backend.start(spec) as sandbox:
            assert (await sandbox.exec("echo here")).stdout == "here\n"

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for _ in range(16):
                group.start_soon(use)
