"""Whole layers of random sizes: attention with a cache and a feed-forward part, dense or by experts.

Every weight, cache and input has a guarded buffer of its own, the results another. What one node makes others read, so
activations, lists of slots and packed weights are made, kept and replaced as in use. Runs twice on each device, with
other inputs, and is compared with the same layer on the oracle's device.
"""

from collections.abc import Sequence

import numpy as np

from refimpl.device.cpu import CpuDevice
from refimpl.graph.define import GraphBuilder, Rope, Tensor
from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.cases.build import normal
from refimpl.kernels.contract import ContractViolation
from refimpl.tests.canaries.draw import Draw
from refimpl.tests.device.cpu.stage import Stage, nmse
from spec.names import Glu, RopeMode, Type

__all__ = ["layer_is_right"]

F32, F16, I32, I64 = Type.F32, Type.F16, Type.I32, Type.I64
SMALL_BLOCKS = (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0)
WEIGHTS = (F32, F16, Type.BF16, *SMALL_BLOCKS, Type.Q4_K, Type.Q5_K, Type.Q6_K)
BOUND = 2e-2
"""NMSE of a whole layer: a quant that falls to the other side of a tie moves all that follows by a step"""
RUNS = 2


class _Layer:
    """The graph, its inputs, and what it gives."""

    def __init__(self, draw: Draw) -> None:
        self.draw, self.b = draw, GraphBuilder()
        self.head, self.shared, self.groups = draw.one(16, 32, 64), draw.whole(1, 2), draw.whole(1, 3)
        self.tokens, self.cells = draw.one(1, 1, 2, 3, 9, 33), draw.one(32, 48, 64)
        self.tokens = min(self.tokens, self.cells)
        self.width = 256 if draw.chance(30) else 32 * draw.whole(1, 6)
        self.inner, self.experts = 16 * draw.whole(1, 10), draw.one(0, 0, 1, 4)
        self.x = self.b.leaf("x", F32, (self.width, self.tokens))
        self.positions = self.b.leaf("positions", I32, (self.tokens,))
        self.slots = self.b.leaf("slots", I64, (self.tokens,))
        self.mask = self.b.leaf("mask", F16, (self.cells, self.tokens))
        self.weights: list[Tensor] = []
        self.caches: list[Tensor] = []
        self.result = self.b.output(self._fed(self._attended()))

    def _weight(self, columns: int, *rows: int) -> Tensor:
        fitting = [type_ for type_ in WEIGHTS if columns % FORMATS[type_].block == 0]
        self.weights.append(self.b.leaf(f"w{len(self.weights)}", self.draw.one(*fitting), (columns, *rows)))
        return self.weights[-1]

    def _attended(self) -> Tensor:
        b, heads, across = self.b, self.shared * self.groups, self.head * self.shared
        h = b.rms_norm(self.x, 1e-5)
        rope = Rope(n_dims=self.head, mode=self.draw.one(RopeMode.NORMAL, RopeMode.NEOX))
        q = b.reshape(b.mul_mat(self._weight(self.width, self.head * heads), h), (self.head, heads, self.tokens))
        k = b.reshape(b.mul_mat(self._weight(self.width, across), h), (self.head, self.shared, self.tokens))
        v = b.mul_mat(self._weight(self.width, across), h)
        q, k = b.rope(q, self.positions, rope), b.rope(k, self.positions, rope)
        kept = [self._cached(b.reshape(k, (across, self.tokens)), across), self._cached(v, across)]
        attended = b.flash_attn_ext(b.permute(q, (0, 2, 1, 3)), kept[0], kept[1], self.mask, self.head**-0.5)
        flat = b.reshape(attended, (self.head * heads, self.tokens))
        return b.add(b.mul_mat(self._weight(self.head * heads, self.width), flat), self.x)

    def _cached(self, rows: Tensor, across: int) -> Tensor:
        """Into the cache, and the whole of it by heads."""
        b, fits = self.b, self.head % 32 == 0
        type_ = self.draw.one(F32, F16, *(SMALL_BLOCKS if fits else ()))
        cache = b.leaf(f"cache{len(self.caches)}", type_, (across, self.cells))
        self.caches.append(cache)
        b.set_rows(cache, rows, self.slots)
        head_bytes = self.head // FORMATS[type_].block * FORMATS[type_].bytes
        by_heads = b.view(cache, (self.head, self.shared, self.cells), (head_bytes, cache.nb[1]))
        return b.permute(by_heads, (0, 2, 1, 3))

    def _fed(self, y: Tensor) -> Tensor:
        b, h = self.b, self.b.rms_norm(y, 1e-5)
        if not self.experts:
            gate, up = (b.mul_mat(self._weight(self.width, self.inner), h) for _ in range(2))
            return b.add(b.mul_mat(self._weight(self.inner, self.width), b.swiglu(gate, up)), y)
        used = min(2, self.experts)
        order = b.argsort(b.mul_mat(b.leaf("gate", F32, (self.width, self.experts)), h), falling=True)
        ids = b.view(order, (used, self.tokens), (order.nb[1],))
        sent = b.reshape(h, (self.width, 1, self.tokens))
        gate, up = (b.mul_mat_id(self._weight(self.width, self.inner, self.experts), sent, ids) for _ in range(2))
        out = b.mul_mat_id(self._weight(self.inner, self.width, self.experts), b.glu(Glu.SWIGLU, gate, up), ids)
        parts = [b.view(out, (self.width, self.tokens), (out.nb[2],), slot * out.nb[1]) for slot in range(used)]
        for part in parts:
            y = b.add(y, part)
        return y

    def place(self, stage: Stage) -> None:
        """Each leaf in a buffer of its own, filled but for the inputs."""
        for leaf in self.b.leaves:
            stage.lay(self.b, leaf)
        for number, leaf in enumerate(self.b.leaves):
            if leaf.type not in (I32, I64):
                stage.write(self.b, leaf, normal(np.random.default_rng(number), leaf.type, leaf.ne).data.tobytes())
        stage.plan(self.b)

    def feed(self, stage: Stage, run: int) -> None:
        """Inputs of one run: the next tokens."""
        rng = np.random.default_rng(run)
        first = run * self.tokens % max(1, self.cells - self.tokens + 1)
        stage.write(self.b, self.x, rng.standard_normal((self.tokens, self.width)).astype(np.float32))
        stage.write(self.b, self.positions, np.arange(first, first + self.tokens, dtype=np.int32))
        stage.write(self.b, self.slots, np.arange(first, first + self.tokens, dtype=np.int64))
        seen = np.arange(self.cells)[None, :] <= np.arange(first, first + self.tokens)[:, None]
        stage.write(self.b, self.mask, np.where(seen, 0.0, -np.inf).astype(np.float16))


def layer_is_right(draw: Draw, devices: Sequence[CpuDevice]) -> str:
    """Run a drawn layer on all devices; raises ContractViolation or MemoryDamaged."""
    layer = _Layer(draw)
    first = Stage(devices[0])
    layer.place(first)
    oracle = first.twin()
    stages = [first, *(_alike(first, device) for device in devices[1:])]
    programs = [stage.compile(layer.b) for stage in (*stages, oracle)]
    for run in range(RUNS):
        for stage, program in zip((*stages, oracle), programs, strict=True):
            layer.feed(stage, run)
            with np.errstate(all="ignore"):
                stage.run(program)
        expected = oracle.floats(layer.b, layer.result)
        for stage in stages:
            error = nmse(stage.floats(layer.b, layer.result), expected)
            if not error < BOUND:
                raise ContractViolation(f"a layer, run {run + 1} on {stage.device.name}: NMSE {error:.3g}")
    del programs
    for stage in stages:
        for allocation in stage.memory.values():
            stage.device.release(allocation)
    return "computed"


def _alike(stage: Stage, device: CpuDevice) -> Stage:
    """The same buffers with the same bytes on another device."""
    other = Stage(device)
    for handle, allocation in stage.memory.items():
        other.buffer(allocation.size)
        view = device.writable(other.memory[handle], 0, allocation.size)
        view[:] = stage.device.read(allocation, 0, allocation.size)
    return other
