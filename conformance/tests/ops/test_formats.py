"""Blocks made by hand mean what types.toml says; drawn ones mean what the gguf package says."""

import struct

import gguf
import numpy as np
import pytest

from conformance.cases.ops.blocks.decode import decoded, parts_of
from conformance.cases.ops.blocks.draw import Draw, encoded, type_of
from conformance.cases.ops.blocks.formats import DECODERS
from spec.load import load

HALF = struct.pack("<e", 0.5)
QUARTER = struct.pack("<e", 0.25)
COUNTING = bytes(low | low << 4 for low in range(16))
"""nibbles: byte i holds i twice"""
TWICE = [*range(16), *range(16)]
ONES_AND_ZEROS = [1] * 16 + [0] * 16


def of(kind: str, data: bytes) -> list[float]:
    return [float(value) for value in decoded(type_of(kind), data)]


def test_q4_0_counts_from_minus_eight() -> None:
    assert of("Q4_0", HALF + COUNTING) == [0.5 * (code - 8) for code in TWICE]


def test_q4_1_adds_its_minimum() -> None:
    assert of("Q4_1", HALF + QUARTER + COUNTING) == [0.5 * code + 0.25 for code in TWICE]


def test_q5_0_has_a_fifth_bit_for_each_element() -> None:
    fifth = (0x0000FFFF).to_bytes(4, "little")
    expected = [0.5 * (code + 16 * bit - 16) for code, bit in zip(TWICE, ONES_AND_ZEROS, strict=True)]
    assert of("Q5_0", HALF + fifth + COUNTING) == expected


def test_q5_1_adds_its_minimum() -> None:
    fifth = (0x0000FFFF).to_bytes(4, "little")
    expected = [0.5 * (code + 16 * bit) + 0.25 for code, bit in zip(TWICE, ONES_AND_ZEROS, strict=True)]
    assert of("Q5_1", HALF + QUARTER + fifth + COUNTING) == expected


def test_q8_0_has_signed_codes() -> None:
    codes = list(range(-16, 16))
    assert of("Q8_0", HALF + struct.pack("32b", *codes)) == [0.5 * code for code in codes]


def test_q2_k_goes_plane_by_plane() -> None:
    scales = bytes([0x21, 0x13, *[0x01] * 14])
    block = scales + bytes([0b11_10_01_00]) + bytes(63) + HALF + QUARTER
    values = of("Q2_K", block)
    assert values[0] == 0.5 * 1 * 0 - 0.25 * 2
    assert values[16] == 0.5 * 3 * 0 - 0.25 * 1
    assert (values[32], values[64], values[96]) == (0.5, 1.0, 1.5)
    assert values[128] == 0


def test_q3_k_subtracts_four_where_the_third_bit_is_clear() -> None:
    scales = bytes([0x01, *[0x00] * 7, 0b10, 0, 0, 0])
    block = bytes([0x01]) + bytes(31) + bytes([0b11]) + bytes(63) + scales + HALF
    values = of("Q3_K", block)
    assert values[0] == 0.5 * ((0x01 | 0b10 << 4) - 32) * 3
    assert values[1] == 0.5 * (33 - 32) * -4
    assert values[16] == 0.5 * (0 - 32) * -4


def test_q4_k_puts_upper_bits_of_late_scales_above_early_ones() -> None:
    scales = bytes([0b01_000010, 0, 0, 0, 0b10_000011, 0, 0, 0, 0x21, 0, 0, 0])
    block = HALF + QUARTER + scales + bytes([0x5F]) + bytes(127)
    values = of("Q4_K", block)
    assert values[0] == 0.5 * 2 * 15 - 0.25 * 3
    assert values[32] == 0
    assert values[128] == -0.25 * (2 | 0b10 << 4)
    late = of("Q4_K", HALF + struct.pack("<e", 0) + scales + bytes(64) + bytes([0x0F]) + bytes(63))
    assert late[128] == 0.5 * (1 | 0b01 << 4) * 15


def test_q5_k_takes_the_bit_of_its_group() -> None:
    scales = bytes([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    block = HALF + QUARTER + scales + bytes([0b10]) + bytes(31) + bytes([0x21]) + bytes(127)
    values = of("Q5_K", block)
    assert (values[0], values[32]) == (0.5 * 1, 0.5 * (2 + 16))


def test_q6_k_has_two_high_bits_apart() -> None:
    block = bytes([0x2F]) + bytes(127) + bytes([0b00_01_00_11]) + bytes(63) + struct.pack("16b", *[-1] * 16) + HALF
    values = of("Q6_K", block)
    assert values[0] == 0.5 * -1 * ((0x0F | 0b11 << 4) - 32)
    assert values[64] == 0.5 * -1 * ((0x02 | 0b01 << 4) - 32)
    assert values[1] == 0.5 * -1 * -32


def test_q1_0_and_q2_0_begin_with_the_lowest_bits() -> None:
    assert of("Q1_0", HALF + bytes([0b101]) + bytes(15))[:4] == [0.5, -0.5, 0.5, -0.5]
    assert of("Q2_0", HALF + bytes([0b11_10_01_00]) + bytes(15))[:5] == [-0.5, 0, 0.5, 1.0, -0.5]


def test_mxfp4_shares_an_exponent() -> None:
    assert of("MXFP4", bytes([128]) + COUNTING)[:16] == [0, 1, 2, 3, 4, 6, 8, 12, -0.0, -1, -2, -3, -4, -6, -8, -12]


def test_nvfp4_has_a_scale_for_each_sixteen() -> None:
    scales = bytes([7 << 3, 8 << 3 | 4, 0, 1])
    values = of("NVFP4", scales + bytes([0x12] * 32))
    assert values[:16] == [1.0] * 8 + [0.5] * 8
    assert values[16:32] == [3.0] * 8 + [1.5] * 8
    assert set(values[32:48]) == {0.0}
    assert values[48] == 2.0**-9


def test_bf16_is_the_upper_half_of_a_float_and_ties_go_to_even() -> None:
    assert of("BF16", b"\x80\x3f\x00\xc0") == [1.0, -2.0]
    assert encoded(np.array([1 + 2.0**-8, 1 + 3 * 2.0**-8, 1.0]), "BF16") == b"\x80\x3f\x82\x3f\x80\x3f"


GGUF_READS = [
    kind.name
    for kind in load().dialect(load().versions[-1]).types.values()
    if kind.quantised and getattr(gguf.GGMLQuantizationType, kind.name, None) in gguf.quants._type_traits
]


@pytest.mark.parametrize("kind", sorted(set(GGUF_READS) & DECODERS.keys()))
def test_drawn_blocks_mean_the_same_to_the_gguf_package(kind: str) -> None:
    drawn = Draw(f"agreement/{kind}").blocks(1024, 3, kind=kind)
    rows = np.frombuffer(drawn.tensor.data, np.uint8).reshape(3, -1)
    theirs = gguf.dequantize(rows, gguf.GGMLQuantizationType[kind])
    assert np.array_equal(drawn.values[0, 0].astype(np.float32), theirs)


@pytest.mark.parametrize("kind", [kind.name for kind in load().dialect("8.0.0").types.values()])
def test_drawn_values_of_every_type_are_finite_and_differ(kind: str) -> None:
    drawn = Draw(f"sound/{kind}").any(1024, 2, kind=kind)
    assert np.isfinite(drawn.values).all()
    assert 0 < np.abs(drawn.values).max() < 1000
    assert len(np.unique(drawn.values)) > 1


def test_parts_of_a_block_are_those_of_the_layout() -> None:
    assert parts_of(type_of("Q4_K"), bytes(144)).dtype.names == ("d", "dmin", "scales", "qs")
