"""What a processor without VNNI computes of a packed block has the bits of what this one does, extremes included.

Kernels here are compiled without the cache: it is keyed by sources that tests are not among.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.cpu.compiled import inline, plain
from refimpl.kernels.cpu.lanes import store_f32x16, zero_f32x16
from refimpl.kernels.cpu.matmul.k_quants.layout import ACTIVATION, Q4_K, Q6_K, QUANTS, SUMS_16, SUMS_32
from refimpl.kernels.cpu.matmul.k_quants.runs import gained, lowered, multiplied
from refimpl.kernels.cpu.matmul.layout import GROUP
from spec.names import Type

COLUMNS = 2
here = {kind: (multiplied(kind, 1), gained(kind, COLUMNS)) for kind in (Q4_K, Q6_K)}
anywhere = {kind: (multiplied(kind, 1, vnni=False), gained(kind, COLUMNS, vnni=False)) for kind in (Q4_K, Q6_K)}
lows_here, lows_anywhere = lowered(Q4_K), lowered(Q4_K, vnni=False)


def few(kind: int, product: Callable[..., Any]) -> Callable[[int, int, int], None]:
    """The eight sums of one column."""

    @plain
    def run(out: int, p: int, a: int) -> None:
        made = product(p, a)
        for j in range(8):
            store_f32x16(out + 64 * j, made[j])

    compiled: Callable[[int, int, int], None] = run
    return compiled


def many(kind: int, product: Callable[..., Any]) -> Callable[[int, int, int], None]:
    """The sums of two columns, of which one is there."""

    @inline
    def nothing() -> Any:
        return zero_f32x16(), zero_f32x16()

    @plain
    def run(out: int, p: int, a: int) -> None:
        made = product(nothing(), p, a, ACTIVATION, 1)
        for j in range(COLUMNS):
            store_f32x16(out + 64 * j, made[j])

    compiled: Callable[[int, int, int], None] = run
    return compiled


def minima(product: Callable[..., Any]) -> Callable[[int, int, int], None]:
    @plain
    def run(out: int, p: int, a: int) -> None:
        made = product(p, a)
        for j in range(4):
            store_f32x16(out + 64 * j, made[j])

    compiled: Callable[[int, int, int], None] = run
    return compiled


PAIRS = {
    "Q4_K few": (Type.Q4_K, few(Q4_K, here[Q4_K][0]), few(Q4_K, anywhere[Q4_K][0])),
    "Q6_K few": (Type.Q6_K, few(Q6_K, here[Q6_K][0]), few(Q6_K, anywhere[Q6_K][0])),
    "Q4_K many": (Type.Q4_K, many(Q4_K, here[Q4_K][1]), many(Q4_K, anywhere[Q4_K][1])),
    "Q6_K many": (Type.Q6_K, many(Q6_K, here[Q6_K][1]), many(Q6_K, anywhere[Q6_K][1])),
    "Q4_K minima": (Type.Q4_K, minima(lows_here), minima(lows_anywhere)),
}


def activation(q: NDArray[np.int8]) -> NDArray[np.uint8]:
    """One block with d = 1."""
    made = np.zeros(ACTIVATION, np.uint8)
    made[:4] = np.frombuffer(np.float32(1).tobytes(), np.uint8)
    made[SUMS_32 : SUMS_32 + 16] = q.reshape(8, 32).sum(axis=1).astype("<i2").view(np.uint8)
    made[SUMS_16 : SUMS_16 + 32] = q.reshape(16, 16).sum(axis=1).astype("<i2").view(np.uint8)
    made[QUANTS:] = q.view(np.uint8)
    return made


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("weights", [None, 0x2F, 0xFF, 0x80, 0x7F])
@pytest.mark.parametrize("quants", [None, -127, 127])
def test_sums_are_the_same_without_the_instruction(name: str, weights: int | None, quants: int | None) -> None:
    type_, with_it, without = PAIRS[name]
    rng = np.random.default_rng(1)
    packed = rng.integers(0, 256, GROUP * FORMATS[type_].bytes, dtype=np.uint8)
    q = rng.integers(-127, 128, 256).astype(np.int8)
    if weights is not None:
        packed[:] = weights
    if quants is not None:
        q[:] = quants
    packed[:64:2], packed[1:64:2] = 0, 0x3C  # d and dmin, in Q6_K d and a plane's beginning
    block, results = activation(q), np.zeros((2, 8 * 16), np.float32)
    for result, run in zip(results, (with_it, without), strict=True):
        run(result.ctypes.data, packed.ctypes.data, block.ctypes.data)
    np.testing.assert_array_equal(results[0], results[1])
    assert np.isfinite(results).all()
    assert results.any()
