"""Hidden tasks whose every word is found again wherever it leaks, and harnesses to try them with."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path

from support.suites import make_task
from support.workspaces import harness, write_tree

from autoagent_mcp.task import load_all
from autoagent_mcp.task.canary import FILE, open_canaries

ASK = """\
import json, os, urllib.request


async def run_task(environment, instruction):
    body = json.dumps({{"model": MODEL, "messages": [{{"role": "user", "content": instruction}}]}}).encode()
    headers = {{"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}}
    url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
    print(urllib.request.urlopen(urllib.request.Request(url, body, headers)).status, instruction)
    if {condition}:
        await environment.exec("echo 42 > answer.txt; cat /app/*")
"""
"""Asks the model once, and solves what the condition says."""


def solver(condition: str) -> str:
    """Return an agent.py that solves the tasks for which the condition on `instruction` holds."""
    return harness(ASK.format(condition=condition))


class Secrets:
    """The words of hidden tasks."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def word(self) -> str:
        """Return a word that stands nowhere else."""
        self.words.append(f"zq{secrets.token_hex(5)}")
        return self.words[-1]

    def write(self, folder: Path, count: int) -> None:
        """Write tasks that can be solved."""
        for _ in range(count):
            self._write(folder, 'r=0\n[ "$(cat answer.txt)" = 42 ] && r=1\necho $r > /logs/verifier/reward.txt\n')

    def write_broken(self, folder: Path) -> None:
        """Write a task whose image cannot be made, one whose verifier gives garbage, and one that is none."""
        self._write(folder, "true", dockerfile=f"FROM debian:bookworm-slim\nCOPY {self.word()}.txt /app/\n")
        self._write(folder, f"echo {self.word()} | tee /logs/verifier/reward.txt; exit 3")
        write_tree(folder / self.word(), {"task.toml": f"{self.word()} is no toml"})

    def _write(self, folder: Path, test: str, dockerfile: str = "") -> None:
        said, file = self.word(), self.word()
        files = {
            "instruction.md": f"The {said} wants 42 in answer.txt.",
            f"environment/{file}.txt": self.word(),
            "environment/Dockerfile": dockerfile or f"FROM debian:bookworm-slim\nWORKDIR /app\nCOPY {file}.txt /app/\n",
        }
        toml = f"odd_{self.word()} = 1\n"
        task = make_task(toml, solve=f"echo {self.word()}", test=f"echo {self.word()}\n{test}", files=files)
        write_tree(folder / self.word(), task)

    def plant(self, folder: Path, workspace_id: str) -> None:
        """Plant canary tokens, which are words like the others."""
        open_canaries(workspace_id).plant([], hidden=load_all(folder)[0])
        self.words += [path.read_text(encoding="utf-8").split()[-1] for path in folder.rglob(FILE)]

    def found_in(self, data: bytes) -> list[str]:
        """Return the words that stand in some bytes."""
        return [word for word in self.words if word.encode() in data.lower()]

    def found_below(self, folder: Path) -> Mapping[str, list[str]]:
        """Return where below a folder the words stand, in a file, in its name, or in a repository's history."""
        found = {str(path): self.found_in(str(path).encode() + _read(path)) for path in folder.rglob("*")}
        if (folder / ".git").exists():
            words = ["git", "cat-file", "--batch-all-objects", "--batch", "--unordered"]
            found["history"] = self.found_in(subprocess.run(words, cwd=folder, check=True, capture_output=True).stdout)
        return {place: words for place, words in found.items() if words}


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""
