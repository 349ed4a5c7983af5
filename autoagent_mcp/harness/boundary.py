"""What a candidate may be: which files, and which parts of agent.py stay as they are.

This reads the candidate as text and as a syntax tree; it never imports it. What code does at run time it cannot see,
and need not: the gateway pins the model, and the sandbox holds whatever the code tries.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import io
from collections.abc import Iterator, Mapping
from functools import lru_cache

from autoagent_mcp.errors import HarnessError
from autoagent_mcp.harness import adapter
from autoagent_mcp.harness.syntax import parse, shape

AGENT = "agent.py"
EDITABLE_MARKER = "# === EDITABLE SECTION ==="
_FOLDER = ".agent/"
_TOTAL_LIMIT_BYTES = 5_000_000
_FILES_LIMIT = 500
_REMEMBERED = 4
"""Candidates that were looked at last: most calls ask about the working files, and to parse them takes milliseconds."""
_HINT = "Correct it and call again."
_LOST = "Put it back, or bring the file into the form that `autoagent-mcp init` writes in an empty folder."
_ONE_TOO_MANY = "Leave it where it was, and take it out elsewhere."

_Files = tuple[tuple[str, bytes], ...]


def check(files: Mapping[str, bytes], *, model: str) -> None:
    """See that a candidate changes only what it may.

    Args:
        files: The candidate's files by path.
        model: The pinned model's name.

    Raises:
        HarnessError: It does not; names file and line, and the cure.
    """
    _check(_frozen(files), model)


@lru_cache(_REMEMBERED)
def _check(files: _Files, model: str) -> None:
    found = dict(files)
    check_files(found)
    text = _text(found[AGENT])
    tree = _parse(text)
    boundary = _check_markers(_lines(text))
    _check_fixed_part(text, boundary)
    editable = [node for node in tree.body if node.lineno < boundary]
    _check_definitions(editable)
    _check_model(editable, model)
    _check_fixed_names(editable, [node for node in tree.body if node.lineno >= boundary])


def identity(files: Mapping[str, bytes]) -> str:
    """Return sha256 over the names, the syntax trees of the Python files and the bytes of the others.

    Comments and layout do not count: two candidates with the same identity do the same. Docstrings do, since agent SDKs
    send a tool's docstring to the model as its description.
    """
    return _identity(_frozen(files))


@lru_cache(_REMEMBERED)
def _identity(files: _Files) -> str:
    digest = hashlib.sha256()
    for path, content in files:
        tree = _try_parse(path, content)
        body = b"\n".join(node.encode() for node in shape(tree, docstrings=True)) if tree else content
        digest.update(f"{path}\0{len(body)}\0".encode() + body)
    return digest.hexdigest()


def complexity(files: Mapping[str, bytes]) -> int:
    """Return how many nodes the syntax trees of the Python files have, docstrings left out."""
    trees = (_try_parse(path, content) for path, content in files.items())
    return sum(1 for tree in trees if tree for _ in shape(tree, docstrings=False))


def _frozen(files: Mapping[str, bytes]) -> _Files:
    return tuple(sorted(files.items()))


def _try_parse(path: str, content: bytes) -> ast.Module | None:
    try:
        return parse(content) if path.endswith(".py") else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def check_files(files: Mapping[str, bytes]) -> None:
    """See that a candidate has an agent.py, and no more and no larger files than it may. Raises: HarnessError."""
    if AGENT not in files:
        raise HarnessError("There is no agent.py.", "Restore it: `git checkout -- agent.py`.")
    for path in files:
        if path != AGENT and (not path.startswith(_FOLDER) or ".." in path.split("/") or "\0" in path):
            raise HarnessError(f"{path!r} is not part of a harness.", "Only agent.py and files below .agent/ are.")
    total = sum(len(content) for content in files.values())
    if total > _TOTAL_LIMIT_BYTES or len(files) > _FILES_LIMIT:
        raise HarnessError(
            f"The harness has {len(files)} files with {total} bytes together.",
            f"Keep it to {_FILES_LIMIT} files and {_TOTAL_LIMIT_BYTES} bytes: move what is not needed out of .agent/.",
        )


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise HarnessError(f"agent.py is no UTF-8 text (byte {error.start}).", "Save it as UTF-8.") from error


def _parse(text: str) -> ast.Module:
    try:
        return parse(text)
    except SyntaxError as error:
        raise HarnessError(f"agent.py line {error.lineno} has a syntax error: {error.msg}.", _HINT) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise HarnessError(f"agent.py cannot be parsed: {error}.", _HINT) from error


def fixed_from(text: str) -> int | None:
    """Return the number of the line from which on agent.py belongs to the server; None where there is no such line."""
    return next(iter(_places(_lines(text), adapter.BOUNDARY)), None)


def _check_markers(lines: list[str]) -> int:
    """Return the line number of the boundary."""
    places = {marker: _places(lines, marker) for marker in (EDITABLE_MARKER, adapter.BOUNDARY)}
    for marker, found in places.items():
        if len(found) != 1:
            where = f"on lines {', '.join(map(str, found))}" if found else "nowhere"
            raise HarnessError(
                f"agent.py must have the line {marker!r} once; it is {where}.", _ONE_TOO_MANY if found else _LOST
            )
    editable, boundary = places[EDITABLE_MARKER][0], places[adapter.BOUNDARY][0]
    if boundary < editable:
        raise HarnessError(
            f"agent.py has the fixed boundary on line {boundary}, above its editable section on line {editable}.",
            "Put the editable section first.",
        )
    return boundary


def _lines(text: str) -> list[str]:
    """Split a text where Python does: a form feed, say, ends no line, and would shift all numbers after it."""
    return [line.rstrip("\n") for line in io.StringIO(text, newline=None)]


def _places(lines: list[str], marker: str) -> list[int]:
    return [number for number, line in enumerate(lines, 1) if line.strip() == marker]


def _check_fixed_part(text: str, boundary: int) -> None:
    found = _lines(text)[boundary - 1 :]
    expected = _lines(adapter.fixed_part())
    if found == expected:
        return
    same = sum(1 for _ in _common(found, expected))
    raise HarnessError(
        f"agent.py line {boundary + same} lies below the fixed boundary and was changed.",
        "Undo that part of the edit; only what is above the boundary may change.",
    )


def _common(found: list[str], expected: list[str]) -> Iterator[str]:
    for one, other in zip(found, expected, strict=False):
        if one != other:
            return
        yield one


def _check_definitions(editable: list[ast.stmt]) -> None:
    functions = {node.name: node for node in editable if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    assigned = {name for node in editable for name, _ in _bound(node)}
    missing = [name for name, known in (("run_task", functions), ("MODEL", assigned)) if name not in known]
    if missing:
        raise HarnessError(
            f"agent.py does not define {' and '.join(missing)} above the fixed boundary.",
            "Define them there: the server calls run_task, and MODEL names the pinned model.",
        )
    if not isinstance(functions["run_task"], ast.AsyncFunctionDef):
        raise HarnessError(
            f"agent.py line {functions['run_task'].lineno}: run_task is not an async function.",
            "Write `async def run_task(environment, instruction)`.",
        )


def _check_model(editable: list[ast.stmt], model: str) -> None:
    bindings = [(node, line) for node in editable for name, line in _bound(node, deep=True) if name == "MODEL"]
    hint = f'Keep `MODEL = "{model}"` once, at the top level: the model is pinned in autoagent.toml.'
    for _, line in bindings[1:]:
        raise HarnessError(f"agent.py line {line} sets MODEL a second time.", hint)
    node, line = bindings[0]
    value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
    if not isinstance(value, ast.Constant) or value.value != model:
        raise HarnessError(f"agent.py line {line} sets MODEL to something other than the string {model!r}.", hint)


def _check_fixed_names(editable: list[ast.stmt], fixed: list[ast.stmt]) -> None:
    """What the fixed part defines, and the builtins that it uses, may not be bound or changed above it."""
    imports = (ast.Import, ast.ImportFrom)
    defined = {name for node in fixed if not isinstance(node, imports) for name, _ in _bound(node)}
    used = {node.id for top in fixed for node in ast.walk(top) if isinstance(node, ast.Name)}
    kept = defined | (used & set(dir(builtins)))
    for top in editable:
        changes = [*_bound(top), *_declared_global(top), *_attributes_set(top)]
        for name, line in changes:
            if name in kept:
                raise HarnessError(
                    f"agent.py line {line} changes {name}, which belongs to the fixed part.",
                    "Use another name; the part below the boundary stays as it is.",
                )


def _bound(top: ast.stmt, *, deep: bool = False) -> Iterator[tuple[str, int]]:
    """Give the names that a statement binds, with lines: those of the module, or of the functions in it too."""
    for node in ast.walk(top) if deep else _walk_scope(top):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id, node.lineno
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node.lineno
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name.split(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        else:
            yield from _bound_by_name(node)


def _bound_by_name(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Give what is bound through a string: globals()["MODEL"] = ..., setattr(module, "MODEL", ...)."""
    if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
        words = [node.slice]
    elif isinstance(node, ast.Call) and _name(node.func) in {"setattr", "__setattr__", "__setitem__"}:
        words = node.args
    else:
        words = []
    for word in words:
        if isinstance(word, ast.Constant) and isinstance(word.value, str):
            yield word.value, word.lineno


def _walk_scope(top: ast.stmt) -> Iterator[ast.AST]:
    """Walk a statement without going into functions and classes."""
    yield top
    if isinstance(top, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return
    for child in ast.iter_child_nodes(top):
        if isinstance(child, ast.stmt):
            yield from _walk_scope(child)
        elif not isinstance(child, ast.arguments):
            yield from (node for node in ast.walk(child) if not isinstance(node, ast.arg))


def _declared_global(top: ast.stmt) -> Iterator[tuple[str, int]]:
    for node in ast.walk(top):
        if isinstance(node, ast.Global):
            yield from ((name, node.lineno) for name in node.names)


def _attributes_set(top: ast.stmt) -> Iterator[tuple[str, int]]:
    """Give whose attributes are set: `AutoAgent.run = ...`, setattr(AutoAgent, ...)."""
    for node in ast.walk(top):
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            yield _name(node.value), node.lineno
        elif isinstance(node, ast.Call) and _name(node.func) == "setattr" and node.args:
            yield _name(node.args[0]), node.lineno


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""
