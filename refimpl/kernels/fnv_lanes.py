"""FNV-1a, 64 bit (clause CACHE-1), with numpy alone: for a program that hashes a few tensors and should not wait for a
compiler to be loaded. kernels/cpu/fnv.py is the faster one once it is.

Every byte hangs on the one before: `h = (h ^ byte) * prime`. But the xor touches the lowest byte alone, and the lowest
byte of the result depends on nothing above it. So the bytes are cut into lanes that run side by side:

1. The lowest byte at the start of every lane. Its bit k, after a lane, is bit k before it, xor something that only the
   lower bits decide. So eight passes over the lowest bytes find one bit each: run all lanes, from what is known with
   bit k guessed as 0, and let a running xor over the ends say where the guess was wrong.
2. The whole hash of every lane, from its lowest byte alone. What the upper bits of the true start add is
   `(start - lowest byte) * prime ** length`: one addition for each lane.

    lanes (steps, n) uint8, one column each
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FNV_OFFSET", "fnv1a64_lanes"]

FNV_OFFSET = 0xCBF29CE484222325
FNV_PRIME = 0x100000001B3
LOW = 0xFF
MASK = (1 << 64) - 1
LANES = 1 << 14
"""columns: enough that numpy's cost for a call is small, few enough that they stay in the nearest cache"""
PIECE = 1 << 24
"""bytes cut into lanes at a time"""


def fnv1a64_lanes(data: bytes | memoryview, state: int = FNV_OFFSET) -> int:
    """Hash of `data` (contiguous bytes), going on from `state`."""
    view = np.frombuffer(data, np.uint8)
    for start in range(0, len(view), PIECE):
        piece = view[start : start + PIECE]
        steps = len(piece) // LANES
        if steps:
            lanes = np.ascontiguousarray(piece[: steps * LANES].reshape(LANES, steps).T)
            state = _join(lanes, state)
        for byte in piece[steps * LANES :].tolist():
            state = ((state ^ byte) * FNV_PRIME) & MASK
    return state


def _join(lanes: NDArray[np.uint8], state: int) -> int:
    """Hash of all columns of `lanes`, one after the other, from `state`."""
    low = _lowest_bytes(lanes, state & LOW)
    ends = _run(lanes, low.astype(np.uint64), np.uint64(FNV_PRIME))
    gain = pow(FNV_PRIME, len(lanes), MASK + 1)
    for end, lowest in zip(ends.tolist(), low.tolist(), strict=True):
        state = (end + (state - lowest) * gain) & MASK
    return state


def _lowest_bytes(lanes: NDArray[np.uint8], first: int) -> NDArray[np.uint8]:
    """(n,) lowest byte of the hash before every lane; `first` before lane 0."""
    low = np.zeros(lanes.shape[1], np.uint8)
    low[0] = first
    for bit in range(8):
        ends = _run(lanes, low, np.uint8(FNV_PRIME & LOW))
        flips = np.bitwise_xor.accumulate(ends & (1 << bit))
        low[1:] |= flips[:-1]
    return low


def _run(lanes: NDArray[np.uint8], state: NDArray[Any], prime: Any) -> NDArray[Any]:
    """(n,) state after all steps of every lane."""
    state = state.copy()
    for row in lanes:
        np.bitwise_xor(state, row, out=state)
        np.multiply(state, prime, out=state)
    return state
