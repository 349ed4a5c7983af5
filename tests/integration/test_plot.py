"""The progress picture: what it shows, and how a client gets it."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

import pytest
from mcp import Client
from mcp.types import ImageContent, TextContent
from support.clients import Era, ToolFailed, in_memory
from support.labs import REFLECTION, edit, make_lab_workspace, measured, opened

from autoagent_mcp.report.picture import headline_text, spec
from autoagent_mcp.report.reading import open_reading
from autoagent_mcp.server import build_server
from autoagent_mcp.workspace import Workspace


async def night(folder: Path) -> Workspace:
    """Work: a baseline, a keep, a refusal, an open change."""
    workspace = make_lab_workspace(folder, "apple")
    async with opened(workspace) as lab:
        await measured(lab, "baseline")
        edit(workspace, "apple", "banana")
        await measured(lab, "more")
        await lab.keep(REFLECTION)
        edit(workspace, "banana")
        await measured(lab, "less")
        await lab.revert("It lost what apple needs.")
        edit(workspace, "apple", "banana", "cherry")
        await measured(lab, "most")
    return workspace


async def test_it_shows_the_incumbents_steps_and_every_change(tmp_path: Path) -> None:
    async with open_reading(await night(tmp_path / "work")) as reading:
        said, text = spec(reading), headline_text(reading)
    band, line, dots, halo, labels = (layer["data"]["values"] for layer in said["layer"])
    assert [(one["n"], one["score"]) for one in line] == [(0, 25), (1, 50), (3.5, 50)]
    assert all(one["low"] < one["score"] < one["high"] for one in band)
    assert [(one["n"], one["score"], one["what"].split(":")[0]) for one in dots] == [
        (0, 25, "kept"), (1, 50, "kept"), (2, 25, "refused"), (3, 75, "open"),
    ]  # fmt: skip
    assert halo == labels == [{"n": 0, "score": 25, "text": "baseline"}, {"n": 1, "score": 50, "text": "#1"}]
    assert text == (
        "Baseline 25.0 %, incumbent #1 50.0 % passed: +25.0 points, 95 % interval -32.0 to +65.5. "
        "1 of 3 changes are kept."
    )
    assert said["title"]["subtitle"] == text


@pytest.mark.parametrize("era", ["legacy", "auto"])
async def test_a_client_gets_the_image_and_its_path_in_line_with_other_answers(tmp_path: Path, era: Era) -> None:
    workspace = await night(tmp_path / "work")
    async with Client(build_server(workspace), mode=era) as client:
        result = await client.call_tool("plot_progress", {})
    text, image = result.content
    assert isinstance(text, TextContent)
    assert isinstance(image, ImageContent)
    said = json.loads(text.text)
    assert said == result.structured_content
    assert "+25.0 points" in said["summary"]
    assert said["next"]
    png = base64.b64decode(image.data)
    assert image.mime_type == "image/png"
    assert png == Path(said["path"]).read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    assert 800 < width < 1600
    assert 400 < height < 1000


async def test_before_the_baseline_it_is_said_what_to_do(tmp_path: Path) -> None:
    async with in_memory(make_lab_workspace(tmp_path / "work", "apple")) as call:
        with pytest.raises(ToolFailed, match=r"no progress to show yet.*Call run_suite first"):
            await call("plot_progress")
