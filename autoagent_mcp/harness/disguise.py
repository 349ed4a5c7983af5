"""What a harness's file says, also where it says it in disguise.

Taken off are the disguises that cost one line: texts put together from pieces, lists of character codes, base64, hex,
rot13, reversal and compression, and two of these on top of each other. Nothing of the file is run.
"""

from __future__ import annotations

import base64
import binascii
import bz2
import codecs
import io
import lzma
import re
import tokenize
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from autoagent_mcp.harness import constants

LIMIT_BYTES = 1_000_000
"""Of a larger file only what stands there plainly is looked at; no disguise gives more than this."""
_DEPTH = 2
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){6,}")
_BREAKS = re.compile(r"(?<=[A-Za-z0-9+/_=-])\s+(?=[A-Za-z0-9+/_=-]{16})")
"""Of an encoded text in lines."""


class Text(NamedTuple):
    """Something that a file says."""

    text: str
    is_disguised: bool


def texts(path: str, content: bytes) -> Iterator[Text]:
    """Yield what a file says: of Python its literals and comments, of other files all."""
    plain = content.decode(errors="replace")
    if len(content) > LIMIT_BYTES:
        yield Text(plain, is_disguised=False)
        return
    said = _of_python(plain) if path.endswith(".py") else [Text(plain, is_disguised=False)]
    seen: set[str] = set()
    for text in [*said, *(Text(one, is_disguised=True) for one in _inflated(content))]:
        if text.text not in seen:
            seen.add(text.text)
            yield text
    layer = list(seen)
    for _ in range(_DEPTH):
        layer = [found for text in layer for found in _undone(text) if found not in seen]
        layer = list(dict.fromkeys(layer))
        seen.update(layer)
        yield from (Text(text, is_disguised=True) for text in layer)


def _of_python(source: str) -> list[Text]:
    found = constants.read(source)
    if found is None:
        return [Text(source, is_disguised=False)]
    comments = [token.string for token in _tokens(source) if token.type == tokenize.COMMENT]
    plain = [Text(text, is_disguised=False) for text in (*found.literals, *comments, " ".join(found.numbers))]
    return [*plain, *(Text(text, is_disguised=True) for text in found.joined)]


def _tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    try:
        yield from tokenize.generate_tokens(io.StringIO(source).readline)
    except (tokenize.TokenError, SyntaxError):  # what ast takes and tokenize does not: a form feed, for example
        return


def _undone(text: str) -> Iterator[str]:
    """Yield what a text is with one disguise less."""
    yield text[::-1]
    yield codecs.encode(text, "rot13")
    whole = _BREAKS.sub("", text)
    for encoded in _BASE64.findall(whole):
        yield from _readable(_from_base64(encoded))
    for encoded in _HEX.findall(whole):
        yield from _readable(bytes.fromhex(encoded))


def _from_base64(encoded: str) -> bytes:
    body = encoded.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _readable(data: bytes) -> Iterator[str]:
    """Yield bytes as text where they are text, or hold one in compressed form."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        yield from _inflated(data)
    else:
        if text.strip():
            yield text


def _inflated(data: bytes) -> Iterator[str]:
    """Yield what compressed bytes hold, as far as they are whole and within the limit."""
    if data.startswith((b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")):
        opened = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    elif data.startswith(b"BZh"):
        opened = bz2.BZ2Decompressor()
    elif data.startswith((b"\xfd7zXZ\x00", b"\x5d\x00\x00")):
        opened = lzma.LZMADecompressor()
    else:
        return
    try:
        yield opened.decompress(data, LIMIT_BYTES).decode(errors="replace")
    except (zlib.error, lzma.LZMAError, OSError, EOFError):
        return
