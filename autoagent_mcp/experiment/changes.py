"""What was changed from outside and not accepted yet, as the ledger tells it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from autoagent_mcp._text import named
from autoagent_mcp.ledger import Entry
from autoagent_mcp.models.integrity import Accepted, Kind, Tampered, Thing, Watched

WATCHED = "watched"
TAMPERED = "tampered"
ACCEPTED = "accepted"
KINDS = (WATCHED, TAMPERED, ACCEPTED)
"""The ledger's entries that this is read from."""

_FILES = {Kind.SETTINGS, Kind.TASK, Kind.HIDDEN, Kind.PACKAGE}
"""What lies on disk for everybody to change; ledger and refs are put back, so that they stay what they were."""
_ORDER = {kind: number for number, kind in enumerate(Kind)}
_NAMED = 5
_SENTENCES = {
    Kind.LEDGER: "Changed from outside and put back as far as there was a copy: the ledger, from entry {} on.",
    Kind.REF: "Changed from outside and put back as far as git still had them: {}.",
    Kind.SETTINGS: "Changed from outside: {}.",
    Kind.TASK: "Changed from outside: tasks {}.",
    Kind.HIDDEN: "Changed from outside: hidden tasks.",
    Kind.PACKAGE: "Changed from outside: files of autoagent-mcp itself, {}.",
}

Key = tuple[Kind, str]


class Changes:
    """How a workspace was found last, and what of it waits for a person."""

    def __init__(self) -> None:
        self.is_begun = False
        """Whether something was measured, so that everything is held against how it was then."""
        self.waiting: dict[Key, Thing] = {}
        """What was changed and is not accepted yet."""
        self._found: dict[Key, str] = {}
        self._unchanged: tuple[Thing, ...] = ()
        """What was looked at last, where all of it was as it was found before."""

    def apply(self, entry: Entry) -> None:
        """Take in the next entry."""
        if entry.kind == WATCHED:
            self.is_begun = True
            self._find(Watched.model_validate_json(entry.body).things)
        elif entry.kind == TAMPERED:
            things = Tampered.model_validate_json(entry.body).things
            self._find(things)
            self.waiting |= {_key(thing): thing for thing in things}
        elif entry.kind == ACCEPTED:
            for thing in self.cleared_by(Accepted.model_validate_json(entry.body)):
                del self.waiting[_key(thing)]

    def cleared_by(self, accepted: Accepted) -> tuple[Thing, ...]:
        """Return what a person's word covers of what waits: only what still is as the person saw it."""
        return tuple(thing for thing in self.waiting.values() if thing in accepted.things)

    def since(self, now: tuple[Thing, ...]) -> tuple[Thing, ...]:
        """Return what of the files is not as it was found last; nothing before the baseline."""
        if not self.is_begun or (now and now is self._unchanged):
            return ()
        things = {_key(thing): thing for thing in now}
        gone = (key for key, digest in self._found.items() if digest and key[0] in _FILES and key not in things)
        other = (thing for key, thing in things.items() if self._found.get(key, "") != thing.digest)
        changed = (*other, *(Thing(kind=kind, name=name) for kind, name in gone))
        self._unchanged = () if changed else now
        return changed

    def is_known(self, thing: Thing) -> bool:
        """Tell whether a thing was found just so before."""
        return self._found.get(_key(thing)) == thing.digest

    def _find(self, things: Iterable[Thing]) -> None:
        self._found |= {_key(thing): thing.digest for thing in things}
        self._unchanged = ()


def sentences(things: Iterable[Thing]) -> tuple[str, ...]:
    """Say what was changed, a sentence for each kind."""
    found = sorted(things, key=lambda thing: (_ORDER[thing.kind], thing.name))
    return tuple(_SENTENCES[kind].format(_names(list(some))) for kind, some in groupby(found, lambda one: one.kind))


def _names(things: list[Thing]) -> str:
    if things[0].kind is Kind.LEDGER:
        return str(min(int(thing.name) for thing in things))
    return named([thing.name + ("" if thing.digest else " (gone)") for thing in things], _NAMED)


def _key(thing: Thing) -> Key:
    return thing.kind, thing.name
