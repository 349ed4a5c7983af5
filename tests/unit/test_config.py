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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[model]\nprovidr = 'local'\n", "model.providr is no known key; the nearest is model.provider"),
        ("[run]\nbackend = 'docker'\n", "run.backend"),
        ("[model]\nprovider = 'openai-compatible'\n", "needs a base_url"),
        ("[trial]\nmax_turns = 0\n", "trial.max_turns"),
        ("[model\n", "not valid TOML"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "autoagent.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        config.load(tmp_path)
