"""Cases of GLU in all kinds: two sources or one, F32, F16 and BF16."""

from collections.abc import Iterator

import numpy as np

from refimpl.kernels.cases.build import Layout, dim, empty, full, normal, store
from refimpl.kernels.operand import Case, Operand
from spec.names import Glu, Op, Type

__all__ = ["gates"]

PARAMETERS: dict[int, int | float] = {2: 1.702, 3: 2.0}
"""alpha and limit of the kinds that have them; the limit is within reach"""


def gates(rng: np.random.Generator) -> Iterator[Case]:
    """All of them."""
    for kind in Glu:
        for type_ in (Type.F32, Type.F16, Type.BF16):
            if kind != Glu.SWIGLU_OAI or type_ == Type.F32:
                yield from _kind(rng, kind, type_)


def _wide(rng: np.random.Generator, operand: Operand, size: float) -> Operand:
    return store(operand, size * rng.standard_normal(operand.ne[::-1]))


def _kind(rng: np.random.Generator, kind: Glu, type_: Type) -> Iterator[Case]:
    name, words = f"{kind.name} {type_.name}", {0: int(kind), **PARAMETERS}
    for ne in (dim(1), dim(7, 3), dim(64, 5, 2), dim(1536), dim(96, 33), dim(17, 2, 3, 2), dim(16, 0)):
        srcs = _wide(rng, empty(type_, ne), 2.0), normal(rng, type_, ne)
        yield full(Op.GLU, f"{name} two sources {ne}", srcs, empty(type_, ne), words)
        for swapped in (0, 1):
            fused = normal(rng, type_, dim(2 * ne[0], *ne[1:]))
            label = f"{name} halves of {fused.ne}{', swapped' if swapped else ''}"
            yield full(Op.GLU, label, (fused,), empty(type_, ne), words | {1: swapped})
    odd = normal(rng, type_, dim(15, 4))
    yield full(Op.GLU, f"{name} halves of an odd row", (odd,), empty(type_, dim(7, 4)), words)
    gaps = normal(rng, type_, dim(20, 6), Layout(slack=4)), normal(rng, type_, dim(20, 6), Layout(slack=7, lead=1))
    yield full(Op.GLU, f"{name} rows with gaps", gaps, empty(type_, dim(20, 6)), words)
    fused = normal(rng, type_, dim(40, 6), Layout(slack=4, lead=1))
    yield full(Op.GLU, f"{name} halves of rows with gaps", (fused, None), empty(type_, dim(20, 6)), words)
    far = _wide(rng, empty(type_, dim(64, 3)), 60.0), normal(rng, type_, dim(64, 3))
    yield full(Op.GLU, f"{name} gates far from zero", far, empty(type_, dim(64, 3)), words)
