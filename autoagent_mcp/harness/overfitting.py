"""What a candidate seems to know of the tasks. It is shown to whoever decides, and decides nothing.

Looked for above the boundary of agent.py and in .agent/: names of tasks and of their files, and texts and numbers that
also stand in a task, plain or in disguise. What program.md says may be in a harness, and what stands in several tasks
is no knowledge of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from autoagent_mcp.harness import adapter
from autoagent_mcp.harness.disguise import texts
from autoagent_mcp.harness.known import Known, file_names, holds, known_of, numbers, words
from autoagent_mcp.models.finding import Finding, FindingKind
from autoagent_mcp.models.task import Task
from autoagent_mcp.task.canary import Canaries

TEXT_CHARS = 20
"""Shorter lines are shared by chance."""
CLAUSE_CHARS = 40
"""Shorter parts of a line too."""
HIDDEN_CHARS = 6
"""Nobody disguises a text without a reason, so a shorter one counts there."""
GENERAL_TASKS = 3
"""What stands in so many tasks is how tasks are written, or how the world is."""
LIMIT_BYTES = 512 * 1024
"""Of a candidate's files together, the smallest first; comparing so much takes some seconds."""
_QUOTE_CHARS = 60
_CLAUSE_ENDS = re.compile(r"""[;,:!?()\[\]{}"'`|<>]+\s*|\.\s+""")
_PLAIN_WORD = re.compile(r"[A-Za-z]+")


class _Shared(NamedTuple):
    kind: FindingKind
    what: str
    task: str


_AllKnown: TypeAlias = Mapping[str, Known]


def scan(
    candidate: Mapping[str, bytes], incumbent: Mapping[str, bytes], tasks: Sequence[Task], allowed: str
) -> tuple[Finding, ...]:
    """Find what a candidate has in common with tasks and its incumbent has not.

    Args:
        candidate: Its files by path.
        incumbent: The files that it is compared with; none where all of the candidate is to be looked at.
        tasks: The visible ones: what is found in hidden ones would tell of them.
        allowed: The text of program.md.
    """
    known = {task.name: known_of(task) for task in tasks}
    changed = {path: content for path, content in candidate.items() if incumbent.get(path) != content}
    small = _within_limit(changed)
    before = _shared(_within_limit(incumbent), known, allowed)
    new = {shared: path for shared, path in _shared(small, known, allowed).items() if shared not in before}
    new = {shared: path for shared, path in new.items() if not any(_says_more(other, shared) for other in new)}
    found = [_finding(shared, path) for shared, path in new.items()]
    large = sorted(changed.keys() - small.keys())
    found += [Finding(path=path, what="", task="", kind=FindingKind.TOO_LARGE) for path in large]
    return tuple(found)


def flags(files: Mapping[str, bytes], tasks: Sequence[Task], allowed: str) -> tuple[str, ...]:
    """Say in sentences what a harness as a whole has in common with tasks; see `scan`."""
    return tuple(finding.sentence for finding in scan(files, {}, tasks, allowed))


def canaries_in(files: Mapping[str, bytes], canaries: Canaries) -> tuple[str, ...]:
    """Say which of a candidate's files hold a canary token, plain or in disguise."""
    return tuple(
        f"{path} holds a canary token, which stands only beside tests and solutions and in hidden tasks."
        for path, content in sorted(files.items())
        if any(canaries.is_in(said.text) for name in {path, ""} for said in texts(name, content))
    )


def _finding(shared: _Shared, path: str) -> Finding:
    return Finding(path=path, what=shared.what[:_QUOTE_CHARS], task=shared.task, kind=shared.kind)


def _within_limit(files: Mapping[str, bytes]) -> dict[str, bytes]:
    left, small = LIMIT_BYTES, dict[str, bytes]()
    for path, content in sorted(files.items(), key=lambda item: len(item[1])):
        left -= len(content)
        if left >= 0:
            small[path] = content
    return small


def _shared(files: Mapping[str, bytes], known: _AllKnown, allowed: str) -> dict[_Shared, str]:
    """Return what files share with tasks, each with the first file that does."""
    found: dict[_Shared, str] = {}
    for path, content in sorted(files.items()):
        own = content.partition(adapter.BOUNDARY.encode())[0] if path == "agent.py" else content
        named = _Search(known, allowed, is_disguised=False).names(path)
        found |= {shared: path for shared in named if shared not in found}
        for said in texts(path, own):
            for shared in _Search(known, allowed, is_disguised=said.is_disguised).shared(said.text):
                kind = FindingKind.ENCODED if said.is_disguised else shared.kind
                found.setdefault(shared._replace(kind=kind), path)
    return found


def _says_more(one: _Shared, other: _Shared) -> bool:
    """Tell whether one makes the other superfluous: it holds it, or is the same without disguise."""
    if one.task != other.task or other.kind is FindingKind.TASK_NAME or other.what not in one.what:
        return False
    return one.what != other.what or (other.kind is FindingKind.ENCODED and one.kind is not FindingKind.ENCODED)


class _Search:
    """Looks for what a text shares with tasks.

    Args:
        known: What can be known of each task.
        allowed: What may be in a harness.
        is_disguised: Whether somebody took pains to hide the text.
    """

    def __init__(self, known: _AllKnown, allowed: str, *, is_disguised: bool) -> None:
        self._known = known
        self._allowed = allowed
        self._line_chars = HIDDEN_CHARS if is_disguised else TEXT_CHARS
        self._clause_chars = HIDDEN_CHARS if is_disguised else CLAUSE_CHARS

    def shared(self, text: str) -> Iterator[_Shared]:
        """Yield what is shared, each perhaps several times."""
        yield from self.names(text)
        for line in dict.fromkeys(text.splitlines()):
            yield from self._literals([line], self._line_chars)
            yield from self._literals(_CLAUSE_ENDS.split(line), self._clause_chars)
            for name in file_names(line):
                having = [task for task, known in self._known.items() if name in known.file_names]
                yield from self._special(FindingKind.FILE_NAME, name, having)
            for number in numbers(line):
                having = [task for task, known in self._known.items() if number in known.numbers]
                yield from self._special(FindingKind.LITERAL, number, having)

    def names(self, text: str) -> Iterator[_Shared]:
        """Yield the tasks that are named."""
        for name in self._known:
            if name in text and name not in self._allowed and _names(text, name):
                yield _Shared(FindingKind.TASK_NAME, name, name)

    def _literals(self, pieces: Iterable[str], least_chars: int) -> Iterator[_Shared]:
        for piece in (one.strip() for one in pieces):
            if len(piece) >= least_chars and sum(map(str.isalnum, piece)) >= HIDDEN_CHARS:
                found = words(piece)
                having = [task for task, known in self._known.items() if holds(known, found, piece)]
                yield from self._special(FindingKind.LITERAL, piece, having)

    def _special(self, kind: FindingKind, what: str, having: Sequence[str]) -> Iterator[_Shared]:
        if len(having) < GENERAL_TASKS and what not in self._allowed:
            yield from (_Shared(kind, what, task) for task in having)


def _names(text: str, name: str) -> bool:
    """Tell whether a text names a task; where the name is a word of every day, whether it says nothing else."""
    if _PLAIN_WORD.fullmatch(name):
        return text.strip() == name
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None
