"""Harbor's task.toml, schema 1.4, as values. Seconds are floats, sizes are megabytes.

The fields and defaults follow harbor 0.25 (`harbor.models.task.config`). Unknown keys are not refused here, as Harbor
ignores them; `task.load` finds and reports them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from autoagent_mcp.models.base import Frozen

NetworkMode = Literal["public", "no-network", "allowlist"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")]


class Table(BaseModel):
    """A table of task.toml."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Author(Table):
    """Who made the task."""

    name: str
    email: str | None = None


class TaskInfo(Table):
    """`[task]`."""

    name: Name
    version: str | None = None
    description: str = ""
    authors: tuple[Author, ...] = ()
    keywords: tuple[str, ...] = ()


class AgentConfig(Table):
    """`[agent]`."""

    timeout_sec: float | None = None
    """None means no limit."""
    user: str | int | None = None
    network_mode: NetworkMode | None = None
    allowed_hosts: tuple[str, ...] = ()


class Healthcheck(Table):
    """`[environment.healthcheck]`."""

    command: str
    interval_sec: float = 5
    timeout_sec: float = 30
    start_period_sec: float = 0
    start_interval_sec: float = 5
    retries: int = 3


class McpServer(Table):
    """`[[environment.mcp_servers]]`."""

    name: str
    transport: Literal["sse", "streamable-http", "http", "stdio"] = "sse"
    url: str | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    headers: dict[str, str] = {}


class Tpu(Table):
    """`[environment.tpu]`."""

    type: str
    topology: str


class EnvironmentConfig(Table):
    """`[environment]`."""

    build_timeout_sec: float = 600
    docker_image: str | None = None
    os: Literal["linux", "windows"] = "linux"
    cpus: float | None = None
    memory_mb: int | None = None
    storage_mb: int | None = None
    gpus: int | None = None
    gpu_types: tuple[str, ...] = ()
    tpu: Tpu | None = None
    network_mode: NetworkMode = "public"
    allowed_hosts: tuple[str, ...] = ()
    env: dict[str, str] = {}
    skills_dir: str | None = None
    workdir: str | None = None
    mcp_servers: tuple[McpServer, ...] = ()
    healthcheck: Healthcheck | None = None


class Collect(Table):
    """`[[verifier.collect]]`."""

    command: str
    service: str = "main"
    timeout_sec: float = 60
    user: str | int | None = None


class VerifierConfig(Table):
    """`[verifier]`."""

    timeout_sec: float = 600
    env: dict[str, str] = {}
    user: str | int | None = None
    network_mode: NetworkMode | None = None
    allowed_hosts: tuple[str, ...] = ()
    environment_mode: Literal["shared", "separate"] | None = None
    environment: EnvironmentConfig | None = None
    collect: tuple[Collect, ...] = ()


class SolutionConfig(Table):
    """`[solution]`."""

    env: dict[str, str] = {}


class Artifact(Table):
    """A path to keep from the sandbox."""

    source: str
    destination: str | None = None
    exclude: tuple[str, ...] = ()
    service: str | None = None


class StepConfig(Table):
    """`[[steps]]`."""

    name: str
    agent: AgentConfig = AgentConfig()
    verifier: VerifierConfig = VerifierConfig()
    min_reward: float | dict[str, float] | None = None
    healthcheck: Healthcheck | None = None
    artifacts: tuple[str | Artifact, ...] = ()


class TaskConfig(Table):
    """task.toml."""

    schema_version: str = "1.4"
    source: str | None = None
    artifacts: tuple[str | Artifact, ...] = ()
    multi_step_reward_strategy: Literal["mean", "final"] | None = None
    task: TaskInfo | None = None
    metadata: dict[str, Any] = {}
    agent: AgentConfig = AgentConfig()
    verifier: VerifierConfig = VerifierConfig()
    solution: SolutionConfig = SolutionConfig()
    environment: EnvironmentConfig = EnvironmentConfig()
    steps: tuple[StepConfig, ...] = ()


class Task(Frozen):
    """A folder in Harbor's format, read and checked."""

    name: str
    """The folder's name."""
    folder: Path
    instruction: str
    """Without leading canary lines."""
    config: TaskConfig
    digest: str
    """sha256 over the files that decide what the task measures, as Harbor's lock digest."""
    notices: tuple[str, ...] = ()
    """What is odd about the folder but no reason not to run it: misspelt keys, legacy habits."""
