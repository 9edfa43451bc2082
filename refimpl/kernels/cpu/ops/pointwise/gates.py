"""GLU: dst = f(gate) * value, rows of F32, F16 or BF16.

Gate and value are src0 and src1, or the halves of each row of src0, the first half the gate unless swapped. Extra word
0 is the number of the type, extra word 1 the address of a table where the function has one; F16 and BF16 are computed
in float32 and rounded once.

Results have the bits of ggml's CPU backend: what follows is quantised to 8 bits, and a last bit that falls on the other
side of a half there becomes another text. Hence SWIGLU of F32 goes sixteen at a time, and the elements of a row behind
its last sixteen, and all of the other functions, take their exponential from the C library.
"""

from typing import Any

import numpy as np

from refimpl.kernels.cpu.bf16 import bf16_at, store_bf16
from refimpl.kernels.cpu.compiled import inline, kernel
from refimpl.kernels.cpu.lanes import load_f32x16, mul_f32x16, silu_f32x16, store_f32x16
from refimpl.kernels.cpu.libm import expf
from refimpl.kernels.cpu.ops.pointwise import functions
from refimpl.kernels.cpu.step import (
    DST,
    SRC0,
    SRC1,
    address,
    chunk_of,
    claim,
    count,
    extent,
    extra,
    real_param,
    row,
    rows_of,
    whole_param,
)
from refimpl.kernels.cpu.words import f16_at, f32_at, store_f16, store_f32

__all__ = [
    "geglu",
    "geglu_computed",
    "geglu_erf",
    "geglu_quick_computed",
    "reglu",
    "swiglu",
    "swiglu_clamp",
    "swiglu_f32",
    "swiglu_oai",
    "tabulated",
]

TYPE = 0
"""extra word"""
F16_TYPE, BF16_TYPE = 1, 30
SWAPPED, ALPHA, LIMIT = 1, 2, 3
"""op_params"""
F16, F32 = 2, 4
LANES = 16
ZERO, ONE = np.float32(0), np.float32(1)


@inline
def _operands(step: int, size: int, number: int) -> Any:
    """Addresses of a row of dst, gate and value."""
    i1, i2, i3 = rows_of(step + DST, number)
    gate = row(step + SRC0, i1, i2, i3)
    value = gate + size * extent(step + DST, 0)
    if address(step + SRC1) != 0:
        value = row(step + SRC1, i1, i2, i3)
    elif whole_param(step, SWAPPED) != 0:
        gate, value = value, gate
    return row(step + DST, i1, i2, i3), gate, value


@inline
def _each(step: int, worker: int, f: Any) -> None:
    """dst = f(gate, value)"""
    n, type_ = extent(step + DST, 0), extra(step, TYPE)
    size = F16 if type_ in (F16_TYPE, BF16_TYPE) else F32
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            out, gate, value = _operands(step, size, number)
            if type_ == F16_TYPE:
                for i in range(n):
                    store_f16(out + F16 * i, f(step, f16_at(gate + F16 * i), f16_at(value + F16 * i)))
            elif type_ == BF16_TYPE:
                for i in range(n):
                    store_bf16(out + F16 * i, f(step, bf16_at(gate + F16 * i), bf16_at(value + F16 * i)))
            else:
                for i in range(n):
                    store_f32(out + F32 * i, f(step, f32_at(gate + F32 * i), f32_at(value + F32 * i)))
        start = claim(step, worker, chunk)


@inline
def _within(x: Any, limit: Any) -> Any:
    if x < -limit:
        return -limit
    return limit if limit < x else x


@inline
def _rectified(step: int, gate: Any, value: Any) -> Any:
    return gate * value if gate > ZERO else ZERO


@inline
def _gelu(step: int, gate: Any, value: Any) -> Any:
    if gate <= -functions.FAR:
        return ZERO
    return functions.gelu(step, gate) * value


@inline
def _tabulated(step: int, gate: Any, value: Any) -> Any:
    return functions.from_table(step, gate) * value


@inline
def _gelu_computed(step: int, gate: Any, value: Any) -> Any:
    return functions.gelu_of(gate) * value


@inline
def _gelu_quick_computed(step: int, gate: Any, value: Any) -> Any:
    return functions.gelu_quick_of(gate) * value


@inline
def _gelu_erf(step: int, gate: Any, value: Any) -> Any:
    return functions.gelu_erf(step, gate) * value


@inline
def _silu(step: int, gate: Any, value: Any) -> Any:
    return functions.silu(step, gate) * value


@inline
def _silu_oai(step: int, gate: Any, value: Any) -> Any:
    limit = real_param(step, LIMIT)
    g = limit if limit < gate else gate
    return g / (ONE + expf(real_param(step, ALPHA) * -g)) * (_within(value, limit) + ONE)


@inline
def _silu_clamp(step: int, gate: Any, value: Any) -> Any:
    limit = real_param(step, LIMIT)
    return functions.silu(step, limit if limit < gate else gate) * _within(value, limit)


@kernel
def reglu(step: int, worker: int) -> None:
    """max(gate, 0) * value"""
    _each(step, worker, _rectified)


@kernel
def geglu(step: int, worker: int) -> None:
    """GEGLU of F32: GELU(gate) * value"""
    _each(step, worker, _gelu)


@kernel
def geglu_computed(step: int, worker: int) -> None:
    """GEGLU of BF16: without the table."""
    _each(step, worker, _gelu_computed)


@kernel
def geglu_quick_computed(step: int, worker: int) -> None:
    """GEGLU_QUICK of BF16: without the table."""
    _each(step, worker, _gelu_quick_computed)


@kernel
def geglu_erf(step: int, worker: int) -> None:
    """GELU_ERF(gate) * value"""
    _each(step, worker, _gelu_erf)


@kernel
def tabulated(step: int, worker: int) -> None:
    """GEGLU_QUICK, and GEGLU of F16: what the table has for each gate, times value."""
    _each(step, worker, _tabulated)


@kernel
def swiglu(step: int, worker: int) -> None:
    """SILU(gate) * value, one by one"""
    _each(step, worker, _silu)


@kernel
def swiglu_oai(step: int, worker: int) -> None:
    """g = min(gate, limit), v = value within -limit and limit: g / (1 + e^(-alpha g)) * (v + 1)"""
    _each(step, worker, _silu_oai)


@kernel
def swiglu_clamp(step: int, worker: int) -> None:
    """SILU(min(gate, limit)) * value within -limit and limit"""
    _each(step, worker, _silu_clamp)


@kernel
def swiglu_f32(step: int, worker: int) -> None:
    """SILU(gate) * value, sixteen at a time"""
    n = extent(step + DST, 0)
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            out, gate, value = _operands(step, F32, number)
            i = 0
            while i + LANES <= n:
                gated = mul_f32x16(silu_f32x16(load_f32x16(gate + F32 * i)), load_f32x16(value + F32 * i))
                store_f32x16(out + F32 * i, gated)
                i += LANES
            while i < n:
                store_f32(out + F32 * i, _silu(step, f32_at(gate + F32 * i), f32_at(value + F32 * i)))
                i += 1
        start = claim(step, worker, chunk)
