"""Every error that a caller may meet, in one tree.

AutoagentError
  + SetupError        this machine or this repository is not ready
  + ConfigError       autoagent.toml cannot be used as written
  + TaskError         a task folder cannot be used as written
  + HarnessError      agent.py or .agent/ cannot be measured as it is
  + SandboxError      a sandbox could not be started, or was lost
  |   + SandboxRefused    the backend cannot give what was asked for
  |   + EngineError       the Docker engine refused, or is away
  + GatewayError      the model cannot be served
  + RepoError         git is not in a state to go on
  + LedgerError       the ledger cannot be read, or another server holds it
  + NotComparableError  two runs did not measure the same thing
  + BusyError         another run goes on in this workspace
  + UnknownNameError  no such task, run, trial or experiment
  + DecisionRefused   a keep or a revert that the rules do not allow
  + HiddenError       the hidden tasks cannot say anything about a change
  + ExportError       a run cannot be written in another tool's format
  + ReportError       the page cannot be written where it shall be
  + PromoteError      the winner cannot be written where it shall be

Each carries two sentences: what was seen (with the name, path or number), and what to do about it. The text of one of
these reaches the client as it is; the text of any other exception never does.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AutoagentError",
    "BusyError",
    "ConfigError",
    "DecisionRefused",
    "EngineError",
    "ExportError",
    "GatewayError",
    "HarnessError",
    "HiddenError",
    "LedgerError",
    "NotComparableError",
    "PromoteError",
    "RepoError",
    "ReportError",
    "SandboxError",
    "SandboxRefused",
    "SetupError",
    "TaskError",
    "UnknownNameError",
]


class AutoagentError(Exception):
    """An error that was foreseen, told in two sentences.

    Args:
        problem: What was seen, with the name, the path or the number.
        hint: What to do about it: a command, a tool call or an edit.
    """

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(f"{problem} {hint}")
        self.problem = problem
        self.hint = hint


class SetupError(AutoagentError):
    """This machine or this repository is not ready."""


class ConfigError(AutoagentError):
    """A setting in autoagent.toml cannot be used."""


class TaskError(AutoagentError):
    """A task folder cannot be used as written."""


class HarnessError(AutoagentError):
    """The harness cannot be measured as it is."""


class SandboxError(AutoagentError):
    """A sandbox could not be started, or was lost on the way."""


class SandboxRefused(SandboxError):  # noqa: N818 - a refusal is the answer of a working backend
    """The backend works, but cannot give what was asked for."""


class EngineError(SandboxError):
    """The Docker engine refused, or is away.

    Args:
        problem: See `AutoagentError`.
        hint: See `AutoagentError`.
        status: The HTTP status of its refusal; None where it does not answer.
    """

    def __init__(self, problem: str, hint: str, status: int | None) -> None:
        super().__init__(problem, hint)
        self.status = status


class GatewayError(AutoagentError):
    """The model cannot be served."""


class RepoError(AutoagentError):
    """Git is not in a state to go on."""


class LedgerError(AutoagentError):
    """The ledger cannot be read, or another server holds it."""


class NotComparableError(AutoagentError):
    """Two runs did not measure the same thing."""


class DecisionRefused(AutoagentError):  # noqa: N818 - a refusal is an answer
    """A keep or a revert that the rules do not allow."""


class HiddenError(AutoagentError):
    """The hidden tasks cannot say whether a change is worse; tells nothing else of them."""


class ExportError(AutoagentError):
    """A run cannot be written in another tool's format."""


class ReportError(AutoagentError):
    """The page cannot be written where it shall be."""


class PromoteError(AutoagentError):
    """The winner cannot be written where it shall be."""


class BusyError(AutoagentError):
    """Another run goes on in this workspace."""


class UnknownNameError(AutoagentError):
    """No such task, run, trial, experiment or status of one.

    Args:
        kind: What was looked for, as a word: "task", "run", "trial", "experiment", "status".
        name: The name as it was given.
        known: The names that exist; the three nearest are offered.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = list(known)
        nearest = difflib.get_close_matches(name, names, n=3, cutoff=0.3) or names[:3]
        offer = f"The nearest are: {', '.join(nearest)}." if nearest else f"There is no {kind} yet."
        super().__init__(f"There is no {kind} named {name!r}.", offer)
