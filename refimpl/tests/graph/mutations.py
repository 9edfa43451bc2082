"""Hypothesis strategies: one field of a good graph set to a value near the old one, to a round one, or to anything."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from refimpl.tests.graph.samples import Sample, layer
from refimpl.wire.tensor import RPC_TENSOR

__all__ = ["BITS", "LAYERS", "mutated", "mutations"]

LAYERS = {flash: layer(flash) for flash in (True, False)}
BITS = {"id": 64, "type": 32, "buffer": 64, "ne": 32, "nb": 32, "op": 32, "op_params": 31, "src": 64, "view_src": 64}
BITS |= {"data": 64, "view_offs": 64, "flags": 31, "use_count": 31}


@st.composite
def mutations(draw: st.DrawFn, fields: Sequence[str] = tuple(BITS)) -> tuple[bool, int, str, int, int]:
    """(with flash attention, record, field, element of the field, value or difference)."""
    flash = draw(st.booleans())
    record = draw(st.integers(0, len(LAYERS[flash].records) - 1))
    field = draw(st.sampled_from(sorted(fields)))
    shape = RPC_TENSOR[field].shape
    element = draw(st.integers(0, shape[0] - 1)) if shape else 0
    old = int(np.atleast_1d(LAYERS[flash].records[record][field])[element])
    top = 2 ** BITS[field]
    value = draw(
        st.one_of(
            st.integers(-70, 70).map(lambda difference: (old + difference) % top),
            st.integers(0, 70),
            st.sampled_from([top - 1, top // 2, top // 2 - 1, old * 2 % top, old * 3 % top, old // 2]),
            st.integers(0, top - 1),
        )
    )
    return flash, record, field, element, value


def mutated(flash: bool, record: int, field: str, element: int, value: int) -> Sample:
    def change(sample: Sample) -> None:
        if RPC_TENSOR[field].shape:
            sample.records[record][field][element] = value
        else:
            sample.records[record][field] = value

    return LAYERS[flash].changed(change)
