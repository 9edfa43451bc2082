"""What a stage needs before it can run, known before any memory is asked for: its graph, its weights, its cache.

The graph is the largest that the context allows, so that running out of memory is found before anything is uploaded.
"""

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from refimpl.graph.define import GraphBuilder
from refimpl.graph.layout import natural_strides, span
from refimpl.host.backends.packing import pack
from refimpl.host.backends.protocol import Backend, Block, tensor_record
from refimpl.host.placement.pieces import Piece, ScratchLayout, cut
from refimpl.host.placement.plan import Stage
from refimpl.model.attention import CacheShape
from refimpl.model.gguf_file import ModelFile, WeightTensor
from refimpl.model.llama import GraphShape, build_llama
from refimpl.model.rotation import weight_of
from spec.names import Type

__all__ = ["CacheTensor", "Context", "Draft", "Needs", "cache_size", "draft", "graph_shape", "needs_on", "weight_size"]

CacheTensor = tuple[str, Type, tuple[int, int, int, int]]
"""name, type and extents"""


@attrs.frozen
class Context:
    """Sizes that fix how much memory a run needs, in tokens."""

    cache: CacheShape
    ubatch: int
    """most tokens of one graph"""


@attrs.frozen
class Needs:
    """Bytes on one device."""

    weights: int = 0
    cache: int = 0
    compute: int = 0

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.compute

    def __add__(self, other: "Needs") -> "Needs":
        return Needs(self.weights + other.weights, self.cache + other.cache, self.compute + other.compute)


@attrs.frozen(eq=False)
class Draft:
    """One stage before it has memory."""

    model: ModelFile
    stage: Stage
    context: Context
    where: Mapping[str, int]
    """device of each weight that -ot puts elsewhere"""
    pieces: Sequence[Piece]
    weights: Sequence[WeightTensor]
    cache: Sequence[CacheTensor]
    """always on the stage's own device"""

    @property
    def devices(self) -> tuple[int, ...]:
        """Devices that have work, in the order of their first piece."""
        return tuple(dict.fromkeys(piece.device for piece in self.pieces))

    def device_of(self, weight: WeightTensor) -> int:
        return self.where.get(weight.name, self.stage.device)

    def weights_on(self, device: int) -> list[WeightTensor]:
        return [weight for weight in self.weights if self.device_of(weight) == device]

    def cache_on(self, device: int) -> Sequence[CacheTensor]:
        return self.cache if device == self.stage.device else ()

    def scratch_on(self, device: int, alignment: int) -> int:
        """Bytes for inputs, results and intermediates of the largest piece there."""
        mine = [piece for piece in self.pieces if piece.device == device]
        return max((ScratchLayout.of(piece, alignment).total for piece in mine), default=0)


def graph_shape(stage: Stage, cache: CacheShape, rows: int, n_kv: int) -> GraphShape:
    """Shape of a stage's graph for `rows` rows of hidden state."""
    return GraphShape(first=stage.first, last=stage.last, head=stage.head, n_tokens=rows, n_kv=n_kv, cache=cache)


def draft(model: ModelFile, stage: Stage, context: Context, where: Mapping[str, int]) -> Draft:
    """The largest graph of a stage, cut, and what it reads."""
    builder = GraphBuilder()
    rows = context.ubatch if stage.first < model.hparams.n_layer else 1
    graph = build_llama(builder, model, graph_shape(stage, context.cache, rows, context.cache.n_ctx))
    return Draft(
        model=model,
        stage=stage,
        context=context,
        where=where,
        pieces=cut(builder, graph, stage.device, where),
        weights=[weight_of(model, context.cache, name) for name in graph.weights],
        cache=[(name, tensor.type, tensor.ne) for name, tensor in graph.cache.items()],
    )


async def needs_on(drafts: Sequence[Draft], device: int, backend: Backend) -> Needs:
    """Bytes that some stages need together on one device. Raises the NodeError of its node."""
    total = Needs()
    for stage in drafts:
        weights = [await weight_size(weight, backend) for weight in stage.weights_on(device)]
        cache = [cache_size(tensor) for tensor in stage.cache_on(device)]
        total += Needs(
            weights=_packed(weights, backend),
            cache=_packed(cache, backend),
            compute=stage.scratch_on(device, backend.alignment),
        )
    return total


def _packed(sizes: Sequence[int], backend: Backend) -> int:
    return sum(pack(sizes, backend.alignment, backend.max_size).buffers)


async def weight_size(weight: WeightTensor, backend: Backend) -> int:
    """Bytes that a weight takes up there."""
    return await backend.alloc_size(_record(weight.type, weight.ne))


def cache_size(tensor: CacheTensor) -> int:
    """Bytes of a cache tensor."""
    _, kind, ne = tensor
    return span(kind, ne, natural_strides(kind, ne))


def _record(kind: Type, ne: tuple[int, int, int, int]) -> np.void:
    return tensor_record(kind, ne, Block(0, 0, 0), 0)
