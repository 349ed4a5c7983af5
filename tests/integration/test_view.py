"""What the live page is told: what is new, at little cost, beside a server at work, and who has its address alone."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Generator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
import pytest
from support.labs import REFLECTION, FakeMeasure, edit, make_lab_workspace, measured, opened
from support.viewed import viewed

from autoagent_mcp.view.live import Live
from autoagent_mcp.workspace import Workspace


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    workspace = make_lab_workspace(tmp_path_factory.mktemp("view") / "work", "apple")

    async def measure() -> None:
        async with opened(workspace) as lab:
            await measured(lab, "baseline")

    anyio.run(measure)
    with viewed(workspace.folder) as found:
        yield found


async def changed(live: Live, version: str) -> tuple[str, dict[str, Any]]:
    """Wait for data of another version, as the page does."""
    with anyio.fail_after(30):
        while (found := await live.snapshot()).version == version:  # noqa: ASYNC110 - nobody else tells
            await anyio.sleep(0.01)
    return found.version, json.loads(gzip.decompress(found.packed))


async def test_what_is_new_comes_by_itself(tmp_path: Path) -> None:
    workspace, fake = make_lab_workspace(tmp_path / "work", "apple"), FakeMeasure()
    live = Live(workspace)
    version, data = await changed(live, "0")
    assert "Nothing was measured here yet" in data["waiting"]
    async with opened(workspace, fake) as lab:
        await measured(lab, "baseline")
        version, data = await changed(live, version)
        assert [one["status"] for one in data["experiments"]] == ["baseline"]
        assert len(data["trials"]) == 4
        edit(workspace, "apple", "banana")
        fake.hold()
        run = await lab.start_suite("more")
        await fake.started.wait()
        version, data = await changed(live, version)
        assert [one["is_going_on"] for one in data["runs"]] == [False, True]
        shutil.copytree(workspace.trial("0001", "apple__1").folder, workspace.trial(run.id, "apple__1").folder)
        version, data = await changed(live, version)
        assert len(data["trials"]) == 5
        fake.gate.set()
        await lab.wait(run.id, 20)
        await lab.keep(REFLECTION)
    while data["incumbent"] != 1 or len(data["trials"]) != 8:
        version, data = await changed(live, version)
    assert "banana" in json.dumps(data["diffs"]["1"])


@pytest.mark.parametrize("is_served", [False, True])
async def test_nothing_is_read_anew_while_nothing_is_new(tmp_path: Path, is_served: bool) -> None:  # noqa: FBT001
    workspace = make_lab_workspace(tmp_path / "work", "apple")
    async with opened(workspace) as lab:
        await measured(lab, "baseline")
        if is_served:
            await see_silence(workspace)
    if not is_served:
        await see_silence(workspace)


async def see_silence(workspace: Workspace) -> None:
    """See that reading leaves nothing that looks like news."""
    live = Live(workspace)
    version, _ = await changed(live, "0")
    for _ in range(5):
        await anyio.sleep(0.3)  # more than it rests after so short a reading
        assert (await live.snapshot()).version == version


async def test_a_trace_keeps_its_number_and_only_one_that_was_told_of_is_given(tmp_path: Path) -> None:
    workspace = make_lab_workspace(tmp_path / "work", "apple")
    async with opened(workspace) as lab:
        await measured(lab, "baseline")
    live = Live(workspace)
    assert await live.trace("0001", 0) is None
    _, data = await changed(live, "0")
    columns = data["trial_columns"]
    rows = [dict(zip(columns, row, strict=True)) for row in data["trials"]]
    for row in rows:
        call = await live.trace("0001", row["trace"])
        assert call is not None
        assert re.match(rb'autoagent\.deliver\("(.*?)",', call)[1] == f"0001/{row['id']}".encode()  # pyright: ignore[reportOptionalSubscript]
    shutil.rmtree(workspace.trial("0001", rows[0]["id"]).folder)
    assert await live.trace("0001", rows[0]["trace"]) is None
    assert await live.trace("0001", 4) is None
    assert await live.trace("0002", 0) is None


async def test_nothing_of_the_workspace_is_changed(tmp_path: Path) -> None:
    workspace = make_lab_workspace(tmp_path / "work", "apple")
    async with opened(workspace) as lab:
        await measured(lab, "baseline")
    before = files(workspace)
    await changed(Live(workspace), "0")
    assert files(workspace) == before


def files(workspace: Workspace) -> dict[str, bytes]:
    """Return what the workspace holds."""
    found = (path for path in workspace.folder.rglob("*") if path.is_file() and path.stat().st_size)
    return {str(path): path.read_bytes() for path in found if not path.name.endswith("-shm")}


def test_who_has_the_address_is_answered_and_told_to_keep_nothing(address: str) -> None:
    page, data = httpx2.get(address), httpx2.get(f"{address}data.json")
    assert "autoagent.follow = " in page.text
    assert data.json()["headline"]["incumbent"]["passed"] == 1
    assert httpx2.get(f"{address}data.json", headers={"If-None-Match": data.headers["etag"]}).status_code == 304
    assert httpx2.get(f"{address}traces/0001/0.js").text.startswith("autoagent.deliver(")
    for answer in (page, data):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    local = urlsplit(address)._replace(netloc=f"localhost:{urlsplit(address).port}").geturl()
    assert httpx2.get(local, headers={"Origin": f"http://localhost:{urlsplit(address).port}"}).status_code == 200


@pytest.mark.parametrize("path", ["", "data.json", "traces/0001/0.js"])
def test_nobody_else_is(address: str, path: str) -> None:
    port, token = urlsplit(address).port, urlsplit(address).path.strip("/")
    assert len(token) >= 43
    root = f"http://127.0.0.1:{port}/"
    for shown in ("", f"{token}x/", f"{token[:-1]}/", f"x/{token}/", f"{token.upper()}/"):
        answer = httpx2.get(f"{root}{shown}{path}")
        assert (answer.status_code, token in answer.text) == (404, False), shown
    for host in (f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", "", "[::1]"):
        assert httpx2.get(f"{address}{path}", headers={"Host": host}).status_code == 421, host
    for origin in ("http://evil.example", f"https://127.0.0.1:{port}", "null", "http://127.0.0.1:1"):
        assert httpx2.get(f"{address}{path}", headers={"Origin": origin}).status_code == 403, origin


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_sent(address: str, method: str) -> None:
    assert httpx2.request(method, address, content=b"x").status_code == 405


@pytest.mark.parametrize("path", ["traces/0001/99.js", "traces/..%2f0001/0.js", "traces/0001/-1.js", "ledger.sqlite3"])
def test_no_other_file_is_given(address: str, path: str) -> None:
    assert httpx2.get(address + path).status_code == 404


@pytest.mark.parametrize("target", ["*", "?", "x"])
def test_what_is_no_path_has_no_token(address: str, target: str) -> None:
    connection = HTTPConnection("127.0.0.1", urlsplit(address).port or 0, timeout=30)
    with closing(connection):
        connection.request("OPTIONS", target)
        assert connection.getresponse().status == 404
