"""Cases of MUL_MAT_ID and ADD_ID: every weight type, few and many slots for an expert, ids in wider rows, bad ids."""

from collections.abc import Iterator

import attrs
import numpy as np

from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.cases.build import AS_IS, Extents, Layout, case, dim, empty, full, normal, off_ties, store
from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle.mul_mat import MATVEC
from spec.names import Op, Type

__all__ = ["expert_faults", "experts"]

F32, I32 = Type.F32, Type.I32


def experts(rng: np.random.Generator) -> Iterator[Case]:
    """All of them that a backend must compute."""
    for type_ in MATVEC:
        yield from _products(rng, type_)
    yield from _biases(rng)


def _activations(rng: np.random.Generator, type_: Type, ne: Extents, layout: Layout = AS_IS) -> Operand:
    unit = max(32, FORMATS[type_].block)
    return store(empty(F32, ne, layout), off_ties(rng.standard_normal(ne[::-1]), unit))


def _ids(rng: np.random.Generator, used: int, tokens: int, count: int, wide: bool = False) -> Operand:
    """Different experts for each token; `wide`: a view of rows that hold all of them."""
    chosen = np.array([rng.permutation(count) for _ in range(tokens)]).reshape(1, 1, tokens, count)
    if wide:
        whole = store(empty(I32, dim(count, tokens)), chosen)
        return attrs.evolve(whole, ne=dim(used, tokens))
    return store(empty(I32, dim(used, tokens)), np.ascontiguousarray(chosen[..., :used]))


def _products(rng: np.random.Generator, type_: Type) -> Iterator[Case]:
    k, name = 2 * max(32, FORMATS[type_].block), type_.name
    for m, count, used, tokens in ((33, 4, 2, 1), (64, 4, 2, 7), (17, 3, 3, 40), (144, 8, 4, 3), (16, 1, 1, 2)):
        for rows in {1, used}:
            srcs = normal(rng, type_, dim(k, m, count)), _activations(rng, type_, dim(k, rows, tokens))
            label = f"{name} m {m}, {used} of {count} experts, {rows} rows for {tokens} tokens"
            for wide in (False, True):
                ids = _ids(rng, used, tokens, count, wide)
                dst = empty(F32, dim(m, used, tokens))
                yield case(Op.MUL_MAT_ID, label + ", wide ids" * wide, (*srcs, ids), dst)
    weights = normal(rng, type_, dim(k, 19, 3), Layout(slack=2, lead=1))
    x = _activations(rng, type_, dim(k, 2, 20), Layout(slack=12, lead=3))
    dst = empty(F32, dim(19, 2, 20), Layout(slack=3, lead=1))
    yield case(Op.MUL_MAT_ID, f"{name} all with gaps", (weights, x, _ids(rng, 2, 20, 3)), dst)
    crowd = store(empty(I32, dim(2, 20)), np.full((1, 1, 20, 2), 1))
    weights, x = normal(rng, type_, dim(k, 70, 3)), _activations(rng, type_, dim(k, 2, 20))
    yield case(Op.MUL_MAT_ID, f"{name} one expert for all", (weights, x, crowd), empty(F32, dim(70, 2, 20)))


def _biases(rng: np.random.Generator) -> Iterator[Case]:
    for n, count, used, tokens in ((7, 4, 2, 1), (64, 8, 4, 33), (37, 3, 3, 5)):
        for wide in (False, True):
            srcs = normal(rng, F32, dim(n, used, tokens)), normal(rng, F32, dim(n, count))
            ids = _ids(rng, used, tokens, count, wide)
            label = f"{used} of {count} for {tokens} tokens{', wide ids' * wide}"
            yield case(Op.ADD_ID, label, (*srcs, ids), empty(F32, dim(n, used, tokens)))
    gaps = Layout(slack=2, lead=1)
    x, table = normal(rng, F32, dim(20, 2, 6), gaps), normal(rng, F32, dim(20, 3), gaps)
    yield case(Op.ADD_ID, "all with gaps", (x, table, _ids(rng, 2, 6, 3)), empty(F32, dim(20, 2, 6), gaps))
    place = normal(rng, F32, dim(40, 2, 3))
    yield case(Op.ADD_ID, "in place", (place, normal(rng, F32, dim(40, 5)), _ids(rng, 2, 3, 5)), attrs.evolve(place))


def expert_faults(rng: np.random.Generator) -> Iterator[Case]:
    """An id one past the end, far past it, and negative."""
    for bad in (-1, 4, 1 << 30, -(1 << 31)):
        for used, tokens, at in ((1, 1, 0), (2, 5, 3), (4, 33, 100)):
            chosen = np.array([rng.permutation(4)[:used] for _ in range(tokens)]).reshape(-1)
            chosen[at] = bad
            ids = store(empty(I32, dim(used, tokens)), chosen.reshape(1, 1, tokens, used))
            label = f"id {bad} at {at} of {used * tokens}"
            x = normal(rng, F32, dim(64, used, tokens))
            yield case(Op.ADD_ID, label, (x, normal(rng, F32, dim(64, 4)), ids), empty(F32, x.ne))
            for type_ in (F32, Type.Q8_0):
                srcs = normal(rng, type_, dim(64, 33, 4)), x, ids
                yield full(Op.MUL_MAT_ID, label, srcs, empty(F32, dim(33, used, tokens)), {})
