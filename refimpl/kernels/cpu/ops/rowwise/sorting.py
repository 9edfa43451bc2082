"""ARGSORT and TOP_K: the order of each row, as indices.

An element and its index make one 64-bit key that sorts as the element does: no two are equal, so that of equal
elements the one with the lower index comes first, and NaNs sort behind or before all numbers by their sign instead of
leading a comparison astray. The keys are merged in runs that double in length. Scratch: two keys for each element.

TOP_K gives its indices by falling value, but for the first two, which change places, as ggml has it: whoever takes
them for sorted shall find out soon.
"""

from typing import Any

from refimpl.kernels.cpu.compiled import inline, kernel, plain
from refimpl.kernels.cpu.step import (
    DST,
    SRC0,
    chunk_of,
    claim,
    count,
    extent,
    row,
    rows_of,
    scratch,
    whole_param,
)
from refimpl.kernels.cpu.words import bits_of, f32_at, i32_at, i64_at, store_i32, store_i64

__all__ = ["arg_sort_f32", "scratch_bytes", "top_k_f32"]

ORDER, ASCENDING = 0, 0
"""op_params word of ARGSORT"""
F32 = I32 = 4
KEY = 8
SIGN, ALL_BITS, INDEX_BITS = 1 << 31, (1 << 32) - 1, 32


def scratch_bytes(n: int) -> int:
    """For rows of n elements."""
    return 2 * KEY * n


@inline
def _key(x: Any, index: int, ascending: bool) -> Any:
    """Sorts as x does, then as the index does."""
    bits = bits_of(x)
    place = bits ^ ALL_BITS if bits & SIGN else bits | SIGN
    if not ascending:
        place = ALL_BITS - place
    return ((place - SIGN) << INDEX_BITS) + index


@plain
def _merge(source: int, target: int, first: int, middle: int, last: int) -> None:
    """Keys first .. middle - 1 and middle .. last - 1 of `source`, each in order, to `target`, all in order."""
    left, right = first, middle
    for place in range(first, last):
        take_left = right >= last
        if left < middle and right < last:
            take_left = i64_at(source + KEY * left) < i64_at(source + KEY * right)
        if take_left:
            store_i64(target + KEY * place, i64_at(source + KEY * left))
            left += 1
        else:
            store_i64(target + KEY * place, i64_at(source + KEY * right))
            right += 1


@plain
def _sorted(x: int, keys: int, n: int, ascending: bool) -> Any:
    """Where the keys of a row stand in order: `keys` or n keys behind it."""
    for i in range(n):
        store_i64(keys + KEY * i, _key(f32_at(x + F32 * i), i, ascending))
    source, target, length = keys, keys + KEY * n, 1
    while length < n:
        first = 0
        while first < n:
            _merge(source, target, first, min(n, first + length), min(n, first + 2 * length))
            first += 2 * length
        source, target = target, source
        length *= 2
    return source


@inline
def _first_indices(step: int, worker: int, ascending: bool, exchange: bool) -> None:
    """dst = the first indices of the order of each row of src0, as many as a row of dst has."""
    n, k = extent(step + SRC0, 0), extent(step + DST, 0)
    units = count(step + DST)
    chunk = chunk_of(worker, units)
    start = claim(step, worker, chunk)
    while start < units:
        for number in range(start, min(units, start + chunk)):
            i1, i2, i3 = rows_of(step + DST, number)
            out = row(step + DST, i1, i2, i3)
            keys = _sorted(row(step + SRC0, i1, i2, i3), scratch(worker), n, ascending)
            for i in range(k):
                store_i32(out + I32 * i, i64_at(keys + KEY * i) & ALL_BITS)
            if exchange and k > 1:
                best, second = i32_at(out), i32_at(out + I32)
                store_i32(out, second)
                store_i32(out + I32, best)
        start = claim(step, worker, chunk)


@kernel
def arg_sort_f32(step: int, worker: int) -> None:
    """dst = indices of src0 by rising value, or by falling value where the order says so"""
    _first_indices(step, worker, whole_param(step, ORDER) == ASCENDING, False)


@kernel
def top_k_f32(step: int, worker: int) -> None:
    """dst = indices of the largest elements of src0"""
    _first_indices(step, worker, False, True)
