"""What stands between a change that looks good and its keep: has it seen what it must not, does it fit single tasks?"""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from autoagent_mcp.errors import DecisionRefused
from autoagent_mcp.experiment.shared import Shared
from autoagent_mcp.harness import overfitting
from autoagent_mcp.models.experiment import Experiment
from autoagent_mcp.models.finding import Finding
from autoagent_mcp.task import canary

_SHOWN = 12
_disk = anyio.CapacityLimiter(2)


class Guards:
    """Of one workspace."""

    def __init__(self, shared: Shared) -> None:
        self._bench = shared.bench
        self._repo = shared.record.repo
        self._suites = shared.suites
        self.notices: tuple[str, ...] = ()
        """Where no canary could be planted."""

    async def plant(self) -> None:
        """See that tests, solutions and hidden tasks hold their canary tokens.

        Raises:
            OSError: The repository's list of what git shall not see cannot be written.
            SetupError: The user's state folder cannot be written.
        """
        await self._repo.exclude(canary.FILE)

        def plant() -> tuple[str, ...]:
            return self._canaries().plant(self._suites.usable, hidden=self._suites.usable_hidden)

        self.notices = await anyio.to_thread.run_sync(plant, limiter=_disk)

    async def look_at(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Say in sentences what a candidate seems to know of the tasks, for the notices of its runs."""

        def look() -> tuple[str, ...]:
            flags = overfitting.flags(files, self._suites.usable, self._allowed())
            return (*overfitting.canaries_in(files, self._canaries()), *flags)

        return await anyio.to_thread.run_sync(look, limiter=_disk)

    async def check(
        self, experiment: Experiment, files: Mapping[str, bytes], incumbent: Mapping[str, bytes], justification: str
    ) -> None:
        """See that nothing speaks against keeping a candidate, whatever its score.

        Args:
            experiment: Its own.
            files: The candidate's.
            incumbent: The incumbent's.
            justification: Why what it has in common with tasks is none the less general; may be empty.

        Raises:
            DecisionRefused: It cheats, or what it has newly in common with tasks is not justified.
        """

        def look() -> tuple[tuple[str, ...], tuple[Finding, ...]]:
            canaries = overfitting.canaries_in(files, self._canaries())
            return canaries, overfitting.scan(files, incumbent, self._suites.usable, self._allowed())

        canaries, findings = await anyio.to_thread.run_sync(look, limiter=_disk)
        cheats = (*experiment.cheats, *canaries)
        if cheats:
            raise DecisionRefused(f"This change cheats. {' '.join(cheats[:_SHOWN])}", "Call revert_change.")
        if findings and not justification:
            said = " ".join(finding.sentence for finding in findings[:_SHOWN])
            more = f" And {len(findings) - _SHOWN} more." if len(findings) > _SHOWN else ""
            raise DecisionRefused(
                f"This change has something in common with single tasks. {said}{more}",
                "Take that out and call run_suite, or call keep_change with a justification for each, which is stored.",
            )

    def _canaries(self) -> canary.Canaries:
        return canary.open_canaries(self._bench.workspace.id)

    def _allowed(self) -> str:
        program = self._bench.workspace.program
        return program.read_text(encoding="utf-8", errors="replace") if program.is_file() else ""
