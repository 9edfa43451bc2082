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

from refimpl.kernels.cpu.compiled import inline, plain
from refimpl.kernels.cpu.simd import F32X16, HAS_VNNI, I8X32, I8X64, I32X8, dot_bytes, gain_planes, load, store

load_i8x32, load_i8x64, load_i32x8, load_f32x16 = load(I8X32), load(I8X64), load(I32X8), load(F32X16)
store_i32x8, store_f32x16 = store(I32X8), store(F32X16)
bytes_here, bytes_anywhere = dot_bytes(8), dot_bytes(8, vnni=False)
planes_here, planes_anywhere = gain_planes(128), gain_planes(128, vnni=False)
plain_planes_here, plain_planes_anywhere = gain_planes(0), gain_planes(0, vnni=False)


@plain
def bytes_as_here(sums: int, u: int, s: int) -> None:
    store_i32x8(sums, bytes_here(load_i32x8(sums), load_i8x32(u), load_i8x32(s)))


@plain
def bytes_as_anywhere(sums: int, u: int, s: int) -> None:
    store_i32x8(sums, bytes_anywhere(load_i32x8(sums), load_i8x32(u), load_i8x32(s)))


@inline
def eight(load: Any, at: int) -> Any:
    """The eight vectors of 64 bytes from an address on."""
    return (
        load(at),
        load(at + 64),
        load(at + 128),
        load(at + 192),
        load(at + 256),
        load(at + 320),
        load(at + 384),
        load(at + 448),
    )


@inline
def store_eight(at: int, v: Any) -> None:
    for j in range(8):
        store_f32x16(at + 64 * j, v[j])


@plain
def planes_as_here(sums: int, u: int, s: int, words: int, scale: int) -> None:
    gained = planes_here(eight(load_f32x16, sums), eight(load_i8x64, u), s, words, load_f32x16(scale))
    store_eight(sums, gained)


@plain
def planes_as_anywhere(sums: int, u: int, s: int, words: int, scale: int) -> None:
    gained = planes_anywhere(eight(load_f32x16, sums), eight(load_i8x64, u), s, words, load_f32x16(scale))
    store_eight(sums, gained)


@plain
def plain_as_here(sums: int, u: int, s: int, words: int, scale: int) -> None:
    gained = plain_planes_here(eight(load_f32x16, sums), eight(load_i8x64, u), s, words, load_f32x16(scale))
    store_eight(sums, gained)


@plain
def plain_as_anywhere(sums: int, u: int, s: int, words: int, scale: int) -> None:
    gained = plain_planes_anywhere(eight(load_f32x16, sums), eight(load_i8x64, u), s, words, load_f32x16(scale))
    store_eight(sums, gained)


def arrays(kind: Any, shape: tuple[int, ...], extremes: list[int]) -> st.SearchStrategy[NDArray[Any]]:
    """Any bytes, and all of them extreme."""
    return hnp.arrays(kind, shape) | hnp.arrays(kind, shape, elements=st.sampled_from(extremes))


def whole(shape: tuple[int, ...], most: int) -> st.SearchStrategy[NDArray[np.int32]]:
    return hnp.arrays(np.int32, shape, elements=st.integers(-most, most))


unsigned, signed = arrays(np.uint8, (8, 4), [0, 255]), arrays(np.int8, (8, 4), [-128, 127])
planes = arrays(np.uint8, (8, 16, 4), [0, 255])


@pytest.mark.parametrize("kernel", [bytes_as_here, bytes_as_anywhere], ids=["as here", "without VNNI"])
@given(start=whole((8,), 1 << 29), u=unsigned, s=signed)
def test_a_lane_gains_its_four_products(
    kernel: Any, start: NDArray[np.int32], u: NDArray[np.uint8], s: NDArray[np.int8]
) -> None:
    got = start.copy()
    kernel(got.ctypes.data, u.ctypes.data, s.ctypes.data)
    np.testing.assert_array_equal(got, start + (u.astype(int) * s.astype(int)).sum(axis=1))


@pytest.mark.parametrize(
    ("kernel", "zero"),
    [(planes_as_here, 128), (planes_as_anywhere, 128), (plain_as_here, 0), (plain_as_anywhere, 0)],
    ids=["as here", "without VNNI", "nothing to take off, as here", "nothing to take off, without VNNI"],
)
@given(start=whole((8, 16), 1 << 20), u=planes, s=signed, scale=whole((16,), 32))
def test_each_sum_gains_the_scaled_products_of_its_plane_and_word(
    kernel: Any, zero: int, start: NDArray[np.int32], u: NDArray[np.uint8], s: NDArray[np.int8], scale: NDArray
) -> None:
    """All of it whole numbers below 2^24, so that nothing is rounded."""
    got, factors = start.astype(np.float32), scale.astype(np.float32)
    words = s.astype(np.float32).sum(axis=1)
    kernel(got.ctypes.data, u.ctypes.data, s.ctypes.data, words.ctypes.data, factors.ctypes.data)
    products = np.einsum("jrt,jt->jr", u.astype(int) - zero, s.astype(int))
    np.testing.assert_array_equal(got, start + products * scale)


@pytest.mark.parametrize(("kernel", "fused"), [(bytes_as_here, HAS_VNNI), (bytes_as_anywhere, False)])
def test_the_instruction_is_used_where_the_processor_has_it_and_only_if_asked_for(kernel: Any, fused: bool) -> None:
    got, operand = np.zeros(8, np.int32), np.zeros(32, np.uint8)
    kernel(got.ctypes.data, operand.ctypes.data, operand.ctypes.data)
    (assembly,) = kernel.inspect_asm().values()
    assert ("vpdpbusd" in assembly) == fused
