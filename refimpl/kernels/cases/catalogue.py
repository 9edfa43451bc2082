"""The list of all cases, in one place.

Every family draws from a generator of its own, so adding to one leaves the others' bytes alone.
"""

from collections.abc import Callable, Iterator
from zlib import crc32

import numpy as np

from refimpl.kernels.cases.attention import attention
from refimpl.kernels.cases.copying import copying
from refimpl.kernels.cases.elementwise import elementwise
from refimpl.kernels.cases.matrices import matrices
from refimpl.kernels.cases.normalising import normalising
from refimpl.kernels.cases.pointwise.functions import functions
from refimpl.kernels.cases.pointwise.gates import gates
from refimpl.kernels.cases.pointwise.mixed import mixed
from refimpl.kernels.cases.positions import positions
from refimpl.kernels.cases.rows import row_faults, rows
from refimpl.kernels.cases.rowwise.experts import expert_faults, experts
from refimpl.kernels.cases.rowwise.joining import joining
from refimpl.kernels.cases.rowwise.reductions import reductions
from refimpl.kernels.operand import Case

__all__ = ["FAMILIES", "every_case", "every_fault"]

FAMILIES: tuple[Callable[[np.random.Generator], Iterator[Case]], ...] = (
    matrices,
    normalising,
    elementwise,
    rows,
    positions,
    attention,
    copying,
    functions,
    gates,
    mixed,
    reductions,
    joining,
    experts,
)


def every_case(seed: int) -> Iterator[Case]:
    """Cases that a backend must compute."""
    for family in FAMILIES:
        yield from family(_generator(seed, family.__name__))


def every_fault(seed: int) -> Iterator[Case]:
    """Cases that a backend must refuse while running."""
    for family in (row_faults, expert_faults):
        yield from family(_generator(seed, family.__name__))


def _generator(seed: int, family: str) -> np.random.Generator:
    return np.random.default_rng([seed, crc32(family.encode())])
