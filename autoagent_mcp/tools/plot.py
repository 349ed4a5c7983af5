"""The progress picture, for a client that can show one to its person."""

from __future__ import annotations

import base64
from functools import partial
from typing import Annotated

import anyio.to_thread
from mcp.types import CallToolResult, ImageContent, TextContent

from autoagent_mcp._io import write_whole
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.tools.boundary import ToolContext, lab_of, speaks_mcp
from autoagent_mcp.tools.text import clip
from autoagent_mcp.tools.views import NEXT_CHARS

_TYPE = "image/png"


class ProgressView(Frozen):
    """Where the progress picture lies, and what it shows in words."""

    summary: str
    path: str
    """The picture, a PNG, for a client that shows no images in answers; the next call replaces it."""
    next: str


async def plot_progress(ctx: ToolContext) -> Annotated[CallToolResult, ProgressView]:
    """Draw the score over all experiments as a picture, for your person: the incumbent's steps and each change tried.

    Returns the image, and its path for where images do not get through. `autoagent-mcp report` shows more.
    """
    view = await _plot(ctx)
    image = await anyio.Path(view.path).read_bytes()
    return CallToolResult(
        content=[
            TextContent(type="text", text=view.model_dump_json(indent=2)),
            ImageContent(type="image", data=base64.b64encode(image).decode(), mime_type=_TYPE),
        ],
        structured_content=view.model_dump(mode="json"),
    )


@speaks_mcp
async def _plot(ctx: ToolContext) -> ProgressView:
    from autoagent_mcp.report.picture import headline_text, picture  # noqa: PLC0415 - Pygments is not needed before
    from autoagent_mcp.report.reading import open_reading  # noqa: PLC0415

    lab, workspace = await lab_of(ctx), ctx.request_context.lifespan_context.workspace
    async with open_reading(workspace) as reading:
        drawn, summary = await picture(reading), headline_text(reading)
    path = workspace.state / "progress.png"
    await anyio.to_thread.run_sync(partial(write_whole, path, drawn, is_durable=False))
    return ProgressView(summary=summary, path=str(path), next=clip((await lab.brief()).next, NEXT_CHARS))
