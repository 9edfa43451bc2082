"""The oracle against results worked out by hand, or by another road, or by the laws that each op obeys."""

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.kernels.blocks import q4_1, q5_1, q8_1
from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.cases.build import Extents, Layout, case, dim, empty, full, normal, permuted, store
from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle.evaluate import evaluate
from refimpl.kernels.oracle.rows import alibi_slope, softmax_row
from refimpl.kernels.oracle.views import Values, block_bytes, byte_index, integers, reals
from refimpl.tests.kernels.strategies import operands
from spec.names import Glu, Op, RopeMode, Type

F32, F16 = Type.F32, Type.F16


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def of(values: object, type_: Type = F32) -> Operand:
    """A packed operand of nested lists, the innermost of which is dimension 0."""
    array = np.array(values)
    array = array.reshape((1,) * (4 - array.ndim) + array.shape)
    ne3, ne2, ne1, ne0 = array.shape
    return store(empty(type_, (ne0, ne1, ne2, ne3)), array)


def run(op: Op, *srcs: Operand | None, to: Extents, words: Mapping[int, int | float] | None = None) -> Values:
    return evaluate(full(op, "", srcs, empty(F32, to), words or {}))


@given(operands((F32, F16, Type.BF16, Type.I32, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0)))
def test_an_element_is_where_the_strides_say(operand: Operand) -> None:
    form, packed = FORMATS[operand.type], block_bytes(operand)
    for i3, i2, i1, block in np.ndindex(*packed.shape[:4]):
        at = operand.offset + np.dot((block, i1, i2, i3), operand.nb)
        assert (packed[i3, i2, i1, block] == operand.data[at : at + form.bytes]).all()


@given(operands((F32, F16)), st.permutations(range(4)))
def test_a_permuted_view_is_the_transposed_array(operand: Operand, axes: list[int]) -> None:
    view = permuted(operand, (axes[0], axes[1], axes[2], axes[3]))
    moved = np.transpose(reals(operand).T, np.argsort(axes)).T  # .T turns [i3..i0] into [i0..i3] and back
    np.testing.assert_array_equal(reals(view), moved)


@pytest.mark.parametrize("change", [{"offset": 8}, {"offset": -4}, {"ne": (4, 3, 1, 1)}, {"nb": (4, -16, 16, 16)}])
def test_elements_outside_the_memory_are_refused(change: dict[str, Any]) -> None:
    operand = attrs.evolve(normal(rng(), F32, dim(4, 2)), **change)
    with pytest.raises(ValueError, match="elements at bytes"):
        byte_index(operand)


def test_half_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="not whole blocks"):
        byte_index(Operand(np.zeros(64, np.uint8), Type.Q8_0, dim(40), (34, 34, 34, 34)))


def test_copies_count_elements_with_dimension_0_fastest() -> None:
    src = permuted(of([[1, 2, 3], [4, 5, 6]]), (1, 0, 2, 3))
    assert run(Op.CONT, src, to=dim(2, 3))[0, 0].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert run(Op.CPY, src, to=dim(3, 2))[0, 0].tolist() == [[1, 4, 2], [5, 3, 6]]


def test_a_copy_to_f16_rounds() -> None:
    src = of([1 / 3, 2049])
    assert evaluate(case(Op.CPY, "", (src,), empty(F16, dim(2)))).reshape(-1).tolist() == [
        float(np.float16(1 / 3)),
        2048,
    ]


def test_rows_are_fetched_by_index() -> None:
    table, index = of([[[0, 1], [2, 3]], [[4, 5], [6, 7]]]), of([[1, 0, 1], [0, 0, 1]], Type.I32)
    out = run(Op.GET_ROWS, table, index, to=dim(2, 3, 2))
    assert out[0].tolist() == [[[2, 3], [0, 1], [2, 3]], [[4, 5], [4, 5], [6, 7]]]


def test_rows_are_replaced_by_index_and_the_others_stay() -> None:
    dst = of([[9, 9], [8, 8], [7, 7]])
    out = evaluate(case(Op.SET_ROWS, "", (of([[1, 2], [3, 4]]), of([2, 0], Type.I64), dst), dst))
    assert out[0, 0].tolist() == [[3, 4], [8, 8], [1, 2]]
    assert reals(dst)[0, 0].tolist() == [[9, 9], [8, 8], [7, 7]]


@pytest.mark.parametrize("bad", [-1, 3, 1 << 40])
def test_an_index_outside_the_table_is_an_index_error(bad: int) -> None:
    dst = normal(rng(), F32, dim(2, 3))
    with pytest.raises(IndexError, match="of 3"):
        evaluate(case(Op.SET_ROWS, "", (normal(rng(), F32, dim(2)), of([bad], Type.I64), dst), dst))


def test_broadcast_repeats_the_smaller_operand() -> None:
    out = run(Op.ADD, of([[0, 0, 0, 0], [10, 10, 10, 10]]), of([1, 2]), to=dim(4, 2))
    assert out[0, 0].tolist() == [[1, 2, 1, 2], [11, 12, 11, 12]]
    assert run(Op.MUL, of([[1, 2], [3, 4]]), of([[2], [3]]), to=dim(2, 2))[0, 0].tolist() == [[2, 4], [9, 12]]


def test_scale_by_zero_fills_with_the_bias() -> None:
    assert (run(Op.SCALE, of([1, 2]), to=dim(2), words={0: 0.0, 1: -math.inf}) == -math.inf).all()
    assert run(Op.SCALE, of([1, 2]), to=dim(2), words={0: 3.0, 1: 1.0}).reshape(-1).tolist() == [4, 7]


def test_swiglu_takes_its_halves_in_either_order() -> None:
    gate, up = [0.0, 1.0], [5.0, 7.0]
    expected = [0.0, 7 / (1 + math.exp(-1))]
    words = {0: int(Glu.SWIGLU)}
    assert run(Op.GLU, of(gate), of(up), to=dim(2), words=words).reshape(-1) == pytest.approx(expected)
    assert run(Op.GLU, of(gate + up), to=dim(2), words=words).reshape(-1) == pytest.approx(expected)
    assert run(Op.GLU, of(up + gate), None, to=dim(2), words=words | {1: 1}).reshape(-1) == pytest.approx(expected)


def test_rms_norm_brings_the_mean_square_to_one() -> None:
    assert run(Op.RMS_NORM, of([[3, 4], [6, 8]]), to=dim(2, 2)).reshape(-1) == pytest.approx(
        [3, 4, 3, 4] / np.sqrt(12.5)
    )
    assert run(Op.RMS_NORM, of([3, 4]), to=dim(2), words={0: 12.5}).reshape(-1) == pytest.approx([0.6, 0.8])


def test_soft_max_weights_are_exponentials_of_scaled_and_masked_scores() -> None:
    mask = of([0, -math.inf, math.log(3)], F16)
    out = run(Op.SOFT_MAX, of([0, 5, 0]), mask, to=dim(3), words={0: 1.0}).reshape(-1)
    assert out == pytest.approx([0.25, 0, 0.75], abs=1e-3)
    doubled = run(Op.SOFT_MAX, of([0, math.log(2)]), to=dim(2), words={0: 2.0}).reshape(-1)
    assert doubled == pytest.approx([0.2, 0.8])


def test_a_sink_takes_weight_and_gives_no_output() -> None:
    out = run(Op.SOFT_MAX, of([0, 0]), None, of([math.log(2)]), to=dim(2), words={0: 1.0}).reshape(-1)
    assert out == pytest.approx([0.25, 0.25])
    assert softmax_row(np.array([-np.inf]), 0.0).tolist() == [0]


@pytest.mark.parametrize(
    ("heads", "slopes"),
    [(8, [2.0**-h for h in range(1, 9)]), (6, [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3]), (1, [2**-8])],
)
def test_alibi_slopes_are_those_of_its_paper(heads: int, slopes: list[float]) -> None:
    assert [alibi_slope(8, h, heads) for h in range(heads)] == pytest.approx(slopes)
    assert alibi_slope(0, 3, heads) == 1


def test_weights_meet_every_activation_of_their_group() -> None:
    weights, x = normal(rng(), F32, dim(5, 4, 2)), normal(rng(), F32, dim(5, 3, 6))
    out = run(Op.MUL_MAT, weights, x, to=dim(4, 3, 6))
    expected = np.einsum("bmk,bnk->bnm", np.repeat(reals(weights)[0], 3, axis=0), reals(x)[0])
    np.testing.assert_allclose(out[0], expected, rtol=1e-12)


PARTNERS = {
    **{type_: type_ for type_ in (F16, Type.BF16)},
    **dict.fromkeys((Type.Q4_0, Type.Q5_0, Type.Q8_0), Type.Q8_0),
    **dict.fromkeys((Type.Q4_K, Type.Q5_K, Type.Q6_K), Type.Q8_K),
}


@pytest.mark.parametrize("type_", PARTNERS, ids=lambda type_: type_.name)
def test_what_a_product_loses_is_the_activations_rounding(type_: Type) -> None:
    k, partner = 2 * max(32, FORMATS[type_].block), FORMATS[PARTNERS[type_]]
    weights, x = normal(rng(), type_, dim(k, 7)), normal(rng(), F32, dim(k, 3))
    assert partner.encode is not None
    rows = reals(x).astype(np.float32).reshape(-1, partner.block)
    lossy = partner.decode(partner.encode(rows)).astype(np.float64).reshape(3, k)
    out = run(Op.MUL_MAT, weights, x, to=dim(7, 3))
    np.testing.assert_allclose(out[0, 0], lossy @ reals(weights)[0, 0].T, rtol=1e-5, atol=1e-6)
    assert np.abs(out[0, 0] - reals(x)[0, 0] @ reals(weights)[0, 0].T).max() > 1e-5


@pytest.mark.parametrize(("type_", "form"), [(Type.Q4_1, q4_1), (Type.Q5_1, q5_1)], ids=["Q4_1", "Q5_1"])
def test_a_minimum_is_weighed_with_the_rounded_sum(type_: Type, form: ModuleType) -> None:
    weights, x = normal(rng(), type_, dim(32)), normal(rng(), F32, dim(32))
    d, low, q = (part[0] for part in form.unpack(block_bytes(weights)[0, 0, 0]))
    their_d, their_s, their_q = (part[0] for part in q8_1.unpack(q8_1.quantise(reals(x)[0, 0].astype(np.float32))))
    expected = float(d[0]) * float(their_d[0]) * int(q @ their_q) + float(low[0]) * float(their_s[0])
    assert run(Op.MUL_MAT, weights, x, to=dim(1)).item() == pytest.approx(expected, rel=1e-12)


def rope(x: Operand, position: int, words: Mapping[int, int | float]) -> Values:
    places = of([position] * x.ne[2], Type.I32)
    defaults: dict[int, int | float] = {1: x.ne[0], 5: 10000.0, 6: 1.0, 8: 1.0}
    return run(Op.ROPE, x, places, to=x.ne, words=defaults | dict(words))


@pytest.mark.parametrize(("mode", "partner"), [(RopeMode.NORMAL, 1), (RopeMode.NEOX, 2)])
def test_a_pair_turns_by_position_times_frequency(mode: RopeMode, partner: int) -> None:
    x = of([1.0, 0, 0, 0])
    out = rope(x, 3, {2: int(mode)}).reshape(-1)
    assert (out[0], out[partner]) == pytest.approx((math.cos(3), math.sin(3)))
    last = rope(of([0, 0, 1.0, 0] if partner == 1 else [0, 1.0, 0, 0]), 3, {2: int(mode)}).reshape(-1)
    assert last[3] == pytest.approx(math.sin(3 * 10000.0**-0.5))


@pytest.mark.parametrize("mode", [RopeMode.NORMAL, RopeMode.NEOX])
def test_turning_twice_is_turning_once_by_the_sum(mode: RopeMode) -> None:
    x = normal(rng(), F32, dim(32, 3, 2))
    once = rope(x, 12, {2: int(mode)})
    twice = rope(store(empty(F32, x.ne), rope(x, 5, {2: int(mode)})), 7, {2: int(mode)})
    np.testing.assert_allclose(once, twice, atol=1e-6)
    np.testing.assert_allclose((once**2).sum(), (reals(x) ** 2).sum(), rtol=1e-6)


def test_channels_outside_the_turned_range_are_copied() -> None:
    x = normal(rng(), F32, dim(16))
    out, before = rope(x, 5, {1: 8, 15: 4}).reshape(-1), reals(x).reshape(-1)
    outside = [*range(4), *range(12, 16)]
    np.testing.assert_array_equal(out[outside], before[outside])
    np.testing.assert_allclose(out[4:12], rope(of(before[4:12]), 5, {}).reshape(-1), atol=1e-7)


def test_yarn_keeps_fast_pairs_and_stretches_slow_ones() -> None:
    """From 32 turns in the original context on, a pair keeps its frequency; up to one turn, it is scaled in full."""
    x = of(np.tile([1.0, 0.0], 64))
    plain, stretched = rope(x, 9, {}), rope(x, 9, {6: 0.25})
    mixed = rope(x, 9, {4: 4096, 6: 0.25, 7: 1.0, 9: 32.0, 10: 1.0}) / (1 + 0.1 * math.log(4))
    np.testing.assert_allclose(mixed[..., :2], plain[..., :2], atol=1e-9)
    np.testing.assert_allclose(mixed[..., -2:], stretched[..., -2:], atol=1e-9)


def attention(
    tokens: int, keys: int, mask: Operand | None, types: tuple[Type, Type] = (F16, F16)
) -> tuple[Case, Operand, Operand, Operand]:
    """`types` of keys and values, which are 32 and 6 elements wide."""
    q, k, v = (
        normal(rng(), F32, dim(32, tokens, 4)),
        normal(rng(), types[0], dim(32, keys, 2)),
        normal(rng(), types[1], dim(6, keys, 2)),
    )
    made = full(Op.FLASH_ATTN_EXT, "", (q, k, v, mask), empty(F32, dim(6, 4, tokens)), {0: 0.5})
    return made, q, k, v


@pytest.mark.parametrize("keys", [F32, F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0])
@pytest.mark.parametrize("tokens", [3, 64])
def test_attention_is_its_three_ops_in_a_row(tokens: int, keys: Type) -> None:
    mask = normal(rng(), F16, dim(5, tokens))
    fused, q, k, v = attention(tokens, 5, mask, (keys, F32))
    scores = store(empty(F32, dim(5, tokens, 4)), run(Op.MUL_MAT, k, q, to=dim(5, tokens, 4)))
    weights = store(empty(F32, scores.ne), run(Op.SOFT_MAX, scores, mask, to=scores.ne, words={0: 0.5}))
    values = store(empty(F32, dim(5, 6, 2)), reals(permuted(v, (1, 0, 2, 3))))
    expected = run(Op.MUL_MAT, values, weights, to=dim(6, tokens, 4))
    np.testing.assert_allclose(evaluate(fused), expected.transpose(0, 2, 1, 3), atol=1e-6)


def test_few_queries_lose_what_their_sum_of_values_cannot_hold_as_f16() -> None:
    tiny = 2.0**-12  # a quarter of the step of an F16 at 1
    for type_, expected in ((F16, 0.5), (F32, 0.5 + tiny / 2)):
        keys = store(empty(type_, dim(1, 2)), np.zeros((1, 1, 2, 1)))
        values = store(empty(type_, dim(1, 2)), np.array([1, tiny]).reshape(1, 1, 2, 1))
        out = run(Op.FLASH_ATTN_EXT, of([1.0]), keys, values, to=dim(1, 1), words={0: 1.0})
        assert out.item() == expected


@pytest.mark.parametrize("keys", [F32, F16, Type.Q8_0])
def test_the_sum_of_f16_values_is_rounded_after_each_key_unless_keys_are_f16_and_queries_many(keys: Type) -> None:
    for tokens, rounds in ((3, True), (64, keys != F16)):
        made, _, _, v = attention(tokens, 5, None, (keys, F16))
        wide = attrs.evolve(made, srcs=(*made.srcs[:2], store(empty(F32, v.ne), reals(v)), None))
        apart = np.abs(evaluate(made) - evaluate(wide)).max()
        assert (apart > 1e-5) == rounds
        assert apart < 1e-2


def test_a_token_that_may_see_nothing_gets_zeros() -> None:
    out = evaluate(attention(2, 3, of([[-math.inf] * 3, [0, -math.inf, -math.inf]], F16))[0])
    assert (out[0, 0] == 0).all()
    np.testing.assert_allclose(out[0, 1, 0], reals(attention(2, 3, None)[3])[0, 0, 0])


def test_index_tensors_are_read_whole() -> None:
    big = of([(1 << 60) + 1], Type.I64)
    assert integers(big).item() == (1 << 60) + 1


def test_what_has_no_definition_is_refused_by_name() -> None:
    with pytest.raises(NotImplementedError, match="CUMSUM"):
        run(Op.CUMSUM, of([1]), to=dim(1))
    with pytest.raises(NotImplementedError, match="ROPE mode 8"):
        rope(of([1.0, 0]), 1, {2: int(RopeMode.MROPE)})


def test_gaps_are_never_part_of_a_value() -> None:
    loose = normal(rng(), F32, dim(3, 2), Layout(slack=2, lead=1))
    assert np.isfinite(reals(loose)).all()
