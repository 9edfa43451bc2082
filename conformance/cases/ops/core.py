"""OP-CORE: what a graph of the Llama architecture is made of, asked of every server.

Rules
- The samples are those of the ops' own clauses. There a closed connection says that there is no kernel (GRAPH-19); here
  it is a failure, at the level of OP-CORE.
- Each is here for what such a graph does with it.
"""

from collections.abc import Mapping

from conformance.cases.ops.ask import required
from conformance.cases.ops.listed import ENTRIES
from conformance.judge.case import Case, Section

__all__ = ["CASES", "CORE"]

WEIGHTS = ("f32", "f16", "q4-0", "q8-0", "q4-k", "q6-k")
"""what model files hold: whole ones, and the usual quantisations (Q4_K_M is Q4_K and Q6_K)"""

CORE: Mapping[str, str] = {
    **{f"GET_ROWS/{kind}": "embeddings of tokens" for kind in WEIGHTS},
    "RMS_NORM/f32": "norms",
    "MUL/one-row": "weights of norms",
    "ADD/same-extents": "the residual stream",
    "ADD/one-row": "biases",
    **{f"MUL_MAT/{kind}-vector": "every projection, one token" for kind in WEIGHTS},
    **{f"MUL_MAT/{kind}-matrix": "every projection, several tokens" for kind in WEIGHTS},
    "ROPE/normal-f32": "positions",
    "ROPE/neox-f32": "positions of models that pair halves",
    "SET_ROWS/f16-i64": "keys and values into the cache",
    "SET_ROWS/rows-of-one-element": "values into a transposed cache",
    "FLASH_ATTN_EXT/cache": "attention",
    "MUL_MAT/permuted-f16": "scores, where attention is not fused",
    "SOFT_MAX/mask-f32": "weights of the scores",
    "CONT/planes-f32": "heads side by side again",
    "GLU/swiglu-two-operands": "the feed-forward network",
}
"""sample > what it is needed for"""


def _cases() -> Mapping[str, Case]:
    section = Section()
    for name, use in CORE.items():
        entry = ENTRIES[name]
        op = entry.op.lower().replace("_", "-")
        case = Case(
            id=f"OP-CORE/{op}-{entry.slug}", title=f"{entry.title}: {use}", script=required(entry), ordinary=True
        )
        section.add(case)
    return section.cases


CASES = _cases()
"""cases by id"""
