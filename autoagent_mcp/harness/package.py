"""What goes into a sandbox so that a harness runs there."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files as package_files

from autoagent_mcp.harness.program import INSIDE
from autoagent_mcp.models.base import Frozen
from autoagent_mcp.sandbox import archive

FOLDER = "/harness"
LIBRARY = f"{FOLDER}/lib"
_REQUIREMENTS = ".agent/requirements.txt"


class Package(Frozen):
    """A candidate, and how it is let run."""

    files: Mapping[str, bytes]
    """agent.py and .agent/ by path."""
    gateway_port: int
    """Where the gateway listens on 127.0.0.1."""
    import_timeout_sec: float

    @property
    def requirements(self) -> str:
        """The text of `.agent/requirements.txt`."""
        return self.files.get(_REQUIREMENTS, b"").decode(errors="replace")

    def archive(self, *, with_host: bool) -> bytes:
        """Return the files as an archive to unpack at `FOLDER`, and those of the host where they are wanted."""
        found = {f"workspace/{path}": content for path, content in self.files.items()}
        if with_host:
            place = f"lib/{INSIDE.replace('.', '/')}"
            own = (file for file in package_files(INSIDE).iterdir() if file.name.endswith(".py"))
            found |= {f"{place}/{file.name}": file.read_bytes() for file in own}
        return archive.pack_files(found)
