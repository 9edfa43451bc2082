"""spec/text/handles.md: what a handle is good for, where, and for how long.

HANDLE-6 cannot be seen from outside; HANDLE-8 allows, and asks nothing.
"""

import itertools
from collections.abc import Callable, Mapping
from functools import partial

import attrs

from conformance.cases.samples import sample, since, slug
from conformance.cases.talk import Buffer, allocate, ask, greet, number_of, opened, refused, row, still_served
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import End, Leave, Mismatch, Receive, Reply, Send, Silence, Talk, require

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

SEVERAL = 8
ROUNDS = 16
TOP = 1 << 64
ABOUT_BUFFERS = ("BUFFER_GET_BASE", "FREE_BUFFER", "BUFFER_CLEAR")
TOUCHING = ("SET_TENSOR", "GET_TENSOR", "MEMSET_TENSOR", "SET_TENSOR_2D", "GET_TENSOR_2D")

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
    "base-as-handle": _base_as_handle,
    "freed": _freed,
    "ended-connection": _of_ended_connection,
    "other-connection": _of_other_connection,
}


def _refuses(stale: Stale, command: str, codec: Codec) -> Talk[None]:
    buffer = yield from stale(codec)
    yield from refused(codec, codec.frame(command, sample(codec, command, buffer)))


def _copies(bad_one: Callable[[Buffer], int] | None, side: str, codec: Codec) -> Talk[None]:
    """A copy of which one side is spoilt: by another handle, or, for None, by freeing its buffer."""
    good = yield from opened(codec)
    bad = yield from allocate(codec)
    if bad_one is None:
        yield Send(codec.request("FREE_BUFFER", handle=bad.handle))
    else:
        bad = attrs.evolve(bad, handle=bad_one(bad))
    ends = {"src": row(codec, good, 16), "dst": row(codec, good, 16, 16)}
    yield from refused(codec, codec.request("COPY_TENSOR", **{**ends, side: row(codec, bad, 16)}))


def _hashes(stale: Stale, codec: Codec) -> Talk[None]:
    buffer = yield from stale(codec)
    yield Send(codec.frame("SET_TENSOR_HASH", sample(codec, "SET_TENSOR_HASH", buffer)))
    answer = yield Receive()
    if isinstance(answer, End) or (isinstance(answer, Reply) and answer.body == b"\0"):
        return
    raise Mismatch("the connection closed, or the answer 0", str(answer), silent=isinstance(answer, Silence))


def _add(clause: str, name: str, title: str, script: Callable[[Codec], Talk[None]], command: str) -> None:
    _section.add(
        Case(
            id=f"{clause}/{slug(command)}-{name}",
            title=f"{command}: {title[0].lower()}{title[1:].rstrip('.')}",
            script=script,
            clients=2 if name == "other-connection" else 1,
            since=since(command),
        )
    )


for _name, _stale in STALE.items():
    _title = _stale.__doc__ or ""
    for _command in ABOUT_BUFFERS:
        _add("HANDLE-2", _name, _title, partial(_refuses, _stale, _command), _command)
    for _command in TOUCHING:
        _add("HANDLE-7", _name, _title, partial(_refuses, _stale, _command), _command)
    _add("HANDLE-7", _name, _title, partial(_hashes, _stale), "SET_TENSOR_HASH")

for _side in ("src", "dst"):
    _script = partial(_copies, lambda bad: bad.handle ^ (TOP >> 2), _side)
    _add("HANDLE-7", f"{_side}-unknown", f"{_side} has a handle that nobody has", _script, "COPY_TENSOR")
    _script = partial(_copies, None, _side)
    _add("HANDLE-7", f"{_side}-freed", f"{_side} has a handle that has been freed", _script, "COPY_TENSOR")

for _command in ABOUT_BUFFERS:
    _add("HANDLE-4", "zero", _zero.__doc__ or "", partial(_refuses, _zero, _command), _command)


@_case("HANDLE-1/not-zero", ordinary=True)
def _not_zero(codec: Codec) -> Talk[None]:
    """A buffer that was given has a handle that is not 0"""
    yield from greet(codec)
    got = yield from ask(codec, "ALLOC_BUFFER", device=0, size=256)
    require(got["handle"] != 0, "a handle", "0")


@_case("HANDLE-1/distinct", ordinary=True)
def _distinct(codec: Codec) -> Talk[None]:
    """Live buffers have different handles"""
    yield from greet(codec)
    handles = []
    for _ in range(SEVERAL):
        handles.append((yield from allocate(codec)).handle)
    require(len(set(handles)) == SEVERAL, f"{SEVERAL} different handles", [hex(handle) for handle in handles])


@_case("HANDLE-1/distinct-across-connections", ordinary=True, clients=2)
def _distinct_across(codec: Codec) -> Talk[None]:
    """Live buffers of two connections have different handles"""
    one = yield from opened(codec, on="one")
    two = yield from opened(codec, on="two")
    require(one.handle != two.handle, "different handles", f"{one.handle:#x} twice")


@_case("HANDLE-2/freed-twice")
def _freed_twice(codec: Codec) -> Talk[None]:
    """Freeing a buffer a second time closes the connection"""
    buffer = yield from opened(codec)
    yield from allocate(codec)
    yield from refused(codec, codec.request("FREE_BUFFER", handle=buffer.handle) * 2)


@_case("HANDLE-2/for-as-long-as-it-lives", ordinary=True)
def _lives(codec: Codec) -> Talk[None]:
    """A handle stays valid while others come and go"""
    kept = yield from opened(codec)
    for _ in range(SEVERAL):
        other = yield from allocate(codec)
        yield Send(codec.request("FREE_BUFFER", handle=other.handle))
    base = yield from number_of(codec, "BUFFER_GET_BASE", "base", handle=kept.handle)
    require(base == kept.base, f"base {kept.base:#x}", hex(base))


@_case("HANDLE-2/owner-keeps-it", clients=2)
def _owner_keeps(codec: Codec) -> Talk[None]:
    """A stranger that tries to free a buffer is closed, and the owner still has it"""
    buffer = yield from opened(codec, on="owner")
    yield from greet(codec, "stranger")
    yield from refused(codec, codec.request("FREE_BUFFER", handle=buffer.handle), "stranger")
    base = yield from number_of(codec, "BUFFER_GET_BASE", "base", "owner", handle=buffer.handle)
    require(base == buffer.base, f"base {buffer.base:#x}", hex(base))


@_case("HANDLE-3/not-used-again")
def _not_again(codec: Codec) -> Talk[None]:
    """A freed handle is not given out again"""
    yield from greet(codec)
    seen: list[int] = []
    for _ in range(ROUNDS):
        buffer = yield from allocate(codec)
        require(buffer.handle not in seen, "a handle that was not there before", f"{buffer.handle:#x} again")
        seen.append(buffer.handle)
        yield Send(codec.request("FREE_BUFFER", handle=buffer.handle))


@_case("HANDLE-4/as-an-answer", ordinary=True)
def _as_answer(codec: Codec) -> Talk[None]:
    """Handle 0 answers a request for more memory than there is, and the connection goes on"""
    yield from greet(codec)
    handle = yield from number_of(codec, "ALLOC_BUFFER", "handle", device=0, size=1 << 60)
    require(handle == 0, "handle 0", hex(handle))
    yield from still_served(codec)


@_case("HANDLE-5/base-not-zero", ordinary=True)
def _base(codec: Codec) -> Talk[None]:
    """The base of a buffer with bytes is not 0"""
    buffer = yield from opened(codec)
    require(buffer.base != 0, "a base", "0")


@_case("HANDLE-5/base-aligned", ordinary=True)
def _aligned(codec: Codec) -> Talk[None]:
    """Bases are multiples of the device's alignment, for buffers of odd sizes too"""
    yield from greet(codec)
    alignment = yield from number_of(codec, "GET_ALIGNMENT", "alignment", device=0)
    for size in (1, 33, 4097):
        buffer = yield from allocate(codec, size)
        require(buffer.base % max(alignment, 1) == 0, f"a multiple of {alignment}", hex(buffer.base))


@_case("HANDLE-5/base-stays", ordinary=True)
def _stays(codec: Codec) -> Talk[None]:
    """A buffer's base is the same whenever one asks"""
    buffer = yield from opened(codec)
    yield from allocate(codec)
    base = yield from number_of(codec, "BUFFER_GET_BASE", "base", handle=buffer.handle)
    require(base == buffer.base, f"base {buffer.base:#x}", hex(base))


@_case("HANDLE-5/apart", ordinary=True)
def _apart(codec: Codec) -> Talk[None]:
    """The ranges of live buffers do not overlap, and none passes 2^64"""
    yield from greet(codec)
    buffers = []
    for at in range(SEVERAL):
        buffers.append((yield from allocate(codec, 1000 + 500 * at)))
    buffers.sort(key=lambda buffer: buffer.base)
    spans = [(buffer.base, buffer.base + buffer.size) for buffer in buffers]
    require(all(end <= TOP for _, end in spans), "ends up to 2^64", [hex(end) for _, end in spans])
    apart = all(one[1] <= two[0] for one, two in itertools.pairwise(spans))
    require(apart, "ranges that do not overlap", [f"{begin:#x}-{end:#x}" for begin, end in spans])
