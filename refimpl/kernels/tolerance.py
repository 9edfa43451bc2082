"""How far a backend may lie from the oracle: one table, keyed by op and by the type that decides its precision.

Two bounds hold at once. NMSE is sum((got - expected)^2) / sum(expected^2) over the whole result: it sees an error that
is small but everywhere. ELEMENT bounds each single error by element * max(|expected|, rms of the result): it sees one
bad value among thousands. Infinities and NaNs must be where the oracle has them. EXACT means equal values: nothing was
computed, at most rounded to F16, or quantised by a definition that is one of bytes: one float32 operation at a time.

Where the numbers come from (e = 2^-24, the rounding of one float32 operation; h = 2^-11, of one F16):

ONE_OPERATION   one or two float32 operations, fused or not: a few e.
ELEMENTARY      a fast exp or division in float32: tens of e.
F32_SUM         a float32 sum in any order, up to 1536 terms: about e * sqrt(k) of the rms.
F16_PARTNER     the oracle rounds activations to F16 as ggml does. A backend that keeps them in float32 is nearer to the
                truth and differs by h * |x| in each term, 3e-4 of the rms in the sum.
Q8_PARTNER      the quants are those of the definition except on a rounding tie, where x * (127 / amax) lies within a
                few e of a half and two right backends may differ by a whole step. Every activation of the cases is
                kept 1e-3 of a step away from a tie, so no quant may differ and no allowance is made for one. Scales
                are rounded to F16; a backend that keeps d or s in float32 differs by at most h of a block's share.
BF16_PARTNER    as F16_PARTNER with 2^-8 for h, eight times as coarse: 3e-3 of the rms in the sum.
K_PARTNER       as Q8_PARTNER, but scales stay float32 and integers are exact up to one scaling for 256 elements: what
                is left is a float32 sum of few terms, products and minima.
ANGLES          position * frequency in float32, the frequency made by repeated multiplication: a position of up to 1000
                drifts by 1000 * 4 e = 2.4e-4 radians, of a value of up to 3 rms.
F16_ANGLES      the same, then one rounding to F16.
F16_ATTENTION   queries rounded to F16 or not, weights rounded to F16 or not: h on scores of up to 8 moves a weight by
                0.4 %, and a sum over keys averages that. ggml itself adds up F16 values in F16 and misses this by a
                factor of about two with 256 keys and more; sums are float32 here.
BF16_ATTENTION  the same for BF16 keys: 2^-8 in place of h moves a weight by up to 3 %.
Q8_ATTENTION    queries as blocks of Q8, away from ties as in Q8_PARTNER: what is left is the rounding of scales to F16,
                which moves scores as F16_ATTENTION's h does.
"""

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from refimpl.kernels.operand import Case
from spec.names import Glu, Op, Type, Unary

__all__ = ["EXACT", "TOLERANCES", "Tolerance", "tolerance_of"]


@attrs.frozen
class Tolerance:
    """Both bounds at once; zero and zero asks for equal values."""

    nmse: float
    element: float


EXACT = Tolerance(0.0, 0.0)
ONE_OPERATION = Tolerance(1e-13, 1e-6)
ELEMENTARY = Tolerance(1e-11, 1e-5)
F32_SUM = Tolerance(1e-11, 1e-5)
F16_PARTNER = Tolerance(1e-7, 2e-3)
Q8_PARTNER = Tolerance(2e-7, 1e-3)
BF16_PARTNER = Tolerance(1e-5, 2e-2)
K_PARTNER = Tolerance(1e-11, 1e-5)
HALF_RESULT = Tolerance(1e-7, 1e-3)
CANCELLING = Tolerance(1e-8, 1e-4)
BF16_RESULT = Tolerance(1e-5, 8e-3)
TABLE = Tolerance(1e-7, 1e-3)
ANGLES = Tolerance(1e-7, 1e-3)
F16_ANGLES = Tolerance(5e-7, 3e-3)  # the angles, and one rounding of the result to F16
F16_ATTENTION = Tolerance(1e-5, 5e-3)

BF16_ATTENTION = Tolerance(1e-4, 2e-2)
Q8_ATTENTION = F16_ATTENTION

DECIDING_SOURCES: Mapping[Op, tuple[int, ...]] = MappingProxyType({Op.FLASH_ATTN_EXT: (1, 2)})
"""the sources whose types are keys of the table: src0, but of attention keys and values, and the looser row holds"""

EXACT_KINDS = (
    *(Unary.ABS, Unary.SGN, Unary.NEG, Unary.STEP, Unary.RELU),
    *(Unary.FLOOR, Unary.CEIL, Unary.ROUND, Unary.TRUNC),
)
TABLE_KINDS = (Unary.GELU, Unary.GELU_QUICK)
TABLE_GATES = (Glu.GEGLU, Glu.GEGLU_QUICK)

TOLERANCES: Mapping[tuple[Op, Type], Tolerance] = MappingProxyType(
    {
        **{(op, type_): EXACT for op in (Op.DUP, Op.CPY, Op.CONT) for type_ in (Type.F32, Type.F16, Type.I32)},
        **{(Op.CPY, type_): ONE_OPERATION for type_ in (Type.Q4_0, Type.Q4_1, Type.Q8_0)},
        **{(Op.DUP, type_): ONE_OPERATION for type_ in (Type.Q4_0, Type.Q4_1, Type.Q8_0)},
        **{(Op.GET_ROWS, type_): EXACT for type_ in (Type.F32, Type.F16, Type.I32)},
        **{(Op.GET_ROWS, type_): ONE_OPERATION for type_ in (Type.Q4_0, Type.Q4_1, Type.Q8_0)},
        **{(op, Type.BF16): EXACT for op in (Op.DUP, Op.CPY, Op.CONT, Op.GET_ROWS)},
        **{
            (op, type_): ONE_OPERATION
            for op in (Op.CPY, Op.DUP, Op.GET_ROWS)
            for type_ in (Type.Q5_0, Type.Q5_1, Type.Q4_K, Type.Q5_K, Type.Q6_K)
        },
        (Op.SET_ROWS, Type.F32): EXACT,
        (Op.SET_ROWS, Type.F16): EXACT,
        **{(op, Type.F32): ONE_OPERATION for op in (Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.ADD_ID, Op.SQR, Op.SQRT)},
        **{(op, Type.F16): HALF_RESULT for op in (Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.SQR, Op.SQRT)},
        **{(op, Type.F32): ELEMENTARY for op in (Op.UNARY, Op.LOG, Op.SIN, Op.COS)},
        **{(op, Type.F16): HALF_RESULT for op in (Op.UNARY, Op.GLU, Op.LOG, Op.SIN, Op.COS)},
        **{
            (op, Type.BF16): BF16_RESULT
            for op in (Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.SQR, Op.SQRT, Op.UNARY, Op.GLU, Op.LOG, Op.SIN, Op.COS)
        },
        **{(op, type_): EXACT for op in (Op.CLAMP, Op.FILL) for type_ in (Type.F32, Type.F16)},
        **{(op, type_): EXACT for op in (Op.CONCAT, Op.REPEAT) for type_ in (Type.F32, Type.F16, Type.I32)},
        **{(Op.CONCAT, type_): EXACT for type_ in (Type.Q4_0, Type.Q8_0)},
        **{(op, Type.F32): EXACT for op in (Op.PAD, Op.ARGSORT, Op.TOP_K)},
        (Op.ARANGE, Type.F32): ONE_OPERATION,
        **{(op, Type.F32): F32_SUM for op in (Op.SUM, Op.SUM_ROWS, Op.MEAN, Op.NORM, Op.L2_NORM)},
        (Op.SUM, Type.F16): HALF_RESULT,
        (Op.SCALE, Type.F32): ONE_OPERATION,
        (Op.GLU, Type.F32): ELEMENTARY,
        (Op.RMS_NORM, Type.F32): F32_SUM,
        (Op.SOFT_MAX, Type.F32): ELEMENTARY,
        (Op.MUL_MAT, Type.F32): F32_SUM,
        (Op.MUL_MAT, Type.F16): F16_PARTNER,
        (Op.MUL_MAT, Type.BF16): BF16_PARTNER,
        (Op.MUL_MAT, Type.Q5_0): Q8_PARTNER,
        (Op.MUL_MAT, Type.Q5_1): Q8_PARTNER,
        **{(Op.MUL_MAT, type_): K_PARTNER for type_ in (Type.Q4_K, Type.Q5_K, Type.Q6_K)},
        (Op.MUL_MAT, Type.Q4_0): Q8_PARTNER,
        (Op.MUL_MAT, Type.Q4_1): Q8_PARTNER,
        (Op.MUL_MAT, Type.Q8_0): Q8_PARTNER,
        (Op.ROPE, Type.F32): ANGLES,
        (Op.ROPE, Type.F16): F16_ANGLES,
        (Op.FLASH_ATTN_EXT, Type.F32): ELEMENTARY,
        (Op.FLASH_ATTN_EXT, Type.F16): F16_ATTENTION,
        (Op.FLASH_ATTN_EXT, Type.BF16): BF16_ATTENTION,
        **{
            (Op.FLASH_ATTN_EXT, type_): Q8_ATTENTION
            for type_ in (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0)
        },
    }
)


OF_KIND: Mapping[tuple[Op, int, Type], Tolerance] = MappingProxyType(
    {
        **{(Op.UNARY, kind, type_): EXACT for kind in EXACT_KINDS for type_ in (Type.F32, Type.F16, Type.BF16)},
        **{(Op.UNARY, kind, Type.F32): CANCELLING for kind in (Unary.EXPM1, Unary.GELU_ERF)},
        (Op.GLU, Glu.GEGLU_ERF, Type.F32): CANCELLING,
        **{(Op.UNARY, kind, type_): TABLE for kind in TABLE_KINDS for type_ in (Type.F32, Type.F16)},
        **{(Op.GLU, kind, type_): TABLE for kind in TABLE_GATES for type_ in (Type.F32, Type.F16)},
    }
)
"""rows for one kind of an op, op_params[0], that come before those of the op"""


def tolerance_of(case: Case) -> Tolerance:
    """The row of the table for `case`, or what the looser of two allows; KeyError where the table has none.

    MUL_MAT_ID is as precise as MUL_MAT; an op without sources goes by the type of its result.
    """
    rows = [_row_of(case, slot) for slot in DECIDING_SOURCES.get(case.op, (0,))]
    return Tolerance(max(row.nmse for row in rows), max(row.element for row in rows))


def _row_of(case: Case, slot: int) -> Tolerance:
    deciding = case.srcs[slot] if any(case.srcs) else case.dst
    if deciding is None:
        raise ValueError(f"{case.op.name} has no source that decides its precision")
    op = Op.MUL_MAT if case.op == Op.MUL_MAT_ID else case.op
    of_kind = OF_KIND.get((op, int(case.params[0]), deciding.type))
    return TOLERANCES[op, deciding.type] if of_kind is None else of_kind
