"""Streamable HTTP: a server that is a process, real clients of both eras, and those who should not be let in."""

from __future__ import annotations

import contextlib
import json
import socket
import stat
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import MCPError
from support.clients import Call, Era, ToolFailed
from support.processes import until, with_argument
from support.served import INITIALIZE, Served, served
from support.workspaces import ANSWER_TASK, NO_MODEL, harness, make_workspace

from autoagent_mcp.errors import SetupError
from autoagent_mcp.streamable_http.patience import MAX_CONNECTIONS
from autoagent_mcp.streamable_http.serve import serve_http
from autoagent_mcp.workspace import Workspace, user_state

SETTINGS = NO_MODEL.format(url="http://127.0.0.1:9/v1")
SOLVES = "async def run_task(environment, instruction):\n    await environment.exec('echo 42 > answer.txt')"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - that is what is tested
ERAS: tuple[Era, ...] = ("legacy", "auto")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Let one event loop serve the module's server."""
    return "asyncio"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("http"), agent=harness(SOLVES), settings=SETTINGS)


@pytest.fixture(scope="module")
async def server(workspace: Workspace) -> AsyncGenerator[Served]:
    async with served(workspace) as running:
        yield running


async def initialize(server: Served, **headers: str) -> httpx2.Response:
    async with server.http(**headers) as web:
        return await web.post(server.url, json=INITIALIZE)


async def test_two_clients_of_both_eras_share_one_lab_and_one_run(server: Served, workspace: Workspace) -> None:
    """There is one writer, although each client has a session of its own."""
    runs: list[dict[str, Any]] = []

    async def measure(call: Call) -> None:
        runs.append(await call("run_suite", description="the baseline", wait_sec=50))

    async with server.client("legacy") as first, server.client("auto") as second, anyio.create_task_group() as group:
        group.start_soon(measure, first)
        group.start_soon(measure, second)
    assert [(run["run"], run["state"], run["passed"]) for run in runs] == 2 * [("0001", "complete", 1)]
    assert [path.name for path in workspace.runs.iterdir()] == ["0001"]
    assert int(workspace.lock.read_text(encoding="utf-8")) == server.process.pid


@pytest.mark.parametrize(
    "shown", ["", "Bearer", "Basic {token}", "{token}", "Bearer {token}x", "Bearer {token} {token}"]
)
async def test_without_the_token_nothing_is_answered(server: Served, shown: str) -> None:
    refused = await initialize(server, Authorization=shown.format(token=server.token))
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert "autoagent" not in refused.text


@pytest.mark.parametrize("protocol", ["2025-06-18", "2026-07-28"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "attacker.example"}, 421),
        ({"Host": "attacker.example:{port}"}, 421),
        ({"Host": "127.0.0.1.attacker.example"}, 421),
        ({"Origin": "http://attacker.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost.attacker.example:80"}, 403),
    ],
)
async def test_a_web_page_whose_name_leads_here_is_refused_even_with_the_token(
    server: Served, headers: dict[str, str], status: int, protocol: str
) -> None:
    sent = {name: value.format(port=server.port) for name, value in headers.items()}
    async with server.http(**sent, **{"Mcp-Protocol-Version": protocol}) as web:
        assert (await web.post(server.url, json=INITIALIZE)).status_code == status
        assert (await web.get(server.url)).status_code == status


async def test_what_is_too_large_is_refused_before_it_is_read(server: Served) -> None:
    async def pieces() -> AsyncGenerator[bytes]:
        for _ in range(5):
            yield bytes(1024 * 1024)

    async with server.http(**{"Content-Type": "application/json"}) as web:
        assert (await web.post(server.url, content=bytes(5 * 1024 * 1024))).status_code == 413
        assert (await web.post(server.url, content=pieces())).status_code == 413
    with contextlib.suppress(httpx2.TransportError):  # closed while it was still being sent
        assert (await initialize(server, **{"X-Long": 300_000 * "x"})).status_code == 400


async def test_there_are_only_so_many_sessions_and_one_that_ends_makes_room(server: Served) -> None:
    async with server.http() as web:
        ids: list[str] = []
        while (opened := await web.post(server.url, json=INITIALIZE)).status_code == 200:
            ids.append(opened.headers["mcp-session-id"])
        assert (opened.status_code, len(ids) <= 128) == (503, True)
        for session in ids:
            assert (await web.delete(server.url, headers={"Mcp-Session-Id": session})).status_code == 200
    assert (await initialize(server)).status_code == 200


async def test_connections_that_ask_nothing_use_up_no_files(server: Served) -> None:
    """Whoever opens them needs no token."""
    async with server.client() as call:
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
        await until(lambda: sum(is_closed(one) for one in idle) > 200 - MAX_CONNECTIONS)
        await call("get_brief")
        for one in idle:
            one.close()


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


async def test_the_token_is_the_owners_alone_and_stands_in_no_log(server: Served, workspace: Workspace) -> None:
    file = user_state() / "http" / f"{workspace.id}.token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert server.token not in server.stderr.read_text(encoding="utf-8")
    assert not workspace.log.exists() or server.token not in workspace.log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("host", "token_file", "said"),
    [
        (EVERYWHERE, None, "no token was given"),
        ("::", None, "no token was given"),
        ("example.org", None, "no address"),
        ("127.0.0.1", Path("nowhere"), "cannot be read"),
        ("127.0.0.1", Path("agent.py"), "holds no token"),
        ("127.0.0.1", None, "Address already in use"),
    ],
)
async def test_where_it_cannot_serve_safely_it_says_why(
    server: Served, workspace: Workspace, host: str, token_file: Path | None, said: str
) -> None:
    file = token_file and workspace.folder / token_file
    with pytest.raises(SetupError, match=said):
        await serve_http(workspace, host=host, port=server.port, token_file=file, names=())


async def test_it_listens_for_others_with_a_given_token_and_by_the_names_it_was_told(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, agent=harness(SOLVES), settings=SETTINGS)
    token = uuid.uuid4().hex
    words = ("--host", EVERYWHERE, "--allow-host", "lab.example")
    async with served(workspace, *words, AUTOAGENT_HTTP_TOKEN=token) as server:
        server.url = server.url.replace(EVERYWHERE, "127.0.0.1")
        for host, status in (("lab.example", 200), ("lab.example:443", 200), ("other.example", 421)):
            assert (await initialize(server, Host=host)).status_code == status


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_goes_away_leaves_the_run_and_a_signal_ends_it_in_order(tmp_path: Path, era: Era) -> None:
    marker = f"slow-{uuid.uuid4().hex}"
    agent = harness(
        f"async def run_task(environment, instruction):\n    await environment.exec('exec -a {marker} sleep 600')\n"
    )
    task = {**ANSWER_TASK, "task.toml": 'schema_version = "1.4"\n[agent]\ntimeout_sec = 300\n'}
    workspace = make_workspace(tmp_path, agent=agent, tasks={"slow": task}, settings=SETTINGS)
    async with served(workspace) as server:
        async with server.client(era) as call, anyio.create_task_group() as group:
            group.start_soon(lambda: call("run_suite", description="the baseline", wait_sec=50))
            with anyio.fail_after(60):
                while not with_argument(marker):  # noqa: ASYNC110 - what another process does
                    await anyio.sleep(0.1)
            group.cancel_scope.cancel()
        async with server.client(era) as call:
            assert (await call("run_suite", description="again", wait_sec=0))["run"] == "0001"

            async def wait() -> None:
                with contextlib.suppress(ToolFailed, MCPError):  # where the lab was closed before it looked again
                    assert (await call("wait_run", run="0001", wait_sec=100))["state"] == "cancelled"

            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                await call("get_brief")
                assert await server.end() == 0
    assert json.loads((workspace.run("0001") / "run.json").read_bytes())["state"] == "cancelled"
    assert not with_argument(marker)
    with pytest.raises(httpx2.ConnectError):
        await initialize(server)
