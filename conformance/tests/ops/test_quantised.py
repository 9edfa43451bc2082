"""Quantising is judged by the reference's own distance: what it brings back passes, a code beside it does not."""

import gguf
import numpy as np
import pytest

from conformance.cases.graph.build import leaf
from conformance.cases.ops.blocks.decode import decoded
from conformance.cases.ops.blocks.draw import Draw, type_of
from conformance.cases.ops.quantised import QUANTISERS, quantised, requantised
from conformance.cases.ops.sample import Expected

KINDS = sorted(QUANTISERS)


def written(kind: str) -> tuple[Expected, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    """What is expected of drawn values, and their blocks as the gguf package makes them."""
    x = Draw(f"quantised/{kind}").floats(256, 3).values
    rows = gguf.quantize(x[0, 0].astype(np.float32), gguf.GGMLQuantizationType[kind])
    return quantised(leaf(kind, (256, 3)), x), rows


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_of_another_reference_quantiser_pass(kind: str) -> None:
    expected, rows = written(kind)
    assert expected.complaint(rows.tobytes()) is None


@pytest.mark.parametrize("kind", KINDS)
def test_our_reference_brings_back_what_the_gguf_package_does(kind: str) -> None:
    expected, rows = written(kind)
    back, step = requantised(kind, expected.want)
    theirs = decoded(type_of(kind), rows.tobytes()).reshape(back.shape)
    assert (np.abs(back - theirs) < 0.01 * step).mean() > 0.99


@pytest.mark.parametrize("kind", KINDS)
def test_one_code_beside_the_nearest_fails(kind: str) -> None:
    expected, rows = written(kind)
    rows = rows.copy()
    rows[0, -1] ^= 0x10 if kind != "Q8_0" else 0x01
    complaint = expected.complaint(rows.tobytes())
    assert complaint is not None
    assert "1 of 768" in complaint[1]


def test_rows_that_are_not_written_have_to_stay() -> None:
    to = Draw("stay").blocks(32, 2, kind="Q8_0")
    is_written = np.zeros(to.values.shape)
    is_written[:, :, 1] = 1
    expected = quantised(to.tensor, to.values, is_written)
    assert expected.complaint(to.tensor.data) is None
    changed = bytearray(to.tensor.data)
    changed[2] ^= 0x01
    assert expected.complaint(bytes(changed)) is not None


def test_a_block_of_zeros_is_quantised_to_zeros() -> None:
    for kind in KINDS:
        back, _ = requantised(kind, np.zeros((1, 1, 1, 32)))
        assert not back.any()
