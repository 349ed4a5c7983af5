"""`python -m autoagent_mcp`, and the command `autoagent-mcp`.

A client waits for its hooks (hook/), so they are answered before anything is imported that takes long.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Answer a hook, or run the command line."""
    match sys.argv[1:]:
        case ["hook", ("stop" | "guard") as name]:
            from autoagent_mcp.hook.command import run  # noqa: PLC0415 - see the module's docstring

            run(name, workspace=None)
        case _:
            from autoagent_mcp.cli import main as run_command_line  # noqa: PLC0415 - see the module's docstring

            run_command_line()


if __name__ == "__main__":
    main()
