"""Is the testee still well? A fresh session is served, and a bystander's session still has its bytes.

Rules
- Both do ordinary things only, and ask no more than is needed: what is right in detail is the cases' question.
- The bystander's session is opened before the cases and stays open over all of them, so whatever one case damages in
  another connection shows at that case. A testee that serves one client at a time can have no bystander.
"""

from collections.abc import Generator

import trio

from conformance.judge.codec import Codec
from conformance.judge.peer import Dial, Peer
from conformance.judge.steps import Answer, Mismatch, Receive, Reply, Send, Silence, Step

__all__ = ["Bystander", "fresh_session", "serves_two", "version_of"]

HELD_BYTES = 4096
PATTERN = bytes((37 * at + 11) % 251 for at in range(HELD_BYTES))


def _ask(codec: Codec, command: str, **values: int | bytes) -> Generator[Step, Answer, bytes]:
    """The body of the reply; Mismatch when none comes."""
    yield Send(codec.request(command, **values))
    answer = yield Receive()
    if not isinstance(answer, Reply):
        raise Mismatch(f"a reply to {command}", str(answer), silent=isinstance(answer, Silence))
    return answer.body


def _held(codec: Codec, handle: int, base: int) -> bytes:
    row = (HELD_BYTES, 1, 1, 1)
    strides = (1, HELD_BYTES, HELD_BYTES, HELD_BYTES)
    kind = codec.dialect.type("I8").number
    return codec.pack("rpc_tensor", {"id": 1, "type": kind, "buffer": handle, "ne": row, "nb": strides, "data": base})


def _store(codec: Codec) -> Generator[Step, Answer, bytes]:
    """Greet, allocate, write the pattern; returns the record that names it."""
    yield from _ask(codec, "HELLO")
    body = yield from _ask(codec, "ALLOC_BUFFER", device=0, size=HELD_BYTES)
    handle = codec.read("alloc_buffer_rsp", "handle", body) if len(body) == codec.size("alloc_buffer_rsp") else 0
    body = yield from _ask(codec, "BUFFER_GET_BASE", handle=handle)
    base = codec.read("buffer_get_base_rsp", "base", body) if len(body) == codec.size("buffer_get_base_rsp") else 0
    record = _held(codec, handle, base)
    yield Send(codec.request("SET_TENSOR", PATTERN, tensor=record))
    return record


def _compare(codec: Codec, record: bytes) -> Generator[Step, Answer, None]:
    body = yield from _ask(codec, "GET_TENSOR", tensor=record, size=HELD_BYTES)
    if body != PATTERN:
        at = next((i for i, (a, b) in enumerate(zip(body, PATTERN, strict=False)) if a != b), len(body))
        raise Mismatch("the bytes that this session stored", f"others from byte {at} on")


def _whole(codec: Codec) -> Generator[Step, Answer, None]:
    record = yield from _store(codec)
    yield from _compare(codec, record)


async def _drive(peer: Peer, talk: Generator[Step, Answer, bytes] | Generator[Step, Answer, None]) -> bytes | None:
    answer: Answer = None
    while True:
        try:
            step = talk.send(answer)
        except StopIteration as done:
            return done.value if isinstance(done.value, bytes) else None
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
    """A session that does nothing but keep its bytes."""

    def __init__(self, dial: Dial, codec: Codec, timeout: float) -> None:
        self._dial = dial
        self._codec = codec
        self._timeout = timeout
        self._peer: Peer | None = None
        self._record = b""

    async def arrive(self) -> None:
        """Open the session anew and store the bytes; Mismatch or OSError when the testee does not serve it."""
        await self.leave()
        self._peer = Peer(await self._dial(), self._timeout)
        self._record = await _drive(self._peer, _store(self._codec)) or b""
        await self.check()

    async def check(self) -> None:
        """Raise Mismatch unless the session is served and its bytes are what they were."""
        if self._peer is None:
            raise Mismatch("a bystander's session", "none: it never began")
        await _drive(self._peer, _compare(self._codec, self._record))
        self._peer.record.clear()

    async def leave(self) -> None:
        """Close the session."""
        if self._peer is not None:
            await self._peer.close()
            self._peer = None
