"""The command line's wishes for a night, made into a plan, and its end told."""

from __future__ import annotations

import re
import sys
from collections import Counter
from datetime import datetime, timedelta

from autoagent_mcp.connect.connect import key_variables
from autoagent_mcp.errors import SetupError
from autoagent_mcp.models.night import Night
from autoagent_mcp.models.status import Status
from autoagent_mcp.night.night import spend
from autoagent_mcp.night.shift import Plan
from autoagent_mcp.night.templates import Template, template
from autoagent_mcp.night.watch import Watch
from autoagent_mcp.workspace import Workspace


async def run_night(
    workspace: Workspace,
    command: tuple[str, ...],
    *,
    client: str,
    model: str,
    until: str,
    hours: float | None,
    retry_sec: float,
    grace_sec: float,
) -> int:
    """Spend a night, tell what became of it, and return the process's status.

    Raises:
        SetupError: The wishes do not go together, or the night cannot begin.
        UnknownNameError: There is no template for such a client.
        ConfigError: autoagent.toml cannot be used.
    """
    found = _template(workspace, command, client, model)
    declared = {"AUTOAGENT_META_MODEL": model} if model else {}
    plan = Plan(
        command=found.command,
        client="" if command else client,
        meta_model=model,
        variables={**found.variables, **declared},
        until=_end(until, hours, datetime.now().astimezone()),
        retry_sec=retry_sec,
        grace_sec=grace_sec,
    )
    night, code = await spend(workspace, plan)
    sys.stdout.write("\n".join(_summary(night, Watch(workspace, None).status())) + "\n")
    return code


def _template(workspace: Workspace, command: tuple[str, ...], client: str, model: str) -> Template:
    if bool(command) == bool(client):
        raise SetupError(
            "A night needs either a client or a command.",
            "Say `autoagent-mcp night --client claude-code`, or `autoagent-mcp night -- COMMAND ...`.",
        )
    if command:
        return Template(command=command)
    return template(workspace, client, model, key_variables(workspace))


def _end(until: str, hours: float | None, now: datetime) -> datetime | None:
    if until and hours is not None:
        raise SetupError("--until and --hours were both given.", "Give one of them.")
    if hours is not None:
        return now + timedelta(hours=hours)
    if not until:
        return None
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", until)
    if found is None:
        raise SetupError(f"{until!r} is no time of the day.", "Write it as HH:MM, such as 07:30.")
    return next_time(int(found[1]), int(found[2]), now)


def next_time(hour: int, minute: int, now: datetime) -> datetime:
    """Return when the clocks here show this time next, also where they are set in between."""
    here = now.astimezone().replace(tzinfo=None)
    end = here.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (end if end > here else end + timedelta(days=1)).astimezone()


def _summary(night: Night, status: Status | None) -> list[str]:
    endings = Counter(session.ending for session in night.sessions)
    counts = ", ".join(
        f"{endings[ending]} {words}"
        for ending, words in (
            ("stopped", "ended by itself with work left"),
            ("limited", "at a rate limit"),
            ("crashed", "crashed"),
        )
        if endings[ending]
    )
    return [
        f"The night is over. {night.why}",
        f"Starts of the client: {len(night.sessions)}" + (f" ({counts})." if counts else "."),
        _reached(night, status),
        f"The client's own cost: {_cost(night)}.",
    ]


def _reached(night: Night, status: Status | None) -> str:
    if status is None:
        return "No server told of an experiment."
    reached = f"Experiments: {status.experiments - night.experiments} new, {status.experiments} in all."
    if status.passed is None:
        return reached
    return f"{reached} The incumbent is {status.incumbent}: {status.passed} of {status.trials} trials passed."


def _cost(night: Night) -> str:
    unknown = sum(1 for session in night.sessions if session.spend.cost_usd is None)
    if night.client_cost_usd is None:
        return "unknown"
    return f"${night.client_cost_usd:.4f}" + (f", and unknown for {unknown} starts" if unknown else "")
