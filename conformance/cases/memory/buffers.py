"""spec/text/buffers.md: devices, allocation, release."""

from functools import partial

from conformance.cases.graph.placed import again, placed, results
from conformance.cases.samples import sample, since, slug
from conformance.cases.sums import doubled
from conformance.cases.talk import (
    Buffer,
    allocate,
    ask,
    asked,
    get,
    greet,
    number_of,
    opened,
    put,
    refused,
    row,
    still_served,
)
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import Leave, Send, Talk, require

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

OF_DEVICE = (
    "GET_ALIGNMENT",
    "GET_MAX_SIZE",
    "GET_DEVICE_MEMORY",
    "ALLOC_BUFFER",
    "GET_ALLOC_SIZE",
    "COMM_INIT",
    "COMM_FREE",
)
"""commands whose request begins with a device index; those of graphs have a clause of their own (GRAPH-4)"""
ROUNDS = 16
SECRET = bytes.fromhex("5ec2e7b1a5e0f00d") * 512
OUT_OF_REACH = {"2-60": 1 << 60, "2-63": 1 << 63, "2-64-less-1": (1 << 64) - 1}


def _no_such_device(command: str, beyond: bool, codec: Codec) -> Talk[None]:
    yield from greet(codec)
    count = yield from number_of(codec, "DEVICE_COUNT", "count")
    device = (1 << 32) - 1 if beyond else count
    body = sample(codec, command, Buffer(1, 256, 1 << 20))
    yield from refused(codec, codec.frame(command, device.to_bytes(4, "little") + body[4:]))


for _command in OF_DEVICE:
    for _beyond in (False, True):
        _section.add(
            Case(
                id=f"DEVICE-2/{slug(_command)}{'-last-number' if _beyond else '-count'}",
                title=f"{_command} for device {'2^32 - 1' if _beyond else 'number count'}",
                script=partial(_no_such_device, _command, _beyond),
                since=since(_command),
            )
        )


@_case("DEVICE-1/same-number", ordinary=True)
def _same_count(codec: Codec) -> Talk[None]:
    """Two connections, one after the other, hear of the same number of devices"""
    counts = []
    for name in ("first", "second"):
        yield from greet(codec, name)
        counts.append((yield from number_of(codec, "DEVICE_COUNT", "count", name)))
        yield Leave(name)
    require(counts[0] == counts[1], f"{counts[0]} devices again", counts[1])


@_case("DEVICE-3/free-within-total", ordinary=True)
def _memory(codec: Codec) -> Talk[None]:
    """Free memory is not more than there is"""
    yield from greet(codec)
    body = yield from asked(codec, "GET_DEVICE_MEMORY", device=0)
    free, total = (codec.read("device_memory_rsp", field, body) for field in ("free", "total"))
    require(free <= total, "free <= total", f"free {free}, total {total}")


@_case("ALLOC-1/handle-and-size", ordinary=True)
def _given(codec: Codec) -> Talk[None]:
    """The answer has a handle and a size, and so many bytes can be used by that handle"""
    yield from greet(codec)
    got = yield from ask(codec, "ALLOC_BUFFER", device=0, size=1000)
    require(got["handle"] != 0 and got["size"] != 0, "a handle and a size", got)
    base = yield from number_of(codec, "BUFFER_GET_BASE", "base", handle=got["handle"])
    buffer = Buffer(int(str(got["handle"])), int(str(got["size"])), base)
    content = bytes(at % 251 for at in range(buffer.size))
    yield from put(codec, row(codec, buffer, buffer.size), content)
    require((yield from get(codec, row(codec, buffer, buffer.size), buffer.size)) == content, "what was set", "others")


def _out_of_reach(size: int, codec: Codec) -> Talk[None]:
    yield from greet(codec)
    got = yield from ask(codec, "ALLOC_BUFFER", device=0, size=size)
    require(got == {"handle": 0, "size": 0}, "handle 0 and size 0", got)
    yield from allocate(codec)


for _name, _size in OUT_OF_REACH.items():
    _section.add(
        Case(
            id=f"ALLOC-2/{_name}",
            title=f"{_size} bytes are not to be had; the answer says so, and smaller ones still are",
            script=partial(_out_of_reach, _size),
        )
    )


@_case("ALLOC-3/at-least", ordinary=True)
def _at_least(codec: Codec) -> Talk[None]:
    """A buffer has at least the size that was asked for, and all of it can be used"""
    yield from greet(codec)
    for size in (1, 100, 4097):
        buffer = yield from allocate(codec, size)
        require(buffer.size >= size, f"at least {size}", buffer.size)
        last = row(codec, buffer, 1, buffer.size - 1)
        yield from put(codec, last, b"\x5a")
        require((yield from get(codec, last, 1)) == b"\x5a", "the last byte as it was set", "another")


@_case("ALLOC-4/size-zero")
def _size_zero(codec: Codec) -> Talk[None]:
    """Size 0 gives a handle, size 0 and base 0"""
    yield from greet(codec)
    got = yield from ask(codec, "ALLOC_BUFFER", device=0, size=0)
    require(got["handle"] != 0 and got["size"] == 0, "a handle and size 0", got)
    base = yield from number_of(codec, "BUFFER_GET_BASE", "base", handle=got["handle"])
    require(base == 0, "base 0", hex(base))


@_case("ALLOC-8/same-at-any-time", ordinary=True)
def _same_base(codec: Codec) -> Talk[None]:
    """The base is the same before and after the buffer is written, cleared, and others come and go"""
    buffer = yield from opened(codec)
    for value in range(4):
        other = yield from allocate(codec, 64 << value)
        yield from put(codec, row(codec, buffer, 16), bytes(16))
        yield Send(codec.request("BUFFER_CLEAR", handle=buffer.handle, value=value))
        yield Send(codec.request("FREE_BUFFER", handle=other.handle))
        base = yield from number_of(codec, "BUFFER_GET_BASE", "base", handle=buffer.handle)
        require(base == buffer.base, f"base {buffer.base:#x}", hex(base))


@_case("ALLOC-8/size-zero")
def _no_base(codec: Codec) -> Talk[None]:
    """The base of a buffer of size 0 is 0 whenever one asks"""
    yield from greet(codec)
    handle = yield from number_of(codec, "ALLOC_BUFFER", "handle", device=0, size=0)
    for _ in range(2):
        base = yield from number_of(codec, "BUFFER_GET_BASE", "base", handle=handle)
        require(base == 0, "base 0", hex(base))
        yield from allocate(codec)


@_case("CLEAR-1/size-zero")
def _clear_nothing(codec: Codec) -> Talk[None]:
    """A buffer of size 0 may be cleared and freed"""
    yield from greet(codec)
    handle = yield from number_of(codec, "ALLOC_BUFFER", "handle", device=0, size=0)
    yield Send(codec.request("BUFFER_CLEAR", handle=handle, value=1) + codec.request("FREE_BUFFER", handle=handle))
    yield from still_served(codec)


@_case("ALLOC-5/nobody-elses-bytes")
def _fresh(codec: Codec) -> Talk[None]:
    """A new buffer does not show what a connection before it has written"""
    old = yield from opened(codec, len(SECRET), on="old")
    yield from put(codec, row(codec, old, len(SECRET)), SECRET, on="old")
    yield from get(codec, row(codec, old, len(SECRET)), len(SECRET), on="old")
    yield Leave("old")
    new = yield from opened(codec, len(SECRET))
    came = yield from get(codec, row(codec, new, len(SECRET)), len(SECRET))
    shared = [at for at in range(0, len(SECRET), 8) if came[at : at + 8] == SECRET[:8]]
    require(not shared, "none of them", f"{8 * len(shared)} of {len(SECRET)} bytes")


@_case("ALLOC-6/power-of-two", ordinary=True)
def _alignment(codec: Codec) -> Talk[None]:
    """The alignment is a power of two, and the same twice"""
    yield from greet(codec)
    one = yield from number_of(codec, "GET_ALIGNMENT", "alignment", device=0)
    two = yield from number_of(codec, "GET_ALIGNMENT", "alignment", device=0)
    require(one > 0 and one & (one - 1) == 0, "a power of two", one)
    require(one == two, f"{one} again", two)


@_case("ALLOC-7/not-zero", ordinary=True)
def _max_size(codec: Codec) -> Talk[None]:
    """The largest buffer is not of size 0"""
    yield from greet(codec)
    require((yield from number_of(codec, "GET_MAX_SIZE", "max_size", device=0)) > 0, "more than 0", "0")


@_case("FREE-1/handle-gone")
def _gone(codec: Codec) -> Talk[None]:
    """After FREE_BUFFER the handle is not valid"""
    buffer = yield from opened(codec)
    yield Send(codec.request("FREE_BUFFER", handle=buffer.handle))
    yield from still_served(codec)
    yield from refused(codec, codec.request("BUFFER_CLEAR", handle=buffer.handle))


@_case("FREE-1/memory-comes-back", ordinary=True)
def _memory_back(codec: Codec) -> Talk[None]:
    """What has been freed can be allocated again, many times over"""
    yield from greet(codec)
    free = yield from number_of(codec, "GET_DEVICE_MEMORY", "free", device=0)
    for _ in range(ROUNDS):
        buffer = yield from allocate(codec, free // 4)
        yield Send(codec.request("FREE_BUFFER", handle=buffer.handle))


@_case("FREE-2/forgotten")
def _forgotten(codec: Codec) -> Talk[None]:
    """A graph that had a tensor in a freed buffer does not run again"""
    yield from greet(codec)
    there = yield from placed(codec, doubled())
    yield Send(there.message())
    yield from results(there)
    yield Send(codec.request("FREE_BUFFER", handle=there.buffer.handle))
    yield from still_served(codec)
    yield from refused(codec, again(codec))


@_case("FREE-3/others-keep-theirs", ordinary=True)
def _keep(codec: Codec) -> Talk[None]:
    """Freeing a buffer leaves the bytes of others alone"""
    kept = yield from opened(codec)
    record = row(codec, kept, 256)
    yield from put(codec, record, bytes(range(256)))
    other = yield from allocate(codec)
    yield Send(codec.request("BUFFER_CLEAR", handle=other.handle, value=7))
    yield Send(codec.request("FREE_BUFFER", handle=other.handle))
    require((yield from get(codec, record, 256)) == bytes(range(256)), "the bytes that were set", "others")


@_case("CLEAR-1/every-byte", ordinary=True)
def _cleared(codec: Codec) -> Talk[None]:
    """Every byte of the buffer becomes the value, up to its usable size"""
    buffer = yield from opened(codec, 1000)
    yield Send(codec.request("BUFFER_CLEAR", handle=buffer.handle, value=0xC3))
    came = yield from get(codec, row(codec, buffer, buffer.size), buffer.size)
    require(came == b"\xc3" * buffer.size, "c3 everywhere", f"{sum(b != 0xC3 for b in came)} bytes that are not")
