r"""Backslash escapes of a prompt, as llama.cpp reads them: \n \r \t \' \" \\ and \xHH (one byte).

Anything else after a backslash stays as it is, backslash included. A prompt is text; a byte that is no UTF-8 is held as
a surrogate escape, as in file names.
"""

import re

__all__ = ["unescape"]

_SINGLE = {"n": b"\n", "r": b"\r", "t": b"\t", "'": b"'", '"': b'"', "\\": b"\\"}
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([nrt'\"\\]))")


def unescape(text: str) -> str:
    """`text` with its escapes read."""
    data = text.encode("utf-8", "surrogateescape")
    return _ESCAPE.sub(_replace, data).decode("utf-8", "surrogateescape")


def _replace(match: re.Match[bytes]) -> bytes:
    byte, letter = match.groups()
    return bytes([int(byte, 16)]) if byte is not None else _SINGLE[letter.decode()]
