"""Every byte of the recorded conversations is understood: decoded and encoded again it is the same, in any pieces."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spec
from refimpl.limits import Limits
from refimpl.session.connection import Connection, Role
from refimpl.session.regions import tensor_nbytes
from refimpl.tests.session.replay import VECTORS, Reader, Vector, replay
from refimpl.wire.messages import GraphCompute, HelloReply, Request, SetTensor
from spec.names import Op, TensorFlag

WHOLE = 1 << 30
PROBES = [vector for vector in VECTORS if vector.part == "probe"]
MAINS = [vector for vector in VECTORS if vector.part == "main"]

cuts = st.lists(st.one_of(st.integers(1, 20), st.integers(1, 5000), st.integers(1, 1 << 17)), min_size=1, max_size=30)


def requests_of(vector: Vector) -> list[Request]:
    """Decoded requests of a recorded client; HELLO is answered so that the rest becomes legal."""
    server = Connection(Role.SERVER, vector.dialect, Limits())
    requests = []
    for item in Reader(server, direct=False).read(vector.read("c2s"), [WHOLE]):
        if not isinstance(item, Request):
            continue
        requests.append(item)
        if len(requests) == 1:
            server.send(HelloReply(*vector.dialect.hello))
    return requests


@pytest.mark.parametrize("direct", [False, True], ids=["through", "around"])
@pytest.mark.parametrize("size", [WHOLE, 1], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_a_recorded_conversation_is_written_again_byte_for_byte(vector: Vector, size: int, direct: bool) -> None:
    assert replay(vector, [size], direct) == (vector.read("c2s"), vector.read("s2c"))


@pytest.mark.parametrize("vector", PROBES, ids=str)
@given(sizes=cuts, direct=st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_probe_may_arrive_in_any_pieces(vector: Vector, sizes: list[int], direct: bool) -> None:
    assert replay(vector, sizes, direct) == (vector.read("c2s"), vector.read("s2c"))


@pytest.mark.parametrize("vector", MAINS, ids=str)
@given(sizes=st.lists(st.integers(100, 1 << 17), min_size=1, max_size=30), direct=st.booleans())
@settings(max_examples=10, deadline=None)
def test_a_long_conversation_may_arrive_in_any_pieces(vector: Vector, sizes: list[int], direct: bool) -> None:
    assert replay(vector, sizes, direct) == (vector.read("c2s"), vector.read("s2c"))


@pytest.mark.parametrize("vector", MAINS, ids=str)
def test_recorded_weights_fill_their_tensors(vector: Vector) -> None:
    writes = [request for request in requests_of(vector) if isinstance(request, SetTensor)]
    assert len(writes) > 20
    for write in writes:
        assert write.offset + write.size <= tensor_nbytes(write.tensor, Limits())


@pytest.mark.parametrize("vector", MAINS, ids=str)
def test_recorded_graphs_name_their_own_records_and_hold_the_ops_of_a_llama(vector: Vector) -> None:
    graphs = [request for request in requests_of(vector) if isinstance(request, GraphCompute)]
    assert len(graphs) >= 2
    for graph in graphs:
        assert np.isin(graph.nodes, graph.tensors["id"]).all()
        computed = graph.tensors[graph.tensors["flags"] & TensorFlag.COMPUTE != 0]
        ops = Counter(Op(op).name for op in computed["op"])
        assert ops["MUL_MAT"] > ops["RMS_NORM"] > 0
        assert ("FLASH_ATTN_EXT" in ops) == (vector.flavour == "flash")
        assert (graph.uid != 0) == (vector.version == "8.0.0")


def test_the_vectors_are_those_that_their_readme_describes() -> None:
    folder = Path(spec.__path__[0]) / "vectors"
    rows = [line.strip("| \n").split(" | ") for line in (folder / "README.md").read_text().splitlines()]
    described = {row[0]: (int(row[1]), row[2]) for row in rows if len(row) == 3 and row[1].isdigit()}
    found = {}
    for file in folder.glob("*/*/*.*"):
        data = file.read_bytes()
        found[file.relative_to(folder).as_posix()] = (len(data), hashlib.sha256(data).hexdigest())
    assert described == found
