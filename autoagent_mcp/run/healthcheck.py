"""A task's healthcheck: may work begin?"""

from __future__ import annotations

import anyio

from autoagent_mcp.models.task import Healthcheck
from autoagent_mcp.sandbox.base import Sandbox

_QUOTE_CHARS = 300


async def complaint(check: Healthcheck | None, sandbox: Sandbox, user: str | int | None) -> str:
    """Wait until the check passes and return "", or say how it failed for the last time.

    As Docker's HEALTHCHECK: what fails within `start_period_sec` is only tried again after `start_interval_sec`; after
    that, `retries` failures in a row are one too many.

    Raises:
        SandboxError: The sandbox is gone.
    """
    if check is None:
        return ""
    begun, failures = anyio.current_time(), 0
    while True:
        is_starting = anyio.current_time() < begun + check.start_period_sec
        result = await sandbox.exec(check.command, timeout_sec=check.timeout_sec, user=user)
        if result.return_code == 0:
            return ""
        failures += not is_starting
        if failures >= check.retries and not is_starting:
            how = "ran out of time" if result.timed_out else f"ended with {result.return_code}"
            said = (result.stdout + result.stderr).strip()[-_QUOTE_CHARS:]
            return f"The healthcheck failed {failures} times in a row; {check.command!r} {how} and said {said!r}."
        await anyio.sleep(check.start_interval_sec if is_starting else check.interval_sec)
