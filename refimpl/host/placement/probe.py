"""Whether a device can keep K and V in some types: one tiny attention is computed there, before any weight is loaded.

F16 and F32 go without saying. For the others this protocol has no question that a client could ask: a node refuses an
op that it has no kernel for by closing the connection (stock ones end). So it is better tried early, and told with the
name of the flag.
"""

import attrs

from refimpl.errors import NodeClosed, UnsupportedError, UsageError
from refimpl.graph.define import GraphBuilder, Tensor
from refimpl.graph.layout import type_layouts
from refimpl.host.backends.packing import pack
from refimpl.host.backends.protocol import Backend, Work, byte_record
from refimpl.model.attention import AttentionInputs, CacheShape, LayerCache, Projections, attend
from refimpl.model.batch import CELL_STEP
from refimpl.model.hparams import Hparams
from refimpl.model.rotation import K_ROT, V_ROT, rotations
from spec.names import Type

__all__ = ["check_cache", "probe_cache"]

PLAIN = frozenset({Type.F16, Type.F32})


def check_cache(hparams: Hparams, cache: CacheShape) -> None:
    """UsageError for a quantised cache whose blocks do not divide the heads of this model."""
    for flag, kind, head in (
        ("-ctk", cache.type_k, hparams.n_embd_head_k),
        ("-ctv", cache.type_v, hparams.n_embd_head_v),
    ):
        block = int(type_layouts().block[kind])
        if head % block:
            name = kind.name.lower()
            raise UsageError(f"{flag} {name}: its blocks of {block} do not divide the heads of {head}; take f16")


async def probe_cache(backend: Backend, hparams: Hparams, cache: CacheShape) -> None:
    """Return if the device computes attention over this cache. Raises UsageError that names device and types."""
    if {cache.type_k, cache.type_v} <= PLAIN:
        return
    builder = GraphBuilder()
    leaves, output = _attention(builder, hparams, attrs.evolve(cache, n_ctx=CELL_STEP))
    slots = pack([leaf.nbytes for leaf in leaves], backend.alignment, backend.max_size)
    room = sum(slots.buffers)
    builder.place(output, 0, 0)
    result = room + builder.plan_memory(backend.alignment)
    block = await backend.allocate(result + output.nbytes, "trying the cache types")
    for leaf, slot in zip(leaves, slots.slots, strict=True):
        builder.place(leaf, block.handle, block.base + slot.offset)
    builder.place_intermediates(block.handle, block.base + room)
    builder.place(output, block.handle, block.base + result)
    nodes, records = builder.message()
    work = Work(
        nodes=nodes,
        records=records,
        inputs=byte_record(block, 0, room),
        output=byte_record(block, result, output.nbytes),
        output_size=output.nbytes,
    )
    try:
        await backend.prepare(work)
        await backend.step(work, bytes(room))
    except (UnsupportedError, NodeClosed) as error:
        types = f"-ctk {cache.type_k.name.lower()} -ctv {cache.type_v.name.lower()}"
        where = f"{backend.name} ({backend.place})"
        raise UsageError(f"{types}: {where} cannot compute attention over such a cache ({error}); try f16") from error
    await backend.free(block)


def _attention(b: GraphBuilder, hparams: Hparams, cache: CacheShape) -> tuple[list[Tensor], Tensor]:
    """Attention of one token: everything that has to be placed, and the result."""
    made: list[Tensor] = []

    def leaf(name: str, kind: Type, *ne: int) -> Tensor:
        made.append(b.leaf(name, kind, ne))
        return made[-1]

    d_k, d_v, heads, pairs = hparams.n_embd_head_k, hparams.n_embd_head_v, hparams.n_head, hparams.n_head_kv
    x = Projections(
        leaf("q", Type.F32, d_k, heads, 1), leaf("k", Type.F32, d_k, pairs, 1), leaf("v", Type.F32, d_v, pairs, 1)
    )
    cells = LayerCache(
        leaf("cache_k", cache.type_k, hparams.n_embd_k_gqa, cache.n_ctx),
        leaf("cache_v", cache.type_v, hparams.n_embd_v_gqa, cache.n_ctx),
    )
    turned = rotations(hparams, cache)
    inputs = AttentionInputs(
        mask=leaf("mask", cache.mask_type, cache.n_ctx, 1),
        k_idxs=leaf("k_idxs", Type.I64, 1),
        v_idxs=leaf("v_idxs", Type.I64, 1 if cache.flash else hparams.n_embd_v_gqa),
        k_rot=leaf(K_ROT, Type.F32, turned[K_ROT], turned[K_ROT]) if K_ROT in turned else None,
        v_rot=leaf(V_ROT, Type.F32, turned[V_ROT], turned[V_ROT]) if V_ROT in turned else None,
    )
    return made, b.output(attend(b, hparams, x, cells, inputs).root)
