"""The command lines that run our code inside sandboxes.

Where a sandbox's image is a task's, nothing is put into it: the code is an argument of its Python.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import anyio

from autoagent_mcp.sandbox.base import Process

INSIDE = "autoagent_mcp.harness.inside"
_NO_PYTHON = 127
"""The exit status where there is no Python, and what sh says of a program that is not there."""
_END_SEC = 2.0
"""For the exit status of a process whose output has ended."""
_PYTHONS = ("python3", "python", "/opt/python/bin/python3")
"""Looked for in this order; the last is where the bubblewrap backend shows the server's own."""
_FIND = """
for python in {pythons}; do
  "$python" -I -S -c 'import sys; sys.exit(sys.version_info < {oldest})' 2> /dev/null &&
    exec "$python" -I -S -B -c "$@"
done
exit {no_python}
"""
_BOOT = """
import sys
for name, source in {modules!r}:
    module = sys.modules[name] = type(sys)(name)
    exec(compile(source, name, "exec"), module.__dict__)
module.main()
"""


def argv(modules: tuple[str, ...], oldest: tuple[int, int], *words: str, python: str = "") -> tuple[str, ...]:
    """Return the command line that runs `main()` of the last module with whatever Python a sandbox has.

    Args:
        modules: Names below `harness.inside`, in the order of their imports.
        oldest: The oldest Python that will do.
        words: What `main` finds in `sys.argv[1:]`.
        python: The one to use, where it is known.
    """
    find = _FIND.format(pythons=python or " ".join(_PYTHONS), oldest=oldest, no_python=_NO_PYTHON)
    return ("sh", "-c", find, "autoagent-mcp", _code(modules), *words)


async def found_no_python(process: Process) -> bool:
    """Tell whether a process that has said nothing ended for want of a Python."""
    with anyio.move_on_after(_END_SEC):
        return await process.wait() == _NO_PYTHON
    return False


@cache
def _code(modules: tuple[str, ...]) -> str:
    folder = files(INSIDE)
    return _BOOT.format(modules=[(f"{INSIDE}.{name}", folder.joinpath(f"{name}.py").read_text()) for name in modules])
