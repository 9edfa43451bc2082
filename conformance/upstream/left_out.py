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
GATES = ("REGLU", "GEGLU", "SWIGLU", "SWIGLU_OAI", "SWIGLU_CLAMP", "GEGLU_ERF", "GEGLU_QUICK")
"""of GLU"""
OPS = (
    *("ADD", "SUB", "MUL", "DIV", "SQR", "SQRT", "LOG", "SIN", "COS", "SCALE", "CLAMP", "FILL", "ADD_ID"),
    *FUNCTIONS,
    *GATES,
    *("NORM", "L2_NORM", "RMS_NORM", "SOFT_MAX", "SUM", "SUM_ROWS", "MEAN", "ARGSORT", "TOP_K"),
    *("DUP", "CONT", "CPY", "GET_ROWS", "SET_ROWS", "CONCAT", "REPEAT", "PAD", "ARANGE"),
    *("ROPE", "MUL_MAT", "MUL_MAT_HADAMARD", "MUL_MAT_ID", "FLASH_ATTN_EXT"),
)
"""names as test-backend-ops has them: those that our CPU device serves"""

UNREAD = Without(
    r"type(_a|_src|_dst)?=(i8|i16|q1_0|q2_0|q2_K|q3_K|tq1_0|tq2_0|iq\w+|mxfp4|nvfp4)\b", "types that are not served yet"
)
UNREAD_CACHES = Without(r"type_[KV]=(iq4_nl|q1_0|q2_0)", "types that are not served yet")
HALVES = Without(r"type_b=(f16|bf16)", "right sides that are not F32, which no graph of a language model has")
UNWRITTEN = Without(r"type_dst=q[456]_K", "K types are read only: keys and values are not kept in them")
UNCONVERTED = Without(
    r"type_src=bf16,type_dst=q|type_src=i32,type_dst=f32|type_src=f32,type_dst=i32",
    "conversions that no model asks for",
)
SECTIONS = Without(r"mode=(8|24|40)\b", "positions in several sections, as models of pictures have them")
BF16 = Without(r"type=bf16", "BF16, which no graph of a language model scales")
I16 = Without(r"type=i16", "I16, which no model holds")

HUGE = Without(r"n_mats=128,.*m=4096", "a billion weights, which test-backend-ops takes minutes to quantise")
TRANSPOSED = Without(
    r"permute=\[1,0,2,3\]",
    "stock's CPU device takes other elements of a transposed tensor, which it only asserts not to get",
)

LEFT_OUT: Mapping[str, Sequence[Without]] = MappingProxyType(
    {
        "SCALE": (BF16,),
        "DUP": (I16,),
        "SUM": (TRANSPOSED,),
        "GET_ROWS": (UNREAD,),
        "SET_ROWS": (UNREAD, UNWRITTEN),
        "CPY": (UNREAD, UNWRITTEN, UNCONVERTED),
        "MUL_MAT": (UNREAD, HALVES),
        "MUL_MAT_HADAMARD": (HALVES,),
        "MUL_MAT_ID": (UNREAD, HALVES, HUGE),
        "ROPE": (SECTIONS,),
        "FLASH_ATTN_EXT": (UNREAD_CACHES,),
    }
)
