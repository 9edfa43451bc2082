"""The block formats against gguf, which reads and writes the same files, and against their own definitions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refimpl.kernels.blocks import bf16, f16, q4_0, q4_1, q5_0, q5_1, q8_0, q8_1
from refimpl.kernels.blocks.k_quants import q8_k
from refimpl.kernels.blocks.raw import Raw, Reals, halves
from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.cases.build import SCALES, off_ties
from spec.load import load
from spec.names import Type

UNPACK: dict[Type, Callable[[Raw], tuple[Any, ...]]] = {
    Type.Q4_0: q4_0.unpack,
    Type.Q4_1: q4_1.unpack,
    Type.Q5_0: q5_0.unpack,
    Type.Q5_1: q5_1.unpack,
}
KEPT = (Type.BF16, *UNPACK)
"""types of caches that are not weights' activations as well"""
BLOCK_TYPES = (Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q4_K, Type.Q5_K, Type.Q6_K)

blocks_of_reals = hnp.arrays(np.float32, (3, 32), elements=st.floats(-1e4, 1e4, width=32))


def random_bytes(type_: Type, count: int = 500) -> Raw:
    raw = np.random.default_rng(int(type_)).integers(0, 256, (count, FORMATS[type_].bytes), dtype=np.uint8)
    for at in SCALES[type_]:
        raw[:, at + 1] &= 0xBF  # no infinities and no NaNs: those have their own test
    return raw


@pytest.mark.parametrize("type_", FORMATS, ids=lambda t: t.name)
def test_sizes_are_those_of_the_specification(type_: Type) -> None:
    form, listed = FORMATS[type_], load().dialect("7.0.0").types[type_]
    assert (form.block, form.bytes) == (listed.block, listed.bytes)


@pytest.mark.parametrize("type_", BLOCK_TYPES, ids=lambda t: t.name)
def test_random_bytes_mean_what_gguf_says(type_: Type) -> None:
    raw = random_bytes(type_)
    np.testing.assert_array_equal(FORMATS[type_].decode(raw), dequantize(raw, GGMLQuantizationType(type_)))


@pytest.mark.parametrize("type_", BLOCK_TYPES, ids=lambda t: t.name)
def test_a_scale_that_is_no_number_makes_its_block_no_numbers(type_: Type) -> None:
    raw = random_bytes(type_, 2)
    at = SCALES[type_][0]
    raw[1, at : at + 2] = np.array([np.nan], "<f2").view(np.uint8)
    decoded = FORMATS[type_].decode(raw)
    assert np.isfinite(decoded[0]).all()
    assert np.isnan(decoded[1]).all()


def test_every_half_survives_the_way_there_and_back() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    values = f16.dequantise(every)
    numbers = ~np.isnan(values[:, 0])
    np.testing.assert_array_equal(f16.quantise(values)[numbers], every[numbers])


def test_every_bf16_survives_the_way_there_and_back() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    values = bf16.dequantise(every)
    np.testing.assert_array_equal(values, dequantize(every, GGMLQuantizationType.BF16))
    numbers = ~np.isnan(values[:, 0])
    np.testing.assert_array_equal(bf16.quantise(values)[numbers], every[numbers])
    assert np.isnan(bf16.dequantise(bf16.quantise(values))[~numbers]).all()


@pytest.mark.parametrize(
    ("bits", "stored"),
    [(0x3F80_7FFF, 0x3F80), (0x3F80_8000, 0x3F80), (0x3F81_8000, 0x3F82), (0x3F80_8001, 0x3F81), (0x7F7F_FFFF, 0x7F80)],
)
def test_bf16_rounds_to_nearest_and_ties_to_even(bits: int, stored: int) -> None:
    for sign in (0, 0x8000):
        value = np.array([[bits | sign << 16]], np.uint32).view(np.float32)
        assert bf16.quantise(value).view("<u2")[0, 0] == stored | sign


def test_a_nan_whose_upper_half_is_an_infinitys_becomes_a_quiet_one() -> None:
    value = np.array([[0x7F80_0001]], np.uint32).view(np.float32)
    assert bf16.quantise(value).view("<u2")[0, 0] == 0x7FC0


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (2049.0, 2048.0),
        (2051.0, 2052.0),
        (65519.0, 65504.0),
        (65520.0, np.inf),
        (2.9802322e-08, 0.0),
        (1e-7, 1.1920929e-7),
    ],
)
def test_halves_round_to_nearest_and_ties_to_even(value: float, stored: float) -> None:
    for sign in (1, -1):
        assert f16.dequantise(f16.quantise(np.array([[sign * value]], np.float32)))[0, 0] == np.float32(sign * stored)


def test_nibbles_lie_low_half_first() -> None:
    raw = np.zeros((1, q4_0.BYTES), np.uint8)
    raw[0, :2] = np.array([1.0], "<f2").view(np.uint8)
    raw[0, 2] = 0xF1
    values = q4_0.dequantise(raw)[0]
    assert (values[0], values[16]) == (1 - 8, 15 - 8)
    assert (np.delete(values, [0, 16]) == -8).all()


def test_a_fifth_bit_belongs_to_the_element_of_its_number() -> None:
    raw = np.zeros((1, q5_0.BYTES), np.uint8)
    raw[0, :2] = np.array([1.0], "<f2").view(np.uint8)
    raw[0, 2:6] = np.array([1 << 3 | 1 << 20], "<u4").view(np.uint8)
    values = q5_0.dequantise(raw)[0]
    assert np.flatnonzero(values != -16).tolist() == [3, 20]
    assert (values[[3, 20]] == 0).all()


def test_the_minimum_is_added_to_every_element() -> None:
    raw = np.zeros((1, q4_1.BYTES), np.uint8)
    raw[0, :4] = np.array([0.5, -3.0], "<f2").view(np.uint8)
    raw[0, 19] = 0x40
    values = q4_1.dequantise(raw)[0]
    assert values[31] == 4 * 0.5 - 3
    assert (values[:31] == -3).all()


def test_activations_quantise_as_gguf_does_where_no_tie_is_near() -> None:
    values = off_ties(np.random.default_rng(5).standard_normal((200, 32))).astype(np.float32)
    np.testing.assert_array_equal(q8_0.quantise(values), quantize(values, GGMLQuantizationType.Q8_0))


def test_ties_go_to_the_even_quant() -> None:
    values = np.zeros((1, 32), np.float32)
    values[0, :5] = [127, 0.5, 1.5, 2.5, -0.5]
    _, quants = q8_0.unpack(q8_0.quantise(values))
    assert quants[0, :5].tolist() == [127, 0, 2, 2, 0]


@given(blocks_of_reals)
def test_no_value_moves_by_more_than_half_a_quant(values: Reals) -> None:
    scale, quants = q8_0.quants(values)
    assert np.abs(quants.astype(np.int32)).max() <= 127
    assert (np.abs(scale * quants - values) <= scale * 0.5001 + 1e-36).all()


@given(blocks_of_reals)
def test_q8_1_is_q8_0_and_the_sum(values: Reals) -> None:
    scale, total, quants = q8_1.unpack(q8_1.quantise(values))
    plain_scale, plain_quants = q8_0.unpack(q8_0.quantise(values))
    np.testing.assert_array_equal(quants, plain_quants)
    np.testing.assert_array_equal(scale, plain_scale)
    unrounded, _ = q8_0.quants(values)
    sums = quants.sum(axis=1, keepdims=True)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(total, (unrounded * sums.astype(np.float32)).astype(np.float16))


def test_a_block_of_zeros_has_no_scale() -> None:
    assert not q8_0.quantise(np.zeros((2, 32), np.float32)).any()
    assert not q8_1.quantise(np.zeros((2, 32), np.float32)).any()
    assert not q8_k.quantise(np.zeros((2, 256), np.float32)).any()


def test_the_largest_value_of_a_q8_k_block_becomes_127_with_the_other_sign() -> None:
    values = np.linspace(-1, 1, 256, dtype=np.float32)[None]
    values[0, 17] = 4
    d, q, _ = q8_k.unpack(q8_k.quantise(values))
    assert q[0, 17] == -127
    assert float(d[0, 0]) == pytest.approx(-4 / 127)


@given(hnp.arrays(np.float32, (2, 256), elements=st.floats(-1e4, 1e4, width=32)))
def test_q8_k_moves_no_value_by_more_than_half_a_quant_and_has_its_sums(values: Reals) -> None:
    d, q, sums = q8_k.unpack(q8_k.quantise(values))
    assert np.abs(q).max() <= 127
    assert (np.abs(d * q - values) <= np.abs(d) * 0.5001 + 1e-36).all()
    np.testing.assert_array_equal(sums, q.reshape(2, 16, 16).sum(axis=2))
    np.testing.assert_array_equal(q8_k.dequantise(q8_k.quantise(values)), d * q.astype(np.float32))


@pytest.mark.parametrize("type_", KEPT, ids=lambda t: t.name)
def test_rows_quantise_as_gguf_does(type_: Type) -> None:
    values = np.random.default_rng(int(type_)).standard_normal((500, 32)).astype(np.float32)
    if type_ == Type.BF16:
        values = values.reshape(-1, 1)
    np.testing.assert_array_equal(quantised(type_, values), quantize(values, GGMLQuantizationType(type_)))


@pytest.mark.parametrize("type_", [Type.Q4_0, Type.Q5_0], ids=lambda t: t.name)
def test_the_first_of_two_largest_values_gives_the_scale_its_sign(type_: Type) -> None:
    for sign in (1, -1):
        values = np.zeros((1, 32), np.float32)
        values[0, 5], values[0, 9] = sign, -sign
        raw = quantised(type_, values)
        assert np.sign(halves(raw, 0)[0, 0]) == -sign
        decoded = FORMATS[type_].decode(raw)[0]
        assert decoded[5] == sign
        assert 0 < -sign * decoded[9] < 1


@pytest.mark.parametrize(("type_", "zero"), [(Type.Q4_0, 8), (Type.Q5_0, 16)], ids=["Q4_0", "Q5_0"])
def test_zeros_are_quantised_to_the_quant_that_stands_for_0(type_: Type, zero: int) -> None:
    raw = quantised(type_, np.zeros((1, 32), np.float32))
    assert raw[0, :2].tobytes() == np.array([-0.0], "<f2").tobytes()
    assert (UNPACK[type_](raw)[1] + zero == zero).all()


@pytest.mark.parametrize("type_", [Type.Q4_1, Type.Q5_1], ids=lambda t: t.name)
def test_a_block_of_one_value_is_its_minimum(type_: Type) -> None:
    for value in (0.0, -0.0, 2.5, -7.0):
        raw = quantised(type_, np.full((1, 32), value, np.float32))
        assert raw[0, :4].tobytes() == np.array([0.0, value], "<f2").tobytes()
        assert not raw[0, 4:].any()


@pytest.mark.parametrize("type_", [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1], ids=lambda t: t.name)
def test_what_is_no_number_has_quant_0(type_: Type) -> None:
    values = np.random.default_rng(1).standard_normal((1, 32)).astype(np.float32)
    values[0, 3], values[0, 20] = np.nan, -np.nan
    q = UNPACK[type_](quantised(type_, values))[-1]
    assert q[0, 3] == q[0, 20] == q.min()


@pytest.mark.parametrize("type_", [Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1], ids=lambda t: t.name)
@given(values=blocks_of_reals)
def test_quantised_values_stay_within_a_step(type_: Type, values: Reals) -> None:
    raw = quantised(type_, values)
    step = np.abs(halves(raw, 0))
    bound = step * 1.01 + np.abs(values).max(axis=1, keepdims=True) * 2e-3 + 1e-6
    assert (np.abs(FORMATS[type_].decode(raw) - values) <= bound).all()


def quantised(type_: Type, values: Reals) -> Raw:
    encode = FORMATS[type_].encode
    assert encode is not None
    return encode(values)
