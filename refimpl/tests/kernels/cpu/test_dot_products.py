"""Dot products of unsigned by signed bytes are sums of integers that nothing saturates, with VNNI and without.

Kernels here are compiled without the cache: it is keyed by sources that tests are not among.
"""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from refimpl.kernels.cpu.compiled import plain
from refimpl.kernels.cpu.simd import HAS_VNNI, I8X32, I8X64, I32X8, I32X16, dot_bytes, dot_planes, load, store

load_i8x32, load_i8x64, load_i32x8, load_i32x16 = load(I8X32), load(I8X64), load(I32X8), load(I32X16)
store_i32x8, store_i32x16 = store(I32X8), store(I32X16)
bytes_here, bytes_anywhere = dot_bytes(8), dot_bytes(8, vnni=False)
planes_here, planes_anywhere = dot_planes(), dot_planes(vnni=False)


@plain
def bytes_as_here(sums: int, u: int, s: int) -> None:
    store_i32x8(sums, bytes_here(load_i32x8(sums), load_i8x32(u), load_i8x32(s)))


@plain
def bytes_as_anywhere(sums: int, u: int, s: int) -> None:
    store_i32x8(sums, bytes_anywhere(load_i32x8(sums), load_i8x32(u), load_i8x32(s)))


@plain
def planes_as_here(sums: int, u: int, s: int) -> None:
    low = load_i8x64(u), load_i8x64(u + 64), load_i8x64(u + 128), load_i8x64(u + 192)
    high = load_i8x64(u + 256), load_i8x64(u + 320), load_i8x64(u + 384), load_i8x64(u + 448)
    w = low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]
    store_i32x16(sums, planes_here(load_i32x16(sums), s, w))


@plain
def planes_as_anywhere(sums: int, u: int, s: int) -> None:
    low = load_i8x64(u), load_i8x64(u + 64), load_i8x64(u + 128), load_i8x64(u + 192)
    high = load_i8x64(u + 256), load_i8x64(u + 320), load_i8x64(u + 384), load_i8x64(u + 448)
    w = low[0], low[1], low[2], low[3], high[0], high[1], high[2], high[3]
    store_i32x16(sums, planes_anywhere(load_i32x16(sums), s, w))


def arrays(kind: Any, shape: tuple[int, ...], extremes: list[int]) -> st.SearchStrategy[NDArray[Any]]:
    """Any bytes, and all of them extreme."""
    return hnp.arrays(kind, shape) | hnp.arrays(kind, shape, elements=st.sampled_from(extremes))


def sums(lanes: int) -> st.SearchStrategy[NDArray[np.int32]]:
    return hnp.arrays(np.int32, lanes, elements=st.integers(-(1 << 29), 1 << 29))


unsigned_32, signed_32 = arrays(np.uint8, (8, 4), [0, 255]), arrays(np.int8, (8, 4), [-128, 127])
unsigned_planes, signed_words = arrays(np.uint8, (8, 16, 4), [0, 255]), arrays(np.int8, (8, 4), [-128, 127])


@pytest.mark.parametrize("kernel", [bytes_as_here, bytes_as_anywhere], ids=["as here", "without VNNI"])
@given(start=sums(8), u=unsigned_32, s=signed_32)
def test_a_lane_gains_its_four_products(
    kernel: Any, start: NDArray[np.int32], u: NDArray[np.uint8], s: NDArray[np.int8]
) -> None:
    got = start.copy()
    kernel(got.ctypes.data, u.ctypes.data, s.ctypes.data)
    np.testing.assert_array_equal(got, start + (u.astype(int) * s.astype(int)).sum(axis=1))


@pytest.mark.parametrize("kernel", [planes_as_here, planes_as_anywhere], ids=["as here", "without VNNI"])
@given(start=sums(16), u=unsigned_planes, s=signed_words)
def test_a_row_of_planes_gains_its_product_with_32_columns(
    kernel: Any, start: NDArray[np.int32], u: NDArray[np.uint8], s: NDArray[np.int8]
) -> None:
    got = start.copy()
    kernel(got.ctypes.data, u.ctypes.data, s.ctypes.data)
    np.testing.assert_array_equal(got, start + np.einsum("jrt,jt->r", u.astype(int), s.astype(int)))


@pytest.mark.parametrize(("kernel", "fused"), [(bytes_as_here, HAS_VNNI), (bytes_as_anywhere, False)])
def test_the_instruction_is_used_where_the_processor_has_it_and_only_if_asked_for(kernel: Any, fused: bool) -> None:
    got, operand = np.zeros(8, np.int32), np.zeros(32, np.uint8)
    kernel(got.ctypes.data, operand.ctypes.data, operand.ctypes.data)
    (assembly,) = kernel.inspect_asm().values()
    assert ("vpdpbusd" in assembly) == fused
