"""Where everything of a workspace lies on disk.

<workspace>/
  agent.py  .agent/  program.md  autoagent.toml  tasks/  results.tsv
  .autoagent/                        not in git
    ledger.sqlite3
    lock
    status.json  stop
    server.log
    scratch/                         what is being written
    runs/<run>/run.json
    runs/<run>/<task>__<n>/          see models.trial.TrialFiles
    gateway/<time>/                  the calls of `autoagent-mcp gateway`
    night/<time>/night.json  <n>.log   of `autoagent-mcp night`, see models.night
    hooks/<session>                  how often a client was held, see hook.stop

<the user's state folder>/hidden/<workspace id>/     of hidden tasks, which the workspace must not tell of
  cases.json  names.json  server.log  runs/          as above
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.trial import TrialFiles

EDITABLE = ("agent.py", ".agent")
"""What the meta-agent may change, relative to the workspace."""


class Workspace(Frozen):
    """A folder that is a git repository with a harness and tasks in it."""

    folder: Path

    @property
    def id(self) -> str:
        """Twelve hex digits that name this workspace on this machine, for labels and the user's state folder."""
        return hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:12]

    @property
    def state(self) -> Path:
        """The folder that the server owns."""
        return self.folder / ".autoagent"

    @property
    def ledger(self) -> Path:
        """The ledger's database."""
        return self.state / "ledger.sqlite3"

    @property
    def lock(self) -> Path:
        """Held by the one server that writes."""
        return self.state / "lock"

    @property
    def status(self) -> Path:
        """How the loop stands, for hooks and for who starts clients; see models.status."""
        return self.state / "status.json"

    @property
    def stop(self) -> Path:
        """There while a person's word stands that the loop shall end (`autoagent-mcp stop`)."""
        return self.state / "stop"

    @property
    def log(self) -> Path:
        """The server's own log."""
        return self.state / "server.log"

    @property
    def scratch(self) -> Path:
        """Where files are written that must not be seen unfinished where they belong; nothing in it lasts."""
        return self.state / "scratch"

    @property
    def results(self) -> Path:
        """The ledger for people."""
        return self.folder / "results.tsv"

    @property
    def agent(self) -> Path:
        """The harness."""
        return self.folder / "agent.py"

    @property
    def program(self) -> Path:
        """The person's directions for the meta-agent."""
        return self.folder / "program.md"

    @property
    def runs(self) -> Path:
        """One folder per run."""
        return self.state / "runs"

    @property
    def gateway(self) -> Path:
        """One folder of model calls per `autoagent-mcp gateway`."""
        return self.state / "gateway"

    @property
    def nights(self) -> Path:
        """One folder per `autoagent-mcp night`."""
        return self.state / "night"

    @property
    def hidden(self) -> HiddenPlace:
        """Where what is measured on hidden tasks lies."""
        return HiddenPlace(folder=user_state() / "hidden" / self.id)

    def run(self, run_id: str) -> Path:
        """Return a run's folder."""
        return self.runs / run_id

    def trial(self, run_id: str, trial_id: str) -> TrialFiles:
        """Return where a trial's files lie."""
        return TrialFiles(folder=self.run(run_id) / trial_id)


class HiddenPlace(Workspace):
    """The place of a workspace's hidden runs, outside of it."""

    @property
    def state(self) -> Path:
        """The folder itself: nothing else lies there."""
        return self.folder

    @property
    def cases(self) -> Path:
        """What the hidden tasks said so far."""
        return self.folder / "cases.json"

    @property
    def names(self) -> Path:
        """Which task is meant by a name in the runs."""
        return self.folder / "names.json"


def user_cache() -> Path:
    """Return the folder for what can be made again: images' files, build logs, harness environments."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autoagent-mcp"


def user_state() -> Path:
    """Return the folder for what no workspace may hold: heads of ledgers, the canaries' key, runs on hidden tasks."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "autoagent-mcp"
