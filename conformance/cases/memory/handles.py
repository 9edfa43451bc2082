"""spec/text/handles.md: what a handle is good for, and for how long; stale ones stand in stale.py."""

import itertools

from conformance.cases.talk import allocate, ask, greet, number_of, opened, refused, still_served
from conformance.judge.case import Section
from conformance.judge.codec import Codec
from conformance.judge.steps import Mapped, Mappings, Send, Talk, require

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

SEVERAL = 8
ROUNDS = 16
TOP = 1 << 64
USER_SPACE = 1 << 47
ONE_HEAP = 1 << 32
WORD = 8
RAW_ADDRESSES = "llama.cpp#14882"


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


def _seen(codec: Codec) -> Talk[tuple[list[int], list[int]]]:
    """Handles and bases of several buffers, large and small."""
    yield from greet(codec)
    handles, bases = [], []
    for at in range(SEVERAL):
        buffer = yield from allocate(codec, 64 << at)
        yield Send(codec.request("BUFFER_CLEAR", handle=buffer.handle, value=at))
        handles.append(buffer.handle)
        bases.append(buffer.base)
    yield from still_served(codec)
    return handles, bases


def _in_the_process(numbers: list[int]) -> Talk[list[str]]:
    """Those of the numbers that are addresses which the testee's process has mapped."""
    mapped = yield Mappings()
    return [hex(number) for number in numbers if isinstance(mapped, Mapped) and mapped.holds(number)]


@_case("HANDLE-6/no-addresses", upstream=RAW_ADDRESSES)
def _invented_bases(codec: Codec) -> Talk[None]:
    """Bases are no addresses of the server's process"""
    _, bases = yield from _seen(codec)
    found = yield from _in_the_process(bases)
    require(not found, "bases that mean nothing in the process", found)


@_case("LEAK-1/handles-are-no-addresses", upstream=RAW_ADDRESSES)
def _opaque_handles(codec: Codec) -> Talk[None]:
    """Handles are no addresses of the server's process"""
    handles, _ = yield from _seen(codec)
    found = yield from _in_the_process(handles)
    require(not found, "handles that mean nothing in the process", found)


@_case("LEAK-1/handles-unlike-addresses", upstream=RAW_ADDRESSES)
def _unlike_addresses(codec: Codec) -> Talk[None]:
    """Handles do not look like the addresses of a process's objects: aligned, in the lower half, and close together"""
    handles, _ = yield from _seen(codec)
    aligned = all(handle % WORD == 0 for handle in handles)
    close = max(handles) < USER_SPACE and max(handles) - min(handles) < ONE_HEAP
    require(min(handles) < ONE_HEAP or not aligned or not close, "numbers like no addresses", list(map(hex, handles)))
