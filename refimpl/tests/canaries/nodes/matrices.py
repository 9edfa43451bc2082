"""Products, attention and positions: what reads most memory, through views of caches and batches."""

from collections.abc import Callable, Mapping

from refimpl.graph.define import Rope
from refimpl.graph.params import float_bits
from refimpl.kernels.blocks.registry import FORMATS
from refimpl.tests.canaries.draw import Draw
from refimpl.tests.graph.node import Node
from refimpl.tests.graph.samples import T
from spec.names import Op, RopeMode, Type

__all__ = ["MATRICES"]

F32, F16, BF16, I32 = Type.F32, Type.F16, Type.BF16, Type.I32
SMALL_BLOCKS = (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0)
WEIGHTS = (F32, F16, BF16, *SMALL_BLOCKS, Type.Q4_K, Type.Q5_K, Type.Q6_K)
CACHED = (F32, F16, BF16, *SMALL_BLOCKS)
HADAMARD = 1
MOST_COLUMNS, MOST_ROWS, MOST_TOKENS = 288, 80, 40
MOST_KEYS = 80


def _columns(draw: Draw, type_: Type) -> int:
    block = FORMATS[type_].block
    return draw.extent(max(MOST_COLUMNS, block), block)


def _mul_mat(draw: Draw) -> Node:
    type_ = draw.one(*WEIGHTS)
    if type_ == F32 and draw.chance(15):
        return _turned(draw)
    columns, rows, tokens = _columns(draw, type_), draw.extent(MOST_ROWS), draw.extent(MOST_TOKENS)
    b2, b3, times2, times3 = (draw.one(1, 1, 1, 2, 3) for _ in range(4))
    if draw.chance(40):
        rows, b2, b3 = 16 * draw.whole(1, 4), 1, 1
    w = draw.natural(type_, (columns, rows)) if b2 == b3 == 1 else draw.rows(type_, (columns, rows, b2, b3))
    x = draw.rows(F32, (columns, tokens, b2 * times2, b3 * times3))
    return Node(Op.MUL_MAT, draw.rows(F32, (rows, tokens, b2 * times2, b3 * times3)), (w, x))


def _turned(draw: Draw) -> Node:
    """By a matrix that the hint calls a Hadamard one."""
    size = draw.one(1, 2, 16, 32, 64, 128)
    x = draw.rows(F32, (size, draw.extent(MOST_TOKENS), draw.whole(1, 3)))
    return Node(Op.MUL_MAT, draw.rows(F32, x.ne), (draw.natural(F32, (size, size)), x), (0, HADAMARD))


def _mul_mat_id(draw: Draw) -> Node:
    type_ = draw.one(*WEIGHTS)
    columns, rows, experts = _columns(draw, type_), draw.extent(MOST_ROWS), draw.whole(1, 6)
    used, tokens = draw.whole(1, 4), draw.extent(MOST_TOKENS)
    if draw.chance(40):
        rows = 16 * draw.whole(1, 4)
    w = draw.rows(type_, (columns, rows, experts))
    x = draw.rows(F32, (columns, draw.one(1, used), tokens))
    return Node(Op.MUL_MAT_ID, draw.rows(F32, (rows, used, tokens)), (w, x, draw.strided(I32, (used, tokens))))


def _add_id(draw: Draw) -> Node:
    columns, used, tokens, rows = (
        draw.extent(MOST_COLUMNS),
        draw.whole(1, 4),
        draw.extent(MOST_TOKENS),
        draw.whole(1, 9),
    )
    x, table = draw.rows(F32, (columns, used, tokens)), draw.rows(F32, (columns, rows))
    return Node(Op.ADD_ID, draw.rows(F32, x.ne), (x, table, draw.strided(I32, (used, tokens))))


def _soft_max(draw: Draw) -> Node:
    columns, tokens, heads, batch = draw.extent(256), draw.extent(12), draw.whole(1, 4), draw.whole(1, 2)
    ne = (columns, tokens, heads, batch)
    x, mask, sinks, bias = draw.rows(F32, ne), None, None, 0.0
    if draw.chance(70):
        wide = (columns, tokens + draw.one(0, 0, 3), draw.one(1, heads), draw.one(1, batch))
        mask, bias = draw.rows(draw.one(F32, F16), wide), draw.one(0.0, 8.0)
    if draw.chance(30):
        sinks = T(F32, (heads,))
    return Node(Op.SOFT_MAX, draw.rows(F32, ne), (x, mask, sinks), (float_bits(0.3), float_bits(bias)))


def _attention(draw: Draw) -> Node:
    keys, values = (draw.one(*CACHED),) * 2 if draw.chance(60) else (draw.one(*CACHED), draw.one(*CACHED))
    d, dv = _head(draw, keys), _head(draw, values)
    count, tokens = draw.extent(MOST_KEYS), draw.one(1, 1, 2, 3, 8, 17, 33)
    shared, groups, batch = draw.whole(1, 3), draw.whole(1, 3), draw.one(1, 1, 1, 2)
    heads = shared * groups
    q = draw.rows(F32, (d, tokens, heads, batch))
    k, v = draw.rows(keys, (d, count, shared, batch)), draw.rows(values, (dv, count, shared, batch))
    mask = draw.rows(F16, (count, tokens + draw.one(0, 0, 5), draw.one(1, heads), 1)) if draw.chance(75) else None
    sinks = T(F32, (heads,)) if draw.chance(25) else None
    bias = draw.one(0.0, 8.0) if mask else 0.0
    params = (float_bits(d**-0.5), float_bits(bias), float_bits(draw.one(0.0, 0.0, 3.0)), 10)
    return Node(Op.FLASH_ATTN_EXT, draw.natural(F32, (dv, heads, tokens, batch)), (q, k, v, mask, sinks), params)


def _head(draw: Draw, type_: Type) -> int:
    block = FORMATS[type_].block
    return block * draw.whole(1, 4) if block > 1 else draw.one(1, 3, 8, 16, 32, 40, 64, 80, 96, 128)


def _rope(draw: Draw) -> Node:
    type_, mode = draw.one(F32, F16), draw.one(RopeMode.NORMAL, RopeMode.NEOX)
    width, heads, tokens = 2 * draw.extent(64), draw.whole(1, 5), draw.extent(33)
    turned = 2 * draw.whole(1, width // 2)
    rope = Rope(n_dims=turned, mode=mode).params()
    x = draw.rows(type_, (width, heads, tokens, draw.one(1, 1, 2)))
    factors = T(F32, (turned // 2,)) if draw.chance(30) else None
    if draw.chance(25):
        return Node(Op.ROPE, x, (x, T(I32, (tokens,)), factors), rope, alias=0)
    return Node(Op.ROPE, draw.rows(type_, x.ne), (x, T(I32, (tokens,)), factors), rope)


MATRICES: Mapping[Op, Callable[[Draw], Node]] = {
    Op.MUL_MAT: _mul_mat,
    Op.MUL_MAT_ID: _mul_mat_id,
    Op.ADD_ID: _add_id,
    Op.SOFT_MAX: _soft_max,
    Op.FLASH_ATTN_EXT: _attention,
    Op.ROPE: _rope,
}
