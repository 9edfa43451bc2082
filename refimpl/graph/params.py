"""op_params words and what they carry: float32 bit patterns and halves of 64-bit numbers, as signed 32-bit integers."""

import struct

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_floats", "float_bits", "u64_words"]


def float_bits(value: float) -> int:
    """The word that carries `value`, rounded to float32."""
    word: int = struct.unpack("<i", struct.pack("<f", value))[0]
    return word


def u64_words(value: int) -> tuple[int, int]:
    """The two words that carry an unsigned 64-bit number, low word first."""
    low, high = struct.unpack("<2i", struct.pack("<Q", value))
    return low, high


def as_floats(words: NDArray[np.int32]) -> NDArray[np.float32]:
    """Words as the floats that they carry, same shape."""
    return words.view(np.float32)
