"""Process 1's code as one file in memory, ready to be handed to an interpreter as a file descriptor.

So the code needs no path inside a sandbox, nothing is compiled when one starts, and the running server's code is what
runs inside, whatever happens to the files meanwhile.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
from functools import cache
from importlib.resources import files
from types import CodeType

_PACKAGE = "autoagent_mcp.sandbox.bubblewrap.inside"
_MODULES = ("frames", "kernel", "tree", "memory", "tarball", "prepare", "keeper", "supervisor")
"""In the order of their imports."""

_BOOTSTRAP = """
import marshal, sys
for name, code in marshal.loads({modules!r}):
    module = sys.modules[name] = type(sys)(name)
    exec(code, module.__dict__)
module.main()
"""


@cache
def load() -> int:
    """Return the descriptor of a file in memory that holds the program as a .pyc; kept open for the server's life."""
    codes = [(_PACKAGE, _code("__init__")), *((f"{_PACKAGE}.{name}", _code(name)) for name in _MODULES)]
    modules = marshal.dumps(codes)
    program = compile(_BOOTSTRAP.format(modules=modules), "<supervisor>", "exec")
    descriptor = os.memfd_create("supervisor")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(program))
    return descriptor


def _code(name: str) -> CodeType:
    source = files(_PACKAGE).joinpath(f"{name}.py").read_bytes()
    return compile(source, f"{_PACKAGE}/{name}.py", "exec", optimize=2, dont_inherit=True)
