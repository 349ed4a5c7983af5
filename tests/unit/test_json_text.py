"""A value put into somebody else's JSON: it is there, and every other byte is where it was."""

from __future__ import annotations

import json
from itertools import takewhile
from operator import eq
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoagent_mcp._json_text import put

PATH = ("servers", "ours")
VALUE = {"command": "x", "args": ["ä", "{"]}
KEYS = st.sampled_from(["servers", "ours", "other", 'a"}{,', "ü"])
JSON: st.SearchStrategy[Any] = st.sampled_from([None, 1.5, "}\n{", "", [], [1, {"a": [[]]}], {}, {"b": {"ü": {}}}])
OBJECTS = st.dictionaries(KEYS, JSON, max_size=3)
SERVERS = st.dictionaries(KEYS.filter(lambda key: key != "ours"), JSON, max_size=3)


@settings(deadline=None, derandomize=True, database=None)
@given(
    root=OBJECTS,
    servers=SERVERS | st.none(),
    indent=st.sampled_from([None, 2, 4, "\t"]),
    line=st.sampled_from(["\n", "\r\n"]),
    end=st.sampled_from(["", "\n", "  "]),
)
def test_what_is_added_is_there_and_the_rest_stays_byte_for_byte(
    root: dict[str, Any], servers: dict[str, Any] | None, indent: str | int | None, line: str, end: str
) -> None:
    root.pop("servers", None)
    if servers is not None:
        root["servers"] = servers
    text = (json.dumps(root, indent=indent) + end).replace("\n", line)
    new = put(text, PATH, VALUE)
    assert json.loads(new) == {**root, "servers": {**(servers or {}), "ours": VALUE}}
    assert list(json.loads(new))[: len(root)] == list(root)
    same = sum(takewhile(bool, map(eq, text, new))) + sum(takewhile(bool, map(eq, reversed(text), reversed(new))))
    is_empty = not root or servers == {}  # then the braces that lie together are moved apart
    assert same >= len(text) - (2 if is_empty else 0)
    assert "\r\n" not in text or new.count("\n") == new.count("\r\n")
    assert put(new, PATH, VALUE) == new


def test_what_is_added_looks_like_what_is_there() -> None:
    text = '{\n\t"servers": {\n\t\t"a": {"b": [1, 2]}\n\t},\n\t"c": 1.50\n}\n'
    ours = '\t\t"ours": {\n\t\t\t"command": "x"\n\t\t}\n'
    assert put(text, PATH, {"command": "x"}) == text.replace("]}\n", "]},\n" + ours)
    assert put('{"a": 1}', ("b",), [2]) == '{"a": 1, "b": [2]}'


def test_a_value_that_stands_there_is_replaced_alone() -> None:
    text = '{"servers": {"ours" : 1 , "b":2}}'
    assert put(text, PATH, [3]) == '{"servers": {"ours" : [\n  3\n] , "b":2}}'


@pytest.mark.parametrize("text", ["[]", "1", '{"servers": 1}', '{"servers": {}', "{} x", "{'servers': {}}"])
def test_what_is_no_such_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        put(text, PATH, VALUE)
