"""The harness of the task agent. autoagent-mcp measures it; a meta-agent improves all that is above the boundary."""

from __future__ import annotations

# === EDITABLE SECTION ===
from agents import (
    Agent,
    MaxTurnsExceeded,
    ModelSettings,
    OpenAIResponsesModel,
    Runner,
    Tool,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from openai.types.shared import Reasoning

SYSTEM_PROMPT = "You complete tasks on a Linux machine by running bash commands."
MODEL = "smollm2-135m-instruct"
MAX_TURNS = 20

REASONING_MODELS = ("gpt-5", "o1", "o3", "o4")

set_tracing_disabled(disabled=True)


def create_tools(environment: Environment) -> list[Tool]:
    """Give the model its tools."""

    @function_tool
    async def bash(command: str) -> str:
        """Run a bash command and return its output.

        Args:
            command: The command.
        """
        try:
            result = await environment.exec(command, timeout_sec=60)
        except RuntimeError as error:
            return f"error: {error}"
        return f"{result.stdout}{result.stderr}\n[exit code {result.return_code}]"

    return [bash]


def create_agent(environment: Environment) -> Agent:
    """Put prompt, model and tools together."""
    # A summary of what the model thought, for the trace; models that do not reason refuse to be asked.
    reasoning = Reasoning(summary="auto") if MODEL.startswith(REASONING_MODELS) else None
    return Agent(
        name="task-agent",
        instructions=SYSTEM_PROMPT,
        model=OpenAIResponsesModel(MODEL, AsyncOpenAI()),
        model_settings=ModelSettings(reasoning=reasoning),
        tools=create_tools(environment),
    )


async def run_task(environment: Environment, instruction: str) -> str:
    """Work on one task and return the agent's last words."""
    try:
        result = await Runner.run(create_agent(environment), instruction, max_turns=MAX_TURNS)
    except MaxTurnsExceeded:
        return f"Stopped after {MAX_TURNS} turns."
    return str(result.final_output)


# === FIXED ADAPTER BOUNDARY ===
# From here on every candidate is the same; one that is not is refused. It tells what `environment` offers, and makes
# this file a Harbor agent as well: PYTHONPATH=. harbor run -a agent:AutoAgent -p tasks

from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Protocol

try:
    BaseAgent: Any = import_module("harbor.agents.base").BaseAgent
    HarborCapabilities: Any = import_module("harbor.agents.capabilities").AgentCapabilities(
        skills=True, mcp_servers=True, mcp_http_headers=True
    )
except ModuleNotFoundError:
    BaseAgent, HarborCapabilities = object, None


class ExecResult(NamedTuple):
    """What a command gave; a return code other than 0 is no error."""

    stdout: str
    stderr: str
    return_code: int


class McpServer(Protocol):
    """An MCP server that the task offers; it is reached from the task's machine."""

    name: str
    transport: str
    url: str | None
    command: str | None
    args: list[str]
    headers: dict[str, str]


class Environment(Protocol):
    """The task's machine, with the names that Harbor's environment has."""

    skills_dir: str | None
    """The folder there with the skills that the task offers; None where it offers none."""
    mcp_servers: tuple[McpServer, ...]
    """The MCP servers that the task offers."""

    async def exec(
        self,
        command: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        """Run a bash command. One that is not done after `timeout_sec` raises RuntimeError."""
        ...

    async def upload_file(self, source_path: Path | str, target_path: str) -> None:
        """Copy a file from beside agent.py to the task's machine."""

    async def upload_dir(self, source_dir: Path | str, target_dir: str) -> None:
        """Copy a folder's content from beside agent.py to the task's machine."""

    async def download_file(self, source_path: str, target_path: Path | str) -> None:
        """Copy a file from the task's machine."""

    async def download_dir(self, source_dir: str, target_dir: Path | str) -> None:
        """Copy a folder's content from the task's machine."""

    async def is_file(self, path: str, user: str | int | None = None) -> bool:
        """Say whether `path` is a file."""
        ...

    async def is_dir(self, path: str, user: str | int | None = None) -> bool:
        """Say whether `path` is a folder."""
        ...


class AutoAgent(BaseAgent):
    """run_task as a Harbor agent."""

    capabilities = HarborCapabilities

    @staticmethod
    def name() -> str:
        """Return the name in Harbor's results."""
        return "autoagent"

    def version(self) -> str | None:
        """Return no version: the commit tells which harness it is."""
        return None

    async def setup(self, environment: Any) -> None:
        """Install nothing: the harness runs outside the task's machine."""

    async def run(self, instruction: str, environment: Any, context: Any) -> None:
        """Work on one task and keep the agent's last words among the trial's logs."""
        wrapped: Any = _HarborEnvironment(environment, self.skills_dir, tuple(self.mcp_servers))
        answer = await run_task(wrapped, instruction)
        (Path(self.logs_dir) / "answer.txt").write_text(str(answer), encoding="utf-8", errors="replace")


class _HarborEnvironment:
    """Harbor's environment, with what Harbor tells the agent instead, and text where Harbor gives None."""

    def __init__(self, environment: Any, skills_dir: str | None, mcp_servers: tuple[McpServer, ...]) -> None:
        self._environment = environment
        self.skills_dir = skills_dir
        self.mcp_servers = mcp_servers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environment, name)

    async def exec(self, command: str, **options: Any) -> ExecResult:
        result = await self._environment.exec(command, **options)
        return ExecResult(result.stdout or "", result.stderr or "", result.return_code)
