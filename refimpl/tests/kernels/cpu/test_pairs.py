"""Products of pairs of BF16 are those of their numbers, with the processor's instruction and without.

Kernels here are compiled without the cache: it is keyed by sources that tests are not among.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from refimpl.kernels.blocks import bf16
from refimpl.kernels.cpu.compiled import plain
from refimpl.kernels.cpu.ops.attention.pairs import HAS_BF16_DOT, dot_pairs
from refimpl.kernels.cpu.simd import F32X16, load, store

load_f32x16, store_f32x16 = load(F32X16), store(F32X16)
pairs_here, pairs_anywhere = dot_pairs(HAS_BF16_DOT), dot_pairs(native=False)


@plain
def as_here(sums: int, x: int, y: int) -> None:
    store_f32x16(sums, pairs_here(load_f32x16(sums), x, y))


@plain
def as_anywhere(sums: int, x: int, y: int) -> None:
    store_f32x16(sums, pairs_anywhere(load_f32x16(sums), x, y))


def whole(shape: tuple[int, ...]) -> st.SearchStrategy[NDArray[np.float32]]:
    """Whole numbers that BF16 holds, whose products and sums float32 holds."""
    return hnp.arrays(np.int32, shape, elements=st.integers(-256, 256)).map(lambda given: given.astype(np.float32))


@pytest.mark.parametrize("kernel", [as_here, as_anywhere], ids=["as here", "without the instruction"])
@given(start=whole((16,)), x=whole((16, 2)), y=whole((16, 2)))
def test_a_lane_gains_the_products_of_its_pair(kernel: Any, start: Any, x: Any, y: Any) -> None:
    got = start.copy()
    packed = [bf16.quantise(values.reshape(-1, 1)) for values in (x, y)]
    kernel(got.ctypes.data, packed[0].ctypes.data, packed[1].ctypes.data)
    np.testing.assert_array_equal(got, start + (x * y).sum(axis=1))


def test_without_the_instruction_the_second_of_a_pair_comes_first_and_each_is_fused() -> None:
    start, x, y = np.full(16, 1.0, np.float32), np.zeros((16, 2), np.float32), np.zeros((16, 2), np.float32)
    x[:], y[:] = (-1.0, 2.0**-24), (1.0, 1.0)  # 1 + 2^-24 is 1, and less 1 it is 0; the other way round 2^-24 is left
    packed = [bf16.quantise(values.reshape(-1, 1)) for values in (x, y)]
    as_anywhere(start.ctypes.data, packed[0].ctypes.data, packed[1].ctypes.data)
    assert (start == 0).all()


@pytest.mark.parametrize(("kernel", "expected"), [(as_here, HAS_BF16_DOT), (as_anywhere, False)])
def test_the_instruction_is_used_where_the_processor_has_it_and_only_if_asked_for(kernel: Any, expected: bool) -> None:
    kernel(*[np.zeros(32, np.float32).ctypes.data] * 3)
    (assembly,) = kernel.inspect_asm().values()
    assert ("vdpbf16ps" in assembly) == expected
