"""The page's HTML: one file with its styles, scripts and data in it, and a policy that lets nothing else run."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

from autoagent_mcp._text import clean

GENERATOR = '<meta name="generator" content="autoagent-mcp report">'
"""By this line a page is known for one of ours."""

_SELF, _NONE = "'self'", "'none'"
_SOURCE_MAP = re.compile(r"\n//# sourceMappingURL=.*")
VENDORED = ("uPlot.iife.min.js", "table-core.production.js")
STYLES = ("vendor/uPlot.min.css", "style.css", "views.css")
SCRIPTS = (
    *(f"vendor/{name}" for name in VENDORED),
    "dom.js",
    "format.js",
    "data.js",
    "traces.js",
    "text.js",
    "table.js",
    "diff.js",
    "chart.js",
    "overview.js",
    "matrix.js",
    "experiments.js",
    "experiment.js",
    "steps.js",
    "trial.js",
    "compare.js",
    "cost.js",
    "app.js",
)
"""In the order in which they are run."""
LIVE = "live.js"
"""Before the last one, on a page that comes from a server."""


def page(title: str, document: dict[str, Any] | None) -> str:
    """Return the page.

    Args:
        title: The workspace's name.
        document: Its data; None for a page that fetches `data.json`, again and again, from where it comes from.
    """
    styles = [asset(name) for name in STYLES]
    is_live = document is None
    scripts = [asset(name) for name in (*SCRIPTS[:-1], *([LIVE] if is_live else []), SCRIPTS[-1])]
    rules = policy(styles, scripts, is_live=is_live)
    packed = pack(document) if document is not None else ""
    return "".join(
        (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{rules}">\n',
            f'{GENERATOR}\n<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n',
            f'<title>{html.escape(clean(title))}: report</title>\n<link rel="icon" href="data:,">\n',
            *(f"<style>{style}</style>\n" for style in styles),
            '</head>\n<body>\n<div id="app"></div>\n<noscript>This page needs JavaScript.</noscript>\n',
            f'<script type="application/octet-stream" id="data">{packed}</script>\n',
            *(f"<script>{script}</script>\n" for script in scripts),
            "</body>\n</html>\n",
        )
    )


def pack(document: dict[str, Any]) -> str:
    """Return a JSON document as base64 of its gzipped text."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    return base64.b64encode(gzip.compress(text, 6, mtime=0)).decode()


def policy(styles: list[str], scripts: list[str], *, is_live: bool) -> str:
    """Return the content security policy.

    Only these very styles and scripts are taken, and what these scripts load themselves: the traces' scripts. Text can
    become markup nowhere (trusted types).
    """
    return "; ".join(
        (
            f"default-src {_NONE}",
            f"style-src {' '.join(map(_source, styles))}",
            f"script-src {' '.join(map(_source, scripts))} 'strict-dynamic'",
            f"connect-src {_SELF if is_live else _NONE}",
            "img-src data:",
            f"base-uri {_NONE}",
            f"form-action {_NONE}",
            "require-trusted-types-for 'script'",
            "trusted-types autoagent",
        )
    )


def asset(name: str) -> str:
    """Return a file of the page, without the map of its source that a vendored one may name and that is not there."""
    return _SOURCE_MAP.sub("", _read(name))


def _read(name: str) -> str:
    return (Path(__file__).parent / "assets" / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
