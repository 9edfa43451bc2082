"""A sound graph of one node for every op that executes: what the malformed ones are made from.

Rules
- A tensor is written as its type and extents, fastest first: "F32 6 4 2".
- Extents are small. An operand that may be repeated has divisors of the extents of the one that it is repeated to.
- Values are zeros, so nothing is looked at but whether the graph is taken. Results are looked at in ops/.
"""

from collections.abc import Mapping, Sequence

import attrs

from conformance.cases.graph.build import Graph, Param, Tensor, graph, leaf, node

__all__ = ["SOUND", "Sound", "tensor"]


def tensor(text: str) -> Tensor:
    """A leaf from its type and extents."""
    kind, *ne = text.split()
    return leaf(kind, [int(extent) for extent in ne])


@attrs.frozen(kw_only=True)
class Sound:
    """The node of an op: result, operands by slot, parameters; `onto` is the slot whose bytes the result shares."""

    op: str
    result: str
    operands: Sequence[str] = ()
    params: Mapping[str, Param] = attrs.field(factory=dict)
    onto: int | None = None

    def graph(self) -> Graph:
        """The graph of that node, made anew."""
        kind, *ne = self.result.split()
        operands = [tensor(text) for text in self.operands]
        home = None if self.onto is None else operands[self.onto]
        return graph(node(self.op, kind, [int(n) for n in ne], *operands, params=self.params, onto=home))


_all: dict[str, Sound] = {}
SOUND: Mapping[str, Sound] = _all
"""by op"""


def _is(op: str, result: str, *operands: str, **params: Param) -> None:
    _all[op] = Sound(op=op, result=result, operands=operands, params=params)


def _is_onto(slot: int, op: str, result: str, *operands: str) -> None:
    _all[op] = Sound(op=op, result=result, operands=operands, onto=slot)


MATRIX = "F32 6 4 2"
EPS = 1e-5
WINDOW: Mapping[str, Param] = {"nb1": 24, "nb2": 96, "nb3": 96, "offset": 32}
ROTATION: Mapping[str, Param] = {
    "n_dims": 8,
    "n_ctx_orig": 64,
    "freq_base": 10000.0,
    "freq_scale": 1.0,
    "attn_factor": 1.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
}
FLAT_CONVOLUTION: Mapping[str, Param] = {"s0": 1, "s1": 1, "d0": 1, "d1": 1}
DEEP_CONVOLUTION: Mapping[str, Param] = {"s": (1, 1, 1), "d": (1, 1, 1), "ic": 4}
POOLING: Mapping[str, Param] = {"k0": 3, "k1": 2, "s0": 2, "s1": 3, "p0": 1, "p1": 1}

for _op in ("ADD", "SUB", "MUL", "DIV"):
    _is(_op, "F32 6 4 2 3", "F32 6 4 2 3", "F32 3 2 1 3")
for _op in ("SQR", "SQRT", "LOG", "SIN", "COS", "CUMSUM", "DUP", "CONT", "ROLL", "UNARY"):
    _is(_op, MATRIX, MATRIX)
for _op in ("SUM_ROWS", "MEAN"):
    _is(_op, "F32 1 4 2", MATRIX)
for _op in ("NORM", "RMS_NORM", "L2_NORM"):
    _is(_op, MATRIX, MATRIX, eps=EPS)
for _op in ("DIAG_MASK_INF", "DIAG_MASK_ZERO"):
    _is(_op, MATRIX, MATRIX, n_past=2)
for _op in ("ROPE", "ROPE_BACK"):
    _is(_op, "F32 8 2 3", "F32 8 2 3", "I32 3", "F32 4", **ROTATION)

_is("ADD_ID", "F32 4 2 3", "F32 4 2 3", "F32 4 5", "I32 2 3")
_is("ADD1", MATRIX, MATRIX, "F32 1")
_is("ACC", "F32 6 4", "F32 6 4", "F32 3 2", **WINDOW)
_is("SET", "F32 6 4", "F32 6 4", "F32 3 2", **WINDOW)
_is("SUM", "F32 1", MATRIX)
_is("ARGMAX", "I32 4", "F32 6 4")
_is("COUNT_EQUAL", "I64 1", "I32 6 4 2", "I32 6 4 2")
_is("REPEAT", "F32 6 4 2", "F32 3 2 1")
_is("REPEAT_BACK", "F32 3 2 1", "F32 6 4 2")
_is("CONCAT", "F32 6 7 2", "F32 6 4 2", "F32 6 3 2", dim=1)
_is("SILU_BACK", MATRIX, MATRIX, MATRIX)
_is("RMS_NORM_BACK", MATRIX, MATRIX, MATRIX, eps=EPS)
_is("GROUP_NORM", "F32 4 3 6 2", "F32 4 3 6 2", n_groups=2, eps=EPS)
_is("MUL_MAT", "F32 3 5 4 6", "F32 8 3 2 2", "F32 8 5 4 6")
_is("MUL_MAT_ID", "F32 3 2 5", "F32 8 3 4", "F32 8 1 5", "I32 2 5")
_is("OUT_PROD", "F32 3 5 4 6", "F32 3 7 2 2", "F32 5 7 4 6")
_is("SCALE", MATRIX, MATRIX, scale=2.0)
_is_onto(1, "CPY", "F16 6 4 2", MATRIX, "F16 6 4 2")
_is("GET_ROWS", "F32 8 4 2 3", "F32 8 5 2 3", "I32 4 2 3")
_is("GET_ROWS_BACK", "F32 8 5", "F32 8 4", "I32 4")
_is_onto(2, "SET_ROWS", "F32 8 5 4 3", "F32 8 6 4 3", "I64 6 2 1", "F32 8 5 4 3")
_is("DIAG", "F32 4 4 2 3", "F32 4 1 2 3")
_is("SOFT_MAX", "F32 6 4 2 3", "F32 6 4 2 3", "F32 6 4 1 1", "F32 2", scale=1.0)
_is("SOFT_MAX_BACK", MATRIX, MATRIX, MATRIX, scale=1.0)
_is("CLAMP", MATRIX, MATRIX, min=-1.0, max=1.0)
_is("CONV_TRANSPOSE_1D", "F32 11 4", "F32 3 4 2", "F32 5 2", s0=2, d0=1)
_is("IM2COL", "F32 24 5 6 2", "F32 3 2 4 5", "F32 7 7 4 2", is_2D=1, **FLAT_CONVOLUTION)
_is("IM2COL_BACK", "F32 7 7 4 2", "F32 24 5 6 2", "F32 3 2 4 5", is_2D=1, **FLAT_CONVOLUTION)
_is("IM2COL_3D", "F32 48 5 6 8", "F32 3 2 2 4", "F32 7 7 5 8", **DEEP_CONVOLUTION)
_is("COL2IM_1D", "F32 9 4", "F32 12 5", s0=2, oc=4, p0=1)
_is("CONV_2D", "F32 5 6 3 2", "F32 3 2 4 3", "F32 7 7 4 2", **FLAT_CONVOLUTION)
_is("CONV_3D", "F32 5 6 4 6", "F32 3 2 2 12", "F32 7 7 5 8", **DEEP_CONVOLUTION, n=2, oc=3)
_is("CONV_2D_DW", "F32 5 6 4 2", "F32 3 2 1 4", "F32 7 7 4 2", **FLAT_CONVOLUTION)
_is("CONV_TRANSPOSE_2D", "F32 11 8 4 1", "F32 3 2 4 2", "F32 5 4 2 1", stride=2)
_is("POOL_1D", "F32 4 4 2 3", "F32 7 4 2 3", k0=3, s0=2, p0=1)
_is("POOL_2D", "F32 4 3 2 3", "F32 7 6 2 3", **POOLING)
_is("POOL_2D_BACK", "F32 7 6 2 3", "F32 4 3 2 3", "F32 7 6 2 3", **POOLING)
_is("UPSCALE", "F32 6 4 2 3", "F32 3 2 2 3")
_is("PAD", "F32 9 5 2 3", "F32 6 4 2 3", pads=(1, 2, 0, 1, 0, 0, 0, 0))
_is("PAD_REFLECT_1D", "F32 9 4 2 3", "F32 6 4 2 3", p0=1, p1=2)
_is("ARANGE", "F32 5", start=0.0, stop=5.0, step=1.0)
_is("TIMESTEP_EMBEDDING", "F32 8 3", "F32 3", dim=8, max_period=100)
_is("ARGSORT", "I32 6 4 2", MATRIX)
_is("TOP_K", "I32 3 4 2", MATRIX)
_is("LEAKY_RELU", MATRIX, MATRIX, slope=0.1)
_is("TRI", "F32 4 4 2 3", "F32 4 4 2 3")
_is("FILL", MATRIX, MATRIX, value=1.0)
_is("FLASH_ATTN_EXT", "F32 4 6 3 2", "F32 8 3 6 2", "F16 8 5 2 2", "F16 4 5 2 2", "F16 5 3 1 1", "F32 6", scale=1.0)
_is("FLASH_ATTN_BACK", "F32 576", "F32 8 3 4 2", "F32 8 6 2 2", "F32 6 8 2 2", "F32 8 3 4 2")
_is("SSM_CONV", "F32 3 5 2", "F32 8 3 2", "F32 4 3")
_is(
    "SSM_SCAN",
    "F32 336",
    "F32 16 4 2 3",
    "F32 4 2 5 2",
    "F32 2 5 2",
    "F32 1 2",
    "F32 16 1 5 2",
    "F32 16 1 5 2",
    "I32 2",
    K=1,
)
_is("WIN_PART", "F32 4 2 2 6", "F32 4 5 3", npx=3, npy=2, w=2)
_is("WIN_UNPART", "F32 4 5 3", "F32 4 2 2 6", w=2)
_is("GET_REL_POS", "F16 4 3 3", "F16 4 5")
_is("ADD_REL_POS", "F32 6 4 5", "F32 6 4 5", "F32 2 2 2 5", "F32 3 2 2 5")
_is("RWKV_WKV6", "F32 16 12", *("F32 8 2 4",) * 3, "F32 8 2", "F32 8 2 4", "F32 128 1")
_is("GATED_LINEAR_ATTN", "F32 16 12", *("F32 8 2 4",) * 4, "F32 128 1", scale=1.0)
_is("RWKV_WKV7", "F32 128 68", *("F32 64 2 4",) * 6, "F32 8192 1")
_is("SOLVE_TRI", "F32 4 3 2 5", "F32 3 3 2 5", "F32 4 3 2 5")
_is("GATED_DELTA_NET", "F32 32 13", *("F32 8 2 5 1",) * 2, "F32 8 4 5 1", *("F32 1 4 5 1",) * 2, "F32 8 8 4 1", K=1)
_is("LIGHTNING_INDEXER", "F32 5 3 1 2", "F32 8 6 3 2", "F32 8 1 5 2", "F32 6 3 1 2", "F16 5 3 1 1")
_is("DSV4_HC_COMB", "F32 4 4 3", "F32 24 3", "F32 3", "F32 24", eps=EPS, n_iter=2)
_is("DSV4_HC_PRE", "F32 6 3", "F32 6 4 3", "F32 4 3", scale=1.0)
_is("DSV4_HC_POST", "F32 6 4 3", "F32 6 3", "F32 6 4 3", "F32 4 3", "F32 4 4 3")
_is("CROSS_ENTROPY_LOSS", "F32 1", "F32 6 4", "F32 6 4")
_is("CROSS_ENTROPY_LOSS_BACK", "F32 6 4", "F32 1", "F32 6 4", "F32 6 4")
_is_onto(0, "OPT_STEP_ADAMW", "F32 6 4", *("F32 6 4",) * 4, "F32 7")
_is_onto(0, "OPT_STEP_SGD", "F32 6 4", "F32 6 4", "F32 6 4", "F32 2")
_is("GLU", MATRIX, MATRIX, MATRIX)
