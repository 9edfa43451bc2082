"""Cases of ADD, SUB, MUL and DIV with F16 or BF16 on one side, or on both."""

from collections.abc import Iterator

import numpy as np

from refimpl.kernels.cases.build import Layout, case, dim, empty, normal, permuted, store
from refimpl.kernels.operand import Case
from spec.names import Op, Type

__all__ = ["mixed"]

F32 = Type.F32
TYPES = [(half, *others) for half in (Type.F16, Type.BF16) for others in ((half, half), (F32, half), (F32, F32))]


def mixed(rng: np.random.Generator) -> Iterator[Case]:
    """All of them."""
    for op in (Op.ADD, Op.SUB, Op.MUL, Op.DIV):
        for types in TYPES:
            yield from _types(rng, op, types)


def _types(rng: np.random.Generator, op: Op, types: tuple[Type, Type, Type]) -> Iterator[Case]:
    name, large = ", ".join(type_.name for type_ in types), dim(33, 5, 2, 3)
    for small in (large, dim(33), dim(1), dim(1, 5), dim(11, 5), dim(33, 1, 2), dim(3, 1, 1, 3)):
        values = rng.uniform(0.5, 2, small[::-1]) * rng.choice([-1, 1], small[::-1])
        srcs = normal(rng, types[0], large), store(empty(types[1], small), values)
        yield case(op, f"{name} with {small}", srcs, empty(types[2], large))
    ne = dim(20, 6, 3)
    turned = permuted(store(empty(types[1], dim(6, 20, 3)), rng.uniform(0.5, 2, (1, 3, 20, 6))), (1, 0, 2, 3))
    srcs = normal(rng, types[0], ne, Layout(slack=5, lead=1)), turned
    yield case(op, f"{name} with gaps and a transposed operand", srcs, empty(types[2], ne, Layout(slack=3)))
