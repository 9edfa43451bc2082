"""spec/text/handles.md: handles that a connection must not use, through every command that takes one, or a tensor."""

from collections.abc import Callable, Mapping
from functools import partial

from conformance.cases.samples import sample, since, slug
from conformance.cases.talk import Buffer, allocate, greet, opened, refused, row
from conformance.cases.tensors.takers import PIECE, TAKERS, Taker, denied, tolerated
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import Leave, Send, Talk

__all__ = ["CASES"]

_section = Section()
CASES = _section.cases

TOP = 1 << 64
ABOUT_BUFFERS = ("BUFFER_GET_BASE", "FREE_BUFFER", "BUFFER_CLEAR")
MAY_BE_IGNORED = frozenset({"INIT_TENSOR", "GET_ALLOC_SIZE"})
"""commands that touch no bytes, so that a handle that is nobody's need not matter (INIT-3, ALLOC-10)"""

Stale = Callable[[Codec], Talk[Buffer]]
"""what to do on the main connection until there is a buffer that it must not use, which is returned"""


def _next_number(codec: Codec) -> Talk[Buffer]:
    """The number behind a handle."""
    buffer = yield from opened(codec)
    return Buffer(_other(buffer.handle + 1, buffer), buffer.size, buffer.base)


def _top_bit(codec: Codec) -> Talk[Buffer]:
    """A handle with its highest bit turned over."""
    buffer = yield from opened(codec)
    return Buffer(_other(buffer.handle ^ (TOP >> 1), buffer), buffer.size, buffer.base)


def _all_ones(codec: Codec) -> Talk[Buffer]:
    """Handle 2^64 - 1."""
    buffer = yield from opened(codec)
    return Buffer(_other(TOP - 1, buffer), buffer.size, buffer.base)


def _base_as_handle(codec: Codec) -> Talk[Buffer]:
    """The base of a buffer, used as a handle."""
    buffer = yield from opened(codec)
    return Buffer(_other(buffer.base, buffer), buffer.size, buffer.base)


def _freed(codec: Codec) -> Talk[Buffer]:
    """A handle that has been freed."""
    buffer = yield from opened(codec)
    yield Send(codec.request("FREE_BUFFER", handle=buffer.handle))
    return buffer


def _of_ended_connection(codec: Codec) -> Talk[Buffer]:
    """A handle of a connection that has ended."""
    buffer = yield from opened(codec, on="ended")
    yield Leave("ended")
    yield from greet(codec)
    return buffer


def _of_other_connection(codec: Codec) -> Talk[Buffer]:
    """A handle of another connection that is open."""
    buffer = yield from opened(codec, on="owner")
    yield from greet(codec)
    return buffer


def _zero(codec: Codec) -> Talk[Buffer]:
    """Handle 0."""
    buffer = yield from opened(codec)
    return Buffer(0, buffer.size, buffer.base)


def _other(number: int, buffer: Buffer) -> int:
    """A number that is neither 0 nor the buffer's handle: this one, or one that surely is."""
    number %= TOP
    return number if number not in (0, buffer.handle) else buffer.handle ^ (TOP >> 2)


STALE: Mapping[str, Stale] = {
    "next-number": _next_number,
    "top-bit": _top_bit,
    "all-ones": _all_ones,
    "base-as-handle": _base_as_handle,
    "freed": _freed,
    "ended-connection": _of_ended_connection,
    "other-connection": _of_other_connection,
}


def _refuses(stale: Stale, command: str, codec: Codec) -> Talk[None]:
    buffer = yield from stale(codec)
    yield from refused(codec, codec.frame(command, sample(codec, command, buffer)))


def _in_a_record(stale: Stale, taker: Taker, codec: Codec) -> Talk[None]:
    buffer = yield from stale(codec)
    good = yield from allocate(codec, PIECE)
    ask = tolerated if taker.command in MAY_BE_IGNORED else denied
    yield from ask(taker, codec, row(codec, buffer, PIECE), good)


def _add(clause: str, what: str, name: str, stale: Stale, script: Callable[[Codec], Talk[None]], command: str) -> None:
    title = stale.__doc__ or ""
    _section.add(
        Case(
            id=f"{clause}/{what}-{name}",
            title=f"{command}: {title[0].lower()}{title[1:].rstrip('.')}",
            script=script,
            clients=2 if name == "other-connection" else 1,
            since=since(command),
        )
    )


for _name, _stale in STALE.items():
    for _command in ABOUT_BUFFERS:
        _add("HANDLE-2", slug(_command), _name, _stale, partial(_refuses, _stale, _command), _command)
    for _taker in TAKERS:
        _add("HANDLE-7", _taker.slug, _name, _stale, partial(_in_a_record, _stale, _taker), _taker.command)

for _command in ABOUT_BUFFERS:
    _add("HANDLE-4", slug(_command), "zero", _zero, partial(_refuses, _zero, _command), _command)
