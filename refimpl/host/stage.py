"""A stage at work: a range of layers with its weights, cache and scratch memory on its devices.

Memory is asked for once, for the largest graph that the context allows. The inputs of a piece lie side by side at the
front of its device's scratch block and are written as one piece of bytes; its results follow them and are read as one,
the intermediates follow that. Graphs are built for each (tokens, attended cells) and kept while they are in use.
"""

from collections.abc import Mapping

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.graph.define import GraphBuilder, Tensor
from refimpl.host.backends.protocol import Backend, Block, Work, byte_record
from refimpl.host.placement.needs import Draft, graph_shape
from refimpl.host.placement.pieces import Piece, ScratchLayout, cut, result_name
from refimpl.model import batch
from refimpl.model.gguf_file import WeightTensor
from refimpl.model.llama import HIDDEN, K_IDXS, MASK, OUT_IDS, POSITIONS, V_IDXS, GraphShape, build_llama
from spec.names import Type

__all__ = ["Held", "LoadedStage", "Span"]

KEPT_WORKS = 3
"""graphs kept: decoding, and the whole and the last piece of a prompt"""
_DTYPES: Mapping[Type, type[np.generic]] = {
    Type.F32: np.float32,
    Type.F16: np.float16,
    Type.I32: np.int32,
    Type.I64: np.int64,
}
Values = dict[str, NDArray[np.generic]]
"""what goes into graphs, by name, flat"""


@attrs.frozen
class Span:
    """Tokens of one step: `count` of them from position `start` on."""

    start: int
    count: int


@attrs.frozen(eq=False)
class Held:
    """A weight and where it belongs."""

    weight: WeightTensor
    device: int
    record: np.void


@attrs.frozen(eq=False)
class _Step:
    """A piece ready to run, with the bytes of its inputs."""

    backend: Backend
    work: Work
    buffer: bytearray
    inputs: Mapping[str, NDArray[np.generic]]
    """flat views of the buffer by input name"""
    results: Mapping[str, tuple[type[np.generic], int, int]]
    """element type, count and first byte of each result among those that the step reads"""


@attrs.frozen(eq=False)
class _Prepared:
    """All graphs of one shape, in the order in which they run."""

    steps: tuple[_Step, ...]
    output: str
    """name of the result that leaves the stage"""
    width: int
    """elements of one row of it"""
    n_kv: int


@attrs.define(eq=False)
class LoadedStage:
    """One stage with all its memory. The weights are uploaded by upload.py."""

    draft: Draft
    backends: Mapping[int, Backend]
    """by device number"""
    weights: tuple[Held, ...]
    addresses: Mapping[str, tuple[int, int]]
    """handle and address of every weight and cache tensor"""
    scratch: Mapping[int, Block]
    """by device number"""
    reused: int = 0
    """steps that ran the same graphs as the step before"""
    _works: dict[GraphShape, _Prepared] = attrs.field(factory=dict)
    _last: _Prepared | None = None

    async def prepare(self, span: Span) -> None:
        """Build the graphs of a later `run` for these tokens."""
        rows = span.count if self.draft.stage.first < self.draft.model.hparams.n_layer else 1
        for step in self._prepared(self._shape(span, rows)).steps:
            await step.backend.prepare(step.work)

    async def run(self, hidden: NDArray[np.float32], span: Span) -> NDArray[np.float32]:
        """hidden (rows, n_embd) -> hidden (rows, n_embd), or logits (1, n_vocab) with the head.

        `span` says where the tokens stand; rows is span.count, or 1 behind the model's last layer.
        """
        prepared = self._prepared(self._shape(span, len(hidden)))
        self.reused += prepared is self._last
        self._last = prepared
        values = self._values(hidden, span, prepared.n_kv)
        for step in prepared.steps:
            for name, view in step.inputs.items():
                view[:] = values[name]
            bytes_out = await step.backend.step(step.work, step.buffer)
            for name, (kind, count, offset) in step.results.items():
                values[name] = np.frombuffer(bytes_out, kind, count, offset).copy()
        output: NDArray[np.float32] = values[prepared.output].view(np.float32).reshape(-1, prepared.width)
        return output

    def _shape(self, span: Span, rows: int) -> GraphShape:
        cache = self.draft.context.cache
        n_kv = batch.attended_cells(span.start + span.count, cache.n_ctx)
        return graph_shape(self.draft.stage, cache, rows, n_kv)

    def _values(self, hidden: NDArray[np.float32], span: Span, n_kv: int) -> Values:
        """Everything that a graph of this stage may ask for from outside."""
        values: Values = {HIDDEN: hidden.reshape(-1), OUT_IDS: np.array([span.count - 1], np.int32)}
        if self.draft.stage.first < self.draft.stage.last:
            cache, hparams = self.draft.context.cache, self.draft.model.hparams
            values[POSITIONS] = batch.positions(span.start, span.count)
            values[MASK] = batch.causal_mask(span.start, span.count, n_kv, cache).reshape(-1)
            values[K_IDXS] = batch.k_indices(span.start, span.count)
            values[V_IDXS] = batch.v_indices(span.start, span.count, hparams, cache)
        return values

    def _prepared(self, shape: GraphShape) -> _Prepared:
        prepared = self._works.pop(shape, None) or self._prepare(shape)
        self._works[shape] = prepared
        if len(self._works) > KEPT_WORKS:
            self._works.pop(next(iter(self._works)))
        return prepared

    def _prepare(self, shape: GraphShape) -> _Prepared:
        builder = GraphBuilder()
        graph = build_llama(builder, self.draft.model, shape)
        pieces = cut(builder, graph, self.draft.stage.device, self.draft.where)
        steps = tuple(map(self._step, pieces))
        return _Prepared(steps, result_name(graph.output), graph.output.ne[0], shape.n_kv)

    def _step(self, piece: Piece) -> _Step:
        backend, block, builder = self.backends[piece.device], self.scratch[piece.device], piece.builder
        layout = ScratchLayout.of(piece, backend.alignment)
        for name, tensor in (*piece.weights.items(), *piece.cache.items()):
            builder.place(tensor, *self.addresses[name])
        for offsets, tensors in ((layout.inputs, piece.inputs), (layout.results, piece.results)):
            for name, offset in offsets.items():
                builder.place(tensors[name], block.handle, block.base + offset)
        builder.place_intermediates(block.handle, block.base + layout.intermediates)
        nodes, records = builder.message()
        buffer = bytearray(layout.start)
        size = layout.intermediates - layout.start
        work = Work(
            nodes=nodes,
            records=records,
            inputs=byte_record(block, 0, layout.start),
            output=byte_record(block, layout.start, size),
            output_size=size,
        )
        views = {name: _flat(buffer, piece.inputs[name], offset) for name, offset in layout.inputs.items()}
        results = {
            name: (_DTYPES[tensor.type], tensor.elements, layout.results[name] - layout.start)
            for name, tensor in piece.results.items()
        }
        return _Step(backend, work, buffer, views, results)


def _flat(buffer: bytearray, tensor: Tensor, offset: int) -> NDArray[np.generic]:
    return np.frombuffer(buffer, _DTYPES[tensor.type], tensor.elements, offset)
