"""Ordinary clients of a testee: one that carries out pieces of conversation, and a bystander that others may not hurt.

Rules
- The pieces are those of the cases (conformance/cases): generators of steps on one connection.
- The bystander's session stays open over the whole load. It holds bytes that nobody may change, and a graph that it
  runs over and over with other numbers; what comes back is compared with sums made here.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import numpy as np
import trio
from numpy.typing import NDArray

from conformance.cases.graph.build import graph, held, node
from conformance.cases.graph.placed import Placed, again, placed, results
from conformance.cases.talk import get, greet, put, still_served
from conformance.judge.codec import Codec
from conformance.judge.peer import Dial, Peer
from conformance.judge.steps import Answer, Mismatch, OnConnection, Send, Talk

__all__ = ["Bystander", "Client", "client", "is_served"]

Result = TypeVar("Result")
NUMBERS = 1024
RECOMPUTE_EVERY = 2
"""one run in so many is asked for by GRAPH_RECOMPUTE"""


class Client:
    """One connection that is asked in whole pieces of conversation."""

    def __init__(self, peer: Peer, codec: Codec) -> None:
        self.codec = codec
        self._peer = peer

    async def do(self, talk: Talk[Result]) -> Result:
        """Carry out a piece and return what it returns; raises Mismatch when the testee does otherwise."""
        answer: Answer = None
        while True:
            try:
                step = talk.send(answer)
            except StopIteration as done:
                result: Result = done.value
                self._peer.record.clear()
                return result
            if not isinstance(step, OnConnection):
                raise TypeError(f"a load looks at no testee from inside: {step}")
            answer = await self._peer.perform(step)

    async def perform(self, step: OnConnection) -> None:
        """Carry out one step whose answer nobody wants."""
        await self._peer.perform(step)

    async def close(self) -> None:
        """Leave."""
        await self._peer.close()


@asynccontextmanager
async def client(dial: Dial, codec: Codec, timeout: float) -> AsyncIterator[Client]:
    """A connection that has said nothing yet, closed at the end of the block. Raises OSError where nobody takes it."""
    made = Client(Peer(await dial(), timeout), codec)
    try:
        yield made
    finally:
        await made.close()


async def is_served(dial: Dial, codec: Codec, timeout: float) -> str:
    """Whether a new client is served; empty when it is, else what happened."""
    try:
        async with client(dial, codec, timeout) as fresh:
            await fresh.do(greet(codec))
            await fresh.do(still_served(codec))
    except (Mismatch, OSError) as wrong:
        return str(wrong) or repr(wrong)
    return ""


class Bystander:
    """Holds bytes and computes; `check` finds out whether both are still right."""

    def __init__(self, dial: Dial, codec: Codec, timeout: float) -> None:
        self.checks = 0
        self._dial, self._codec, self._timeout = dial, codec, timeout
        self._held = np.random.default_rng(0).standard_normal(NUMBERS).astype(np.float32)
        self._client: Client | None = None
        changing, lasting = held(self._numbers()), held(self._held)
        self._graph = graph(node("ADD", "F32", (NUMBERS,), changing, lasting))
        self._placed: Placed | None = None

    async def arrive(self) -> None:
        """Open the session and store the bytes; Mismatch or OSError when it is not served."""
        self._client = Client(Peer(await self._dial(), self._timeout), self._codec)
        await self._client.do(greet(self._codec))
        self._placed = await self._client.do(placed(self._codec, self._graph))

    async def check(self) -> None:
        """New numbers, one run, the sums; and the bytes that were stored. Raises Mismatch."""
        if self._client is None or self._placed is None:
            raise Mismatch("a bystander's session", "none: it never began")
        there, numbers = self._placed, self._numbers()
        await self._client.do(put(self._codec, there.record(there.graph.tensors[0]), numbers.tobytes()))
        request = again(self._codec) if self.checks % RECOMPUTE_EVERY else there.message()
        await self._client.perform(Send(request))
        (got,) = await self._client.do(results(there))
        _same("the sums of a bystander's graph", (numbers + self._held).tobytes(), got)
        stored = there.graph.tensors[1]
        kept = await self._client.do(get(self._codec, there.record(stored), there.nbytes(stored)))
        _same("the bytes that a bystander has stored", self._held.tobytes(), kept)
        self.checks += 1

    async def leave(self) -> None:
        """Close the session."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _numbers(self) -> NDArray[np.float32]:
        return np.random.default_rng(self.checks + 1).standard_normal(NUMBERS).astype(np.float32)

    async def watch(self, pause: float, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Check over and over; ends with the Mismatch that it finds."""
        task_status.started()
        while True:
            await self.check()
            await trio.sleep(pause)


def _same(what: str, expected: bytes, got: bytes) -> None:
    if got != expected:
        at = next((i for i, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b), len(got))
        raise Mismatch(what, f"others from byte {at} on")
