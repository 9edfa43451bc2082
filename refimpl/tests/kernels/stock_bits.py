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
from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.cases.build import SCALES, Extents, dim, empty, full, store
from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle import views
from refimpl.service.client import RemoteNode, connect
from spec.names import Glu, Op, RopeMode, Type, Unary

__all__ = ["PATH", "cases", "recorded"]

PATH = Path(__file__).parent / "vectors" / "stock_bits.npz"

ALIGNMENT = 256
BLOCKS = (Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1)
FIRST_WORDS = (5, 6, 7, 8, 9, 10)
"""op_params of ROPE that are reals: base, scale, extrapolation, magnitude, two bounds of YaRN"""
YARN = (10000.0, 0.25, 1.0, 0.9, 32.0, 1.0)


class _Source:
    """Operands one after another."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def blocks(self, type_: Type, ne: Extents) -> Operand:
        """Any quants, under scales of about `2^-8` and either sign, in a K format `2^-14`."""
        if type_ == Type.BF16:
            return store(empty(type_, ne), self.reals(ne).data.view(np.float32).reshape(ne[::-1]).astype(np.float64))
        made, form = empty(type_, ne), FORMATS[type_]
        raw = made.data.reshape(-1, form.bytes)
        raw[:] = self._bits.random_raw(raw.size).astype(np.uint8).reshape(raw.shape)
        for at in SCALES[type_]:
            raw[:, at + 1] = raw[:, at + 1] & 0x83 | (0x1C if form.block == 32 else 0x04)
        return made

    def reals(self, ne: Extents, size: float = 1.0) -> Operand:
        """Multiples of 2^-23 between -1 and 1, times `size` in float32."""
        count = ne[0] * ne[1] * ne[2] * ne[3]
        whole = (self._bits.random_raw(count) >> np.uint64(40)).astype(np.int64) - (1 << 23)
        values = (whole * 2.0**-23).astype(np.float32) * np.float32(size)
        return store(empty(Type.F32, ne), values.reshape(ne[::-1]))

    def cached(self, type_: Type, ne: Extents) -> Operand:
        """The same, stored in another type."""
        return store(empty(type_, ne), views.reals(self.reals(ne)))


def _positions(*numbers: int) -> Operand:
    return store(empty(Type.I32, dim(len(numbers))), np.array(numbers).reshape(1, 1, 1, -1))


def cases() -> Iterator[Case]:
    """All of them; the label is the key of the recorded result."""
    source = _Source(11434)
    yield from _normalised(source)
    yield from _rotated(source)
    yield from _gated(source)
    yield from _elementwise(source)
    yield from _quantised(source)
    yield from _attended(source)
    yield from _turned(source)
    other = _Source(7)
    yield from _functions(other)
    yield from _other_gates(other)
    yield from _reduced(other)
    yield from _by_expert(other)
    yield from _multiplied(_Source(11435))


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


def _quantised(source: _Source) -> Iterator[Case]:
    for type_ in (Type.BF16, *BLOCKS):
        x = source.reals(dim(96, 8), 5.0)
        x.data.view(np.float32)[:40] = 0
        yield full(Op.DUP, f"to {type_.name}", (x,), empty(type_, x.ne), {})


def _attended(source: _Source) -> Iterator[Case]:
    """Also with more keys than a block has, and in the end sizes that are no whole vectors."""
    for type_ in (Type.F32, Type.F16, Type.BF16, *BLOCKS):
        yield _attention(source, (type_, type_), (64, 64), 40)
        yield _attention(source, (type_, type_), (64, 96), 150, max_bias=3, softcap=2)
    for keys, values in ((Type.F16, Type.Q8_0), (Type.Q5_1, Type.F16), (Type.Q4_0, Type.BF16), (Type.F32, Type.Q4_1)):
        yield _attention(source, (keys, values), (128, 32), 70)
    for type_ in (Type.F32, Type.F16, Type.BF16):
        yield _attention(source, (type_, type_), (79, 37), 9)


def _attention(source: _Source, types: tuple[Type, Type], sizes: tuple[int, int], keys: int, **words: float) -> Case:
    """Three queries of six heads over two key heads, each with a key fewer to see; sinks with a bias."""
    (d, dv), tokens, heads = sizes, 3, 6
    seen = np.arange(keys) < keys - np.arange(tokens)[:, None]
    mask = store(empty(Type.F16, dim(keys, tokens)), np.where(seen, -np.arange(keys) / 8, -np.inf)[None, None])
    srcs = (
        source.reals(dim(d, tokens, heads), 4.0),
        source.cached(types[0], dim(d, keys, 2)),
        source.cached(types[1], dim(dv, keys, 2)),
        mask,
        *([source.reals(dim(heads), 3.0)] if words else []),
    )
    params = {0: float(d**-0.5), 1: float(words.get("max_bias", 0)), 2: float(words.get("softcap", 0))}
    label = f"attention {types[0].name} {types[1].name} {d} {dv} {keys}"
    return full(Op.FLASH_ATTN_EXT, label, srcs, empty(Type.F32, dim(dv, heads, tokens)), params)


def _turned(source: _Source) -> Iterator[Case]:
    """Products with Hadamard matrices, of which the node tells."""
    for n in (2, 8, 64, 512):
        signs = np.ones((1, 1))
        while len(signs) < n:
            signs = np.block([[signs, signs], [signs, -signs]])
        matrix = store(empty(Type.F32, dim(n, n)), (signs / np.sqrt(n))[None, None])
        x = source.reals(dim(n, 3, 2))
        yield full(Op.MUL_MAT, f"hadamard {n}", (matrix, x), empty(Type.F32, x.ne), {1: 1})


def _halved(operand: Operand) -> Operand:
    """The same numbers as F16."""
    return store(empty(Type.F16, operand.ne), views.reals(operand))


def _functions(source: _Source) -> Iterator[Case]:
    """Every kind of UNARY, and what is one function, of F32 and F16."""
    ne = dim(101, 2)
    for kind in Unary:
        words: dict[int, int | float] = {0: int(kind), 1: 0.8, 2: 0.6, 3: 0.5, 4: -1e-6}
        for x in (wide := source.reals(ne, 12.0), _halved(wide)):
            yield full(Op.UNARY, f"{kind.name.lower()} {x.type.name}", (x,), empty(x.type, ne), words)
    for op in (Op.SQR, Op.SQRT, Op.LOG, Op.SIN, Op.COS):
        for x in (positive := _positive(source, ne), _halved(positive)):
            yield full(op, f"{op.name.lower()} {x.type.name}", (x,), empty(x.type, ne), {})


def _positive(source: _Source, ne: Extents) -> Operand:
    x = source.reals(ne, 6.0)
    return store(x, np.abs(views.reals(x)) + 0.125)


def _other_gates(source: _Source) -> Iterator[Case]:
    ne = dim(101, 2)
    for kind in Glu:
        words: dict[int, int | float] = {0: int(kind), 2: 1.702, 3: 7.0}
        pair = source.reals(ne, 12.0), source.reals(ne, 9.0)
        for gate, value in (pair, (_halved(pair[0]), _halved(pair[1]))):
            if (kind, gate.type) != (Glu.SWIGLU_OAI, Type.F16):
                label = f"{kind.name.lower()} {gate.type.name}"
                yield full(Op.GLU, label, (gate, value), empty(gate.type, ne), words)


def _reduced(source: _Source) -> Iterator[Case]:
    for ne in (dim(576, 3), dim(37, 4)):
        for op in (Op.NORM, Op.L2_NORM):
            words = {0: 1e-5}
            yield full(op, f"{op.name.lower()} {ne[0]}", (source.reals(ne),), empty(Type.F32, ne), words)
        for op in (Op.SUM_ROWS, Op.MEAN):
            yield full(op, f"{op.name.lower()} {ne[0]}", (source.reals(ne),), empty(Type.F32, (1, *ne[1:])), {})
        yield full(Op.ARGSORT, f"argsort {ne[0]}", (source.reals(ne),), empty(Type.I32, ne), {0: 1})
        yield full(Op.TOP_K, f"top_k {ne[0]}", (source.reals(ne),), empty(Type.I32, (5, *ne[1:])), {})
    for op in (Op.SUB, Op.DIV):
        srcs = source.reals(dim(100, 3)), _positive(source, dim(100))
        yield full(op, f"{op.name.lower()} 100", srcs, empty(Type.F32, dim(100, 3)), {})
    x = source.reals(dim(100, 3))
    yield full(Op.CLAMP, "clamp 100", (x,), empty(Type.F32, x.ne), {0: -0.5, 1: 0.25})
    yield full(Op.ARANGE, "arange 100", (), empty(Type.F32, dim(100)), {0: 0.3, 1: 0.3 + 10.0, 2: 0.1})


def _by_expert(source: _Source) -> Iterator[Case]:
    """Two of four experts for five tokens; rows of 33 and of 48, of which the second are packed."""
    ids = store(empty(Type.I32, dim(2, 5)), np.array([[0, 1], [2, 3], [3, 0], [1, 2], [0, 3]]).reshape(1, 1, 5, 2))
    for rows in (33, 48):
        plain = source.reals(dim(64, rows, 4))
        weights = store(empty(Type.Q8_0, plain.ne), views.reals(plain))
        srcs = weights, source.reals(dim(64, 2, 5)), ids
        yield full(Op.MUL_MAT_ID, f"mul_mat_id {rows}", srcs, empty(Type.F32, dim(rows, 2, 5)), {})
    biased = source.reals(dim(33, 2, 5)), source.reals(dim(33, 4)), ids
    yield full(Op.ADD_ID, "add_id 33", biased, empty(Type.F32, dim(33, 2, 5)), {})


def _multiplied(source: _Source) -> Iterator[Case]:
    """By few columns and by many, which ggml adds up differently in K formats; by 16 rows and by single ones."""
    for type_ in (*SCALES, Type.BF16):
        k = 768 if FORMATS[type_].block == 256 else 288
        for m, n in ((48, 1), (7, 3), (32, 7), (19, 8), (32, 13), (16, 33)):
            srcs = source.blocks(type_, dim(k, m)), source.reals(dim(k, n), 3.0)
            yield full(Op.MUL_MAT, f"mul_mat {type_.name} {m} by {n}", srcs, empty(Type.F32, dim(m, n)), {})


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
