"""A scripted client: tries one idea after another, and notes in a journal what it was told."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio

Call = Callable[..., Any]

REFLECTION = "Yes: it is about how the model is asked, and names no task."
_HARNESS = """\
import json
import os
import urllib.request

SIZE = {size}
{broken}

async def run_task(environment, instruction):
    said = [{{"role": "system", "content": "Your level is {level}"}}, {{"role": "user", "content": instruction}}]
    body = json.dumps({{"model": MODEL, "messages": said}}).encode()
    headers = {{"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}}
    request = urllib.request.Request(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body, headers)
    with urllib.request.urlopen(request) as answer:
        command = json.load(answer)["choices"][0]["message"]["content"]
    await environment.exec(command)
"""
_CRASH_EVERY, _SPOT_EVERY, _GAIN_EVERY, _CANCELLED = 17, 7, 6, 0.1
_TRIES = 8


class RefusedError(Exception):
    """A tool answered with an error."""


def editable_section(*, level: int, size: int, is_broken: bool = False) -> str:
    """Return what stands above the fixed boundary: it solves the tasks below a level."""
    broken = 'raise ImportError("an idea that does not even import")\n' if is_broken else ""
    return _HARNESS.format(level=level, size="+".join("1" * size), broken=broken)


class Player:
    """Plays on however often its server is killed or it is started anew itself.

    Args:
        agent: The harness's file.
        fixed: What stands in it around the editable section, as a format.
        journal: Where it notes what it was told, for the judge.
        tasks: How many there are; task n is solved by harnesses of a level above n.
        chance: Draws where runs are cancelled.
    """

    def __init__(
        self, agent: Path, fixed: Callable[[str], str], journal: Path, tasks: int, chance: random.Random
    ) -> None:
        self._agent = agent
        self._fixed = fixed
        self._journal = journal
        self._tasks = tasks
        self._chance = chance
        self._level = 1
        self._stage = "measure"
        self.idea = 0
        """Which experiment it is at."""
        self.cancelled = 0
        self.unmeasured = 0
        """Trials that measured nothing and were run again."""
        journal.touch()

    async def play_one(self, call: Call) -> None:
        """Take one idea to its decision; called again after a break, it goes on where it was."""
        if self._stage == "measure":
            self._edit()
            if self.idea % _SPOT_EVERY == 1:
                await self._settled(call, "spot_check", tasks=["t00"], description=self._words)
            self._note(event="began", words=self._words)
            if self.idea and self._chance.random() < _CANCELLED:
                await self._cancel(call)
            run = await self._settled(call, "run_suite", description=self._words)
            if run["state"] == "complete":
                self._note(event="measured", run=run["run"], passed=run["passed"], trials=run["done"])
            self._stage = "keep" if self.idea and run["state"] == "complete" else "revert" if self.idea else "done"
        if self._stage == "keep":
            self._stage = "done" if await self._is_kept(call) else "revert"
        if self._stage == "revert":
            answer = await call("revert_change", lesson=f"Lesson {self.idea}")
            self._note(event="decided", words=self._words, decision=answer["experiment"]["decision"])
        self.idea += 1
        self._stage = "measure"

    @property
    def _words(self) -> str:
        return f"Idea {self.idea}"

    @property
    def _gains(self) -> bool:
        return self.idea % _GAIN_EVERY == 1 and self._level < self._tasks

    def _edit(self) -> None:
        if self.idea:
            level = min(self._level + 1, self._tasks) if self._gains else self._level - self.idea % 2
            is_broken = self.idea % _CRASH_EVERY == 0
            section = editable_section(level=level, size=self.idea + 2, is_broken=is_broken)
            self._agent.write_text(self._fixed(section), encoding="utf-8")

    async def _cancel(self, call: Call) -> None:
        run = await call("run_suite", description=self._words, wait_sec=0)
        await call("cancel_run", run=run["run"])
        self.cancelled += 1

    async def _is_kept(self, call: Call) -> bool:
        for _ in range(_TRIES):
            try:
                answer = await self._settled(call, "keep_change", reflection=REFLECTION, justification="It is a level.")
            except RefusedError as refused:
                if "is no improvement" not in str(refused):
                    raise
                return False
            decision = answer["experiment"]["decision"]
            if decision.startswith("keep"):
                self._level += 1
                self._note(event="decided", words=self._words, decision="keep")
                return True
            if decision == "open, refused":
                return False
        return False

    async def _settled(self, call: Call, tool: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Call a tool until its run has ended and every trial of it measured something."""
        while True:
            try:
                answer = await call(tool, **arguments)
            except RefusedError as refused:
                busy = re.search(r'wait_run\(run="(\d+)"\)', str(refused))
                if busy is None:
                    raise
                await call("wait_run", run=busy[1])
                continue
            run = answer["run"] if tool == "keep_change" else answer
            if run is None or run["state"] == "failed":
                return answer
            if run["state"] == "complete" and not run["unmeasured"]:
                return answer
            self.unmeasured += run["unmeasured"]
            await anyio.sleep(0.2)

    def _note(self, **event: Any) -> None:  # noqa: ANN401 - JSON
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
