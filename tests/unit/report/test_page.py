"""The page's own files: libraries as they were published, and a policy that lets nothing else run."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from autoagent_mcp.report import page as page_room
from autoagent_mcp.report.page import LIVE, SCRIPTS, STYLES, VENDORED, page

ASSETS = Path(page_room.__file__).parent / "assets"
OWN = sorted(path for path in ASSETS.iterdir() if path.is_file())


def test_vendored_files_are_those_of_the_manifest_and_each_package_has_its_licence() -> None:
    manifest = json.loads((ASSETS / "vendor" / "manifest.json").read_text(encoding="utf-8"))
    found = {path.name for path in (ASSETS / "vendor").iterdir()} - {"manifest.json", "README.md"}
    assert {row["file"] for row in manifest} == found
    assert set(VENDORED) < found
    for row in manifest:
        assert hashlib.sha256((ASSETS / "vendor" / row["file"]).read_bytes()).hexdigest() == row["sha256"], row["file"]
    licensed = {row["package"] for row in manifest if row["file"].endswith(".LICENSE")}
    assert licensed == {row["package"] for row in manifest}


def test_every_file_is_in_the_page_and_is_short() -> None:
    names = {path.name for path in OWN}
    assert names == {name for name in (*SCRIPTS, LIVE, *STYLES) if "/" not in name}
    assert {path.name for path in OWN if len(path.read_text(encoding="utf-8").splitlines()) > 400} == set()


@pytest.mark.parametrize("path", [path for path in OWN if path.suffix == ".js"], ids=lambda path: path.name)
def test_no_script_of_ours_makes_markup_or_code_of_text(path: Path) -> None:
    banned = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|https?://"
    assert re.findall(banned, path.read_text(encoding="utf-8")) == []


def test_a_page_from_a_server_asks_it_and_one_from_a_file_asks_nobody() -> None:
    live, sent = page("a", None), page("a", {})
    assert "connect-src 'self'" in live
    assert "autoagent.follow = " in live
    assert "autoagent.follow = " not in sent


def test_the_policy_names_each_script_and_nothing_else() -> None:
    text = page("a </title><script>", {"a": "</script><script>alert(1)</script>"})
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0]
    parts = {name: rest.split() for name, _, rest in (part.strip().partition(" ") for part in policy.split(";"))}
    assert parts["default-src"] == parts["connect-src"] == ["'none'"]
    assert parts["require-trusted-types-for"] == ["'script'"]
    assert [source for source in parts["script-src"] if not source.startswith("'sha256-")] == ["'strict-dynamic'"]
    assert len(parts["script-src"]) == len(SCRIPTS) + 1
    assert text.count("<script") == len(SCRIPTS) + 1
    assert "unsafe" not in policy
    assert re.findall(r"\son\w+=", text.split("</head>")[0]) == []


def test_a_workspace_whose_name_is_no_text_has_a_page() -> None:
    assert "<title>work&lt;&amp;: report</title>" in page("work\udcff<&", {}).encode().decode()
