"""The way from a task sandbox to the gateway."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import pytest
from support.harnesses import HARNESS_BASE, StubGateway, stub_gateway

from autoagent_mcp.errors import SandboxError, SandboxRefused
from autoagent_mcp.harness import relay
from autoagent_mcp.sandbox.base import Backend, Image, Sandbox, SandboxSpec

SPEC = SandboxSpec(
    name="task",
    image=Image(id=HARNESS_BASE, base=HARNESS_BASE),
    env={"PATH": "/tmp/bin:/usr/local/bin:/usr/bin:/bin"},  # noqa: S108 - inside
)


@pytest.fixture
async def sandbox(backend: Backend) -> AsyncGenerator[Sandbox]:
    async with backend.start(SPEC) as started:
        yield started


@pytest.fixture
def gateway() -> Generator[StubGateway]:
    with stub_gateway() as served:
        yield served


@asynccontextmanager
async def running(sandbox: Sandbox, command: str) -> AsyncGenerator[None]:
    """Have a command run beside the context, which it outlives by nothing."""
    async with anyio.create_task_group() as group:
        group.start_soon(sandbox.exec, command)
        yield
        group.cancel_scope.cancel()


async def python(sandbox: Sandbox, code: str, *words: object) -> str:
    """Run code in a sandbox and return what it prints."""
    await sandbox.exec(f"cat > /tmp/code.py <<'END'\n{code}\nEND")
    result = await sandbox.exec(f"python3 /tmp/code.py {' '.join(map(str, words))}", timeout_sec=40)
    assert result.return_code == 0, result
    return result.stdout.strip()


ASK = """
import sys, urllib.request
def ask(path, body=None):
    return urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}{path}", body, timeout=20).read()
"""


async def test_a_request_from_inside_arrives_at_the_gateway_and_its_answer_inside(
    sandbox: Sandbox, gateway: StubGateway
) -> None:
    async with relay.offered(sandbox, gateway.port) as port:
        assert await python(sandbox, f"{ASK}\nprint(ask('/x', b'{{}}'))", port) == "b'{}'"
    assert [path for path, _, _ in gateway.calls] == ["/x"]


async def test_many_large_bodies_at_once_come_through_unharmed(sandbox: Sandbox, gateway: StubGateway) -> None:
    code = f"""{ASK}
from concurrent.futures import ThreadPoolExecutor
body = bytes(range(256)) * 20_000
def both(number):
    ask("/x", body)
    return number % 8 or ask("/big") == bytes(20_000_000)
with ThreadPoolExecutor(40) as pool:
    print(all(pool.map(both, range(40))))
"""
    async with relay.offered(sandbox, gateway.port) as port:
        assert await python(sandbox, code, port) == "True"
    bodies = [body for path, _, body in gateway.calls if path == "/x"]
    assert bodies == [bytes(range(256)) * 20_000] * 40


async def test_nothing_else_can_be_reached_through_it(sandbox: Sandbox, gateway: StubGateway) -> None:
    code = f"""
import socket
def reach(port):
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
        return "connected"
    except OSError as error:
        return error.strerror
print(reach({gateway.port}), reach(22))
"""
    async with relay.offered(sandbox, gateway.port):
        assert await python(sandbox, code) == "Connection refused Connection refused"


async def test_a_flood_stalls_only_itself(sandbox: Sandbox, gateway: StubGateway) -> None:
    flood = """
exec 3<>/dev/tcp/127.0.0.1/{port}
printf 'POST /stall HTTP/1.1\\r\\nContent-Length: 1000000000\\r\\n\\r\\n' >&3
head -c 1000000000 /dev/zero >&3
"""
    async with relay.offered(sandbox, gateway.port) as port, running(sandbox, flood.format(port=port)):
        await anyio.to_thread.run_sync(gateway.wait_for_path, "/stall")
        code = f"{ASK}\nprint({{ask('/x', b'{{}}') for _ in range(50)}})"
        assert await python(sandbox, code, port) == "{b'{}'}"


async def test_it_is_gone_with_its_context(sandbox: Sandbox, gateway: StubGateway) -> None:
    async with relay.offered(sandbox, gateway.port) as port:
        assert (await sandbox.exec(f"exec 3<>/dev/tcp/127.0.0.1/{port}")).return_code == 0
    assert (await sandbox.exec(f"exec 3<>/dev/tcp/127.0.0.1/{port}")).return_code != 0
    left = await sandbox.exec("cat /proc/[0-9]*/cmdline")
    assert "harness.inside.relay" not in left.stdout


async def test_one_that_is_killed_from_inside_refuses_connections_and_harms_nothing_else(
    sandbox: Sandbox, gateway: StubGateway
) -> None:
    async with relay.offered(sandbox, gateway.port) as port:
        await sandbox.exec("kill -KILL $(grep -la [h]arness.inside.relay /proc/[0-9]*/cmdline | cut -d / -f 3)")
        while (await sandbox.exec(f"exec 3<>/dev/tcp/127.0.0.1/{port}")).return_code == 0:
            pass
    async with relay.offered(sandbox, gateway.port) as port:
        assert await python(sandbox, f"{ASK}\nprint(ask('/x', b'{{}}'))", port) == "b'{}'"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo hello, this is no frame; sleep 100", "broke off: a frame of"),
        ('printf \'\\3\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\16{"port": "xy"}\'; sleep 100', "did not come up"),
        ('printf \'\\3\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\21{"port": "70000"}\'; sleep 100', "did not come up"),
        ("echo no >&2; exit 1", "did not come up"),
        ("exec cat /dev/zero", "broke off"),
    ],
    ids=["text", "no port", "no port number", "failure", "zeros"],
)
async def test_a_python_that_somebody_replaced_is_believed_nothing(
    body: str, reason: str, sandbox: Sandbox, gateway: StubGateway
) -> None:
    await sandbox.exec(
        "mkdir /tmp/bin; cat > /tmp/bin/python3 <<'END'\n"
        f'#!/bin/sh\ncase "$*" in *version_info*) exit 0;; esac\n{body}\nEND\n'
        "chmod +x /tmp/bin/python3"
    )
    with pytest.raises(SandboxError, match=reason):
        async with relay.offered(sandbox, gateway.port):
            pass


@pytest.mark.only_on("docker", "a bubblewrap sandbox shows the server's Python")
async def test_a_sandbox_without_a_python_is_refused_by_name(backend: Backend, gateway: StubGateway) -> None:
    spec = SandboxSpec(name="task", image=Image(id="debian:bookworm-slim", base="debian:bookworm-slim"))
    async with backend.start(spec) as sandbox:
        with pytest.raises(SandboxRefused, match=r"Python 3\.8 or newer"):
            async with relay.offered(sandbox, gateway.port):
                pass


async def test_what_goes_wrong_meanwhile_is_not_wrapped(sandbox: Sandbox, gateway: StubGateway) -> None:
    with pytest.raises(OSError, match="disk"):
        async with relay.offered(sandbox, gateway.port):
            raise OSError("disk")
