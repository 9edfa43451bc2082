"""The vector exponential: near e^x on its whole domain, and the same bits with one scaling instruction and without.

Kernels here are compiled without the cache: it is keyed by sources that tests are not among.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from refimpl.kernels.cpu.compiled import plain
from refimpl.kernels.cpu.lanes import exp_f32x16
from refimpl.kernels.cpu.simd import F32X16, HAS_SCALEF, load, scalef, store

load_f32x16, store_f32x16 = load(F32X16), store(F32X16)
scaled_here, scaled_anywhere = scalef(), scalef(hardware=False)

Reals = NDArray[np.float32]


@plain
def exponentials(out: int, x: int, n: int) -> None:
    for i in range(0, 4 * n, 64):
        store_f32x16(out + i, exp_f32x16(load_f32x16(x + i)))


@plain
def scale_as_here(out: int, x: int, powers: int, n: int) -> None:
    for i in range(0, 4 * n, 64):
        store_f32x16(out + i, scaled_here(load_f32x16(x + i), load_f32x16(powers + i)))


@plain
def scale_as_anywhere(out: int, x: int, powers: int, n: int) -> None:
    for i in range(0, 4 * n, 64):
        store_f32x16(out + i, scaled_anywhere(load_f32x16(x + i), load_f32x16(powers + i)))


def exponential(x: Reals) -> Reals:
    out = np.empty_like(x)
    exponentials(out.ctypes.data, x.ctypes.data, x.size)
    return out


def test_it_is_within_three_units_of_the_last_place() -> None:
    x = np.linspace(-103, 88.7, 1 << 20).astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    assert np.max(np.abs(exponential(x) - exact) / np.spacing(exact.astype(np.float32))) < 3


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (0.0, 1.0),
        (-0.0, 1.0),
        (-104.0, 0.0),
        (-3e38, 0.0),
        (-np.inf, 0.0),
        (88.8, np.inf),
        (3e38, np.inf),
        (np.inf, np.inf),
        (np.nan, np.nan),
    ],
)
def test_its_ends_and_its_middle_are_exact(x: float, expected: float) -> None:
    np.testing.assert_array_equal(exponential(np.full(16, x, np.float32)), np.full(16, expected, np.float32))


@pytest.mark.skipif(not HAS_SCALEF, reason="this processor has no scaling instruction to compare with")
def test_two_products_scale_as_the_instruction_does() -> None:
    """Below the normal numbers too, where a product that rounded twice would show."""
    rng = np.random.default_rng(1)
    x = rng.uniform(0.7, 1.42, 1 << 18).astype(np.float32)
    powers = rng.integers(-217, 218, x.size).astype(np.float32)
    here, anywhere = np.empty_like(x), np.empty_like(x)
    scale_as_here(here.ctypes.data, x.ctypes.data, powers.ctypes.data, x.size)
    scale_as_anywhere(anywhere.ctypes.data, x.ctypes.data, powers.ctypes.data, x.size)
    np.testing.assert_array_equal(here.view(np.uint32), anywhere.view(np.uint32))
