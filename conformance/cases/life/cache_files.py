"""spec/text/transfer.md, the files of a tensor cache: their names, and what becomes of damaged and missing ones."""

from collections.abc import Callable
from functools import partial

from conformance.cases.life.kept import HEX_DIGITS, MORE, PAUSE, blank, found, intact, kept, payload_of
from conformance.cases.talk import row
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import CacheFiles, Damage, Kept, Pause, Remove, Reset, Send, Talk, require

__all__ = ["CASES"]

_section = Section()
_case = partial(_section.case, needs_cache=True)
CASES = _section.cases

TRUNCATED = "llama.cpp#28789"


def _cut(payload: bytes) -> bytes:
    return payload[: len(payload) // 2]


def _changed(payload: bytes) -> bytes:
    return bytes([payload[0] ^ 1]) + payload[1:]


def _swapped(payload: bytes) -> bytes:
    return payload[1:2] + payload[:1] + payload[2:]


DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "truncated": ("has lost its second half", _cut),
    "emptied": ("is empty", lambda payload: b""),
    "extended": ("has a byte more", lambda payload: payload + b"\0"),
    "altered": ("has one bit otherwise", _changed),
    "reordered": ("has its first two bytes exchanged", _swapped),
}


def _damaged(damage: Callable[[bytes], bytes], name: str, codec: Codec) -> Talk[None]:
    """The answer is 0 and nothing is written; or 1, with the true bytes, from wherever the testee still has them."""
    payload = yield from kept(codec, name)
    yield Damage(payload.file, damage(payload.data))
    buffer = yield from blank(codec, len(payload.data) + MORE)
    is_found = yield from found(codec, row(codec, buffer, buffer.size), payload.digest)
    yield from intact(codec, buffer, 0, payload.data if is_found else b"")


for _name, (_title, _damage) in DAMAGES.items():
    _section.add(
        Case(
            id=f"CACHE-6/{_name}",
            title=f"A file that {_title} counts as absent",
            script=partial(_damaged, _damage, _name),
            needs_cache=True,
            upstream=TRUNCATED,
        )
    )


@_case("CACHE-7/name", ordinary=True)
def _named(codec: Codec) -> Talk[None]:
    """The file of a payload has the sixteen digits of its hash as its name, and the payload's size"""
    payload = yield from kept(codec, "name")
    there = yield CacheFiles()
    sizes = there.sizes if isinstance(there, Kept) else {}
    require(payload.file in sizes, f"a file {payload.file}", sorted(sizes))
    require(sizes[payload.file] == len(payload.data), f"{len(payload.data)} bytes", sizes[payload.file])


@_case("CACHE-7/only-when-complete", upstream=TRUNCATED)
def _incomplete(codec: Codec) -> Talk[None]:
    """A payload whose client vanishes half-way leaves no file that could be taken for a payload"""
    yield from kept(codec, "complete")
    before = yield CacheFiles()
    payload = payload_of(codec, "incomplete")
    buffer = yield from blank(codec, len(payload.data))
    request = codec.request("SET_TENSOR", payload.data, tensor=row(codec, buffer, len(payload.data)), cache_flag=1)
    yield Send(request[: len(request) // 2])
    yield Reset()
    yield Pause(PAUSE)
    after = yield CacheFiles()
    names = {name for name in _names(after) - _names(before) if len(name) == HEX_DIGITS}
    require(not names, "no new file of sixteen digits", sorted(names))


def _is_gone(codec: Codec, blocked: bool) -> Talk[None]:
    payload = yield from kept(codec, f"gone, {'blocked' if blocked else 'free'}")
    yield Remove(payload.file, blocked)
    buffer = yield from blank(codec, len(payload.data))
    record = row(codec, buffer, len(payload.data))
    is_found = yield from found(codec, record, payload.digest)
    yield from intact(codec, buffer, 0, payload.data if is_found else b"")
    yield Send(codec.request("SET_TENSOR", payload.data, tensor=record, cache_flag=1))
    yield from intact(codec, buffer, 0, payload.data)


@_case("CACHE-11/file-gone")
def _file_gone(codec: Codec) -> Talk[None]:
    """A file that has been removed is absent, and may be sent again"""
    yield from _is_gone(codec, blocked=False)


@_case("CACHE-11/folder-in-its-place")
def _place_taken(codec: Codec) -> Talk[None]:
    """A name that cannot be read or written any more costs no connection"""
    yield from _is_gone(codec, blocked=True)


def _names(there: object) -> set[str]:
    return set(there.sizes) if isinstance(there, Kept) else set()
