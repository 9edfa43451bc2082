"""One field of a good graph set to anything: the graph is refused, or all that it reads and writes lies in its buffers.

The check of the outcome knows nothing of the code under test: Python integers, straight from the records.
"""

from itertools import product
from typing import Any

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from refimpl.errors import ProtocolError
from refimpl.graph.checked import CheckedGraph
from refimpl.tests.graph.mutations import LAYERS, mutated, mutations
from refimpl.tests.graph.samples import DIALECT, Sample
from refimpl.wire.tensor import RPC_TENSOR
from spec.names import TensorFlag


def corners(record: Any) -> tuple[int, int]:
    """Lowest and one past the highest address that walking the tensor touches, by trying all its corners."""
    kind = DIALECT.types[int(record["type"])]
    ne, nb = [int(extent) for extent in record["ne"]], [int(stride) for stride in record["nb"]]
    assert ne[0] % kind.block == 0
    blocks = [ne[0] // kind.block, *ne[1:]]
    starts = [
        int(record["data"]) + sum(index * stride for index, stride in zip(corner, nb, strict=True))
        for corner in product(*((0, extent - 1) for extent in blocks))
    ]
    return min(starts), max(starts) + kind.bytes


def assert_inside(sample: Sample, graph: CheckedGraph) -> None:
    """Every node that runs, and each of its operands, lies in the buffer that its record names."""
    spans = {
        int(handle): (int(base), int(base) + int(size))
        for handle, base, size in zip(sample.buffers.handles, sample.buffers.bases, sample.buffers.sizes, strict=True)
    }
    by_id = {int(record["id"]): record for record in sample.records}
    for node in graph.nodes.tolist():
        record = sample.records[node]
        assert record["flags"] & TensorFlag.COMPUTE
        for tensor in (record, *(by_id[int(source)] for source in record["src"] if source)):
            begin, end = spans[int(tensor["buffer"])]
            low, high = corners(tensor)
            assert begin <= low
            assert high <= end


def test_the_independent_check_accepts_the_good_graphs() -> None:
    for sample in LAYERS.values():
        assert_inside(sample, sample.build())


@settings(max_examples=1500)
@given(mutations())
@example((True, 0, "ne", 0, 2**32 - 1))
@example((True, 0, "nb", 1, 2**32 - 1))
def test_a_changed_field_is_refused_or_harmless(mutation: tuple[bool, int, str, int, int]) -> None:
    sample = mutated(*mutation)
    try:
        graph = sample.build()
    except ProtocolError:
        return
    assert_inside(sample, graph)


@settings(max_examples=100)
@given(st.data())
def test_records_of_random_bytes_never_get_through_unchecked(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 4))
    raw = data.draw(st.binary(min_size=count * RPC_TENSOR.itemsize, max_size=count * RPC_TENSOR.itemsize))
    records = np.frombuffer(raw, RPC_TENSOR).copy()
    records["id"] = np.arange(1, count + 1)
    records["src"] %= count + 1
    records["view_src"] %= count + 1
    records["type"] %= 5
    records["op"] %= 101
    sample = Sample(records["id"].copy(), records, LAYERS[True].buffers)
    try:
        graph = sample.build()
    except ProtocolError:
        return
    assert_inside(sample, graph)
