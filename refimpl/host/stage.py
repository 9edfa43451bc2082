"""A stage at work: a range of layers with its weights, cache and scratch memory on one backend.

Memory is asked for once, for the largest graph that the context allows, so that running out of it is found before
anything is uploaded. The inputs of a graph lie side by side at the front of the scratch block and are written as one
piece; its output follows them, the intermediates follow that. A graph is built for each (tokens, attended cells) and
kept while it is in use.
"""

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.graph.define import GraphBuilder, Tensor
from refimpl.host.backends.packing import aligned, pack
from refimpl.host.backends.protocol import MIB, Backend, Block, Work, byte_record, tensor_record
from refimpl.host.plan import Stage
from refimpl.model import batch
from refimpl.model.attention import CacheShape
from refimpl.model.gguf_file import ModelFile, WeightTensor
from refimpl.model.llama import HIDDEN, K_IDXS, MASK, OUT_IDS, POSITIONS, V_IDXS, GraphShape, LlamaGraph, build_llama
from spec.names import Type

__all__ = ["LoadedStage", "ScratchLayout", "Span", "graph_shape"]

KEPT_WORKS = 3
"""graphs kept: decoding, and the whole and the last piece of a prompt"""
_DTYPES: Mapping[Type, type[np.generic]] = {
    Type.F32: np.float32,
    Type.F16: np.float16,
    Type.I32: np.int32,
    Type.I64: np.int64,
}


@attrs.frozen
class Span:
    """Tokens of one step: `count` of them from position `start` on."""

    start: int
    count: int


@attrs.frozen(eq=False)
class _Prepared:
    """A graph ready to run and the bytes of its inputs."""

    work: Work
    buffer: bytearray
    inputs: Mapping[str, NDArray[np.generic]]
    """flat views of the buffer by input name"""
    width: int
    """elements of one output row"""


@attrs.define(eq=False)
class LoadedStage:
    """One stage with all its memory. `weights` are uploaded by upload.py."""

    model: ModelFile
    stage: Stage
    backend: Backend
    cache: CacheShape
    weights: Mapping[str, tuple[WeightTensor, np.void]]
    """the weights of this stage and where they belong"""
    addresses: Mapping[str, tuple[int, int]]
    """handle and address of every weight and cache tensor"""
    scratch: Block
    reused: int = 0
    """steps that ran the same graph as the step before"""
    _works: dict[GraphShape, _Prepared] = attrs.field(factory=dict)
    _last: _Prepared | None = None

    async def prepare(self, span: Span) -> None:
        """Build the graph of a later `run` for these tokens."""
        rows = span.count if self.stage.first < self.model.hparams.n_layer else 1
        await self.backend.prepare(self._prepared(self._shape(span, rows)).work)

    async def run(self, hidden: NDArray[np.float32], span: Span) -> NDArray[np.float32]:
        """hidden (rows, n_embd) -> hidden (rows, n_embd), or logits (1, n_vocab) with the head.

        `span` says where the tokens stand; rows is span.count, or 1 behind the model's last layer. The result is valid
        until the next run.
        """
        prepared = self._prepared(self._shape(span, len(hidden)))
        self.reused += prepared is self._last
        self._last = prepared
        self._fill(prepared.inputs, hidden, span)
        output = await self.backend.step(prepared.work, prepared.buffer)
        return np.frombuffer(output, np.float32).reshape(-1, prepared.width)

    def memory_words(self) -> str:
        """What the stage holds, for a person."""
        weights = sum(weight.nbytes for weight, _ in self.weights.values())
        return f"{weights / MIB:.2f} MiB of weights, {self.scratch.size / MIB:.2f} MiB for computing"

    def _shape(self, span: Span, rows: int) -> GraphShape:
        n_kv = batch.attended_cells(span.start + span.count, self.cache.n_ctx)
        return graph_shape(self.stage, self.cache, rows, n_kv)

    def _fill(self, inputs: Mapping[str, NDArray[np.generic]], hidden: NDArray[np.float32], span: Span) -> None:
        inputs[HIDDEN][:] = hidden.reshape(-1)
        if POSITIONS in inputs:
            n_kv = len(inputs[MASK]) // span.count
            inputs[POSITIONS][:] = batch.positions(span.start, span.count)
            inputs[MASK][:] = batch.causal_mask(span.start, span.count, n_kv, self.cache).reshape(-1)
            inputs[K_IDXS][:] = batch.k_indices(span.start, span.count)
            inputs[V_IDXS][:] = batch.v_indices(span.start, span.count, self.model.hparams, self.cache)
        if OUT_IDS in inputs:
            inputs[OUT_IDS][:] = span.count - 1

    def _prepared(self, shape: GraphShape) -> _Prepared:
        prepared = self._works.pop(shape, None) or self._prepare(shape)
        self._works[shape] = prepared
        if len(self._works) > KEPT_WORKS:
            self._works.pop(next(iter(self._works)))
        return prepared

    def _prepare(self, shape: GraphShape) -> _Prepared:
        builder = GraphBuilder()
        graph = build_llama(builder, self.model, shape)
        layout = ScratchLayout.of(graph, builder, self.backend.alignment)
        for name, tensor in (*graph.weights.items(), *graph.cache.items()):
            builder.place(tensor, *self.addresses[name])
        block = self.scratch
        for name, offset in layout.inputs.items():
            builder.place(graph.inputs[name], block.handle, block.base + offset)
        builder.place(graph.output, block.handle, block.base + layout.output)
        builder.place_intermediates(block.handle, block.base + layout.intermediates)
        nodes, records = builder.message()
        buffer = bytearray(layout.output)
        work = Work(
            nodes=nodes,
            records=records,
            inputs=byte_record(block, 0, layout.output),
            output=tensor_record(Type.F32, graph.output.ne, block, layout.output, "output"),
            output_size=graph.output.nbytes,
        )
        views = {name: _flat(buffer, graph.inputs[name], offset) for name, offset in layout.inputs.items()}
        return _Prepared(work, buffer, views, graph.output.ne[0])


@attrs.frozen
class ScratchLayout:
    """Offsets inside a scratch block, in bytes: inputs from 0 on, then the output, then the intermediates."""

    inputs: Mapping[str, int]
    output: int
    intermediates: int
    total: int

    @classmethod
    def of(cls, graph: LlamaGraph, builder: GraphBuilder, alignment: int) -> "ScratchLayout":
        sizes = [tensor.nbytes for tensor in graph.inputs.values()]
        offsets = [slot.offset for slot in pack(sizes, alignment, sum(sizes) + alignment * len(sizes)).slots]
        output = sum(aligned(size, alignment) for size in sizes)
        builder.place(graph.output, 0, 0)  # anywhere but among the intermediates
        intermediates = output + aligned(graph.output.nbytes, alignment)
        total = intermediates + builder.plan_memory(alignment)
        return cls(dict(zip(graph.inputs, offsets, strict=True)), output, intermediates, total)


def graph_shape(stage: Stage, cache: CacheShape, rows: int, n_kv: int) -> GraphShape:
    """Shape of a stage's graph for `rows` rows of hidden state."""
    return GraphShape(first=stage.first, last=stage.last, head=stage.head, n_tokens=rows, n_kv=n_kv, cache=cache)


def _flat(buffer: bytearray, tensor: Tensor, offset: int) -> NDArray[np.generic]:
    return np.frombuffer(buffer, _DTYPES[tensor.type], tensor.elements, offset)
