"""The arithmetic that the model follows, on numpy views of a buffer's bytes.

Shapes are numpy's: an array of a tensor of extents (n0, n1, n2, n3) is (n3, n2, n1, n0), with its strides reversed too.
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from conformance.fuzz.model.memory import Region
from conformance.fuzz.model.tensors import Tensor

__all__ = ["Outcome", "binary", "copied", "gathered", "scaled", "scattered"]

DTYPES: Mapping[str, str] = {
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "F64": "<f8",
    "I8": "i1",
    "I16": "<i2",
    "I32": "<i4",
    "I64": "<i8",
}
"""BF16 is only ever moved, so its bits will do"""

Array = NDArray[Any]
At = tuple[Tensor, Region]


def _view(tensor: Tensor, place: Region, memory: Array, extra: bool = False) -> Array:
    """The elements of a tensor where they lie; extra: the flags of their bytes, along one more dimension."""
    kind = np.dtype(DTYPES[tensor.kind.name if tensor.kind else ""])
    shape, steps = tensor.ne[::-1], tensor.nb[::-1]
    if extra:
        return np.ndarray((*shape, kind.itemsize), np.bool_, memory.data, place.begin, (*steps, 1))
    return np.ndarray(shape, kind, memory.data, place.begin, steps)


@attrs.frozen(eq=False)
class Outcome:
    """The elements of a result and which of them are known; `where`: which are written, None for all of them."""

    values: Array
    known: Array
    where: tuple[Array, ...] | None = None

    @staticmethod
    def elements(tensor: Tensor, place: Region) -> Array:
        """The elements of a tensor as they are."""
        return _view(tensor, place, place.held.data).copy()

    def write(self, dst: Tensor, place: Region) -> None:
        """Put them where the result lies."""
        there, flags = _view(dst, place, place.held.data), _view(dst, place, place.held.known, extra=True)
        if self.where is None:
            there[...] = self.values
            flags[...] = self.known[..., None]
        else:
            there[self.where] = self.values
            flags[self.where] = self.known[..., None]


def binary(op: str, a: At, b: At) -> Outcome:
    """ADD, SUB, MUL, DIV; b is repeated."""
    first, second = Outcome.elements(*a), Outcome.elements(*b)
    second = np.tile(second, [n // m for n, m in zip(first.shape, second.shape, strict=True)])
    with np.errstate(all="ignore"):
        values = BINARY[op](first, second)
    return Outcome(values, ~np.isnan(values))


BINARY: Mapping[str, Callable[[Array, Array], Array]] = {
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "DIV": np.divide,
}


def scaled(x: At, scale: int, bias: int) -> Outcome:
    """SCALE by the bits of its parameters."""
    factor, addend = np.array([scale, bias], np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        product = Outcome.elements(*x) * factor
        values = product if addend == 0 else product + addend
    exact = ~np.isnan(values) & (values != 0)
    return Outcome(values, exact if addend == 0 else np.zeros_like(exact))


def copied(x: At, dst: Tensor) -> Outcome:
    """DUP, CONT, CPY: in the order of the extents; between F32 and F16 rounded to nearest, ties to even."""
    values = Outcome.elements(*x)
    same = x[0].kind is dst.kind
    with np.errstate(all="ignore"):
        cast = values.reshape(dst.ne[::-1]).astype(DTYPES[dst.kind.name if dst.kind else ""])
    known = np.ones(cast.shape, np.bool_) if same else ~np.isnan(cast)
    return Outcome(cast, known)


def gathered(x: At, ids: At) -> Outcome:
    """GET_ROWS."""
    rows, index = Outcome.elements(*x), Outcome.elements(*ids)[0]
    k, j = np.ogrid[: index.shape[0], : index.shape[1]]
    values = rows[k[..., None], j[..., None], index]
    return Outcome(values, ~np.isnan(values))


def scattered(rows: At, ids: At) -> Outcome:
    """SET_ROWS; of a row that is written twice it is open what remains."""
    values, index = Outcome.elements(*rows), Outcome.elements(*ids)[0]
    n3, n2, m, _ = values.shape
    index = np.tile(index, (n3 // index.shape[0], n2 // index.shape[1], 1))
    k, j, _i = np.ogrid[:n3, :n2, :m]
    keys = (k * n2 + j) * (int(index.max(initial=0)) + 1) + index
    found, counts = np.unique(keys, return_counts=True)
    once = np.isin(keys, found[counts == 1])
    known = once[..., None] & ~np.isnan(values)
    k, j = np.broadcast_to(k, index.shape), np.broadcast_to(j, index.shape)
    return Outcome(values, known, (k, j, index))
