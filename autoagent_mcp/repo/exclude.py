"""Files of ours between the user's own that git is not to see: named in .git/info/exclude, which is never committed."""

from __future__ import annotations

from pathlib import Path

from autoagent_mcp._io import write_whole


def exclude(git_folder: Path, pattern: str) -> None:
    """Add a pattern to those that git passes over here, where it is not there yet; the user's lines stay.

    Raises:
        OSError: The file cannot be read or written.
    """
    path = git_folder / "info" / "exclude"
    known = path.read_bytes() if path.exists() else b""
    if pattern.encode() in known.splitlines():
        return
    path.parent.mkdir(exist_ok=True)
    end = b"" if not known or known.endswith(b"\n") else b"\n"
    write_whole(path, known + end + f"{pattern}\n".encode(), mode=0o644, is_durable=False)
