"""Results have the bits that stock llama.cpp gives on a processor with AVX512, as recorded in vectors/stock_bits.npz.

A tolerance is not enough here: activations are quantised to 8 bits in every layer, so a last bit decides a quant now
and then, and a quant a token. stock_bits.py says which build recorded them, and how to do so again.
"""

import platform

import numpy as np
import pytest

from refimpl.kernels.cpu.ops.attention.pairs import HAS_BF16_DOT
from refimpl.kernels.cpu.simd import HAS_SCALEF
from refimpl.kernels.operand import Case
from refimpl.tests.kernels.cpu_backend import run_case
from refimpl.tests.kernels.stock_bits import cases, recorded
from spec.names import Op, Type

RECORDED = recorded()

pytestmark = [
    pytest.mark.skipif(not HAS_SCALEF, reason="without AVX512, stock itself fuses and splits its loops differently"),
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="recorded with the functions of glibc"),
]


def _keys(case: Case) -> Type | None:
    keys = case.srcs[1] if case.op == Op.FLASH_ATTN_EXT else None
    return None if keys is None else keys.type


def test_each_case_has_a_recorded_result() -> None:
    assert sorted(case.label for case in cases()) == sorted(RECORDED)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("case", cases(), ids=lambda case: case.label)
def test_results_are_those_of_stock_bit_by_bit(case: Case, threads: int) -> None:
    if _keys(case) == Type.BF16 and not HAS_BF16_DOT:
        pytest.skip("without AVX512-BF16 stock itself multiplies BF16 keys differently")
    case.dst.data.fill(0xFF)
    run_case(case, threads)
    np.testing.assert_array_equal(case.dst.data.view(np.uint32), RECORDED[case.label])
