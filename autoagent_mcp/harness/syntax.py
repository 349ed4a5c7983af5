"""What a Python file does, as far as its syntax tree tells: without comments and layout."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from typing import cast

_one_at_a_time = threading.Lock()
_SCOPES = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def parse(source: str | bytes) -> ast.Module:
    """Parse a Python file, one at a time in the whole process.

    CPython 3.11 counts the depth of a tree for all threads together, and two that parse at once may end in a
    SystemError (https://github.com/python/cpython/issues/106905).

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: It is no Python that this interpreter can read.
    """
    with _one_at_a_time:
        return ast.parse(source)


def shape(tree: ast.Module, *, docstrings: bool) -> Iterator[str]:
    """Give one line for each node, in order: its depth, its kind and the values in it; with docstrings, or without.

    Fields that are empty are left out, so that the same file gives the same lines under every version of Python.
    """
    stack: list[tuple[int, ast.AST]] = [(0, tree)]
    while stack:
        depth, node = stack.pop()
        values = [f"{name}={value!r}" for name, value in ast.iter_fields(node) if _is_value(value)]
        yield " ".join([str(depth), type(node).__name__, *values])
        stack.extend((depth + 1, child) for child in reversed(_children(node, docstrings=docstrings)))


def _children(node: ast.AST, *, docstrings: bool) -> list[ast.AST]:
    left_out = None
    if not docstrings and isinstance(node, _SCOPES) and ast.get_docstring(node) is not None:
        left_out = node.body[0]
    kept = (ast.expr_context, ast.Load)
    return [child for child in ast.iter_child_nodes(node) if child is not left_out and not isinstance(child, kept)]


def _is_value(value: object) -> bool:
    # A list in a tree holds nodes, or, as `global` does, names.
    values = cast("list[object]", value) if isinstance(value, list) else [value]
    return any(each is not None and not isinstance(each, ast.AST) for each in values)
