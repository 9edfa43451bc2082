"""How far a result may lie from exact arithmetic (OP-ACCURACY), as a table with reasons.

Rules
- An element passes when it is off by no more than `relative` of itself plus `of_all` times the size of all (the root
  of the mean square of what is wanted) plus half a step of the result's type.
- `nmse` bounds the mean square of what all elements are off by, in parts of the mean square of what is wanted.
- A bound has a reason that does not name an implementation's habits beyond what the op's note admits.
"""

from collections.abc import Mapping
from types import MappingProxyType

import attrs
import numpy as np

from conformance.cases.ops.blocks.formats import Array

__all__ = ["EXACT", "ROUNDING", "TOLERANCES", "Tolerance", "tolerance_of"]


@attrs.frozen(kw_only=True)
class Tolerance:
    """Bounds on a result, and why they are what they are."""

    relative: float = 0.0
    of_all: float = 0.0
    nmse: float | None = None
    reason: str

    @property
    def exact(self) -> bool:
        """Whether nothing but the very value is right."""
        return self.relative == self.of_all == 0

    def bound(self, want: Array) -> Array:
        """How far each element may be off, but for its rounding."""
        finite = want[np.isfinite(want)]
        size = float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0
        return self.relative * np.abs(np.where(np.isfinite(want), want, 0.0)) + self.of_all * size


ROUNDING = MappingProxyType({"F32": 2.0**-23, "F16": 2.0**-10, "BF16": 2.0**-7})
"""a whole step at 1: what rounds twice on its way is off by one"""

EXACT = Tolerance(reason="elements are copied, selected or counted: nothing is rounded")
ONE_STEP = Tolerance(relative=2.0**-23, reason="one operation in F32, rounded once")
FUNCTIONS = Tolerance(
    relative=1e-5,
    of_all=1e-6,
    reason="functions of mathematical libraries and their vectorised forms differ in last digits",
)
SUMS = Tolerance(relative=1e-5, of_all=1e-5, nmse=1e-10, reason="short sums in F32, in any order")
STEPS = Tolerance(relative=1e-4, of_all=1e-5, nmse=1e-9, reason="a recurrence over a few tokens in F32")
ANGLES = Tolerance(
    relative=1e-4, of_all=1e-4, nmse=1e-9, reason="frequencies may be formed by multiplying step by step in F32"
)
HALVES = Tolerance(
    relative=2e-3,
    of_all=2e-3,
    nmse=1e-6,
    reason="the note admits that operand and result are rounded to F16 on the way",
)
QUANTISED = Tolerance(
    of_all=0.12, nmse=5e-4, reason="the right side may be rounded to 8 bits a code, as the op's note admits"
)
TO_F16 = Tolerance(
    of_all=5e-3, nmse=1e-6, reason="the right side may be rounded to F16, as the op's note admits, and sums are in F32"
)
TO_BF16 = Tolerance(
    of_all=4e-2, nmse=1e-4, reason="the right side may be rounded to BF16, as the op's note admits, and sums are in F32"
)
ATTENTION = Tolerance(relative=2e-3, of_all=5e-3, nmse=1e-5, reason="queries, weights and sums may be rounded to F16")
ATTENTION_QUANTISED = Tolerance(
    relative=2e-3, of_all=5e-2, nmse=5e-4, reason="queries may be rounded to 8 bits a code for quantised keys"
)
ATTENTION_BF16 = Tolerance(
    relative=2e-2, of_all=4e-2, nmse=5e-4, reason="queries may be rounded to BF16 for keys in BF16"
)

TOLERANCES: Mapping[str, Tolerance] = MappingProxyType(
    {
        **dict.fromkeys(
            ("DUP", "CPY", "CONT", "REPEAT", "CONCAT", "PAD", "PAD_REFLECT_1D", "ROLL", "DIAG", "TRI", "FILL", "CLAMP"),
            EXACT,
        ),
        **dict.fromkeys(
            ("DIAG_MASK_INF", "DIAG_MASK_ZERO", "GET_ROWS", "SET_ROWS", "SET", "IM2COL", "IM2COL_3D"), EXACT
        ),
        **dict.fromkeys(("ARGMAX", "ARGSORT", "TOP_K", "COUNT_EQUAL", "WIN_PART", "WIN_UNPART", "GET_REL_POS"), EXACT),
        **dict.fromkeys(("NONE", "RESHAPE", "VIEW", "PERMUTE", "TRANSPOSE"), EXACT),
        **dict.fromkeys(("ADD", "ADD_ID", "ADD1", "ACC", "SUB", "MUL", "DIV", "SQR", "SQRT", "LEAKY_RELU"), ONE_STEP),
        "SCALE": Tolerance(relative=2.0**-22, of_all=2.0**-23, reason="a product and a sum in F32, fused or not"),
        "ARANGE": Tolerance(
            relative=2.0**-21, of_all=2.0**-23, reason="a product and a sum in F32, or sums step by step"
        ),
        **dict.fromkeys(("LOG", "SIN", "COS", "UNARY", "GLU", "SILU_BACK"), FUNCTIONS),
        "TIMESTEP_EMBEDDING": ANGLES,
        **dict.fromkeys(("SUM", "SUM_ROWS", "CUMSUM", "MEAN", "REPEAT_BACK", "GET_ROWS_BACK", "IM2COL_BACK"), SUMS),
        **dict.fromkeys(("NORM", "RMS_NORM", "RMS_NORM_BACK", "GROUP_NORM", "L2_NORM", "POOL_1D", "POOL_2D"), SUMS),
        **dict.fromkeys(("POOL_2D_BACK", "UPSCALE", "SOFT_MAX", "SOFT_MAX_BACK", "ADD_REL_POS", "COL2IM_1D"), SUMS),
        **dict.fromkeys(("MUL_MAT", "MUL_MAT_ID", "OUT_PROD", "SSM_CONV", "CROSS_ENTROPY_LOSS"), SUMS),
        **dict.fromkeys(
            ("CROSS_ENTROPY_LOSS_BACK", "OPT_STEP_ADAMW", "OPT_STEP_SGD", "DSV4_HC_PRE", "DSV4_HC_POST"), SUMS
        ),
        **dict.fromkeys(("CONV_2D", "CONV_3D", "CONV_2D_DW", "CONV_TRANSPOSE_1D", "CONV_TRANSPOSE_2D"), SUMS),
        **dict.fromkeys(("SSM_SCAN", "RWKV_WKV6", "RWKV_WKV7", "GATED_LINEAR_ATTN", "GATED_DELTA_NET"), STEPS),
        **dict.fromkeys(("SOLVE_TRI", "DSV4_HC_COMB", "FLASH_ATTN_BACK"), STEPS),
        **dict.fromkeys(("ROPE", "ROPE_BACK"), ANGLES),
        "FLASH_ATTN_EXT": ATTENTION,
        "LIGHTNING_INDEXER": SUMS,
    }
)
"""op > tolerance, with all operands in F32"""

OF_WEIGHTS: Mapping[str, Tolerance] = MappingProxyType({"F16": TO_F16, "BF16": TO_BF16})
OF_KEYS: Mapping[str, Tolerance] = MappingProxyType({"F32": ATTENTION, "F16": ATTENTION, "BF16": ATTENTION_BF16})
ROUNDED_BY_WEIGHTS = frozenset({"MUL_MAT", "MUL_MAT_ID", "OUT_PROD"})
CONVOLUTIONS = frozenset({"CONV_2D", "CONV_3D", "CONV_TRANSPOSE_1D", "CONV_TRANSPOSE_2D"})


def tolerance_of(op: str, operands: tuple[str, ...]) -> Tolerance:
    """The tolerance of an op with operands of these types, by slot."""
    if op == "FLASH_ATTN_EXT":
        return OF_KEYS.get(operands[1], ATTENTION_QUANTISED)
    if op == "LIGHTNING_INDEXER":
        return TOLERANCES[op] if operands[1] == "F32" else OF_WEIGHTS.get(operands[1], QUANTISED)
    first = operands[0] if operands else "F32"
    if first == "F32" or op not in ROUNDED_BY_WEIGHTS | CONVOLUTIONS:
        return TOLERANCES[op]
    return OF_WEIGHTS.get(first, QUANTISED)
