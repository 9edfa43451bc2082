"""Cases whose results stock llama.cpp gave, and the program that asked it for them.

    ggml-rpc-server -p 50652 &
    python -m refimpl.tests.kernels.stock_bits 127.0.0.1:50652

vectors/stock_bits.npz holds, under each case's label, the bit patterns of its result. Build b11434 (7.0.0) gave them,
compiled by GCC 12 with -march=native on an AMD EPYC with AVX512 (Zen 5), with glibc 2.36's functions. A stock server of
another processor gives others: it fuses and splits its loops differently.

Operands come from PCG64's raw words, which numpy keeps the same for ever, as it does not keep its distributions.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import trio
from numpy.typing import NDArray

from refimpl.graph.assemble import Assembler, Tensor
from refimpl.kernels.cases.build import Extents, dim, empty, full, store
from refimpl.kernels.operand import Case, Operand
from refimpl.service.client import RemoteNode, connect
from spec.names import Glu, Op, RopeMode, Type

__all__ = ["PATH", "cases", "recorded"]

PATH = Path(__file__).parent / "vectors" / "stock_bits.npz"

ALIGNMENT = 256
FIRST_WORDS = (5, 6, 7, 8, 9, 10)
"""op_params of ROPE that are reals: base, scale, extrapolation, magnitude, two bounds of YaRN"""
YARN = (10000.0, 0.25, 1.0, 0.9, 32.0, 1.0)


class _Source:
    """Operands one after another."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def reals(self, ne: Extents, size: float = 1.0) -> Operand:
        """Multiples of 2^-23 between -1 and 1, times `size` in float32."""
        count = ne[0] * ne[1] * ne[2] * ne[3]
        whole = (self._bits.random_raw(count) >> np.uint64(40)).astype(np.int64) - (1 << 23)
        values = (whole * 2.0**-23).astype(np.float32) * np.float32(size)
        return store(empty(Type.F32, ne), values.reshape(ne[::-1]))


def _positions(*numbers: int) -> Operand:
    return store(empty(Type.I32, dim(len(numbers))), np.array(numbers).reshape(1, 1, 1, -1))


def cases() -> Iterator[Case]:
    """All of them; the label is the key of the recorded result."""
    source = _Source(11434)
    yield from _normalised(source)
    yield from _rotated(source)
    yield from _gated(source)
    yield from _elementwise(source)


def _normalised(source: _Source) -> Iterator[Case]:
    for ne, size in (
        (dim(576, 4), 1.0),
        (dim(100, 4), 1e15),
        (dim(7, 9), 1e-3),
        (dim(1, 3), 1.0),
        (dim(1537, 1), 30.0),
    ):
        x = source.reals(ne, size)
        yield full(Op.RMS_NORM, f"rms_norm {ne[0]}", (x,), empty(Type.F32, ne), {0: 1e-5})


def _rotated(source: _Source) -> Iterator[Case]:
    for mode in (RopeMode.NORMAL, RopeMode.NEOX):
        for n_dims, width, reals in (
            (64, 64, (100000.0, 1.0, 0.0, 1.0, 32.0, 1.0)),
            (22, 32, (500000.0, 0.5, 0.0, 1.3, 32.0, 1.0)),
            (6, 6, (10000.0, 1.0, 0.0, 1.0, 32.0, 1.0)),
            (48, 48, YARN),
        ):
            ne = dim(width, 1, 5)
            srcs = source.reals(ne, 3.0), _positions(0, 1, 37, 999, 4999)
            words: dict[int, int | float] = {1: n_dims, 2: int(mode), 4: 2048}
            words |= dict(zip(FIRST_WORDS, reals, strict=True))
            yield full(Op.ROPE, f"rope {mode.name} {n_dims}", srcs, empty(Type.F32, ne), words)


def _gated(source: _Source) -> Iterator[Case]:
    for ne, size in ((dim(1536, 1), 8.0), (dim(101, 3), 110.0), (dim(15, 4), 4.0)):
        srcs = source.reals(ne, size), source.reals(ne)
        yield full(Op.GLU, f"swiglu {ne[0]}", srcs, empty(Type.F32, ne), {0: int(Glu.SWIGLU)})


def _elementwise(source: _Source) -> Iterator[Case]:
    ne = dim(100, 3)
    for op in (Op.ADD, Op.MUL):
        srcs = source.reals(ne), source.reals(dim(100))
        yield full(op, f"{op.name.lower()} 100", srcs, empty(Type.F32, ne), {})
    for bias in (0.0, 0.3):
        yield full(Op.SCALE, f"scale {bias}", (source.reals(ne),), empty(Type.F32, ne), {0: -1.7, 1: bias})


def recorded() -> dict[str, NDArray[np.uint32]]:
    """The bit patterns by label, each a result in memory's order."""
    with np.load(PATH) as held:
        return dict(held)


class _OneNode(Assembler):
    """The graph of a case."""

    def node(self, case: Case, srcs: list[Tensor]) -> Tensor:
        return self.output(self._result(case.op, case.dst.type, case.dst.ne, srcs, case.params.tolist()))


async def _asked(node: RemoteNode, case: Case) -> NDArray[np.uint32]:
    """What the server makes of a case, whose operands lie packed in memory."""
    graph, given = _OneNode(), [source for source in case.srcs if source is not None]
    leaves = [graph.leaf(f"src{slot}", source.type, source.ne) for slot, source in enumerate(given)]
    result = graph.node(case, leaves)
    begins = np.cumsum([0, *(-(-tensor.nbytes // ALIGNMENT) * ALIGNMENT for tensor in (*leaves, result))])
    buffer = await node.devices[0].allocate(int(begins[-1]))
    for tensor, begin in zip((*leaves, result), begins, strict=False):
        graph.place(tensor, buffer.handle, buffer.base + int(begin))
    nodes, records = graph.message()
    by_id = {int(record["id"]): record for record in records}
    for tensor, source in zip(leaves, given, strict=True):
        await node.set_tensor(by_id[tensor.id], source.data.data)
    await node.devices[0].compute(nodes, records)
    answer = await node.get_tensor(by_id[result.id], 0, result.nbytes)
    await buffer.free()
    return np.frombuffer(bytes(answer), np.uint32)


async def record(endpoint: str) -> None:
    """Ask the server at `endpoint` for all results and write the file anew."""
    async with connect(endpoint) as node:
        results = {case.label: await _asked(node, case) for case in cases()}
    PATH.parent.mkdir(exist_ok=True)
    np.savez_compressed(PATH, allow_pickle=False, **results)


if __name__ == "__main__":
    trio.run(record, sys.argv[1])
