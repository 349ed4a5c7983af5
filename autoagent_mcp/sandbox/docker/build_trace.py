"""What BuildKit tells of a build, as text.

Format: protobuf wire types 0 and 2 (https://protobuf.dev/programming-guides/encoding/) of the messages StatusResponse,
Vertex and VertexLog in https://github.com/moby/buildkit/blob/master/api/services/control/control.proto.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_VERTEXES, _LOGS = 1, 3
_DIGEST, _NAME, _CACHED, _STARTED, _COMPLETED, _ERROR = 1, 3, 4, 5, 6, 7
_MESSAGE = 4
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LOOKS_UP = re.compile(r"(?:\[[^]]*\] )?(?:load metadata for|resolve image config for|FROM) (?:docker-image://)?(\S+)")


class Event(NamedTuple):
    """What is new in a build."""

    text: str
    """For people; may be a part of a line, as the step wrote it."""
    unknown_image: str = ""
    """The image that a step looked up in vain."""


class BuildTrace:
    """Follows one build: says each step's begin and end once, and all that it wrote."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._told: set[tuple[str, int]] = set()

    def read(self, status: bytes) -> Iterator[Event]:
        """Yield what a StatusResponse says that is new.

        Raises:
            ValueError: It is none.
        """
        for number, value in fields(status):
            if number == _VERTEXES and isinstance(value, bytes):
                yield from self._step(dict(fields(value)))
            elif number == _LOGS and isinstance(value, bytes):
                yield Event(_text(dict(fields(value)).get(_MESSAGE)))

    def _step(self, step: dict[int, int | bytes]) -> Iterator[Event]:
        digest, name, error = (_text(step.get(number)) for number in (_DIGEST, _NAME, _ERROR))
        number = self._numbers.setdefault(digest, len(self._numbers) + 1)
        if _STARTED in step and self._is_new(digest, _STARTED):
            yield Event(f"#{number} {name}\n")
        if _COMPLETED in step and self._is_new(digest, _COMPLETED):
            looked_up = _LOOKS_UP.match(name) if error else None
            end = f"ERROR: {error}" if error else "CACHED" if step.get(_CACHED) else "DONE"
            yield Event(f"#{number} {end}\n", looked_up[1] if looked_up else "")

    def _is_new(self, digest: str, what: int) -> bool:
        is_new = (digest, what) not in self._told
        self._told.add((digest, what))
        return is_new


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and the value of each field of a protobuf message: an integer, or bytes.

    Raises:
        ValueError: It is no such message.
    """
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _varint(message, position)
        elif kind in {_FIXED32, _FIXED64}:
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind}")
        if position + size > len(message):
            raise ValueError("cut off")
        yield number, message[position : position + size]
        position += size


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message):
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that another byte follows
            return value, position
        shift += 7
    raise ValueError("cut off")


def _text(value: int | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else ""
