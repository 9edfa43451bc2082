"""What the operands of a drawn node hold: numbers that the oracle and a kernel agree about, indices that are in range.

Each operand that is no view of another has an array of its own; memory that no element owns holds what reads as NaN in
every float type.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.cases.build import JUNK, SCALE_SIZES, SCALES, off_ties, store
from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle.views import byte_index, shape
from spec.names import Op, Type

__all__ = ["INDICES", "apart", "filled", "spoiled"]

INDICES: Mapping[Op, int] = MappingProxyType({Op.GET_ROWS: 1, Op.SET_ROWS: 1, Op.ADD_ID: 2, Op.MUL_MAT_ID: 2})
"""which operand of an op holds indices"""
TABLES: Mapping[Op, tuple[int, int]] = MappingProxyType(
    {Op.GET_ROWS: (0, 1), Op.SET_ROWS: (2, 1), Op.ADD_ID: (1, 1), Op.MUL_MAT_ID: (0, 2)}
)
"""into which dimension of which operand they point"""
MASKS: Mapping[Op, int] = MappingProxyType({Op.SOFT_MAX: 1, Op.FLASH_ATTN_EXT: 3})
QUANTISED: Mapping[Op, tuple[int, int]] = MappingProxyType(
    {Op.MUL_MAT: (1, 0), Op.MUL_MAT_ID: (1, 0), Op.FLASH_ATTN_EXT: (0, 1)}
)
"""operand that is quantised on the way to meet which other"""
HINT, HADAMARD = 1, 1
"""op_params word of MUL_MAT, and what it says of src0"""
LAST_POSITION = 1000
HIDDEN = 0.2
"""part of a mask that is -inf"""
FAR = (1 << 31) - 1, -(1 << 31), 1 << 30, -1, 255, 65536
FARTHER = (1 << 40, -(1 << 40), (1 << 63) - 1, -(1 << 63), 1 << 32)
"""what only 64 bits hold; the last one looks like 0 to whoever takes 32"""


def apart(case: Case) -> Case:
    """A copy in which operands that share no byte share no array either."""
    spans = {id(one): _span(one) for one in _operands(case)}
    groups: list[tuple[int, int]] = []
    for begin, end in sorted(spans.values()):
        if groups and begin < groups[-1][1]:
            groups[-1] = groups[-1][0], max(end, groups[-1][1])
        else:
            groups.append((begin, end))
    arrays = {begin: np.full(end - begin, JUNK, np.uint8) for begin, end in groups}

    def moved(one: Operand) -> Operand:
        begin = max(start for start in arrays if start <= spans[id(one)][0])
        return attrs.evolve(one, data=arrays[begin], offset=one.offset - begin)

    srcs = tuple(None if one is None else moved(one) for one in case.srcs)
    return attrs.evolve(case, srcs=srcs, dst=moved(case.dst))


def _operands(case: Case) -> list[Operand]:
    return [case.dst, *(one for one in case.srcs if one is not None)]


def _span(one: Operand) -> tuple[int, int]:
    index = byte_index(one)
    return int(index.min()), int(index.max()) + 1


def filled(case: Case, rng: np.random.Generator) -> Case:
    """The same case after its operands have got their contents."""
    for slot, one in enumerate(case.srcs):
        if one is None:
            continue
        if slot == INDICES.get(case.op):
            store(one, _indices(case, one, rng))
        elif one.type in (Type.I32, Type.I64):
            limit = LAST_POSITION if case.op == Op.ROPE else 1 << 30
            store(one, rng.integers(0, limit, shape(one)))
        elif FORMATS[one.type].block > 1:
            _store_blocks(one, rng)
        else:
            store(one, _numbers(case, slot, one, rng))
    return case


def _limit(case: Case) -> int:
    slot, dim = TABLES[case.op]
    table = case.srcs[slot]
    assert table is not None
    return table.ne[dim]


def _indices(case: Case, one: Operand, rng: np.random.Generator) -> NDArray[np.int64]:
    """Of SET_ROWS different ones in each row of the operand, since two rows for one place have no defined winner."""
    limit = _limit(case)
    if case.op != Op.SET_ROWS:
        return rng.integers(0, limit, shape(one))
    rows = [rng.permutation(limit)[: one.ne[0]] for _ in range(int(np.prod(one.ne[1:])))]
    return np.array(rows, np.int64).reshape(shape(one))


def _store_blocks(one: Operand, rng: np.random.Generator) -> None:
    index = byte_index(one)
    packed = rng.integers(0, 256, index.shape, dtype=np.uint8)
    for at in SCALES[one.type]:
        scales = rng.uniform(*SCALE_SIZES[FORMATS[one.type].block], (*index.shape[:-1], 1))
        packed[..., at : at + 2] = np.ascontiguousarray(scales.astype("<f2")).view(np.uint8)
    one.data[index] = packed


def _numbers(case: Case, slot: int, one: Operand, rng: np.random.Generator) -> NDArray[np.float64]:
    values = rng.standard_normal(shape(one))
    if case.op == Op.MUL_MAT and slot == 0 and case.params[HINT] == HADAMARD:
        return _hadamard(one.ne[0])
    if slot == MASKS.get(case.op):
        values[rng.random(values.shape) < HIDDEN] = -np.inf
        values[..., 0] = 0.0
    if case.op == Op.ROPE and slot == 2:
        values = rng.uniform(0.5, 2.0, values.shape)
    if case.op in QUANTISED and slot == QUANTISED[case.op][0]:
        partner = case.srcs[QUANTISED[case.op][1]]
        assert partner is not None
        block = FORMATS[partner.type].block
        return off_ties(values, block) if block > 1 else values
    return values


def _hadamard(size: int) -> NDArray[np.float64]:
    """(1, 1, size, size), as the hint says."""
    signs = np.ones((1, 1))
    while len(signs) < size:
        signs = np.block([[signs, signs], [signs, -signs]])
    return np.asarray((signs / np.sqrt(size))[None, None], np.float64)


def spoiled(case: Case, rng: np.random.Generator) -> Case:
    """The same case after one index or some of them have become wrong."""
    slot = INDICES[case.op]
    one = case.srcs[slot]
    assert one is not None
    indices, limit = _indices(case, one, rng).reshape(-1), _limit(case)
    wrong: Sequence[int] = [value for value in (*FAR, limit, limit + 1) if not 0 <= value < limit]
    if one.type == Type.I64:
        wrong = [*wrong, *FARTHER]
    places = rng.permutation(len(indices))[: rng.integers(1, 1 + min(3, len(indices)))]
    for place in places:
        indices[place] = wrong[int(rng.integers(len(wrong)))]
    store(one, indices.reshape(shape(one)))
    return case
