"""What a shell command would write, as far as its words tell: a careful client's slip, not an attacker's trick."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple, cast

from autoagent_mcp.hook.place import text

_HEREDOC = re.compile(r"(?<!<)<<-?\s*(['\"]?)(\w+)\1")
_OPERATORS = set("();<>|&\n")
_REMOVERS = {"rm", "rmdir", "mv", "unlink", "shred"}
_WRITERS = {"tee", "truncate", "touch", "chmod", "chown", "mkdir", "patch"}
_COPIERS = {"cp", "ln", "install", "rsync"}
"""They write to the last word alone."""
_IN_PLACE = {"sed", "perl"}
_PREFIXES = {"sudo", "env", "command", "exec", "nohup", "time", "uv", "uvx", "run", "python", "python3", "-m"}
_OURS = {"autoagent-mcp", "autoagent_mcp"}
_PERSONS = {
    "accept-changes": "accepts changes from outside",
    "promote": "hands the winner over",
    "review": "shows what the hidden tasks gave",
    "--undo": "takes back a person's stop",
}


class Write(NamedTuple):
    """A path that a command would write to."""

    path: str
    is_removal: bool


def command(data: Mapping[str, object]) -> str:
    """Return the command line of a shell tool's call; empty where it is another tool."""
    given = data.get("tool_input")
    is_shell = text(data, "tool_name") == "Bash" and isinstance(given, dict)
    return text(cast("dict[str, object]", given), "command") if is_shell else ""


def for_people(line: str) -> str:
    """Say so where the command is one of ours by which a person decides."""
    for words in _commands(line):
        told = [word for word in words if word not in _PREFIXES]
        if told and os.path.basename(told[0]) in _OURS:  # noqa: PTH119 - importing pathlib is no gain here
            for word in _PERSONS.keys() & set(told):
                return f"`autoagent-mcp {word}` {_PERSONS[word]}: that is for the person to say. Go on without it."
    return ""


def written(line: str, cwd: str) -> Iterator[Write]:
    """Return what a command line would write to or remove, as absolute paths."""
    for words in _commands(line):
        if words[0] == "cd" and len(words) > 1:
            cwd = _path(cwd, words[1])
        for path, is_removal in _targets(words):
            yield Write(_path(cwd, path), is_removal)


def _targets(words: list[str]) -> Iterator[tuple[str, bool]]:
    yield from ((after, False) for word, after in pairwise(words) if word.startswith(">"))
    plain = [word for word in words if word not in _PREFIXES and "=" not in word]
    if not plain:
        return
    name, rest = plain[0], [word for word in plain[1:] if not word.startswith("-")]
    if name in _REMOVERS:
        yield from ((word, True) for word in rest)
    elif name in _WRITERS or (name in _IN_PLACE and any(word.startswith("-i") for word in plain[1:])):
        yield from ((word, False) for word in rest)
    elif name in _COPIERS and rest:
        yield rest[-1], False


def _commands(line: str) -> list[list[str]]:
    """Split a line into simple commands with their redirections; what a here-document holds is no command."""
    lexer = shlex.shlex(_without_documents(line), posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    found: list[list[str]] = [[]]
    try:
        for word in lexer:
            if set(word) <= _OPERATORS and ">" not in word and "<" not in word:
                found.append([])
            else:
                found[-1].append(word)
    except ValueError:  # a quotation that does not end: bash will refuse it, too
        return []
    return [words for words in found if words]


def _without_documents(line: str) -> str:
    """Leave out what here-documents hold, where they end: what else has `<<` in it is no here-document."""
    rows = line.split("\n")
    last = {row.strip(): number for number, row in enumerate(rows)}
    kept: list[str] = []
    ends: list[str] = []
    for number, row in enumerate(rows):
        if not ends:
            kept.append(row)
            ends = [word for _, word in _HEREDOC.findall(row) if last.get(word, 0) > number]
        elif row.strip() == ends[0]:
            ends.pop(0)
    return "\n".join(kept)


def _path(cwd: str, word: str) -> str:
    return os.path.abspath(os.path.join(cwd, os.path.expanduser(word)))  # noqa: PTH100, PTH111, PTH118 - as in guard.py
