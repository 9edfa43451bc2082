"""The block formats against gguf, which reads and writes the same files, and against their own definitions."""

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refimpl.kernels.blocks import f16, q4_0, q4_1, q8_0, q8_1
from refimpl.kernels.blocks.raw import Raw, Reals
from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.cases.build import off_ties
from spec.load import load
from spec.names import Type

BLOCK_TYPES = (Type.Q4_0, Type.Q4_1, Type.Q8_0)

blocks_of_reals = hnp.arrays(np.float32, (3, 32), elements=st.floats(-1e4, 1e4, width=32))


def random_bytes(type_: Type, count: int = 500) -> Raw:
    raw = np.random.default_rng(int(type_)).integers(0, 256, (count, FORMATS[type_].bytes), dtype=np.uint8)
    halves = 2 if type_ == Type.Q4_1 else 1
    exponents = raw[:, 1 : 2 * halves : 2]
    exponents &= 0xBF  # no infinities and no NaNs: those have their own test
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
    raw[1, :2] = np.array([np.nan], "<f2").view(np.uint8)
    decoded = FORMATS[type_].decode(raw)
    assert np.isfinite(decoded[0]).all()
    assert np.isnan(decoded[1]).all()


def test_every_half_survives_the_way_there_and_back() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    values = f16.dequantise(every)
    numbers = ~np.isnan(values[:, 0])
    np.testing.assert_array_equal(f16.quantise(values)[numbers], every[numbers])


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
