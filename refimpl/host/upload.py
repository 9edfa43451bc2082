"""Before the first token: memory for every stage, then its weights, all endpoints at the same time.

All memory is asked for first, so that a node without enough of it is found before a byte is sent. Weights go straight
from the mapped file to the socket, in pieces small enough for the bar to move; the bar counts what went to nodes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import attrs
import numpy as np

from refimpl.graph.define import GraphBuilder
from refimpl.host.backends.packing import pack
from refimpl.host.backends.protocol import Backend, Block, tensor_record
from refimpl.host.parallel import gather
from refimpl.host.plan import Stage
from refimpl.host.stage import LoadedStage, ScratchLayout, graph_shape
from refimpl.model.attention import CacheShape
from refimpl.model.gguf_file import ModelFile, WeightTensor
from refimpl.model.llama import build_llama
from spec.names import Type

__all__ = ["Context", "remote_bytes", "reserve", "upload"]

PIECE = 8 << 20
"""bytes of one write"""

Advance = Callable[[int], None]
"""called with the bytes written since the last call"""


@attrs.frozen
class Context:
    """Sizes that fix how much memory a run needs, in tokens."""

    cache: CacheShape
    ubatch: int
    """most tokens of one graph"""


async def reserve(model: ModelFile, stage: Stage, backend: Backend, context: Context) -> LoadedStage:
    """All memory of one stage: weights, zeroed cache, scratch for the largest graph. Raises OutOfMemory, NodeError."""
    builder = GraphBuilder()
    rows = context.ubatch if stage.first < model.hparams.n_layer else 1
    shape = graph_shape(stage, context.cache, rows, context.cache.n_ctx)
    graph = build_llama(builder, model, shape)
    weights = [model.tensors[name] for name in graph.weights]
    sizes = [await _size_of(weight, backend) for weight in weights]
    records = await _place(backend, [(w.name, w.type, w.ne) for w in weights], sizes, "weights")
    cache = [(name, tensor.type, tensor.ne) for name, tensor in graph.cache.items()]
    blocks: list[Block] = []
    cells = await _place(backend, cache, [tensor.nbytes for tensor in graph.cache.values()], "the KV cache", blocks)
    for block in blocks:
        await backend.clear(block)
    scratch = await backend.allocate(ScratchLayout.of(graph, builder, backend.alignment).total, "computing")
    return LoadedStage(
        model=model,
        stage=stage,
        backend=backend,
        cache=context.cache,
        weights={weight.name: (weight, records[weight.name]) for weight in weights},
        addresses={name: (int(r["buffer"]), int(r["data"])) for name, r in (*records.items(), *cells.items())},
        scratch=scratch,
    )


def remote_bytes(stages: Iterable[LoadedStage]) -> int:
    """Bytes of weights that have to go to nodes."""
    return sum(weight.nbytes for stage in stages if stage.backend.remote for weight, _ in stage.weights.values())


async def upload(stages: Sequence[LoadedStage], advance: Advance) -> None:
    """Write the weights of all stages at the same time; `advance` hears of bytes to nodes only. Raises NodeError."""
    await gather([partial(_upload_stage, stage, advance if stage.backend.remote else _nobody) for stage in stages])


async def _upload_stage(stage: LoadedStage, advance: Advance) -> None:
    for weight, record in stage.weights.values():
        view = weight.data.data
        for start in range(0, len(view), PIECE):
            piece = view[start : start + PIECE]
            await stage.backend.write(record, piece, start)
            advance(len(piece))
    await stage.backend.settle()


def _nobody(_: int) -> None:
    """Progress that nobody watches."""


async def _size_of(weight: WeightTensor, backend: Backend) -> int:
    return await backend.alloc_size(tensor_record(weight.type, weight.ne, Block(0, 0, 0), 0))


async def _place(
    backend: Backend,
    tensors: Sequence[tuple[str, Type, tuple[int, int, int, int]]],
    sizes: Sequence[int],
    purpose: str,
    into: list[Block] | None = None,
) -> Mapping[str, np.void]:
    """A record for each (name, type, extents) in new blocks, which are added to `into`."""
    packing = pack(sizes, backend.alignment, backend.max_size)
    blocks = [await backend.allocate(size, purpose) for size in packing.buffers]
    if into is not None:
        into += blocks
    return {
        name: tensor_record(kind, ne, blocks[slot.buffer], slot.offset, name)
        for (name, kind, ne), slot in zip(tensors, packing.slots, strict=True)
    }
