"""The constants of a Python file, and those that its expressions put together from others. Nothing of it is run."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from autoagent_mcp.harness.syntax import parse

LIMIT_CHARS = 100_000
"""A text that is put together gets no longer."""
_LAST_CODE = 0x10FFFF

_Value: TypeAlias = "str | int | list[_Value]"
"""A text, a character code, or a list of these."""


class Constants(NamedTuple):
    """What stands in a file."""

    literals: tuple[str, ...]
    """Its texts as they stand, docstrings among them."""
    numbers: tuple[str, ...]
    joined: tuple[str, ...]
    """What it puts together: "a" + "b", "".join(["a", "b"]), chr(97), bytes([97, 98]), "ba"[::-1] and lists alone."""


def read(source: str) -> Constants | None:
    """Read a file's constants; None where it is no Python."""
    try:
        tree = parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    literals: dict[str, None] = {}
    numbers: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str | bytes):
                literals[_text(node.value)] = None
            elif isinstance(node.value, int | float) and not isinstance(node.value, bool):
                numbers[repr(node.value)] = None
    joined = dict.fromkeys(text for text in _Folding(tree).texts() if text not in literals)
    return Constants(tuple(literals), tuple(numbers), tuple(joined))


class _Folding:
    """Works a tree out from its leaves; what cannot be known beforehand is left out."""

    def __init__(self, tree: ast.Module) -> None:
        self._nodes = list(ast.walk(tree))
        self._names: dict[str, str] = {}
        self._known: dict[ast.AST, _Value] = {}
        """What did not go into something larger."""
        self._folds: dict[type[ast.AST], Callable[[Any], _Value | None]] = {
            ast.Constant: _constant,
            ast.Name: lambda node: self._names.get(node.id),
            ast.FormattedValue: lambda node: self._known.pop(node.value, None),
            ast.JoinedStr: self._format,
            ast.List: self._display,
            ast.Tuple: self._display,
            ast.Set: self._display,
            ast.BinOp: self._sum,
            ast.Subscript: self._slice,
            ast.Call: self._call,
        }

    def texts(self) -> list[str]:
        """Return the largest texts that expressions come to."""
        for node in reversed(self._nodes):  # ast.walk gives parents first
            self._fold(node)
        for node in self._nodes:
            if isinstance(node, ast.Assign) and isinstance(text := self._known.get(node.value), str):
                self._names |= {to.id: text for to in node.targets if isinstance(to, ast.Name)}
        for node in reversed(self._nodes):  # once more, with the names that were assigned
            self._fold(node)
        return [text for value in self._known.values() if (text := _as_text(value))]

    def _fold(self, node: ast.AST) -> None:
        value = self._value(node)
        if value is not None:
            self._known[node] = value

    def _value(self, node: ast.AST) -> _Value | None:
        fold = self._folds.get(type(node))
        return fold(node) if fold else None

    def _display(self, node: ast.List | ast.Tuple | ast.Set) -> _Value | None:
        return self._take_all(node.elts)

    def _format(self, node: ast.JoinedStr) -> _Value | None:
        return _joined("", self._take_all(node.values))

    def _slice(self, node: ast.Subscript) -> _Value | None:
        match node.slice:
            case ast.Slice(lower=None, upper=None, step=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1))):
                return _reversed(self._known.pop(node.value, None))
            case _:
                return None

    def _call(self, node: ast.Call) -> _Value | None:
        if len(node.args) != 1 or node.keywords:
            return None
        argument = self._known.get(node.args[0])
        match node.func:
            case ast.Attribute(value=separator, attr="join"):
                between = self._known.get(separator)
                return _joined(between, argument) if isinstance(between, str) and isinstance(argument, list) else None
            case ast.Name(id="chr"):
                return _as_text([argument]) if isinstance(argument, int) else None
            case ast.Name(id="reversed"):
                return _reversed(argument)
            case _:
                return None

    def _sum(self, node: ast.BinOp) -> _Value | None:
        left, right = node.left, node.right
        one, other = self._known.get(left), self._known.get(right)
        if not isinstance(node.op, ast.Add):
            return None
        if isinstance(one, str) and isinstance(other, str):
            value = _joined("", [one, other])
        elif isinstance(one, list) and isinstance(other, list):
            value = [*one, *other]
        else:
            return None
        if value is not None:
            del self._known[left], self._known[right]
        return value

    def _take_all(self, nodes: list[ast.expr]) -> list[_Value] | None:
        values = [self._known[node] for node in nodes if node in self._known]
        if len(values) < len(nodes):
            return None
        for node in nodes:
            del self._known[node]
        return values


def _constant(node: ast.Constant) -> _Value | None:
    if isinstance(node.value, str | bytes):
        return _text(node.value)
    return node.value if isinstance(node.value, int) else None


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode(errors="replace")


def _reversed(value: _Value | None) -> _Value | None:
    return value[::-1] if isinstance(value, str | list) else None


def _joined(between: str, parts: list[_Value] | None) -> str | None:
    texts = [part for part in parts or () if isinstance(part, str)]
    if not parts or len(texts) < len(parts) or sum(len(text) + len(between) for text in texts) > LIMIT_CHARS:
        return None
    return between.join(texts)


def _as_text(value: _Value) -> str | None:
    """Read a value as a text: a list of texts as one, a list of numbers as character codes."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return None
    codes = [part for part in value if isinstance(part, int)]
    if codes and len(codes) == len(value):
        return "".join(map(chr, codes)) if all(0 < code <= _LAST_CODE for code in codes) else None
    return _joined("", value)
