"""The ledger's rows: how they are hashed, chained and written as lines. Pure."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime

from autoagent_mcp.errors import LedgerError
from autoagent_mcp.models.base import Frozen

GENESIS = "0" * 64
"""What the first entry has for the hash of the one before."""
REF = "refs/autoagent/ledger"
"""Where git keeps the lines."""


class Entry(Frozen):
    """One row of the ledger."""

    seq: int
    """Counted from 0."""
    at: datetime
    kind: str
    body: str
    """JSON."""
    previous_sha256: str
    sha256: str


class Row(Frozen):
    """An entry with its body as the text that was hashed."""

    seq: int
    at: str
    kind: str
    body: str
    previous_sha256: str
    sha256: str

    def entry(self) -> Entry:
        """Return it as it is read by others."""
        return Entry.model_construct(
            seq=self.seq,
            at=datetime.fromisoformat(self.at),
            kind=self.kind,
            body=self.body,
            previous_sha256=self.previous_sha256,
            sha256=self.sha256,
        )

    def line(self) -> str:
        """Return it as it is kept in git."""
        return canonical({**self.model_dump(), "body": json.loads(self.body)})

    def expected_sha256(self) -> str:
        """Return the hash that the row must have, over its content and the hash of the row before."""
        content = f"{self.previous_sha256}\n{self.seq}\n{self.at}\n{self.kind}\n{self.body}"
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def is_whole(self) -> bool:
        """Whether its content is the one that was hashed."""
        return self.sha256 == self.expected_sha256()

    def follows(self, seq: int, previous_sha256: str) -> bool:
        """Tell whether it is the whole and unchanged row `seq` after the one with that hash."""
        return self.seq == seq and self.previous_sha256 == previous_sha256 and self.is_whole


def parse(line: str, number: int) -> Row:
    """Read a line of the ledger's ref.

    Raises:
        LedgerError: It is no entry.
    """
    try:
        value = json.loads(line)
        return Row.model_validate({**value, "body": canonical(value["body"])})
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(
            f"Line {number} of {REF} is no entry, so it was changed from outside: {error}.",
            f"Find out who did it. Where .autoagent/ledger.sqlite3 is whole, git update-ref -d {REF} renews it.",
        ) from error


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces, in ASCII, so that the same value always gives the same bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
