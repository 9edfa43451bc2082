"""Is the testee still well? A fresh session is served, and a bystander's session has its bytes and its results.

Rules
- Both do ordinary things only, and ask no more than is needed: what is right in detail is the cases' question.
- The bystander's session is opened before the cases and stays open over all of them, so whatever one case damages in
  another connection shows at that case. A testee that serves one client at a time can have no bystander.
- What it computes is one sum, sent as a graph once and run again from the testee's memory of it ever after.
"""

import struct
from collections.abc import Callable, Generator

import attrs
import trio

from conformance.judge.codec import Codec, Value
from conformance.judge.peer import Dial, Peer
from conformance.judge.steps import Answer, Mismatch, OnConnection, Receive, Reply, Result, Send, Silence

__all__ = ["Bystander", "fresh_session", "serves_two", "version_of"]

HELD_BYTES = 4096
PATTERN = bytes((37 * at + 11) % 251 for at in range(HELD_BYTES))
TERMS = 16
"""elements of each vector that the bystander adds; sixteenths, so that the sums are exact in F32"""
SLOT = 512
"""bytes from one vector to the next: a multiple of every alignment that devices are known to have"""
X, Y, SUM = (HELD_BYTES + SLOT * slot for slot in range(3))
ALL_BYTES = HELD_BYTES + SLOT * 3
AUGEND, ADDEND = ([step * at / 16 for at in range(TERMS)] for step in (3, 5))
UID = 1
SHOWN = 8


def _vector(values: list[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


RESULT = _vector([x + y for x, y in zip(AUGEND, ADDEND, strict=True)])


def _ask(codec: Codec, command: str, **values: int | bytes) -> Generator[OnConnection, Answer, bytes]:
    """The body of the reply; Mismatch when none comes."""
    yield Send(codec.request(command, **values))
    answer = yield Receive()
    if not isinstance(answer, Reply):
        raise Mismatch(f"a reply to {command}", str(answer), silent=isinstance(answer, Silence))
    return answer.body


@attrs.frozen
class _Buffer:
    """A buffer of a session, and the records that lie in it."""

    codec: Codec
    handle: int
    base: int

    def plain(self, size: int, at: int = 0) -> bytes:
        """The record of plain bytes from there."""
        return self._record("I8", size, at, id=1)

    def graph(self) -> bytes:
        """GRAPH_COMPUTE of SUM = X + Y."""
        op = self.codec.dialect.op("ADD").number
        flags = next(flag.value for flag in self.codec.dialect.enums["TensorFlag"].values if flag.name == "COMPUTE")
        operands = [self._record("F32", TERMS, at, id=name) for name, at in ((1, X), (2, Y))]
        node = self._record("F32", TERMS, SUM, id=3, op=op, flags=flags, src=(1, 2, *(0,) * 8))
        ids = (3).to_bytes(8, "little") + (3).to_bytes(4, "little")
        return self._command("GRAPH_COMPUTE", ids + b"".join((*operands, node)), n_nodes=1)

    def again(self) -> bytes:
        """GRAPH_RECOMPUTE of it."""
        return self._command("GRAPH_RECOMPUTE")

    def _command(self, name: str, tail: bytes = b"", **values: int) -> bytes:
        struct_name = self.codec.dialect.command(name).request or ""
        if any(field.name == "uid" for field in self.codec.dialect.structs[struct_name].fields):
            values["uid"] = UID
        return self.codec.request(name, tail, device=0, **values)

    def _record(self, kind: str, count: int, at: int, **values: Value) -> bytes:
        element = self.codec.dialect.type(kind)
        row = element.bytes * count
        place = {"buffer": self.handle, "data": self.base + at, "type": element.number}
        shape = {"ne": (count, 1, 1, 1), "nb": (element.bytes, row, row, row)}
        return self.codec.pack("rpc_tensor", {**place, **shape, **values})


def _store(codec: Codec) -> Generator[OnConnection, Answer, _Buffer]:
    """Greet, allocate, write the pattern."""
    yield from _ask(codec, "HELLO")
    body = yield from _ask(codec, "ALLOC_BUFFER", device=0, size=ALL_BYTES)
    handle = codec.read("alloc_buffer_rsp", "handle", body) if len(body) == codec.size("alloc_buffer_rsp") else 0
    body = yield from _ask(codec, "BUFFER_GET_BASE", handle=handle)
    base = codec.read("buffer_get_base_rsp", "base", body) if len(body) == codec.size("buffer_get_base_rsp") else 0
    buffer = _Buffer(codec, handle, base)
    yield Send(codec.request("SET_TENSOR", PATTERN, tensor=buffer.plain(HELD_BYTES)))
    return buffer


def _compare(codec: Codec, buffer: _Buffer) -> Generator[OnConnection, Answer, None]:
    body = yield from _ask(codec, "GET_TENSOR", tensor=buffer.plain(HELD_BYTES), size=HELD_BYTES)
    _same(body, PATTERN, "the bytes that this session stored")


def _add(codec: Codec, buffer: _Buffer) -> Generator[OnConnection, Answer, None]:
    """Write both vectors and add them for the first time."""
    for values, at in ((AUGEND, X), (ADDEND, Y)):
        yield Send(codec.request("SET_TENSOR", _vector(values), tensor=buffer.plain(4 * TERMS, at)))
    yield Send(buffer.graph())
    yield from _sums(codec, buffer)


def _add_again(codec: Codec, buffer: _Buffer) -> Generator[OnConnection, Answer, None]:
    """Have the remembered graph write its result anew."""
    yield Send(codec.request("SET_TENSOR", bytes(4 * TERMS), tensor=buffer.plain(4 * TERMS, SUM)) + buffer.again())
    yield from _sums(codec, buffer)


def _sums(codec: Codec, buffer: _Buffer) -> Generator[OnConnection, Answer, None]:
    body = yield from _ask(codec, "GET_TENSOR", tensor=buffer.plain(4 * TERMS, SUM), size=4 * TERMS)
    _same(body, RESULT, "the sum of two vectors that this session computes")


def _same(body: bytes, expected: bytes, what: str) -> None:
    if body != expected:
        pairs = zip(body, expected, strict=False)
        at = next((at for at, (came, due) in enumerate(pairs) if came != due), min(len(body), len(expected)))
        raise Mismatch(what, f"others from byte {at} on: {body[at : at + SHOWN].hex(' ') or 'none'}")


def _whole(codec: Codec) -> Generator[OnConnection, Answer, None]:
    buffer = yield from _store(codec)
    yield from _compare(codec, buffer)


async def _drive(peer: Peer, talk: Generator[OnConnection, Answer, Result]) -> Result:
    answer: Answer = None
    while True:
        try:
            step = talk.send(answer)
        except StopIteration as done:
            result: Result = done.value
            return result
        answer = await peer.perform(step)


async def fresh_session(dial: Dial, codec: Codec, timeout: float) -> None:
    """Connect, greet, store and read back; raises Mismatch, silent or not, or OSError when nobody listens."""
    peer: Peer | None = None
    with trio.move_on_after(timeout) as scope:
        peer = Peer(await dial(), timeout)
    if peer is None or scope.cancelled_caught:
        raise Mismatch("a connection", f"nothing for {timeout:g} s", silent=True)
    try:
        await _drive(peer, _whole(codec))
    finally:
        await peer.close()


async def version_of(dial: Dial, codec: Codec, timeout: float) -> tuple[int, int, int] | None:
    """The version that the testee says; None when it does not answer HELLO as HELLO-3 says. OSError: nobody listens."""
    peer = Peer(await dial(), timeout)
    try:
        await peer.perform(Send(codec.request("HELLO")))
        answer = await peer.receive()
    finally:
        await peer.close()
    if not isinstance(answer, Reply) or len(answer.body) != codec.size("hello_rsp"):
        return None
    major, minor, patch = (codec.read("hello_rsp", name, answer.body) for name in ("major", "minor", "patch"))
    return major, minor, patch


async def serves_two(dial: Dial, codec: Codec, timeout: float) -> bool:
    """Whether a second session is answered while a first is open.

    Where it is not, the second is heard out after the first has left: a reply to somebody who has gone kills some.
    """
    first = Peer(await dial(), timeout)
    second = Peer(await dial(), timeout)
    try:
        await first.perform(Send(codec.request("HELLO")))
        await first.receive()
        await second.perform(Send(codec.request("HELLO")))
        if isinstance(await second.receive(), Reply):
            return True
        await first.close()
        await second.receive()
        return False
    finally:
        await first.close()
        await second.close()


class Bystander:
    """A session that keeps its bytes, and computes the same sum again and again if the testee computes it once."""

    def __init__(self, dial: Dial, codec: Codec, timeout: float) -> None:
        self._dial = dial
        self._codec = codec
        self._timeout = timeout
        self._peer: Peer | None = None
        self._buffer: _Buffer | None = None
        self.computes = True
        """whether the testee has added two vectors; one that does not is watched by its bytes alone"""

    async def arrive(self) -> None:
        """Open the session anew, store and compute; Mismatch or OSError when the testee does not serve it."""
        await self._enter()
        if not self.computes:
            return
        try:
            await self._say(_add)
        except Mismatch:
            self.computes = False
            await self._enter()

    async def check(self) -> None:
        """Raise Mismatch unless the session is served, its bytes are what they were and its sum comes out again."""
        await self._say(_compare)
        if self.computes:
            await self._say(_add_again)

    async def leave(self) -> None:
        """Close the session."""
        if self._peer is not None:
            await self._peer.close()
            self._peer = None

    async def _enter(self) -> None:
        await self.leave()
        self._peer = Peer(await self._dial(), self._timeout)
        self._buffer = await _drive(self._peer, _store(self._codec))
        await self._say(_compare)

    async def _say(self, talk: Callable[[Codec, _Buffer], Generator[OnConnection, Answer, None]]) -> None:
        if self._peer is None or self._buffer is None:
            raise Mismatch("a bystander's session", "none: it never began")
        await _drive(self._peer, talk(self._codec, self._buffer))
        self._peer.record.clear()
