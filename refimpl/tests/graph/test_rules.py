"""Each op's rule: a graph of one node that fits, and every way in which its operands may not."""

from collections.abc import Callable

import pytest

from refimpl.errors import GraphError, UnsupportedError
from refimpl.graph.params import float_bits
from refimpl.graph.rules.table import RULES
from refimpl.tests.graph import elementary
from refimpl.tests.graph.node import Node
from refimpl.tests.graph.samples import Sample, T, one_node
from spec.names import Glu, Op, RopeMode, Type

NAN, INF = float("nan"), float("inf")
F32, F16, Q8_0, I32, I64 = Type.F32, Type.F16, Type.Q8_0, Type.I32, Type.I64


def rope_params(n_dims: int = 8, mode: int = 0, base: float = 1e4, ext: float = 0.0, **words: int) -> list[int]:
    """op_params of ROPE; w11=2 sets word 11."""
    floats = [float_bits(value) for value in (base, 1.0, ext, 1.0, 32.0, 1.0)]
    params = [0, n_dims, mode, 0, 512, *floats, 0, 0, 0, 0, 0]
    for word, value in words.items():
        params[int(word.removeprefix("w"))] = value
    return params


X, ROW, GAPS = T(F32, (8, 3, 2)), T(F32, (8,)), T(F32, (8, 3, 2), (8, 64, 192, 384))
POSITIONS, HALF = T(I32, (3,)), T(F16, (8, 3, 2))
HEADS = T(F32, (8, 2, 3))
Q, K, V = T(F32, (32, 5, 4)), T(Q8_0, (32, 7, 2)), T(F16, (16, 7, 2))
MASK, ATTENDED = T(F16, (7, 5)), T(F32, (16, 4, 5))
TABLE, PICKED = T(Q8_0, (32, 6, 2)), T(F32, (32, 3, 2))
SLOTS = T(I64, (3,))

FITS: dict[str, Node] = {
    **elementary.FITS,
    "dup": Node(Op.DUP, T(F16, (8, 3, 2)), (GAPS,)),
    "cont": Node(Op.CONT, T(F32, (16, 3)), (X,)),
    "cont transposed": Node(Op.CONT, T(F32, (3, 8)), (T(F32, (3, 8), (32, 4, 96, 96)),)),
    "cpy": Node(Op.CPY, T(F16, (48,)), (X, T(F16, (48,))), alias=1),
    "cpy to blocks": Node(Op.CPY, T(Q8_0, (32, 2)), (T(F32, (32, 2)), T(Q8_0, (32, 2))), alias=1),
    "cpy rows of blocks": Node(Op.CPY, T(Q8_0, (32, 2, 3)), (T(Q8_0, (32, 3, 2)), T(Q8_0, (32, 2, 3))), alias=1),
    "cpy into a transposed target": Node(
        Op.CPY, T(F16, (3, 8), (16, 2, 48, 48)), (T(F32, (3, 8)), T(F16, (3, 8), (16, 2, 48, 48))), alias=1
    ),
    "add": Node(Op.ADD, X, (X, ROW)),
    "mul": Node(Op.MUL, X, (X, T(F32, (1, 3)))),
    "mul by strided": Node(Op.MUL, X, (X, GAPS)),
    "scale": Node(Op.SCALE, X, (X,), (0, float_bits(-INF))),
    "rms_norm": Node(Op.RMS_NORM, X, (X,), (float_bits(1e-5),)),
    "glu": Node(Op.GLU, X, (X, X), (Glu.SWIGLU,)),
    "glu of halves": Node(Op.GLU, X, (T(F32, (16, 3, 2)),), (Glu.GEGLU, 1)),
    "get_rows": Node(Op.GET_ROWS, PICKED, (TABLE, T(I32, (3, 2)))),
    "get_rows of integers": Node(Op.GET_ROWS, T(I32, (8, 3)), (T(I32, (8, 9)), POSITIONS)),
    "set_rows": Node(Op.SET_ROWS, T(F16, (8, 9, 2)), (X, SLOTS, T(F16, (8, 9, 2))), alias=2),
    "set_rows one by one": Node(Op.SET_ROWS, T(F16, (1, 99)), (T(F32, (1, 3)), SLOTS, T(F16, (1, 99))), alias=2),
    "mul_mat": Node(Op.MUL_MAT, T(F32, (6, 3, 4)), (T(Q8_0, (32, 6, 2)), T(F32, (32, 3, 4)))),
    "rope": Node(Op.ROPE, HEADS, (HEADS, POSITIONS), rope_params()),
    "rope with factors": Node(Op.ROPE, HEADS, (HEADS, POSITIONS, T(F32, (4,))), rope_params()),
    "rope with sections": Node(Op.ROPE, HEADS, (HEADS, T(I32, (12,))), rope_params(mode=8, w11=2, w12=2)),
    "rope in vision mode": Node(Op.ROPE, HEADS, (HEADS, T(I32, (12,))), rope_params(4, RopeMode.VISION, w11=2)),
    "rope with yarn": Node(Op.ROPE, HEADS, (HEADS, POSITIONS), rope_params(ext=1.0)),
    "rope with yarn and no context": Node(Op.ROPE, HEADS, (HEADS, POSITIONS), rope_params(ext=1.0, w4=0)),
    "soft_max": Node(Op.SOFT_MAX, X, (X,), (float_bits(1.0),)),
    "soft_max with mask and sinks": Node(
        Op.SOFT_MAX, X, (X, T(F16, (8, 4)), T(F32, (2,))), (float_bits(1.0), float_bits(8.0))
    ),
    "flash_attn_ext": Node(Op.FLASH_ATTN_EXT, ATTENDED, (Q, K, V, MASK, T(F32, (4,))), (float_bits(0.1), 0, 0, 10)),
    "flash_attn_ext without mask": Node(Op.FLASH_ATTN_EXT, ATTENDED, (Q, K, V), (float_bits(0.1),)),
}

F = FITS
REFUSED: dict[str, Node] = {
    **elementary.REFUSED,
    "dup: element counts": F["dup"].but(dst=T(F16, (8, 3, 1))),
    "cpy: another shape of blocks": F["cpy to blocks"].but(src0=T(F32, (64,))),
    "cpy: longer rows of the same blocks": F["cpy to blocks"].but(src0=T(Q8_0, (64,))),
    "cpy: strided rows to blocks": F["cpy to blocks"].but(src0=T(F32, (32, 2), (8, 256, 512, 512))),
    "cpy: a target of another shape": F["cpy"].but(src1=T(F16, (8, 3, 2))),
    "add: result shape": F["add"].but(dst=T(F32, (8, 3, 1))),
    "add: no repetition": F["add"].but(src1=T(F32, (3,))),
    "add: larger second operand": F["add"].but(src1=T(F32, (8, 3, 4))),
    "add: gaps in the first operand": F["add"].but(src0=GAPS),
    "add: gaps in the result": F["add"].but(dst=GAPS),
    "scale: shape": F["scale"].but(src0=T(F32, (48,))),
    "scale: type": F["scale"].but(src0=HALF),
    "rms_norm: gaps": F["rms_norm"].but(src0=GAPS),
    "rms_norm: negative epsilon": F["rms_norm"].but(params=(float_bits(-1e-5),)),
    "rms_norm: epsilon not a number": F["rms_norm"].but(params=(float_bits(NAN),)),
    "glu: up of another shape": F["glu"].but(src1=T(F32, (8, 3, 1))),
    "glu: up of another type": F["glu"].but(src1=HALF),
    "glu: gaps in up": F["glu"].but(src1=GAPS),
    "glu: no halves": F["glu of halves"].but(src0=X),
    "glu: rows": F["glu of halves"].but(src0=T(F32, (16, 3, 1))),
    "get_rows: indices of another type": F["get_rows"].but(src1=T(I64, (3, 2))),
    "get_rows: floats for indices": F["get_rows"].but(src1=T(F32, (3, 2))),
    "get_rows: batches": F["get_rows"].but(src1=T(I32, (3, 1))),
    "get_rows: indices in four dimensions": F["get_rows"].but(src1=T(I32, (3, 2, 1, 2))),
    "get_rows: result rows": F["get_rows"].but(dst=T(F32, (32, 4, 2))),
    "get_rows: row length": F["get_rows"].but(dst=T(F32, (64, 3, 2))),
    "get_rows: result type": F["get_rows"].but(dst=T(F16, (32, 3, 2))),
    "get_rows: gaps in the table": F["get_rows of integers"].but(src0=T(I32, (8, 9), (8, 64, 576, 576))),
    "set_rows: float indices": F["set_rows"].but(src1=T(F32, (3,))),
    "set_rows: rows of integers": F["set_rows"].but(src0=T(I32, (8, 3, 2))),
    "set_rows: row length": F["set_rows"].but(src0=T(F32, (4, 3, 2))),
    "set_rows: index count": F["set_rows"].but(src1=T(I64, (2,))),
    "set_rows: batches": F["set_rows"].but(src0=T(F32, (8, 3, 1))),
    "set_rows: index batches": F["set_rows"].but(src1=T(I64, (3, 3))),
    "set_rows: indices in four dimensions": F["set_rows"].but(src1=T(I64, (3, 1, 1, 2))),
    "set_rows: another target": F["set_rows"].but(src2=T(F16, (8, 10, 2))),
    "set_rows: gaps in rows": F["set_rows"].but(src0=GAPS),
    "mul_mat: row length": F["mul_mat"].but(src1=T(F32, (64, 3, 4))),
    "mul_mat: result rows": F["mul_mat"].but(dst=T(F32, (5, 3, 4))),
    "mul_mat: result columns": F["mul_mat"].but(dst=T(F32, (6, 2, 4))),
    "mul_mat: result type": F["mul_mat"].but(dst=T(F16, (6, 3, 4))),
    "mul_mat: groups": F["mul_mat"].but(src1=T(F32, (32, 3, 3)), dst=T(F32, (6, 3, 3))),
    "mul_mat: result batches": F["mul_mat"].but(dst=T(F32, (6, 3, 2))),
    "mul_mat: gaps": F["mul_mat"].but(src1=T(F32, (32, 3, 4), (8, 256, 768, 3072))),
    "rope: shape": F["rope"].but(dst=T(F32, (8, 3, 2))),
    "rope: type": F["rope"].but(dst=T(F16, (8, 2, 3))),
    "rope: positions of another type": F["rope"].but(src1=SLOTS),
    "rope: position count": F["rope"].but(src1=T(I32, (2,))),
    "rope: positions with gaps": F["rope"].but(src1=T(I32, (3,), (8, 24, 24, 24))),
    "rope: odd n_dims": F["rope"].but(params=rope_params(7)),
    "rope: no n_dims": F["rope"].but(params=rope_params(0)),
    "rope: negative n_dims": F["rope"].but(params=rope_params(-2)),
    "rope: n_dims over a row": F["rope"].but(params=rope_params(10)),
    "rope: channels over a row": F["rope"].but(params=rope_params(6, w15=4)),
    "rope: negative channel": F["rope"].but(params=rope_params(6, w15=-2)),
    "rope: base 0": F["rope"].but(params=rope_params(base=0.0)),
    "rope: base not a number": F["rope"].but(params=rope_params(base=NAN)),
    "rope: yarn with a negative context": F["rope"].but(params=rope_params(ext=1.0, w4=-1)),
    "rope: yarn with base 1": F["rope"].but(params=rope_params(base=1.0, ext=1.0)),
    "rope: too few factors": F["rope with factors"].but(src2=T(F32, (3,))),
    "rope: factors of another type": F["rope with factors"].but(src2=T(F16, (4,))),
    "rope: sections with too few positions": F["rope with sections"].but(src1=POSITIONS),
    "rope: sections of length 0": F["rope with sections"].but(params=rope_params(mode=RopeMode.MROPE)),
    "rope: negative sections": F["rope with sections"].but(params=rope_params(mode=40, w11=3, w12=-1)),
    "rope: vision over more than halves": F["rope in vision mode"].but(params=rope_params(8, 24, w11=2)),
    "soft_max: type": F["soft_max"].but(src0=HALF),
    "soft_max: shape": F["soft_max"].but(src0=T(F32, (48,))),
    "soft_max: scale not finite": F["soft_max"].but(params=(float_bits(INF),)),
    "soft_max: bias without mask": F["soft_max"].but(params=(0, float_bits(8.0))),
    "soft_max: mask type": F["soft_max"].but(src1=T(I32, (8, 3))),
    "soft_max: mask width": F["soft_max"].but(src1=T(F32, (4, 3))),
    "soft_max: mask rows": F["soft_max"].but(src1=T(F32, (8, 2))),
    "soft_max: mask batches": F["soft_max"].but(src1=T(F32, (8, 3, 3))),
    "soft_max: gaps in the mask": F["soft_max"].but(src1=T(F32, (8, 3), (8, 64, 192, 192))),
    "soft_max: sinks": F["soft_max"].but(src2=T(F32, (3,))),
    "soft_max: sinks type": F["soft_max"].but(src2=T(F16, (2,))),
    "flash_attn_ext: q type": F["flash_attn_ext"].but(src0=T(F16, (32, 5, 4))),
    "flash_attn_ext: row length": F["flash_attn_ext"].but(src0=T(F32, (64, 5, 4))),
    "flash_attn_ext: keys without values": F["flash_attn_ext"].but(src2=T(F16, (16, 6, 2))),
    "flash_attn_ext: groups": F["flash_attn_ext"].but(src1=T(Q8_0, (32, 7, 3)), src2=T(F16, (16, 7, 3))),
    "flash_attn_ext: result not transposed": F["flash_attn_ext"].but(dst=T(F32, (16, 5, 4))),
    "flash_attn_ext: result width": F["flash_attn_ext"].but(dst=T(F32, (32, 4, 5))),
    "flash_attn_ext: result with gaps": F["flash_attn_ext"].but(dst=T(F32, (16, 4, 5), (4, 128, 512, 2560))),
    "flash_attn_ext: gaps in v": F["flash_attn_ext"].but(src2=T(F16, (16, 7, 2), (4, 64, 448, 896))),
    "flash_attn_ext: one key for all": F["flash_attn_ext"].but(src1=T(Q8_0, (32, 7, 2), (34, 0, 34, 68))),
    "flash_attn_ext: mask type": F["flash_attn_ext"].but(src3=T(F32, (7, 5))),
    "flash_attn_ext: narrow mask": F["flash_attn_ext"].but(src3=T(F16, (6, 5))),
    "flash_attn_ext: wide mask": F["flash_attn_ext"].but(src3=T(F16, (8, 5))),
    "flash_attn_ext: low mask": F["flash_attn_ext"].but(src3=T(F16, (7, 4))),
    "flash_attn_ext: mask heads": F["flash_attn_ext"].but(src3=T(F16, (7, 5, 3))),
    "flash_attn_ext: sinks": F["flash_attn_ext"].but(src4=T(F32, (2,))),
    "flash_attn_ext: scale not a number": F["flash_attn_ext"].but(params=(float_bits(NAN),)),
    "flash_attn_ext: softcap not finite": F["flash_attn_ext"].but(params=(0, 0, float_bits(INF))),
}

OPTIONAL = {Op.GLU: 1, Op.SOFT_MAX: 1, Op.ROPE: 2, Op.FLASH_ATTN_EXT: 3}
"""first operand slot that may be empty"""


@pytest.mark.parametrize("case", FITS)
def test_operands_that_fit_are_let_through(case: str) -> None:
    assert FITS[case].build() == 1


def test_every_rule_has_a_case_that_fits() -> None:
    assert {node.op for node in FITS.values()} == set(RULES)


@pytest.mark.parametrize("case", REFUSED)
def test_operands_that_do_not_fit_are_refused_by_the_ops_own_clause(case: str) -> None:
    with pytest.raises(GraphError) as caught:
        REFUSED[case].build()
    assert caught.value.clause == f"OP-{REFUSED[case].op.name}"
    assert "'node'" in caught.value.detail
    assert REFUSED[case].op.name in caught.value.detail


@pytest.mark.parametrize("case", FITS)
def test_a_missing_operand_is_refused(case: str) -> None:
    node = FITS[case]
    needed = min(len(node.srcs), OPTIONAL.get(node.op, len(node.srcs)))
    for slot in range(needed):
        sample = one_node(node.op, node.dst, node.srcs, node.params, node.alias)
        sample.records[-1]["src"][slot] = 0
        with pytest.raises(GraphError, match=rf"src\[{slot}\] is missing") as caught:
            sample.build()
        assert caught.value.clause == f"OP-{node.op.name}"


UNKNOWN_KINDS = [
    *elementary.UNKNOWN_KINDS,
    F["glu"].but(params=(99,)),
    F["glu"].but(params=(-1,)),
    F["rope"].but(params=rope_params(mode=3)),
]


@pytest.mark.parametrize("node", UNKNOWN_KINDS)
def test_an_unknown_kind_is_unsupported(node: Node) -> None:
    with pytest.raises(UnsupportedError) as caught:
        node.build()
    assert caught.value.clause == "GRAPH-19"


def moved(slot: int, onto: int) -> Callable[[Sample], None]:
    """Put record `slot` where record `onto` lies."""

    def change(sample: Sample) -> None:
        sample.records[slot]["data"] = sample.records[onto]["data"]

    return change


def test_a_result_may_lie_on_an_operand_but_not_on_indices() -> None:
    add = one_node(Op.ADD, X, (X, X))
    assert len(add.changed(moved(2, 0)).build().nodes) == 1
    rows = one_node(Op.GET_ROWS, T(F32, (1, 3)), (T(F32, (1, 9)), POSITIONS))
    with pytest.raises(GraphError, match="overlaps the indices"):
        rows.changed(moved(2, 1)).build()
    for op, srcs in (
        (Op.ADD_ID, (T(F32, (1, 3)), T(F32, (1, 9)), T(I32, (3,)))),
        (Op.MUL_MAT_ID, (T(F32, (8, 1, 2)), T(F32, (8, 1, 1)), T(I32, (3,)))),
    ):
        chosen = one_node(op, T(F32, (1, 3)), srcs)
        with pytest.raises(GraphError, match="overlaps the indices"):
            chosen.changed(moved(3, 2)).build()
    stored = one_node(Op.SET_ROWS, T(F32, (1, 9)), (T(F32, (1, 3)), SLOTS, T(F32, (1, 9))), alias=2)
    stored.records[1]["data"] = stored.records[3]["data"]
    with pytest.raises(GraphError, match="overlaps the indices"):
        stored.build()


def test_a_repeated_operand_may_have_stride_0() -> None:
    assert F["add"].but(src1=T(F32, (8, 3, 2), (4, 0, 0, 0))).build() == 1
