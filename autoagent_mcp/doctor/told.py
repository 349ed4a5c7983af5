"""What `doctor` prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from autoagent_mcp.doctor.finding import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


def show(findings: Sequence[Finding], *, as_json: bool) -> bool:
    """Print the findings and return whether none failed.

    Args:
        findings: What was found.
        as_json: Whether to print a JSON list instead of lines for people.
    """
    if as_json:
        sys.stdout.write(json.dumps([one.model_dump(mode="json") for one in findings], indent=1) + "\n")
    else:
        console = Console(highlight=False)
        for one in findings:
            cure = "" if one.state == "ok" else f" -> {one.cure}"
            line = f"[{_COLOURS[one.state]}]{one.state:<7}[/] {one.check:<12} {escape(one.said + cure)}"
            console.print(line, soft_wrap=True)
    return all(one.state != "failed" for one in findings)
