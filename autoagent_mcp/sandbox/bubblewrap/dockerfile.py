"""A Dockerfile, as far as it can be honoured without a Docker engine: no RUN, one stage, local files.

Grammar and meaning: https://docs.docker.com/reference/dockerfile/.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from autoagent_mcp.models.base import Frozen

_ROOT_USERS = {"root", "0", "root:root", "0:0", "root:0", "0:root"}
_IGNORED = {"LABEL", "EXPOSE", "STOPSIGNAL", "MAINTAINER", "CMD", "SHELL"}
_SHOWN = 80
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S+))?\s+")
_VARIABLE = re.compile(r"\\(.)|\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})")


class Copy(Frozen):
    """A COPY or ADD of files from the context."""

    line: int
    sources: tuple[str, ...]
    target: str
    """Absolute; ends in `/` where it must be a folder."""
    mode: int | None = None
    unpacks: bool = False
    """ADD unpacks tar archives."""


class Recipe(Frozen):
    """What a Dockerfile asks for."""

    base: str = ""
    workdir: PurePosixPath = PurePosixPath("/")
    env: Mapping[str, str] = {}
    copies: tuple[Copy, ...] = ()
    folders: tuple[str, ...] = ()
    """Made where they are missing: every WORKDIR and VOLUME."""
    refusals: tuple[str, ...] = ()
    """What cannot be honoured, each with its line."""
    notices: tuple[str, ...] = ()


class Instruction(NamedTuple):
    """One instruction, its continued lines joined."""

    line: int
    word: str
    rest: str


def read(path: Path) -> Recipe:
    """Read a Dockerfile.

    Raises:
        OSError: It cannot be read.
        UnicodeDecodeError: It is not UTF-8.
    """
    reader = _Reader(path.name)
    for instruction in _instructions(path.read_text(encoding="utf-8")):
        reader.take(instruction)
    return reader.recipe()


def _instructions(text: str) -> Iterator[Instruction]:
    joined, first = "", 0
    for number, raw in enumerate(text.splitlines(), start=1):
        if raw.lstrip().startswith("#") or (joined and not raw.strip()):
            continue
        first = first if joined else number
        joined += raw.strip()
        if joined.endswith("\\"):
            joined = joined[:-1] + " "
            continue
        if joined:
            word, _, rest = joined.partition(" ")
            yield Instruction(first, word.upper(), rest.strip())
        joined = ""
    if joined.strip():
        word, _, rest = joined.strip().partition(" ")
        yield Instruction(first, word.upper(), rest.strip())


class _Reader:
    """Gathers a recipe, instruction by instruction."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._base = ""
        self._workdir = PurePosixPath("/")
        self._env: dict[str, str] = {}
        self._arguments: dict[str, str] = {}
        self._copies: list[Copy] = []
        self._folders: list[str] = []
        self._refusals: list[str] = []
        self._notices: list[str] = []

    def recipe(self) -> Recipe:
        """Return what was gathered."""
        if not self._base and not self._refusals:
            self._refusals.append(f"environment/{self._name} has no FROM")
        return Recipe(
            base=self._base,
            workdir=self._workdir,
            env=self._env,
            copies=tuple(self._copies),
            folders=tuple(self._folders),
            refusals=tuple(self._refusals),
            notices=tuple(self._notices),
        )

    def take(self, instruction: Instruction) -> None:
        """Gather one instruction."""
        word = instruction.word
        handler = {
            "FROM": self._from,
            "ARG": self._arg,
            "ENV": self._set_env,
            "WORKDIR": self._set_workdir,
            "COPY": self._copy,
            "ADD": self._copy,
            "USER": self._user,
            "VOLUME": self._volume,
            "ENTRYPOINT": self._entrypoint,
        }.get(word)
        if "<<" in instruction.rest and word in {"COPY", "ADD", "RUN"}:
            self._refuse(instruction, "a here-document")
        elif handler is not None:
            handler(instruction)
        elif word not in _IGNORED and (word, instruction.rest.upper()) != ("HEALTHCHECK", "NONE"):
            self._refuse(instruction)

    def _refuse(self, instruction: Instruction, what: str = "") -> None:
        shown = f"{instruction.word} {instruction.rest}"
        shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."
        reason = f" ({what})" if what else ""
        self._refusals.append(f"environment/{self._name} line {instruction.line}: {shown}{reason} needs Docker")

    def _from(self, instruction: Instruction) -> None:
        if self._base:
            self._refuse(instruction, "a second stage")
            return
        _flags, rest = _flags_of(instruction.rest)
        self._base = self._expand(rest).split()[0] if rest else ""

    def _arg(self, instruction: Instruction) -> None:
        for word in _words(instruction.rest):
            name, _, value = word.partition("=")
            self._arguments[name] = self._expand(value)

    def _set_env(self, instruction: Instruction) -> None:
        first = instruction.rest.split(None, 1)
        if first and "=" not in first[0]:
            self._env[first[0]] = self._expand(first[1] if len(first) > 1 else "")
            return
        before = {**self._arguments, **self._env}
        for word in _words(instruction.rest):
            name, _, value = word.partition("=")
            self._env[name] = _expand(value, before)

    def _set_workdir(self, instruction: Instruction) -> None:
        self._workdir = self._workdir / self._expand(instruction.rest.strip("\"'"))
        self._folders.append(str(self._workdir))

    def _volume(self, instruction: Instruction) -> None:
        self._folders += [self._absolute(word) for word in _paths(instruction.rest)]

    def _user(self, instruction: Instruction) -> None:
        if self._expand(instruction.rest) not in _ROOT_USERS:
            self._refuse(instruction, "another user than root")

    def _entrypoint(self, instruction: Instruction) -> None:
        self._notices.append(f"environment/{self._name} line {instruction.line}: ENTRYPOINT is not run")

    def _copy(self, instruction: Instruction) -> None:
        flags, rest = _flags_of(instruction.rest)
        words = [self._expand(word) for word in _paths(rest)]
        if complaint := _copy_complaint(flags, words):
            self._refuse(instruction, complaint)
            return
        target = self._absolute(words[-1])
        if words[-1].endswith(("/", "/.")) or words[-1] == "." or len(words) > 2:  # noqa: PLR2004 - two are file to file
            target = target.rstrip("/") + "/"
        mode = int(flags["chmod"], 8) if flags.get("chmod") else None
        unpacks = instruction.word == "ADD"
        self._copies.append(
            Copy(line=instruction.line, sources=tuple(words[:-1]), target=target, mode=mode, unpacks=unpacks)
        )

    def _absolute(self, path: str) -> str:
        return str(self._workdir / path)

    def _expand(self, text: str) -> str:
        return _expand(text, {**self._arguments, **self._env})


def _copy_complaint(flags: Mapping[str, str], words: list[str]) -> str | None:
    sources = words[:-1]
    unknown = sorted(set(flags) - {"chown", "chmod", "link"})
    complaints = {
        f"--{', --'.join(unknown)}": bool(unknown),
        "another owner than root": flags.get("chown", "root") not in _ROOT_USERS,
        "a mode that is not octal": not re.fullmatch(r"[0-7]{3,4}", flags.get("chmod", "644")),
        "no target": not sources,
        "a remote source": any(re.match(r"[a-z][a-z0-9+.-]*://|git@", word) for word in sources),
        "a source outside of environment/": any(".." in PurePosixPath(word).parts for word in sources),
    }
    return next((complaint for complaint, is_true in complaints.items() if is_true), None)


def _flags_of(rest: str) -> tuple[dict[str, str], str]:
    flags: dict[str, str] = {}
    while found := _FLAG.match(rest):
        flags[found[1]] = found[2] or ""
        rest = rest[found.end() :]
    return flags, rest


def _paths(rest: str) -> list[str]:
    """Return the words of the JSON form or of the plain one."""
    if rest.startswith("["):
        try:
            return [str(word) for word in json.loads(rest)]
        except ValueError:
            pass  # then it is the plain form, as Docker has it
    return rest.split()


def _words(rest: str) -> list[str]:
    try:
        return shlex.split(rest)
    except ValueError:
        return rest.split()


def _expand(text: str, values: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        escaped, plain, braced, operator, word = found.groups()
        if escaped is not None:
            return escaped
        known = values.get(plain or braced)
        if operator == "+":
            return word if known else ""
        return known or (word if operator == "-" else "")

    return _VARIABLE.sub(value, text)
