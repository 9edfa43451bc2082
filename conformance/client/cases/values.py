"""What replies say: values that a clause excludes, values that are odd and legal, and numbers that are absurd."""

from conformance.client.case import Ask, ClientCase, ClientSection
from conformance.client.cases.replies import declare
from conformance.client.hostile.deeds import Act, Add, AsFirst, AtReply, Be, Change, Fields, Filled
from conformance.client.questions import ends, errs_or_works, works

__all__ = ["CASES"]

SECTION = ClientSection()
TOP = 1 << 64
MOST_DEVICES = (1 << 32) - 1
EXABYTE = 1 << 60
ODD_ALIGNMENT = 48
ROOM = 1 << 16
SPLIT = 12 << 20
NEITHER = 2
ALL_BITS = 0xFF


def _field(command: str, name: str, change: Change, skip: int = 0) -> AtReply:
    return AtReply(command, Fields(((name, change),)), skip)


def _excluded(slug: str, title: str, deed: AtReply) -> None:
    """A value that no right server says."""
    declare(SECTION, f"CLIENT-5/{slug}", title, deed, deed.command)


def _odd(case_id: str, title: str, deed: AtReply, asks: Ask) -> None:
    SECTION.add(ClientCase(id=case_id, title=title, deed=deed, asks=asks, needs=deed.command, ordinary=asks is works))


def _filled(command: str, byte: int) -> AtReply:
    act: Act = Filled(byte)
    return AtReply(command, act)


ALIGNMENT, SIZE, BASE = "GET_ALIGNMENT", "ALLOC_BUFFER", "BUFFER_GET_BASE"
_excluded("alignment-0", "The alignment is 0", _field(ALIGNMENT, "alignment", Be(0)))
_excluded("alignment-48", "The alignment is no power of two", _field(ALIGNMENT, "alignment", Be(ODD_ALIGNMENT)))
_excluded("alignment-2-64-1", "The alignment is 2^64 - 1", _field(ALIGNMENT, "alignment", Be(TOP - 1)))
_excluded("max-size-0", "The largest buffer has 0 bytes", _field("GET_MAX_SIZE", "max_size", Be(0)))
_excluded("size-smaller", "A buffer is a byte smaller than asked for", _field(SIZE, "size", Add(-1)))
_excluded("size-0", "A buffer has a handle and no bytes", _field(SIZE, "size", Be(0)))
_excluded("handle-twice", "The second buffer has the handle of the first", _field(SIZE, "handle", AsFirst(), skip=1))
_excluded("base-0", "The base of a buffer is 0", _field(BASE, "base", Be(0)))
_excluded("base-misaligned", "The base is not aligned", _field(BASE, "base", Add(1)))
_excluded("base-twice", "The second buffer has the base of the first", _field(BASE, "base", AsFirst(), skip=1))
_excluded("base-at-the-end", "The buffer would pass 2^64", _field(BASE, "base", Be(TOP - (1 << 12))))
_excluded("found-2", "A hash is answered with 2", _field("SET_TENSOR_HASH", "found", Be(NEITHER)))
_excluded("copied-2", "A copy is answered with 2", _field("COPY_TENSOR", "ok", Be(NEITHER)))
_excluded("paired-2", "COMM_INIT is answered with 2", _field("COMM_INIT", "ok", Be(NEITHER)))

declare(
    SECTION,
    "CLIENT-6/devices-2-32-1",
    "The server has 2^32 - 1 devices",
    _field("DEVICE_COUNT", "count", Be(MOST_DEVICES)),
    "DEVICE_COUNT",
)
_odd("CLIENT-6/alignment-2-63", "The alignment is 2^63", _field(ALIGNMENT, "alignment", Be(1 << 63)), errs_or_works)
_odd("CLIENT-6/max-size-1", "The largest buffer has 1 byte", _field("GET_MAX_SIZE", "max_size", Be(1)), errs_or_works)
_odd("CLIENT-6/needs-2-60", "A tensor needs 2^60 bytes", _field("GET_ALLOC_SIZE", "size", Be(EXABYTE)), errs_or_works)
_odd(
    "CLIENT-6/needs-2-64-1",
    "A tensor needs 2^64 - 1 bytes",
    _field("GET_ALLOC_SIZE", "size", Be(TOP - 1)),
    errs_or_works,
)
_odd(
    "CLIENT-6/memory-2-64-1",
    "A device has 2^64 - 1 bytes, all free",
    _filled("GET_DEVICE_MEMORY", ALL_BITS),
    errs_or_works,
)

_odd("DEVICE-1/none", "The server has no devices", _field("DEVICE_COUNT", "count", Be(0)), errs_or_works)
_odd("DEVICE-3/nothing-free", "A device has no free byte", _field("GET_DEVICE_MEMORY", "free", Be(0)), errs_or_works)
_odd(
    "DEVICE-3/more-free",
    "A device has more free than it has",
    _field("GET_DEVICE_MEMORY", "total", Be(1)),
    errs_or_works,
)
_odd("ALLOC-2/no-memory", "No memory: handle 0 and size 0", _filled(SIZE, 0), errs_or_works)
_odd(
    "ALLOC-7/split",
    "Weights have to be split over buffers",
    _field("GET_MAX_SIZE", "max_size", Be(SPLIT)),
    errs_or_works,
)
_odd("ALLOC-12/less", "A tensor is said to need no byte", _field("GET_ALLOC_SIZE", "size", Be(0)), errs_or_works)
_odd("ALLOC-12/more", "A tensor is said to need more", _field("GET_ALLOC_SIZE", "size", Add(ROOM)), works)
_odd("COPY-4/refused", "Copies are answered with 0", _filled("COPY_TENSOR", 0), works)
_odd("CACHE-4/absent", "Hashes are answered with 0", _filled("SET_TENSOR_HASH", 0), works)
_odd("CLIENT-7/not-numbers", "All floats that are read are not numbers", _filled("GET_TENSOR", ALL_BITS), ends)
_odd("CLIENT-7/zeros", "All bytes that are read are zeros", _filled("GET_TENSOR", 0), ends)
CASES = SECTION.cases
