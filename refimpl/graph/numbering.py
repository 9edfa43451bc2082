"""What the numbers in a dialect's records mean, as arrays to look up many records at once."""

import attrs
import numpy as np
from numpy.typing import NDArray

from spec.dialect import Dialect
from spec.names import Op
from spec.schema import Version

__all__ = ["UNKNOWN", "Numbering", "numbering_of", "op_name"]

UNKNOWN = -1


@attrs.frozen(eq=False)
class Numbering:
    """Op and type numbers of one dialect. Each array ends with an entry for all numbers beyond the table."""

    op: NDArray[np.int32]
    """(ops + 1,) spec.names.Op of the dialect's op number, or UNKNOWN"""
    executes: NDArray[np.bool_]
    """(ops + 1,) whether the op computes anything"""
    never: NDArray[np.bool_]
    """(ops + 1,) whether no node may have the op, because its parameters are process addresses"""
    type_known: NDArray[np.bool_]
    """(types + 1,) whether the dialect has the type"""
    withdrawn: frozenset[int]
    """type numbers that are used no more"""

    def ops(self, numbers: NDArray[np.uint32]) -> NDArray[np.intp]:
        """Numbers from records as indices into the op arrays."""
        return np.minimum(numbers, len(self.op) - 1).astype(np.intp)

    def types(self, numbers: NDArray[np.uint32]) -> NDArray[np.intp]:
        """Numbers from records as indices into `type_known`."""
        return np.minimum(numbers, len(self.type_known) - 1).astype(np.intp)


_known: dict[Version, Numbering] = {}


def numbering_of(dialect: Dialect) -> Numbering:
    """The arrays of a dialect, made on first use; a version names its dialect."""
    if dialect.version not in _known:
        _known[dialect.version] = _numbering(dialect)
    return _known[dialect.version]


def _numbering(dialect: Dialect) -> Numbering:
    known = np.zeros(max(dialect.types) + 2, np.bool_)
    known[list(dialect.types)] = True
    return Numbering(
        op=np.array([*(Op[op.name] for op in dialect.ops), UNKNOWN], np.int32),
        executes=np.array([*(op.executes for op in dialect.ops), False]),
        never=np.array([*(op.never_accepted for op in dialect.ops), False]),
        type_known=known,
        withdrawn=frozenset(dialect.withdrawn),
    )


def op_name(op: int) -> str:
    """An op of spec.names in words, whatever the number."""
    try:
        return Op(op).name
    except ValueError:
        return f"op {op}"
