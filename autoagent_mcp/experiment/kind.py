"""Which parts of the harness a candidate changes, by the syntax tree of agent.py. Pure.

A definition that create_tools reaches belongs to the tools, any other to the loop, unless nothing but its words
changed: those are prompt. A constant is prompt where it holds text, and else a setting.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

from autoagent_mcp.harness.boundary import AGENT
from autoagent_mcp.harness.syntax import parse, shape
from autoagent_mcp.models.experiment import ChangeKind

_REQUIREMENTS = ".agent/requirements.txt"
_TOOLS = "create_tools"
_WORDS = re.compile(r"^(\d+ Constant value=)['\"].*$", re.MULTILINE)
_CODE = (ast.Lambda, ast.Await)
_IMPORTS = (ast.Import, ast.ImportFrom)

_Definitions = dict[str, list[ast.stmt]]
"""Top-level statements by the name that they define; what defines none stands below ""."""


def kind_of_change(before: Mapping[str, bytes], now: Mapping[str, bytes]) -> tuple[ChangeKind, ...]:
    """Say which parts of the harness differ between two candidates, given their files by path.

    Comments and layout are no difference. Of an agent.py that is no Python nothing is said.
    """
    changed = {path for path in {*before, *now} if before.get(path) != now.get(path)}
    found = {_kind_of_file(path) for path in changed if path != AGENT}
    if AGENT in changed:
        found |= _kinds_of_agent(_parsed(before), _parsed(now))
    return tuple(kind for kind in ChangeKind if kind in found)


def _kind_of_file(path: str) -> ChangeKind:
    return ChangeKind.LIBRARIES if path == _REQUIREMENTS else ChangeKind.FILES


def _parsed(files: Mapping[str, bytes]) -> ast.Module | None:
    try:
        return parse(files.get(AGENT, b""))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _kinds_of_agent(before: ast.Module | None, now: ast.Module | None) -> set[ChangeKind]:
    if before is None or now is None:
        return set()
    old, new = _definitions(before), _definitions(now)
    of_tools = _reached(old) | _reached(new)
    changed = {name for name in {*old, *new} if _text(old.get(name, [])) != _text(new.get(name, []))}
    found = {_kind_of(name, old.get(name, []), new.get(name, []), of_tools) for name in changed}
    is_import_alone = not found and _text(before.body) != _text(now.body)
    return {ChangeKind.LOOP} if is_import_alone else found


def _definitions(tree: ast.Module) -> _Definitions:
    found: _Definitions = {}
    for node in tree.body:
        if not isinstance(node, _IMPORTS):
            for name in _names(node) or [""]:
                found.setdefault(name, []).append(node)
    return found


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, (ast.AnnAssign, ast.AugAssign)):
        targets = [node.target]
    return [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]


def _reached(definitions: _Definitions) -> set[str]:
    """Return the functions and classes that create_tools uses, and those that these use."""
    reached: set[str] = set()
    waiting = [_TOOLS]
    while waiting:
        name = waiting.pop()
        if name not in reached and name in definitions:
            reached.add(name)
            nodes = (node for top in definitions[name] for node in ast.walk(top))
            waiting.extend(node.id for node in nodes if isinstance(node, ast.Name))
    return reached


def _kind_of(name: str, old: list[ast.stmt], new: list[ast.stmt], of_tools: set[str]) -> ChangeKind:
    values = [value for node in (*old, *new) for value in _values(node)]
    if values and not any(isinstance(part, _CODE) for value in values for part in ast.walk(value)):
        return ChangeKind.PROMPT if any(map(_holds_text, values)) else ChangeKind.SETTINGS
    if name in of_tools:
        return ChangeKind.TOOLS
    is_rewording = _WORDS.sub(r"\1", _text(old)) == _WORDS.sub(r"\1", _text(new))
    return ChangeKind.PROMPT if is_rewording else ChangeKind.LOOP


def _values(node: ast.stmt) -> Iterator[ast.expr]:
    """Give what a constant's definition assigns."""
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)) and node.value is not None:
        yield node.value


def _holds_text(value: ast.expr) -> bool:
    """Tell a prompt from a name or a number: a string by itself, or any string of several words."""
    if isinstance(value, ast.JoinedStr) or (isinstance(value, ast.Constant) and isinstance(value.value, str)):
        return True
    strings = (node.value for node in ast.walk(value) if isinstance(node, ast.Constant))
    return any(isinstance(string, str) and " " in string.strip() for string in strings)


def _text(nodes: list[ast.stmt]) -> str:
    return "\n".join(shape(ast.Module(body=nodes, type_ignores=[]), docstrings=True))
