"""A backend that is blind to one parameter, one source or the grouping of heads is stopped by some case of its op."""

from collections.abc import Callable
from functools import cache

import attrs
import numpy as np
import pytest

from refimpl.kernels import contract
from refimpl.kernels.cases.build import dim, store
from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle.evaluate import evaluate
from refimpl.kernels.oracle.views import Values, block_bytes, present, reals, shape
from spec.names import Op, RopeMode, Type

PARTNER_BLOCKS = {
    **dict.fromkeys((Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0), 32),
    **dict.fromkeys((Type.Q4_K, Type.Q5_K, Type.Q6_K), 256),
}
"""elements of a block of the activations that meet weights of a type"""

BLIND_TO_WORDS: list[tuple[Op, int, int | float]] = [
    (Op.SCALE, 0, 1.0),
    (Op.SCALE, 1, 0.0),
    (Op.RMS_NORM, 0, 0.0),
    (Op.SOFT_MAX, 0, 1.0),
    (Op.SOFT_MAX, 1, 0.0),
    (Op.GLU, 0, 2),
    (Op.GLU, 1, 0),
    (Op.GLU, 2, 1.0),
    (Op.GLU, 3, 7.0),
    (Op.UNARY, 0, 10),
    (Op.UNARY, 1, 0.6),
    (Op.UNARY, 2, 0.8),
    (Op.UNARY, 3, 0.0),
    (Op.UNARY, 4, -0.1),
    (Op.CLAMP, 0, 0.0),
    (Op.CLAMP, 1, 1.0),
    (Op.FILL, 0, 0.0),
    (Op.NORM, 0, 0.0),
    (Op.L2_NORM, 0, 0.0),
    (Op.ARGSORT, 0, 0),
    (Op.PAD, 8, 0),
    (Op.ARANGE, 0, 0.0),
    (Op.ARANGE, 2, 1.0),
    (Op.ROPE, 1, 32),
    (Op.ROPE, 2, int(RopeMode.NORMAL)),
    (Op.ROPE, 2, int(RopeMode.NEOX)),
    (Op.ROPE, 4, 2048),
    (Op.ROPE, 5, 10000.0),
    (Op.ROPE, 6, 1.0),
    (Op.ROPE, 7, 0.0),
    (Op.ROPE, 7, 1.0),
    (Op.ROPE, 8, 1.0),
    (Op.ROPE, 9, 16.0),
    (Op.ROPE, 10, 4.0),
    (Op.ROPE, 15, 0),
    (Op.FLASH_ATTN_EXT, 0, 0.125),
    (Op.FLASH_ATTN_EXT, 1, 0.0),
    (Op.FLASH_ATTN_EXT, 2, 0.0),
]
"""op, word of op_params, and what a backend would hold it to be without looking"""

BLIND_TO_SOURCES = [(Op.SOFT_MAX, 1), (Op.SOFT_MAX, 2), (Op.ROPE, 2), (Op.FLASH_ATTN_EXT, 3), (Op.FLASH_ATTN_EXT, 4)]


@cache
def cases() -> tuple[Case, ...]:
    return tuple(contract.cases())


def stops(op: Op, result: Callable[[Case], Values]) -> bool:
    """Whether some case of `op` stops the backend that writes what `result` says."""

    def backend(made: Case, threads: int) -> None:
        store(made.dst, result(made))

    for made in cases():
        try:
            if made.op == op:
                contract.check(backend, made)
        except contract.ContractViolation:
            return True
    return False


@pytest.mark.parametrize(("op", "word", "value"), BLIND_TO_WORDS)
def test_every_parameter_counts(op: Op, word: int, value: int | float) -> None:
    def blind(made: Case) -> Values:
        params = made.params.copy()
        params[word] = np.float32(value).view(np.int32) if isinstance(value, float) else value
        return evaluate(attrs.evolve(made, params=params))

    assert not stops(op, evaluate)
    assert stops(op, blind)


@pytest.mark.parametrize(("op", "slot"), BLIND_TO_SOURCES)
def test_every_optional_source_counts(op: Op, slot: int) -> None:
    def blind(made: Case) -> Values:
        return evaluate(attrs.evolve(made, srcs=tuple(None if i == slot else s for i, s in enumerate(made.srcs))))

    assert stops(op, blind)


def head_of(operand: Operand, head: int) -> Operand:
    """One index of dimension 2 alone."""
    ne0, ne1, _, ne3 = operand.ne
    return attrs.evolve(operand, ne=(ne0, ne1, 1, ne3), offset=operand.offset + head * operand.nb[2])


def by_heads(made: Case, chosen: Callable[[int, int, int], int]) -> Values:
    """MUL_MAT one activation head at a time; chosen(head, heads, weight heads) says which weight head it meets."""
    weights, x = present(made, 0), present(made, 1)
    parts = []
    for head in range(x.ne[2]):
        pair = head_of(weights, chosen(head, x.ne[2], weights.ne[2])), head_of(x, head)
        parts.append(evaluate(attrs.evolve(made, srcs=pair, dst=head_of(made.dst, head))))
    return np.concatenate(parts, axis=1) if parts else np.zeros(shape(made.dst))


def plain(made: Case) -> bool:
    return made.srcs[0] is not None and made.srcs[0].type == Type.F32


def test_heads_are_grouped_and_not_dealt_out_in_turn() -> None:
    def grouped(made: Case) -> Values:
        return by_heads(made, lambda head, heads, theirs: head // (heads // theirs)) if plain(made) else evaluate(made)

    def in_turn(made: Case) -> Values:
        return by_heads(made, lambda head, heads, theirs: head % theirs) if plain(made) else evaluate(made)

    assert not stops(Op.MUL_MAT, grouped)
    assert stops(Op.MUL_MAT, in_turn)


def test_key_heads_are_grouped_and_not_dealt_out_in_turn() -> None:
    def in_turn(made: Case, threads: int) -> None:
        query, key = present(made, 0), present(made, 1)
        parts = []
        for head in range(query.ne[2]):
            theirs = head % key.ne[2]
            srcs = head_of(query, head), head_of(key, theirs), head_of(present(made, 2), theirs), *made.srcs[3:]
            ne0, _, ne2, ne3 = made.dst.ne
            parts.append(evaluate(attrs.evolve(made, srcs=srcs, dst=attrs.evolve(made.dst, ne=(ne0, 1, ne2, ne3)))))
        store(made.dst, np.concatenate(parts, axis=2))

    one = next(made for made in cases() if made.op == Op.FLASH_ATTN_EXT and "masked: 3 tokens, 32 keys" in made.label)
    with pytest.raises(contract.ContractViolation):
        contract.check(in_turn, one)


@pytest.mark.parametrize("type_", PARTNER_BLOCKS, ids=lambda t: t.name)
def test_activations_that_are_not_quantised_are_stopped(type_: Type) -> None:
    """A better product than the definition's is still not the product that the other end computes."""

    def exact(made: Case) -> Values:
        weights, x = present(made, 0), present(made, 1)
        if weights.type != type_ or weights.ne[2:] != (1, 1) or x.ne[2:] != (1, 1):
            return evaluate(made)
        return np.asarray(reals(x) @ reals(weights).transpose(0, 1, 3, 2))

    assert stops(Op.MUL_MAT, exact)


def test_quants_cut_off_instead_of_rounded_are_stopped() -> None:
    def cut(made: Case) -> Values:
        weights, x = present(made, 0), present(made, 1)
        if weights.type != Type.Q8_0 or made.label != "Q8_0 k 64 m 17 n 7":
            return evaluate(made)
        rows = reals(x).astype(np.float32).reshape(-1, 32)
        scale = np.abs(rows).max(axis=1, keepdims=True) / 127
        lossy = (np.trunc(rows / scale) * scale.astype(np.float16)).reshape(x.ne[1], x.ne[0])
        return np.asarray(lossy @ reals(weights)[0, 0].T).reshape(shape(made.dst))

    assert stops(Op.MUL_MAT, cut)


def test_no_activation_of_a_quantised_product_is_near_a_tie() -> None:
    """What the tolerance table builds on."""
    for made in cases():
        if made.op == Op.MUL_MAT and present(made, 0).type in PARTNER_BLOCKS:
            block = PARTNER_BLOCKS[present(made, 0).type]
            rows = block_bytes(present(made, 1)).view("<f4").reshape(-1, block).astype(np.float64)
            largest = np.abs(rows).max(axis=1, keepdims=True, initial=0)
            steps = np.divide(rows * 127, largest, out=np.zeros_like(rows), where=largest > 0)
            assert (np.abs(steps - np.floor(steps) - 0.5) > 5e-4).all(), made.label


def test_shapes_that_were_asked_for_are_there() -> None:
    """Column counts, depths, cache lengths and head sizes that kernels take different roads for."""
    products = [made for made in cases() if made.op == Op.MUL_MAT]
    for type_ in (Type.F32, Type.F16, Type.BF16, *PARTNER_BLOCKS):
        pairs = [(present(made, 0), present(made, 1)) for made in products if present(made, 0).type == type_]
        assert {1, 2, 7, 32, 33} <= {x.ne[1] for _, x in pairs}
        depths = {256, 512, 768, 1536} if PARTNER_BLOCKS.get(type_) == 256 else {32, 64, 96, 576, 1536}
        assert depths <= {weights.ne[0] for weights, _ in pairs}
        assert any(x.ne[2] > weights.ne[2] > 1 for weights, x in pairs)
        assert any(0 in made.dst.ne for made in products)
    for type_ in (Type.F16, Type.F32):
        seen = [made.srcs for made in cases() if made.op == Op.FLASH_ATTN_EXT and present(made, 1).type == type_]
        assert {1, 5, 32, 256, 300} <= {srcs[1].ne[1] for srcs in seen if srcs[1]}
        assert {1, 3, 8, 33} <= {srcs[0].ne[1] for srcs in seen if srcs[0]}
        assert {32, 64, 80, 128} <= {srcs[0].ne[0] for srcs in seen if srcs[0]}
    in_place = {made.op for made in cases() if made.srcs and made.srcs[0] and made.dst.data is made.srcs[0].data}
    assert {Op.ADD, Op.MUL, Op.SCALE, Op.RMS_NORM, Op.ROPE, Op.SOFT_MAX} <= in_place
    assert dim(1) in {made.dst.ne for made in cases()}
