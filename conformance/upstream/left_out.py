"""What each op is asked, and what is left out of it so far, with the reason.

Patterns are matched with a case's parameters as test-backend-ops writes them; they are regular expressions that Python
and C++ read alike.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from conformance.upstream.cases import Without

__all__ = ["LEFT_OUT", "OPS"]

FUNCTIONS = (
    *("ABS", "SGN", "NEG", "STEP", "TANH", "ELU", "RELU", "SIGMOID", "GELU", "GELU_QUICK", "SILU", "HARDSWISH"),
    *("HARDSIGMOID", "EXP", "EXPM1", "SOFTPLUS", "GELU_ERF", "XIELU", "FLOOR", "CEIL", "ROUND", "TRUNC"),
)
"""of UNARY"""
GATES = ("REGLU", "GEGLU", "SWIGLU", "SWIGLU_OAI", "GEGLU_ERF", "GEGLU_QUICK")
"""of GLU"""
OPS = (
    *("ADD", "SUB", "MUL", "DIV", "SQR", "SQRT", "LOG", "SIN", "COS", "SCALE", "CLAMP", "FILL", "ADD_ID"),
    *FUNCTIONS,
    *GATES,
    *("NORM", "L2_NORM", "RMS_NORM", "SOFT_MAX", "SUM", "SUM_ROWS", "MEAN", "ARGSORT", "TOP_K"),
    *("DUP", "CONT", "CPY", "GET_ROWS", "SET_ROWS", "CONCAT", "REPEAT", "PAD", "ARANGE"),
    *("ROPE", "MUL_MAT", "MUL_MAT_ID", "FLASH_ATTN_EXT"),
)
"""names as test-backend-ops has them: those that our CPU device serves"""

BF16 = Without(r"^type=bf16", "arithmetic on BF16, which holds weights and cached keys and values alone")
I16 = Without(r"type(_src)?=i16|type_dst=i16", "I16, which no model holds")

LEFT_OUT: Mapping[str, Sequence[Without]] = MappingProxyType(
    {
        **dict.fromkeys(("ADD", "SUB", "MUL", "DIV", "SCALE", "SQR", "SQRT", "LOG", "SIN", "COS"), (BF16,)),
        **dict.fromkeys(("CLAMP", "FILL", *FUNCTIONS, *GATES), (BF16,)),
        "DUP": (I16,),
        "ROPE": (Without(r"mode=(8|24|40)", "positions in several sections, as models of pictures have them"),),
    }
)
