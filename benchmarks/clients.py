"""Do the real clients go through a night, as `autoagent-mcp night --client` starts them?

uv run python benchmarks/clients.py [claude-code codex gemini opencode]

Each client that is on the PATH (`npm install @anthropic-ai/claude-code @openai/codex @google/gemini-cli opencode-ai`)
works in a new workspace, with a home of its own and a model on loopback that plays a script: the baseline, and a stop;
started again, an edit, its measurement and its end. Then the budget is used up. Status 1 where one does not get there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator
from pathlib import Path

from scripted_model import Call, ScriptedModel

PROGRAMS = {"claude-code": "claude", "codex": "codex", "gemini": "gemini", "opencode": "opencode"}
MODELS = {"claude-code": "claude-sonnet-4-5", "codex": "stub", "gemini": "gemini-2.5-flash", "opencode": "stub/m"}
IDLE = '''\
"""Does nothing."""

# === EDITABLE SECTION ===
MODEL = "stub"
IDEA = 0


async def run_task(environment, instruction):
    return "done"


'''
NOWHERE = '[model]\nprovider = "openai-compatible"\nname = "stub"\nbase_url = "http://127.0.0.1:9"\n'
SETTINGS = f'{NOWHERE}[run]\nbackend = "bubblewrap"\n[budget]\nmax_experiments = 2\n'
CODEX = """\
model_provider = "stub"
[model_providers.stub]
name = "stub"
base_url = "{url}/v1"
wire_api = "responses"
[features]
plugins = false
apps = false
"""
GEMINI = {"security": {"auth": {"selectedType": "gemini-api-key"}}, "privacy": {"usageStatisticsEnabled": False}}
OURS = [sys.executable, "-m", "autoagent_mcp"]


def script(conversation: int) -> Generator[Call, str]:
    """Measure the baseline; in a later conversation an idea, and take it back."""
    yield "get_brief", {}
    if conversation == 1:
        yield from measured("The baseline.")
        return
    yield "edit_harness", {"file": "agent.py", "old": "IDEA = 0", "new": f"IDEA = {conversation}"}
    yield from measured("An idea.")
    yield "revert_change", {"lesson": "It changed nothing."}


def measured(description: str) -> Generator[Call, str]:
    """Measure the harness and wait for it."""
    answer = yield "run_suite", {"description": description, "wait_sec": 5}
    while "running" in answer and (run := re.search(r"wait_run\(run=\W*(\d+)", answer)):
        answer = yield "wait_run", {"run": run[1], "wait_sec": 5}


def environment(home: Path, url: str) -> dict[str, str]:
    """Point all four clients at the model, with a home of their own."""
    files = {
        ".codex/config.toml": CODEX.format(url=url),
        ".gemini/settings.json": json.dumps(GEMINI),
        ".config/opencode/opencode.json": json.dumps({"provider": {"stub": _opencode(url)}, "small_model": "stub/m"}),
    }
    for name, text in files.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text, encoding="utf-8")
    claude = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "none", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    gemini = {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": "none"}
    opencode = {"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"}
    homes = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "XDG_STATE_HOME": str(home / "state")}
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "XDG_CACHE_HOME")}
    return {**kept, **homes, **claude, **gemini, **opencode, "CODEX_HOME": str(home / ".codex"), "TERM": "dumb"}


def _opencode(url: str) -> dict[str, object]:
    options = {"baseURL": f"{url}/v1", "apiKey": "none"}
    return {"npm": "@ai-sdk/openai-compatible", "options": options, "models": {"m": {"name": "m"}}}


def make(folder: Path, client: str, variables: dict[str, str]) -> None:
    """Make a workspace whose trials take no time."""
    run(["init", str(folder)], folder.parent, variables)
    agent = folder / "agent.py"
    fixed = agent.read_text(encoding="utf-8").partition("# === FIXED ADAPTER BOUNDARY")
    agent.write_text(IDLE + "".join(fixed[1:]), encoding="utf-8")
    (folder / ".agent" / "requirements.txt").write_text("", encoding="utf-8")
    (folder / "autoagent.toml").write_text(SETTINGS, encoding="utf-8")
    if client == "gemini":
        run(["connect", "gemini", "--write"], folder, variables)
    commit = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "-qam", "Set up"]
    subprocess.run(commit, cwd=folder, env=variables, check=True)


def run(words: list[str], folder: Path, variables: dict[str, str]) -> str:
    """Run a command of ours and return what it said."""
    command = [*OURS, *words]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=600, check=False)
    return done.stdout + done.stderr


def spend_night(client: str, folder: Path) -> tuple[bool, str]:
    """Let a client work; say whether it came to the end of the budget, and what was seen."""
    workspace, home = folder / "workspace", folder / "home"
    with ScriptedModel(script) as model:
        threading.Thread(target=model.serve_forever, daemon=True).start()
        variables = environment(home, model.url)
        make(workspace, client, variables)
        night = ["night", "--client", client, "--model", MODELS[client], "--hours", "0.05", "--retry-sec", "1"]
        told = run(night, workspace, variables)
        model.shutdown()
    (record,) = (workspace / ".autoagent" / "night").glob("*/night.json")
    found = json.loads(record.read_text(encoding="utf-8"))
    endings = [session["ending"] for session in found["sessions"]]
    is_done = "max_experiments" in found["why"] and endings == ["stopped", "ended"] and not left(str(folder))
    return is_done, told


def left(word: str) -> list[str]:
    """Return the processes that have the word in their command line."""
    commands = (path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists())
    return [command.decode(errors="replace") for command in commands if word.encode() in command]


def main() -> None:
    """Try each client."""
    failed = False
    for client in sys.argv[1:] or PROGRAMS:
        program = shutil.which(PROGRAMS[client])
        if program is None:
            print(f"{client}: {PROGRAMS[client]} is not on the PATH")
            continue
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
        with tempfile.TemporaryDirectory(prefix="autoagent-clients-", ignore_cleanup_errors=True) as folder:
            is_done, told = spend_night(client, Path(folder))
        print(f"{client} ({version}): {'went through' if is_done else 'DID NOT GET THROUGH'}\n{told}", flush=True)
        failed |= not is_done
    sys.exit(failed)


if __name__ == "__main__":
    main()
