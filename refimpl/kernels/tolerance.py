"""How far a backend may lie from the oracle: one table, keyed by op and by the type that decides its precision.

Two bounds hold at once. NMSE is sum((got - expected)^2) / sum(expected^2) over the whole result: it sees an error that
is small but everywhere. ELEMENT bounds each single error by element * max(|expected|, rms of the result): it sees one
bad value among thousands. Infinities and NaNs must be where the oracle has them. EXACT means equal values: nothing was
computed, at most rounded to F16.

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
ANGLES          position * frequency in float32, the frequency made by repeated multiplication: a position of up to 1000
                drifts by 1000 * 4 e = 2.4e-4 radians, of a value of up to 3 rms.
F16_ANGLES      the same, then one rounding to F16.
F16_ATTENTION   queries rounded to F16 or not, weights rounded to F16 or not: h on scores of up to 8 moves a weight by
                0.4 %, and a sum over keys averages that. ggml itself adds up F16 values in F16 and misses this by a
                factor of about two with 256 keys and more; sums are float32 here.
"""

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from refimpl.kernels.operand import Case
from spec.names import Op, Type

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
ANGLES = Tolerance(1e-7, 1e-3)
F16_ANGLES = Tolerance(5e-7, 3e-3)  # the angles, and one rounding of the result to F16
F16_ATTENTION = Tolerance(1e-5, 5e-3)

DECIDING_SOURCE: Mapping[Op, int] = MappingProxyType({Op.FLASH_ATTN_EXT: 1})
"""the source whose type is the key: src0, except for attention, where it is the keys"""

TOLERANCES: Mapping[tuple[Op, Type], Tolerance] = MappingProxyType(
    {
        **{(op, type_): EXACT for op in (Op.DUP, Op.CPY, Op.CONT) for type_ in (Type.F32, Type.F16, Type.I32)},
        **{(Op.CPY, type_): ONE_OPERATION for type_ in (Type.Q4_0, Type.Q4_1, Type.Q8_0)},
        **{(Op.DUP, type_): ONE_OPERATION for type_ in (Type.Q4_0, Type.Q4_1, Type.Q8_0)},
        **{(Op.GET_ROWS, type_): EXACT for type_ in (Type.F32, Type.F16, Type.I32)},
        **{(Op.GET_ROWS, type_): ONE_OPERATION for type_ in (Type.Q4_0, Type.Q4_1, Type.Q8_0)},
        (Op.SET_ROWS, Type.F32): EXACT,
        (Op.SET_ROWS, Type.F16): EXACT,
        (Op.ADD, Type.F32): ONE_OPERATION,
        (Op.MUL, Type.F32): ONE_OPERATION,
        (Op.SCALE, Type.F32): ONE_OPERATION,
        (Op.GLU, Type.F32): ELEMENTARY,
        (Op.RMS_NORM, Type.F32): F32_SUM,
        (Op.SOFT_MAX, Type.F32): ELEMENTARY,
        (Op.MUL_MAT, Type.F32): F32_SUM,
        (Op.MUL_MAT, Type.F16): F16_PARTNER,
        (Op.MUL_MAT, Type.Q4_0): Q8_PARTNER,
        (Op.MUL_MAT, Type.Q4_1): Q8_PARTNER,
        (Op.MUL_MAT, Type.Q8_0): Q8_PARTNER,
        (Op.ROPE, Type.F32): ANGLES,
        (Op.ROPE, Type.F16): F16_ANGLES,
        (Op.FLASH_ATTN_EXT, Type.F32): ELEMENTARY,
        (Op.FLASH_ATTN_EXT, Type.F16): F16_ATTENTION,
    }
)


def tolerance_of(case: Case) -> Tolerance:
    """The row of the table for `case`; KeyError where the table has none."""
    source = case.srcs[DECIDING_SOURCE.get(case.op, 0)]
    if source is None:
        raise ValueError(f"{case.op.name} has no source that decides its precision")
    return TOLERANCES[case.op, source.type]
