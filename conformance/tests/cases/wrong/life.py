"""Wrong when connections share the server, or end; and what leaks."""

from collections.abc import Mapping

import numpy as np
import trio

from conformance.judge.codec import Value
from conformance.tests.cases.miniature.session import Graph, Session
from conformance.tests.cases.miniature.world import MEMORY, Dead, Held, Refused
from conformance.tests.cases.wrong.entry import Wrong, crashes, fails, hangs

__all__ = ["WRONG", "NeverReleases", "OneClient"]

CHUNK = 4 << 20


class RunsWhatItDoesNotKnow(Session):
    def remembered(self, uid: int) -> Graph:
        return self.graphs.get(uid, Graph((), {}))


class SharesGraphs(Session):
    """Runs an empty graph that anybody has called so."""

    def on_graph_compute(self, tail: bytes, device: int, n_nodes: int, uid: int = 1) -> None:
        super().on_graph_compute(tail, device, n_nodes, uid)
        if not n_nodes:
            self.world.empty_graphs.add(uid)

    def remembered(self, uid: int) -> Graph:
        known = uid in self.graphs or uid not in self.world.empty_graphs
        return super().remembered(uid) if known else Graph((), {})


class AwaitsOnePayloadAtATime(Session):
    """Serves nobody while a payload is under way."""

    async def tail(self, size: int) -> bytes:
        if not size:
            return b""
        async with self.world.turn:
            return await super().tail(size)

    async def head(self) -> tuple[int, int]:
        head = await super().head()
        async with self.world.turn:
            return head


class CountsTheDeparted(Session):
    """Takes buffers of four mebibytes for taken when their connections have long gone."""

    def on_alloc_buffer(self, tail: bytes, device: int, size: int) -> bytes:
        self.world.chunks += size == CHUNK
        if size == CHUNK and self.world.chunks > MEMORY // CHUNK:
            return self.codec.pack("alloc_buffer_rsp", {})
        return super().on_alloc_buffer(tail, device, size)


class ReleasesTheWellBehaved(Session):
    """Keeps what a connection had that broke a rule."""

    broke_a_rule = False

    async def not_known(self, byte: int, size: int) -> None:
        self.broke_a_rule = True
        await super().not_known(byte, size)

    def release(self) -> None:
        if not self.broke_a_rule:
            super().release()


class DiesOfTheDeparted(Session):
    async def answer(self, body: bytes) -> None:
        try:
            await super().answer(body)
        except trio.BrokenResourceError:
            raise Dead("ended by SIGPIPE") from None


class RunsOneClientsGraphs(Session):
    """Gives the device away when a client has no request waiting."""

    async def act(self, name: str, values: Mapping[str, Value], tail: bytes) -> bytes | None:
        has_it = self.world.device.statistics().owner is trio.lowlevel.current_task()
        if name.startswith("GRAPH") and not has_it:
            await self.world.device.acquire()
            has_it = True
        if name.startswith("GRAPH"):
            await trio.sleep(0.01)
        reply = await super(Session, self).act(name, values, tail)
        if has_it and not self._unread:
            self.world.device.release()
        return reply

    def release(self) -> None:
        if self.world.device.statistics().owner is trio.lowlevel.current_task():
            self.world.device.release()
        super().release()


class FillsAlone(Session):
    """Greets nobody while there is memory to be filled."""

    async def act(self, name: str, values: Mapping[str, Value], tail: bytes) -> bytes | None:
        if name == "BUFFER_CLEAR" and len(self._unread) > 1000 and self.world.used > 1 << 20:
            self.world.busy_until = trio.current_time() + 10
        return await super().act(name, values, tail)

    async def greeting(self) -> None:
        await trio.sleep_until(self.world.busy_until)
        await super().greeting()


class CutsShort(Session):
    def on_get_tensor(self, tail: bytes, tensor: bytes, offset: int, size: int) -> bytes:
        return super().on_get_tensor(tail, tensor, offset, size - 1 if size == 9 else size)


class ShowsWhatIsFreed(Session):
    """Gives memory of a buffer that has been freed to the next one of that size."""

    def on_free_buffer(self, tail: bytes, handle: int) -> None:
        self.world.old_memory = self.find(handle).memory
        super().on_free_buffer(tail, handle)

    def new_memory(self, size: int) -> bytearray:
        old = self.world.old_memory
        return bytearray(old) if len(old) == size == 256 and any(old) else bytearray(size)


class ComputesAnywhere(Session):
    """Looks a graph's buffers up among everybody's."""

    def graph(self, tail: bytes, n_nodes: int) -> Graph:
        self.computing = True
        graph = super().graph(tail, n_nodes)
        self.computing = False
        return graph

    computing = False

    def floats(self, record: bytes) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        self.computing = True
        found = super().floats(record)
        self.computing = False
        return found

    def find(self, handle: int) -> Held:
        if self.computing and handle in self.world.buffers:
            return self.world.buffers[handle]
        if self.computing:
            raise Refused
        return super().find(handle)


class NeverReleases(Session):
    """Keeps all that connections had; it soon has no room for other cases, and so is not among the wrong ones."""

    def release(self) -> None:
        pass


class OneClient(Session):
    """Serves one client after the other, as upstream's server does; what it may do, and so not among the wrong ones."""

    async def run(self) -> None:
        async with self.world.turn:
            await super().run()


WRONG: Mapping[type[Session], Wrong] = {
    RunsWhatItDoesNotKnow: fails("FREE-2/forgotten", "LIFE-1/graphs-are-private", "LIFE-4/no-state-between"),
    SharesGraphs: fails("FREE-2/forgotten", "LIFE-4/no-state-between", "LIFE-1/graphs-are-private"),
    AwaitsOnePayloadAtATime: hangs("LIFE-2/beside-a-slow-sender", "LIFE-2/beside-one-silent-in-a-payload"),
    CountsTheDeparted: fails("LIFE-3/memory-comes-back", "LIFE-3/free-after-cut-off"),
    ReleasesTheWellBehaved: fails("LIFE-3/free-after-violation"),
    DiesOfTheDeparted: crashes(
        "FRAME-12/reply-broken-off",
        "FRAME-12/reply-not-taken",
        "LIFE-5/gone-before-its-reply",
        "LIFE-5/reset-before-its-reply",
    ),
    RunsOneClientsGraphs: hangs("LIFE-6/turns"),
    FillsAlone: hangs("LIFE-9/beside-fills"),
    CutsShort: fails("LEAK-3/not-cut-short"),
    ShowsWhatIsFreed: fails("LEAK-2/beside"),
    ComputesAnywhere: fails("LEAK-4/foreign-operand", "LEAK-4/foreign-result"),
}
