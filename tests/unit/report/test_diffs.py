"""Diffs with colours: the same text as before and after, whatever Pygments makes of it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from autoagent_mcp.report.diffs import diff

OLD = b'import os\n\n\ndef go():\n    """Say\n    it."""\n    return "a"\n'
NEW = b'import os\n\n\ndef go():\n    """Say\n    that."""\n    return "b"  # better\n'


def text(pieces: list[Any]) -> str:
    return "".join(piece if isinstance(piece, str) else piece[1] for piece in pieces)


def test_a_change_is_told_line_by_line_with_numbers_and_colours() -> None:
    (file,) = diff({"agent.py": OLD}, {"agent.py": NEW})
    assert (file["path"], file["what"]) == ("agent.py", "changed")
    changed = [(sign, before, now, text(pieces)) for sign, before, now, pieces in file["lines"] if sign in {"+", "-"}]
    assert changed == [
        ("-", 6, 0, '    it."""'),
        ("-", 7, 0, '    return "a"'),
        ("+", 0, 6, '    that."""'),
        ("+", 0, 7, '    return "b"  # better'),
    ]
    assert ["c1", "# better"] in file["lines"][-1][3]
    assert file["lines"][-2][3] == [["sd", '    that."""']]  # a string over several lines keeps its colour


def test_files_that_come_go_or_are_no_text_are_told() -> None:
    found = diff(
        {".agent/a.bin": b"\xff\0", "same.py": b"x"},
        {".agent/a.bin": b"\xfe", ".agent/new.md": b"# Hello\n", "same.py": b"x"},
    )
    assert [(file["path"], file["what"], len(file["lines"])) for file in found] == [
        (".agent/a.bin", "changed", 0),
        (".agent/new.md", "added", 2),
    ]
    assert found[0]["note"] == "2 bytes before, 1 bytes now; no text."


def test_a_file_that_would_take_long_to_compare_is_not() -> None:
    (file,) = diff({"agent.py": b"a\n" * 5_000}, {"agent.py": b"b\n" * 5_000})
    assert (file["lines"], file["note"]) == ([], "10000 bytes before, 10000 bytes now; too long to be compared.")


lines = st.lists(
    st.sampled_from(["", "x = 1", "    y", "\f", "'''", "# c\r", "\u2028z"]) | st.text(max_size=5), max_size=12
)


@given(lines, lines)
def test_every_line_that_is_shown_is_the_one_of_its_number(before: list[str], now: list[str]) -> None:
    old, new = ("\n".join(some).encode(errors="replace") for some in (before, now))
    for file in diff({"agent.py": old}, {"agent.py": new}):
        shown = file["lines"]
        assert shown or old.decode().splitlines() == new.decode().splitlines()
        for sign, number, other, pieces in shown:
            if sign != "@":
                assert not number or text(pieces) == old.decode().splitlines()[number - 1]
                assert not other or text(pieces) == new.decode().splitlines()[other - 1]
