"""Weights packed in place: as layout.py says, back without a bit lost, with the products of the rows they were."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from refimpl.device.cpu.choices.products import PRODUCTS
from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.cases.build import SCALES, case, dim, empty, normal, off_ties, store
from refimpl.kernels.cpu.compiled import Kernel
from refimpl.kernels.cpu.matmul import packing
from refimpl.kernels.cpu.matmul.layout import GROUP
from refimpl.kernels.operand import Operand
from refimpl.kernels.oracle.evaluate import evaluate
from refimpl.kernels.oracle.views import Values, reals
from refimpl.tests.kernels.cpu.calls import call
from spec.names import Op, Type

PACK: dict[Type, tuple[Kernel, Kernel]] = {
    Type.Q4_0: (packing.pack_q4_0, packing.unpack_q4_0),
    Type.Q4_1: (packing.pack_q4_1, packing.unpack_q4_1),
    Type.Q5_0: (packing.pack_q5_0, packing.unpack_q5_0),
    Type.Q5_1: (packing.pack_q5_1, packing.unpack_q5_1),
    Type.Q8_0: (packing.pack_q8_0, packing.unpack_q8_0),
    Type.Q4_K: (packing.pack_q4_k, packing.unpack_q4_k),
    Type.Q5_K: (packing.pack_q5_k, packing.unpack_q5_k),
    Type.Q6_K: (packing.pack_q6_k, packing.unpack_q6_k),
}

EXACT = (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0)
"""of whose sums none here needs more than 24 bits; a block of a K format may need more"""

types = pytest.mark.parametrize("type_", PACK, ids=lambda type_: type_.name)


def random_matrix(seed: int, type_: Type, blocks: int, groups: int) -> Operand:
    """Of any bytes, whatever numbers they are."""
    made = empty(type_, dim(FORMATS[type_].block * blocks, GROUP * groups))
    made.data[:] = np.random.default_rng(seed).integers(0, 256, made.data.size)
    return made


def by_definition(matrix: Operand) -> NDArray[np.uint8]:
    """The packed bytes as layout.py draws them."""
    form, scales = FORMATS[matrix.type], SCALES[matrix.type]
    groups = matrix.data.reshape(-1, GROUP, matrix.ne[0] // form.block, form.bytes).copy()
    if matrix.type == Type.Q8_0:
        groups[..., 2:] ^= 0x80
    if matrix.type in (Type.Q5_0, Type.Q5_1):
        fifths = slice(2 * len(scales), 2 * len(scales) + 4)
        bits = np.unpackbits(groups[..., fifths], axis=-1, bitorder="little").reshape(*groups.shape[:-1], 8, 4)
        groups[..., fifths] = np.packbits(bits.swapaxes(-1, -2), axis=-1, bitorder="little")[..., 0]
    in_halves = [byte for at in scales for byte in (at, at + 1)]
    made = []
    for group in groups:
        for block in group.transpose(1, 0, 2):
            halves = block[:, in_halves].reshape(GROUP, -1, 2)
            words = np.delete(block, in_halves, axis=1).reshape(GROUP, -1, 4)
            made += [halves.transpose(1, 0, 2).reshape(-1), words.transpose(1, 0, 2).reshape(-1)]
    return np.concatenate(made)


@types
@given(seed=st.integers(0, 99), blocks=st.integers(1, 9), groups=st.integers(1, 6))
def test_packing_interleaves_16_rows_and_unpacking_takes_them_apart(
    type_: Type, seed: int, blocks: int, groups: int
) -> None:
    matrix = random_matrix(seed, type_, blocks, groups)
    sent = matrix.data.copy()
    pack, unpack = PACK[type_]
    call(pack, None, [matrix])
    np.testing.assert_array_equal(matrix.data, by_definition(random_matrix(seed, type_, blocks, groups)))
    call(unpack, None, [matrix])
    np.testing.assert_array_equal(matrix.data, sent)


def products(weights: Operand, x: Operand) -> tuple[Values, Values]:
    """(by rows, packed); `weights` are packed afterwards."""
    kernels = PRODUCTS[weights.type]
    assert kernels.packed is not None
    activations = np.zeros(kernels.activations.size(x.ne), np.uint8)
    call(kernels.activations.kernel, None, [x], [activations.ctypes.data])
    first, second = (empty(Type.F32, dim(weights.ne[1], x.ne[1])) for _ in range(2))
    call(kernels.plain, first, [weights, x], [activations.ctypes.data])
    call(PACK[weights.type][0], None, [weights])
    call(kernels.packed, second, [weights, x], [activations.ctypes.data])
    return reals(first), reals(second)


def assert_near(got: Values, expected: Values) -> None:
    """Every element within a thousandth of itself or of the root mean square."""
    scale = np.maximum(np.abs(expected), np.sqrt((expected**2).mean()))
    assert (np.abs(got - expected) <= 1e-3 * scale).all()


@types
@given(st.integers(0, 99), st.integers(1, 5), st.integers(1, 3), st.integers(1, 20) | st.integers(60, 75))
def test_a_packed_product_has_the_bits_of_the_product_by_rows_and_is_the_oracles(
    type_: Type, seed: int, blocks: int, groups: int, columns: int
) -> None:
    rng = np.random.default_rng(seed)
    unit = FORMATS[type_].block
    weights = normal(rng, type_, dim(unit * blocks, GROUP * groups))
    values = off_ties(rng.standard_normal((columns, unit * blocks)), unit)
    x = store(empty(Type.F32, dim(unit * blocks, columns)), values)
    expected = evaluate(case(Op.MUL_MAT, "", (weights, x), empty(Type.F32, dim(weights.ne[1], columns))))
    by_rows, together = products(weights, x)
    np.testing.assert_array_equal(together, by_rows)
    assert_near(together, expected)


@types
@pytest.mark.parametrize("quants", [0x00, 0xFF, 0x80, 0x7F])
@pytest.mark.parametrize("sign", [1, -1])
def test_extreme_quants_in_a_long_row_are_exact(type_: Type, quants: int, sign: int) -> None:
    """All of them the same, with scales that lose no bit: a long row's sums, the largest there are."""
    weights = empty(type_, dim(1536, GROUP))
    raw = weights.data.reshape(-1, FORMATS[type_].bytes)
    raw[:] = quants
    for at in SCALES[type_]:
        raw[:, at : at + 2] = np.frombuffer(np.float16(0.5).tobytes(), np.uint8)
    x = store(empty(Type.F32, dim(1536, 9)), np.full((1, 1, 9, 1536), sign * 127.0))
    total = sign * 127.0 * float(reals(weights)[0, 0, 0].sum())
    by_rows, together = products(weights, x)
    np.testing.assert_array_equal(together, by_rows)
    if type_ in EXACT:
        assert set(together.reshape(-1).tolist()) == {total}
    else:
        np.testing.assert_allclose(together, total, rtol=1e-6, atol=1e-3)
