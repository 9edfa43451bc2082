"""SET_ROWS and CPY into the formats of caches of keys and values: F32 or F16 to BF16, Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1.

Rules of this file:
- Rows of a block format are whole blocks; a row is converted block after block.
- F16 is widened first, which is exact, so that both sources give the same bytes for the same numbers.
- BF16 is a plain type: copies take any strides, as those of copies.py do.
"""

from refimpl.kernels.cpu.compiled import kernel
from refimpl.kernels.cpu.encoding.rows import (
    bf16_to_f16,
    bf16_to_f16_one,
    f16_to_bf16,
    f16_to_bf16_one,
    f16_to_q4_0,
    f16_to_q4_1,
    f16_to_q5_0,
    f16_to_q5_1,
    f16_to_q8_0,
    f32_to_bf16,
    f32_to_bf16_one,
    f32_to_q4_0,
    f32_to_q4_1,
    f32_to_q5_0,
    f32_to_q5_1,
    f32_to_q8_0,
)
from refimpl.kernels.cpu.ops.copies import elements_copied, rows_copied
from refimpl.kernels.cpu.ops.rows import scattered
from refimpl.kernels.cpu.step import DST, extent

__all__ = [
    "copy_bf16_to_f16",
    "copy_f16_to_bf16",
    "copy_f16_to_q4_0",
    "copy_f16_to_q4_1",
    "copy_f16_to_q5_0",
    "copy_f16_to_q5_1",
    "copy_f16_to_q8_0",
    "copy_f32_to_bf16",
    "copy_f32_to_q4_0",
    "copy_f32_to_q4_1",
    "copy_f32_to_q5_0",
    "copy_f32_to_q5_1",
    "copy_f32_to_q8_0",
    "set_rows_f16_to_bf16",
    "set_rows_f16_to_q4_0",
    "set_rows_f16_to_q4_1",
    "set_rows_f16_to_q5_0",
    "set_rows_f16_to_q5_1",
    "set_rows_f16_to_q8_0",
    "set_rows_f32_to_bf16",
    "set_rows_f32_to_q4_0",
    "set_rows_f32_to_q4_1",
    "set_rows_f32_to_q5_0",
    "set_rows_f32_to_q5_1",
    "set_rows_f32_to_q8_0",
]

F16, BF16, F32 = 2, 2, 4


# ---- SET_ROWS


@kernel
def set_rows_f32_to_bf16(step: int, worker: int) -> None:
    """From F32 to BF16."""
    scattered(step, worker, f32_to_bf16)


@kernel
def set_rows_f32_to_q8_0(step: int, worker: int) -> None:
    """From F32 to Q8_0."""
    scattered(step, worker, f32_to_q8_0)


@kernel
def set_rows_f32_to_q4_0(step: int, worker: int) -> None:
    """From F32 to Q4_0."""
    scattered(step, worker, f32_to_q4_0)


@kernel
def set_rows_f32_to_q4_1(step: int, worker: int) -> None:
    """From F32 to Q4_1."""
    scattered(step, worker, f32_to_q4_1)


@kernel
def set_rows_f32_to_q5_0(step: int, worker: int) -> None:
    """From F32 to Q5_0."""
    scattered(step, worker, f32_to_q5_0)


@kernel
def set_rows_f32_to_q5_1(step: int, worker: int) -> None:
    """From F32 to Q5_1."""
    scattered(step, worker, f32_to_q5_1)


@kernel
def set_rows_f16_to_bf16(step: int, worker: int) -> None:
    """From F16 to BF16."""
    scattered(step, worker, f16_to_bf16)


@kernel
def set_rows_f16_to_q8_0(step: int, worker: int) -> None:
    """From F16 to Q8_0."""
    scattered(step, worker, f16_to_q8_0)


@kernel
def set_rows_f16_to_q4_0(step: int, worker: int) -> None:
    """From F16 to Q4_0."""
    scattered(step, worker, f16_to_q4_0)


@kernel
def set_rows_f16_to_q4_1(step: int, worker: int) -> None:
    """From F16 to Q4_1."""
    scattered(step, worker, f16_to_q4_1)


@kernel
def set_rows_f16_to_q5_0(step: int, worker: int) -> None:
    """From F16 to Q5_0."""
    scattered(step, worker, f16_to_q5_0)


@kernel
def set_rows_f16_to_q5_1(step: int, worker: int) -> None:
    """From F16 to Q5_1."""
    scattered(step, worker, f16_to_q5_1)


# ---- CPY, DUP and CONT


@kernel
def copy_f32_to_bf16(step: int, worker: int) -> None:
    """From F32 to BF16."""
    elements_copied(step, worker, f32_to_bf16, f32_to_bf16_one, (BF16, F32))


@kernel
def copy_f16_to_bf16(step: int, worker: int) -> None:
    """From F16 to BF16."""
    elements_copied(step, worker, f16_to_bf16, f16_to_bf16_one, (BF16, F16))


@kernel
def copy_bf16_to_f16(step: int, worker: int) -> None:
    """From BF16 to F16."""
    elements_copied(step, worker, bf16_to_f16, bf16_to_f16_one, (F16, BF16))


@kernel
def copy_f32_to_q8_0(step: int, worker: int) -> None:
    """From F32 to Q8_0."""
    rows_copied(step, worker, extent(step + DST, 0), f32_to_q8_0)


@kernel
def copy_f32_to_q4_0(step: int, worker: int) -> None:
    """From F32 to Q4_0."""
    rows_copied(step, worker, extent(step + DST, 0), f32_to_q4_0)


@kernel
def copy_f32_to_q4_1(step: int, worker: int) -> None:
    """From F32 to Q4_1."""
    rows_copied(step, worker, extent(step + DST, 0), f32_to_q4_1)


@kernel
def copy_f32_to_q5_0(step: int, worker: int) -> None:
    """From F32 to Q5_0."""
    rows_copied(step, worker, extent(step + DST, 0), f32_to_q5_0)


@kernel
def copy_f32_to_q5_1(step: int, worker: int) -> None:
    """From F32 to Q5_1."""
    rows_copied(step, worker, extent(step + DST, 0), f32_to_q5_1)


@kernel
def copy_f16_to_q8_0(step: int, worker: int) -> None:
    """From F16 to Q8_0."""
    rows_copied(step, worker, extent(step + DST, 0), f16_to_q8_0)


@kernel
def copy_f16_to_q4_0(step: int, worker: int) -> None:
    """From F16 to Q4_0."""
    rows_copied(step, worker, extent(step + DST, 0), f16_to_q4_0)


@kernel
def copy_f16_to_q4_1(step: int, worker: int) -> None:
    """From F16 to Q4_1."""
    rows_copied(step, worker, extent(step + DST, 0), f16_to_q4_1)


@kernel
def copy_f16_to_q5_0(step: int, worker: int) -> None:
    """From F16 to Q5_0."""
    rows_copied(step, worker, extent(step + DST, 0), f16_to_q5_0)


@kernel
def copy_f16_to_q5_1(step: int, worker: int) -> None:
    """From F16 to Q5_1."""
    rows_copied(step, worker, extent(step + DST, 0), f16_to_q5_1)
