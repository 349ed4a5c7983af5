"""BuildKit's trace, read from bytes that its own encoder would make."""

from __future__ import annotations

import pytest

from autoagent_mcp.sandbox.docker.build_trace import BuildTrace, fields


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def vertex(name: str, *, started: bool = True, done: bool = False, cached: bool = False, error: str = "") -> bytes:
    time = field(1, 1_795_261_446) + field(2, 999)
    parts = [field(1, f"sha256:{name}"), field(2, "sha256:input"), field(3, name)]
    parts += [field(4, 1)] if cached else []
    parts += [field(5, time)] if started else []
    parts += [field(6, time)] if done else []
    parts += [field(7, error)] if error else []
    return field(1, b"".join(parts))


def log(text: bytes) -> bytes:
    return field(3, field(1, "sha256:x") + field(2, field(1, 5)) + field(3, 1) + field(4, text))


def told(*statuses: bytes) -> str:
    trace = BuildTrace()
    return "".join(event.text for status in statuses for event in trace.read(status))


def test_each_steps_begin_and_end_are_told_once_with_what_it_wrote_between() -> None:
    assert told(
        vertex("[1/2] FROM debian", started=False) + vertex("[2/2] RUN make", started=False),
        vertex("[1/2] FROM debian", done=True, cached=True),
        vertex("[2/2] RUN make") + field(2, b"") + log(b"half a li"),
        vertex("[2/2] RUN make") + log(b"ne\n"),
        vertex("[2/2] RUN make", done=True, error="exit code: 2"),
        vertex("[2/2] RUN make", done=True, error="exit code: 2"),
    ) == ("#1 [1/2] FROM debian\n#1 CACHED\n#2 [2/2] RUN make\nhalf a line\n#2 ERROR: exit code: 2\n")


def test_what_a_step_wrote_that_is_no_text_is_told_all_the_same() -> None:
    assert told(log(b"\xff\xfe\n")) == "\ufffd\ufffd\n"


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("[internal] load metadata for docker.io/library/python:3.11-slim", "docker.io/library/python:3.11-slim"),
        ("resolve image config for docker-image://docker.io/docker/dockerfile:1", "docker.io/docker/dockerfile:1"),
        ("resolve image config for docker.io/docker/dockerfile:1", "docker.io/docker/dockerfile:1"),
        ("FROM ghcr.io/astral-sh/uv:latest", "ghcr.io/astral-sh/uv:latest"),
        ("[stage-0 1/3] FROM docker.io/library/debian:12", "docker.io/library/debian:12"),
        ("[2/2] RUN echo load metadata for a joke", ""),
        ("[2/2] RUN grep FROM Dockerfile", ""),
    ],
)
def test_an_image_that_was_looked_up_in_vain_is_named(name: str, image: str) -> None:
    failed = list(BuildTrace().read(vertex(name, done=True, error="no active sessions")))
    assert failed[-1].unknown_image == image
    assert list(BuildTrace().read(vertex(name, done=True)))[-1].unknown_image == ""


def test_fields_of_kinds_that_are_not_used_are_passed_over() -> None:
    message = b"\x09" + bytes(8) + b"\x15" + bytes(4) + field(3, 300) + field(20, "x")
    assert list(fields(message)) == [(1, bytes(8)), (2, bytes(4)), (3, 300), (20, b"x")]


@pytest.mark.parametrize("message", [b"\x80", b"\x0a\x05abc", b"\x0b", b"\x08", b"\x09abc"])
def test_bytes_that_are_no_message_are_refused(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut off|wire type"):
        list(fields(message))
