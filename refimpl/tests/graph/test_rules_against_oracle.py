"""What the rules let through, the definition of the op can compute: the oracle, which refuses every byte outside an
operand's buffer and every shape that does not fit, evaluates all nodes of graphs with one changed extent, stride,
operand, op or address.
"""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.errors import ProtocolError
from refimpl.graph.checked import ABSENT, CheckedGraph
from refimpl.graph.rules.table import RULES
from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle.evaluate import evaluate
from refimpl.tests.graph.mutations import LAYERS, mutated, mutations
from refimpl.tests.graph.samples import Sample, one_node
from refimpl.tests.graph.test_rules import FITS
from spec.names import Op, Type

SHAPING = ("ne", "nb", "src", "data", "op")
FEW = 1 << 16
"""elements: the oracle is slow, and repeated rows can make a small tensor large"""


def cases(sample: Sample, graph: CheckedGraph) -> list[Case]:
    """The nodes that run, over buffers of zeros."""
    table = graph.tensors
    sizes = dict(zip(sample.buffers.handles.tolist(), sample.buffers.sizes.tolist(), strict=True))
    memory = [np.zeros(sizes[handle], np.uint8) for handle in graph.handles]

    def operand(index: int) -> Operand:
        ne, nb = table.ne[index].tolist(), table.nb[index].tolist()
        place = memory[int(table.buffer[index])]
        return Operand(place, Type(int(table.type[index])), tuple(ne), tuple(nb), int(table.offset[index]))

    return [
        Case(
            Op(int(table.op[node])),
            tuple(operand(source) if source != ABSENT else None for source in table.src[node].tolist()),
            operand(node),
            table.params[node],
        )
        for node in graph.nodes.tolist()
    ]


def assert_computable(case: Case) -> bool:
    """The oracle has a value for every element of the result; False if it does not define the op for these types."""
    operands = [case.dst, *(source for source in case.srcs if source)]
    if any(np.prod(np.array(operand.ne, float)) > FEW or operand.type not in FORMATS for operand in operands):
        return False
    try:
        with np.errstate(all="ignore"):
            assert evaluate(case).shape == tuple(reversed(case.dst.ne))
    except NotImplementedError:
        return False
    return True


def test_the_good_cases_of_every_rule_are_computable() -> None:
    computed = set()
    for node in FITS.values():
        sample = one_node(node.op, node.dst, node.srcs, node.params, node.alias)
        computed |= {case.op for case in cases(sample, sample.build()) if assert_computable(case)}
    assert computed == set(RULES)


@settings(max_examples=600)
@given(st.data())
def test_what_passes_is_computable(data: st.DataObject) -> None:
    flash, record, field, element, value = data.draw(mutations(SHAPING))
    sample = mutated(flash, record, field, element, value)
    try:
        graph = sample.build()
    except ProtocolError:
        return
    identity = LAYERS[flash].records[record]["id"]
    for node, case in zip(graph.nodes.tolist(), cases(sample, graph), strict=True):
        if node == record or identity in sample.records[node]["src"]:
            assert_computable(case)
