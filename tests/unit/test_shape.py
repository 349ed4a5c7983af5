"""The limits that keep the tree readable."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import tomli

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("autoagent_mcp", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_has_at_most_400_lines_and_a_function_at_most_50(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    long = [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (node.end_lineno or 0) - node.lineno >= 50
    ]
    assert len(source.splitlines()) <= 400
    assert long == []


@pytest.mark.parametrize("name", ["README.md", "docs/architecture.md"])
def test_the_layers_are_drawn_as_the_contract_has_them(name: str) -> None:
    contracts = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(one["layers"] for one in contracts if one["id"] == "layers")
    drawn = (ROOT / name).read_text(encoding="utf-8").replace("\n        > ", " > ")
    assert f"```\n{' > '.join(layers)}\n```" in drawn
