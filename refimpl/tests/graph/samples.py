"""Small graphs to break: a Llama layer from GraphBuilder, and graphs of one node laid out by hand.

A Sample is what GRAPH_COMPUTE carries plus the buffers that its connection owns. `Sample.build` checks it as a server
would.
"""

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.graph.build import build
from refimpl.graph.checked import CheckedGraph
from refimpl.graph.define import GraphBuilder, Rope, Tensor
from refimpl.graph.layout import natural_strides, span
from refimpl.limits import Limits
from refimpl.session.ledger import BufferTable
from refimpl.wire.tensor import RPC_TENSOR
from spec.load import load
from spec.names import Op, TensorFlag, Type

__all__ = ["ALIGNMENT", "DIALECT", "Sample", "T", "buffer_table", "layer", "one_node"]

DIALECT = load().dialect("7.0.0")
ALIGNMENT = 32
LIMITS = Limits()
WEIGHTS, CACHE, SCRATCH = 0xA1, 0xB2, 0xC3
BASES = {WEIGHTS: 1 << 48, CACHE: (1 << 48) + (1 << 30), SCRATCH: (1 << 48) + (2 << 30)}


def buffer_table(buffers: dict[int, tuple[int, int]]) -> BufferTable:
    """handle > (base, size), as a ledger gives it."""
    handles = sorted(buffers)
    return BufferTable(
        handles=np.array(handles, np.uint64),
        bases=np.array([buffers[handle][0] for handle in handles], np.uint64),
        sizes=np.array([buffers[handle][1] for handle in handles], np.int64),
    )


@attrs.frozen(eq=False)
class Sample:
    """Node ids (n,), records (t,), and the live buffers."""

    nodes: NDArray[np.uint64]
    records: Any
    buffers: BufferTable

    def build(self, limits: Limits = LIMITS) -> CheckedGraph:
        return build(self.nodes, self.records, self.buffers, limits, DIALECT)

    def changed(self, change: Callable[["Sample"], Any]) -> "Sample":
        """A copy after `change` has been at it; `change` may return the sample to go on with."""
        copy = Sample(self.nodes.copy(), self.records.copy(), self.buffers)
        result = change(copy)
        return result if isinstance(result, Sample) else copy

    def index(self, name: str) -> int:
        """The record of that name."""
        return int(np.flatnonzero(self.records["name"] == name.encode())[0])


def layer(flash: bool, tokens: int = 3) -> Sample:
    """One attention and feed-forward layer as stock llama.cpp sends it: 128 wide, 4 heads, 2 KV heads, cache of 64."""
    b = GraphBuilder()
    weights = [
        b.leaf("norm", Type.F32, (128,)),
        b.leaf("wq", Type.Q4_0, (128, 128)),
        b.leaf("wk", Type.Q8_0, (128, 64)),
    ]
    weights += [
        b.leaf("wv", Type.Q4_1, (128, 64)),
        b.leaf("gate", Type.F16, (128, 96)),
        b.leaf("up", Type.F16, (128, 96)),
    ]
    caches = [b.leaf("cache_k", Type.F16, (64, 64)), b.leaf("cache_v", Type.F16, (64, 64))]
    inputs = [b.leaf("x", Type.F32, (128, tokens)), b.leaf("positions", Type.I32, (tokens,))]
    inputs += [b.leaf("slots", Type.I64, (tokens,)), b.leaf("mask", Type.F16 if flash else Type.F32, (64, tokens))]
    norm, wq, wk, wv, gate, up = weights
    x, positions, slots, _ = inputs
    h = b.mul(b.rms_norm(x, 1e-5), norm)
    q = b.rope(b.reshape(b.mul_mat(wq, h), (32, 4, tokens)), positions, Rope(n_dims=32))
    k = b.rope(b.reshape(b.mul_mat(wk, h), (32, 2, tokens)), positions, Rope(n_dims=32))
    v = b.named(b.mul_mat(wv, h), "v")
    b.set_rows(caches[0], b.view(k, (64, tokens)), slots)
    b.set_rows(caches[1], v, slots)
    attended = b.named(_attention(b, b.permute(q, (0, 2, 1, 3)), (caches[0], caches[1], inputs[3]), flash), "attended")
    y = b.add(attended, x)
    fed = b.swiglu(b.mul_mat(gate, y), b.mul_mat(up, y))
    b.output(b.named(b.get_rows(fed, b.view(positions, (1,))), "result"))
    needs = {WEIGHTS: _place(b, WEIGHTS, weights), CACHE: _place(b, CACHE, caches)}
    inputs_end = _place(b, SCRATCH, inputs)
    needs[SCRATCH] = inputs_end + b.plan_memory(ALIGNMENT)
    b.place_intermediates(SCRATCH, BASES[SCRATCH] + inputs_end)
    nodes, records = b.message()
    return Sample(nodes, records, buffer_table({handle: (BASES[handle], size) for handle, size in needs.items()}))


def _attention(b: GraphBuilder, q: Tensor, operands: tuple[Tensor, Tensor, Tensor], flash: bool) -> Tensor:
    cache_k, cache_v, mask = operands
    tokens = q.ne[1]
    k = b.permute(b.view(cache_k, (32, 2, 64), (64, 128)), (0, 2, 1, 3))
    v = b.permute(b.view(cache_v, (32, 2, 64), (64, 128)), (0, 2, 1, 3))
    if flash:
        return b.reshape(b.flash_attn_ext(q, k, v, mask, 0.176), (128, tokens))
    scores = b.soft_max(b.mul_mat(k, q), mask, 0.176)
    mixed = b.mul_mat(b.cont(b.transpose(v)), scores)
    return b.scale(b.cont(b.permute(mixed, (0, 2, 1, 3)), (128, tokens)), 1.0)


def _place(b: GraphBuilder, handle: int, leaves: Sequence[Tensor]) -> int:
    """Lay leaves one after the other; returns the bytes they take."""
    end = 0
    for leaf in leaves:
        b.place(leaf, handle, BASES[handle] + end)
        end += -(-leaf.nbytes // ALIGNMENT) * ALIGNMENT
    return end


@attrs.frozen
class T:
    """A tensor for `one_node`; strides are natural unless given."""

    type: Type
    ne: tuple[int, ...]
    nb: tuple[int, int, int, int] | None = None

    def shape(self) -> tuple[int, int, int, int]:
        full = (*self.ne, 1, 1, 1)
        return full[0], full[1], full[2], full[3]

    def strides(self) -> tuple[int, int, int, int]:
        return self.nb or natural_strides(self.type, self.shape())


def one_node(op: Op, dst: T, srcs: Sequence[T | None], params: Sequence[int] = (), alias: int | None = None) -> Sample:
    """A graph of one node, its record last. Ids are 1 and up; src slot i has record i unless slots before it are empty.

    alias: the result lies where that source lies, and is a view of it.
    """
    present = [(slot, tensor) for slot, tensor in enumerate(srcs) if tensor]
    records = np.zeros(len(present) + 1, RPC_TENSOR)
    end = 0
    for index, tensor in enumerate([*(tensor for _, tensor in present), dst]):
        record = records[index]
        record["id"], record["type"], record["buffer"] = index + 1, tensor.type, SCRATCH
        record["ne"], record["nb"] = tensor.shape(), tensor.strides()
        record["data"] = BASES[SCRATCH] + end
        end += -(-span(tensor.type, tensor.shape(), tensor.strides()) // ALIGNMENT) * ALIGNMENT
    node = records[-1]
    for index, (slot, _) in enumerate(present):
        node["src"][slot] = index + 1
    node["op"], node["flags"], node["name"] = op, TensorFlag.COMPUTE, b"node"
    node["op_params"][: len(params)] = params
    if alias is not None:
        target = records[int(node["src"][alias]) - 1]
        node["data"], node["view_src"] = target["data"], target["id"]
    return Sample(np.array([len(records)], np.uint64), records, buffer_table({SCRATCH: (BASES[SCRATCH], end)}))
