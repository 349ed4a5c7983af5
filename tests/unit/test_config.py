"""autoagent.toml, read and refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.workspaces import ROOT

from autoagent_mcp import config
from autoagent_mcp.errors import ConfigError


def test_a_missing_file_means_the_defaults(tmp_path: Path) -> None:
    assert config.load(tmp_path) == config.Config()


def test_the_shipped_file_is_read() -> None:
    assert config.load(ROOT).model.provider == "local"


def test_a_judge_is_a_model_with_a_budget_of_its_own(tmp_path: Path) -> None:
    text = "[judge]\nprovider = 'openai'\nname = 'gpt-5-mini'\n[judge.budget]\nmax_turns = 3\n"
    (tmp_path / "autoagent.toml").write_text(text, encoding="utf-8")
    settings = config.load(tmp_path)
    assert settings.judge is not None
    assert (settings.judge.name, settings.judge.budget.max_turns) == ("gpt-5-mini", 3)
    assert settings.judge.budget.max_tokens < settings.trial.max_tokens


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[model]\nprovidr = 'local'\n", "model.providr is no known key; the nearest is model.provider"),
        ("[run]\nbackend = 'podman'\n", "run.backend"),
        ("[model]\nprovider = 'openai-compatible'\n", "needs a base_url"),
        ("[trial]\nmax_turns = 0\n", "trial.max_turns"),
        ("[budget]\nmax_cost = 5\n", "budget.max_cost is no known key; the nearest is budget.max_cost_usd"),
        ("[run]\nmax_tokens = 0\n", "run.max_tokens"),
        ("[model]\nprovider = 'anthropic'\nseed = 1\n", "takes no seed"),
        ("[judge]\nnmae = 'fair'\n", "judge.nmae is no known key; the nearest is judge.name"),
        ("[judge.budget]\nmax_cost_usd = 0\n", "judge.budget.max_cost_usd"),
        ("[split]\n", "split: Value error, it needs either a hidden_dir or a hidden_fraction"),
        ("[split]\nhidden_dir = '~/h'\nhidden_fraction = 0.5\n", "needs either"),
        ("[split]\nhidden_fraction = 1\n", "split.hidden_fraction"),
        ("[model\n", "not valid TOML"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "autoagent.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        config.load(tmp_path)
