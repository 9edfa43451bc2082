"""The right server, whole: on top of its memory it has graphs of sums, a tensor cache, and no pairs."""

from collections.abc import Mapping
from pathlib import Path

import attrs
import numpy as np
import trio

from conformance.judge.codec import Value, number
from conformance.judge.fnv import fnv1a64
from conformance.tests.cases.miniature.memory import Memory
from conformance.tests.cases.miniature.world import Refused, World
from spec.names import TensorFlag

__all__ = ["Graph", "Session"]

ID_BYTES = 8
COUNT_BYTES = 4
GRAPH_SECONDS = 0.01
"""what a graph takes, by the clock of the tests"""


@attrs.frozen
class Graph:
    """Nodes in order, and records by id."""

    nodes: tuple[int, ...]
    records: Mapping[int, bytes]


class Session(Memory):
    """One connection of the right server."""

    def __init__(self, stream: trio.abc.Stream, world: World) -> None:
        super().__init__(stream, world)
        self.graphs: dict[int, Graph] = {}

    async def act(self, name: str, values: Mapping[str, Value], tail: bytes) -> bytes | None:
        if not name.startswith("GRAPH"):
            return await super().act(name, values, tail)
        async with self.world.device:
            await trio.sleep(GRAPH_SECONDS)
            return await super().act(name, values, tail)

    def on_graph_compute(self, tail: bytes, device: int, n_nodes: int, uid: int = 1) -> None:
        graph = self.graph(tail, n_nodes)
        if uid:
            self.graphs[uid] = graph
        self.compute(graph)

    def on_graph_recompute(self, tail: bytes, device: int, uid: int = 1) -> None:
        self.compute(self.remembered(uid))

    def remembered(self, uid: int) -> Graph:
        if uid not in self.graphs:
            raise Refused
        return self.graphs[uid]

    def graph(self, tail: bytes, n_nodes: int) -> Graph:
        begin = n_nodes * ID_BYTES + COUNT_BYTES
        self.check(begin <= len(tail))
        ids = tuple(number(tail[at : at + ID_BYTES]) for at in range(0, n_nodes * ID_BYTES, ID_BYTES))
        step = self.codec.size("rpc_tensor")
        self.check(len(tail) - begin == step * number(tail[begin - COUNT_BYTES : begin]))
        pieces = [tail[at : at + step] for at in range(begin, len(tail), step)]
        records = {self.read(piece, "id"): piece for piece in pieces}
        for record in records.values():
            self.whole_region(record, self.span(record))
        self.check(records.keys() >= set(ids))
        return Graph(ids, records)

    def compute(self, graph: Graph) -> None:
        ops = {op.number: op for op in self.codec.dialect.ops}
        for record in (graph.records[node] for node in graph.nodes):
            if self.read(record, "flags") & TensorFlag.COMPUTE and ops[self.read(record, "op")].executes:
                self.add(record, graph.records)

    def add(self, result: bytes, records: Mapping[int, bytes]) -> None:
        self.check(self.read(result, "op") == self.codec.dialect.op("ADD").number)
        sources = self.record(result)["src"]
        assert isinstance(sources, tuple)
        one, two = (self.floats(records[source]) for source in sources[:2])
        np.add(one, two, out=self.floats(result))

    def floats(self, record: bytes) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        return np.frombuffer(self.whole_region(record, self.span(record)), np.float32)

    def on_free_buffer(self, tail: bytes, handle: int) -> None:
        super().on_free_buffer(tail, handle)
        self.forget(handle)

    def forget(self, handle: int) -> None:
        """GRAPH-24."""
        for uid, graph in list(self.graphs.items()):
            if handle in (self.read(record, "buffer") for record in graph.records.values()):
                del self.graphs[uid]

    def on_set_tensor(self, tail: bytes, tensor: bytes, cache_flag: int, offset: int) -> None:
        super().on_set_tensor(tail, tensor, cache_flag, offset)
        if self.world.cache is not None and cache_flag:
            self.keep(self.world.cache, tail)

    def keep(self, folder: Path, payload: bytes) -> None:
        place = self.kept(folder, fnv1a64(self.codec.dialect, payload))
        if not place.exists():
            place.write_bytes(payload)
            self.world.senders[place.name] = self.address

    def kept(self, folder: Path, digest: int) -> Path:
        return folder / f"{digest:016x}"

    def on_set_tensor_hash(self, tail: bytes, tensor: bytes, offset: int, hash: int) -> bytes:
        folder = self.world.cache
        payload = self.look_up(folder, hash) if folder is not None else None
        if payload is None:
            return self.codec.pack("set_tensor_hash_rsp", {})
        self.region(tensor, offset, len(payload))[:] = payload
        return self.codec.pack("set_tensor_hash_rsp", {"found": 1})

    def look_up(self, folder: Path, digest: int) -> bytes | None:
        """CACHE-6, CACHE-9, CACHE-11."""
        path = self.kept(folder, digest)
        payload = path.read_bytes() if path.is_file() and self.may_have(path.name) else None
        return payload if payload is not None and self.is_sound(payload, digest) else None

    def may_have(self, name: str) -> bool:
        return self.world.senders.get(name) == self.address

    def is_sound(self, payload: bytes, digest: int) -> bool:
        return fnv1a64(self.codec.dialect, payload) == digest

    def on_comm_init(self, tail: bytes, **_: object) -> bytes:
        return self.codec.pack("comm_init_rsp", {})

    def on_comm_allreduce(self, tail: bytes, **_: object) -> None:
        raise Refused

    def on_comm_free(self, tail: bytes, device: int) -> None:
        pass
