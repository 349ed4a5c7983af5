"""What the parts of a lab share."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio

from autoagent_mcp.experiment.hidden import Hidden
from autoagent_mcp.experiment.integrity import Watch
from autoagent_mcp.experiment.record import Record
from autoagent_mcp.experiment.runs import Measure, Runs
from autoagent_mcp.experiment.suites import Suites
from autoagent_mcp.run.bench import Bench


@dataclass(frozen=True)
class Shared:
    """Of one workspace."""

    bench: Bench
    record: Record
    runs: Runs
    suites: Suites
    measure: Measure
    watch: Watch
    hidden: Hidden | None = None
    """None where the settings hide no tasks."""
    changing: anyio.Lock = field(default_factory=anyio.Lock)
    """Held by whoever changes what is kept, or starts a run."""
