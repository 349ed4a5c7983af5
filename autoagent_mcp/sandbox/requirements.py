"""What `.agent/requirements.txt` may say.

It is written by the meta-agent: names and versions only, so that nothing is read from this machine or from an address
of its choice.
"""

from __future__ import annotations

from packaging.requirements import InvalidRequirement, Requirement

from autoagent_mcp.errors import HarnessError

HINT = "Correct .agent/requirements.txt: one `name==version` per line."
INSTALL_HINT = (
    "See that the package index can be reached; else correct .agent/requirements.txt: one `name==version` per line."
)


def checked(requirements: str) -> list[str]:
    """Return what is required, sorted.

    Args:
        requirements: The file's text.

    Raises:
        HarnessError: A line is no plain requirement.
    """
    found: list[str] = []
    for number, raw in enumerate(requirements.splitlines(), start=1):
        line = raw.split(" #", 1)[0].strip()
        if not line or line.startswith("#"):
            continue
        try:
            parsed = Requirement(line)
        except InvalidRequirement as error:
            raise HarnessError(
                f".agent/requirements.txt line {number}, {line[:80]!r}, is no requirement.", HINT
            ) from error
        if parsed.url is not None:
            raise HarnessError(f".agent/requirements.txt line {number}, {line[:80]!r}, names an address.", HINT)
        found.append(str(parsed))
    return sorted(found)
