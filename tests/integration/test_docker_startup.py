"""Services that a task's image starts by its ENTRYPOINT."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.suites import Suites

RECIPE = r"""FROM debian:bookworm-slim
WORKDIR /app
RUN printf '#!/bin/sh\nsleep 4321 &\nexec "$@"\n' > /start.sh && chmod +x /start.sh
ENTRYPOINT ["/start.sh"]
"""
HEALTHY = """
[environment.healthcheck]
command = "grep -qz [4]321 /proc/[0-9]*/cmdline"
interval_sec = 0.2
"""
TEST = r"""ours=$(grep -lz [4]321 /proc/[0-9]*/cmdline | wc -l)
agents=$(grep -lz [8]765 /proc/[0-9]*/cmdline | wc -l)
[ "$ours $agents" = "1 0" ] && echo 1 > /logs/verifier/reward.txt || echo 0 > /logs/verifier/reward.txt
"""


@pytest.mark.docker
async def test_what_the_image_started_lives_on_when_the_agent_is_done_and_nothing_else(tmp_path: Path) -> None:
    files = {"environment/Dockerfile": RECIPE}
    suites = Suites(tmp_path, "docker")
    measured = await suites.one(
        HEALTHY, test=TEST, files=files, solver="await environment.exec('sleep 8765 & sleep 0')"
    )
    assert (measured.trial.failure, measured.trial.reward) == (None, 1.0)
