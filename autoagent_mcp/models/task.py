"""Harbor's task.toml, schema 1.4, as values. Seconds are floats, sizes are megabytes.

The fields, defaults, legacy keys and checks follow harbor 0.25 (`harbor.models.task.config`). Unknown keys are not
refused here, as Harbor ignores them; `task.load` finds and reports them.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from typing_extensions import Self

from autoagent_mcp.models.base import Frozen
from autoagent_mcp.models.hosts import normalize_host

_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMG])\s*", re.IGNORECASE)
_MB_PER_UNIT = {"K": 1 / 1024, "M": 1, "G": 1024}
_STEP_NAME_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_WINDOWS_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[1-9¹²³])", re.IGNORECASE)

ENVIRONMENT = "environment"
"""The folder with the Dockerfile of the agent's sandbox."""
CONVENTION = "/logs/artifacts"
"""What is left here is kept, whatever task.toml says."""

NetworkMode = Literal["public", "no-network", "allowlist"]


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _no_double_dots(value: str) -> str:
    if ".." in PurePosixPath(value).parts:
        raise ValueError(f"{value!r} must not contain '..'")
    return value


def _relative_destination(value: str | None) -> str | None:
    if not value:
        return None
    if value.startswith("/") or "\\" in value or value.rstrip("/") in {".", "manifest.json"}:
        raise ValueError(f"{value!r} must be a relative path with forward slashes, and not manifest.json")
    return _no_double_dots(value)


def _portable_step_name(name: str) -> str:
    is_device = _WINDOWS_DEVICE.fullmatch(name.partition(".")[0].rstrip(" "))
    too_long = len(name.encode()) > 255  # noqa: PLR2004 - the longest file name in bytes
    if not name.strip() or name.endswith((".", " ")) or _STEP_NAME_FORBIDDEN.search(name) or is_device or too_long:
        raise ValueError(f"{name!r} is not a folder name on every system")
    return name


def _check_hosts(mode: NetworkMode | None, hosts: tuple[str, ...] | None) -> None:
    if hosts is not None and mode != "allowlist" and (mode is None or hosts):
        raise ValueError("allowed_hosts is only allowed with network_mode = 'allowlist'")


def _translate_size(table: dict[str, Any], key: str) -> None:
    """Turn `memory = "2G"` to `memory_mb = 2048`; like Harbor, drop it where it is no text."""
    size = table.pop(key, None)
    if not isinstance(size, str):
        return
    match = _SIZE.fullmatch(size)
    if match is None:
        raise ValueError(f"{key} = {size!r} must be a size such as '512M' or '2G'")
    megabytes = int(float(match[1]) * _MB_PER_UNIT[match[2].upper()])
    if table.setdefault(f"{key}_mb", megabytes) != megabytes:
        raise ValueError(f"{key} = {size!r} contradicts {key}_mb = {table[f'{key}_mb']}")


Seconds = Annotated[float, Field(gt=0)]
Hosts = tuple[Annotated[str, AfterValidator(normalize_host)], ...]
ContainerPath = Annotated[str, AfterValidator(_no_double_dots)]


class Table(BaseModel):
    """A table of task.toml."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    legacy_keys: ClassVar[Mapping[str, str]] = {}
    """Old key -> the key that took its place; still read."""


class Author(Table):
    """Who made the task."""

    name: str
    email: str | None = None


class TaskInfo(Table):
    """`[task]`."""

    name: Annotated[str, Field(pattern=_NAME)]
    version: Annotated[str, Field(min_length=1)] | None = None
    description: str = ""
    authors: tuple[Author, ...] = ()
    keywords: tuple[str, ...] = ()

    @field_validator("name")
    @classmethod
    def _no_dots(cls, name: str) -> str:
        if ".." in name:
            raise ValueError(f"{name!r} must not contain '..'")
        return name


class PhaseNetwork(Table):
    """What `[agent]` and `[verifier]` may say of the network for their phase alone."""

    network_mode: NetworkMode | None = None
    allowed_hosts: Hosts | None = None

    @model_validator(mode="after")
    def _hosts_need_allowlist(self) -> Self:
        _check_hosts(self.network_mode, self.allowed_hosts)
        return self


class AgentConfig(PhaseNetwork):
    """`[agent]`."""

    timeout_sec: Seconds | None = None
    """None means no limit."""
    user: str | int | None = None


class Healthcheck(Table):
    """`[environment.healthcheck]`."""

    command: str
    interval_sec: float = 5
    timeout_sec: Seconds = 30
    start_period_sec: float = 0
    start_interval_sec: float = 5
    retries: int = 3


class McpServer(Table):
    """`[[environment.mcp_servers]]`."""

    name: str
    transport: Annotated[
        Literal["sse", "streamable-http", "stdio"],
        BeforeValidator(lambda value: "streamable-http" if value == "http" else value),
    ] = "sse"
    url: str | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    headers: dict[str, str] = {}

    @model_validator(mode="after")
    def _fields_fit_transport(self) -> Self:
        if self.transport == "stdio":
            if not self.command or self.headers:
                raise ValueError("transport 'stdio' needs `command` and takes no `headers`")
        elif not self.url:
            raise ValueError(f"transport {self.transport!r} needs `url`")
        return self


class Tpu(Table):
    """`[environment.tpu]`."""

    type: Annotated[str, Field(min_length=1)]
    topology: Annotated[str, Field(pattern=r"^\s*[1-9]\d*(x[1-9]\d*)+\s*$")]


class EnvironmentConfig(Table):
    """`[environment]`."""

    legacy_keys = {"memory": "memory_mb", "storage": "storage_mb", "allow_internet": "network_mode"}

    build_timeout_sec: Seconds = 600
    docker_image: str | None = None
    os: Annotated[Literal["linux", "windows"], BeforeValidator(_lower)] = "linux"
    cpus: float | None = None
    memory_mb: int | None = None
    storage_mb: int | None = None
    gpus: int | None = None
    gpu_types: tuple[str, ...] | None = None
    tpu: Tpu | None = None
    network_mode: NetworkMode = "public"
    allowed_hosts: Hosts | None = None
    env: dict[str, str] = {}
    skills_dir: str | None = None
    workdir: str | None = None
    mcp_servers: tuple[McpServer, ...] = ()
    healthcheck: Healthcheck | None = None

    @model_validator(mode="before")
    @classmethod
    def _translate_legacy(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        table = dict(cast("dict[str, Any]", data))
        _translate_size(table, "memory")
        _translate_size(table, "storage")
        allow_internet = table.pop("allow_internet", None)
        if not isinstance(allow_internet, bool | None):
            raise ValueError(f"allow_internet = {allow_internet!r} must be true or false")  # noqa: TRY004 - pydantic's way
        if allow_internet is not None and table.get("allowed_hosts") is None:
            table.setdefault("network_mode", "public" if allow_internet else "no-network")
        return table

    @field_validator("cpus")
    @classmethod
    def _finite(cls, cpus: float | None) -> float | None:
        if cpus is not None and not math.isfinite(cpus):
            raise ValueError(f"{cpus} is not finite")
        return cpus

    @model_validator(mode="after")
    def _hosts_need_allowlist(self) -> Self:
        _check_hosts(self.network_mode, self.allowed_hosts or None)
        return self


class Collect(Table):
    """`[[verifier.collect]]`."""

    command: str
    service: str = "main"
    timeout_sec: Seconds = 60
    user: str | int | None = None


class VerifierConfig(PhaseNetwork):
    """`[verifier]`."""

    timeout_sec: Seconds = 600
    env: dict[str, str] = {}
    user: str | int | None = None
    environment_mode: Literal["shared", "separate"] | None = None
    environment: EnvironmentConfig | None = None
    collect: tuple[Collect, ...] = ()

    @model_validator(mode="after")
    def _environment_means_separate(self) -> Self:
        if self.environment_mode == "shared" and self.environment is not None:
            raise ValueError("environment_mode = 'shared' cannot have [verifier.environment]")
        return self

    @property
    def is_separate(self) -> bool | None:
        """Whether the tests run in a sandbox of their own; None where nothing is said."""
        if self.environment_mode is not None:
            return self.environment_mode == "separate"
        return True if self.environment is not None else None


class SolutionConfig(Table):
    """`[solution]`."""

    env: dict[str, str] = {}


class Artifact(Table):
    """A path to keep from the sandbox."""

    source: ContainerPath
    destination: Annotated[str | None, AfterValidator(_relative_destination)] = None
    exclude: tuple[str, ...] = ()
    service: str | None = None


class StepConfig(Table):
    """`[[steps]]`."""

    name: Annotated[str, AfterValidator(_portable_step_name)]
    agent: AgentConfig = AgentConfig()
    verifier: VerifierConfig = VerifierConfig()
    min_reward: float | dict[str, float] | None = None
    healthcheck: Healthcheck | None = None
    artifacts: tuple[ContainerPath | Artifact, ...] = ()


class TaskConfig(Table):
    """task.toml."""

    legacy_keys = {"version": "schema_version"}

    schema_version: str = "1.4"
    source: str | None = None
    artifacts: tuple[ContainerPath | Artifact, ...] = ()
    multi_step_reward_strategy: Literal["mean", "final"] | None = None
    task: TaskInfo | None = None
    metadata: dict[str, Any] = {}
    agent: AgentConfig = AgentConfig()
    verifier: VerifierConfig = VerifierConfig()
    solution: SolutionConfig = SolutionConfig()
    environment: EnvironmentConfig = EnvironmentConfig()
    steps: tuple[StepConfig, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _translate_legacy(cls, data: object) -> object:
        if not isinstance(data, dict) or "version" not in data:
            return cast("object", data)
        table = dict(cast("dict[str, Any]", data))
        table.setdefault("schema_version", table.pop("version"))
        return table

    @property
    def is_impossible(self) -> bool:
        """Whether it says `[metadata] impossible = true`."""
        return self.metadata.get("impossible") is True

    @field_validator("steps")
    @classmethod
    def _names_differ(cls, steps: tuple[StepConfig, ...]) -> tuple[StepConfig, ...]:
        seen: set[str] = set()
        for step in steps:
            key = unicodedata.normalize("NFC", step.name).casefold()
            if key in seen:
                raise ValueError(f"step names must differ by more than case and Unicode form: {step.name!r}")
            seen.add(key)
        return steps


class ImageSource(Frozen):
    """What an image is made from: a finished image, else a folder with a Dockerfile."""

    folder: str
    """Below the task's folder: "environment", "tests", "steps/<name>/tests"."""
    environment: EnvironmentConfig


class Step(Frozen):
    """One round of a task: an instruction, work, a look at it. What [[steps]] leaves open is the task's own.

    A task without [[steps]] is one step without a name.
    """

    name: str
    folder: str
    """Below the task's folder: "" or "steps/<name>"."""
    instruction: str
    agent: AgentConfig
    verifier: VerifierConfig
    """`env` and `collect` are the task's and the step's together."""
    verifier_image: ImageSource | None = None
    """Where the tests run in a sandbox of their own, what that is made from."""
    healthcheck: Healthcheck | None = None
    min_reward: Mapping[str, float] = {}
    """By key; a reward below one of these ends the trial."""
    artifacts: tuple[Artifact, ...] = ()
    """The task's and the step's, /logs/artifacts first."""

    @property
    def has_bundled_tests(self) -> bool:
        """Whether the verifier's image brings its tests along at /tests."""
        return self.verifier_image is not None and self.verifier_image.folder != ENVIRONMENT


class Task(Frozen):
    """A folder in Harbor's format, read and checked."""

    name: str
    """The folder's name."""
    folder: Path
    steps: tuple[Step, ...]
    """At least one."""
    config: TaskConfig
    digest: str
    """`sha256:` and the hash over the files that decide what the task measures, as Harbor's lock digest."""
    notices: tuple[str, ...] = ()
    """What is odd about the folder but no reason not to run it: misspelt keys, legacy habits."""

    @property
    def instruction(self) -> str:
        """What all its steps ask for, without leading canary lines."""
        return "\n\n".join(step.instruction for step in self.steps)

    @property
    def is_impossible(self) -> bool:
        """Whether nobody can solve it: it is a tripwire, and a pass shows that somebody cheated."""
        return self.config.is_impossible

    @property
    def image_source(self) -> ImageSource:
        """What the image of its agent's sandbox is made from."""
        return ImageSource(folder=ENVIRONMENT, environment=self.config.environment)

    @property
    def image_sources(self) -> tuple[ImageSource, ...]:
        """What all its images are made from, those of separate verifiers too; each once."""
        found = [self.image_source]
        found += [step.verifier_image for step in self.steps if step.verifier_image not in (None, *found)]
        return tuple(found)
