"""GRAPH-10 to 14, 16, 17 and 19: which records run, in which order their effects come, and which never run."""

from collections.abc import Callable
from functools import partial

import attrs
import numpy as np
from numpy.typing import NDArray

from conformance.cases.graph.build import Graph, Tensor, graph, held, leaf, node, view
from conformance.cases.graph.placed import compute_flag, computed, equals, refuses, tolerates
from conformance.cases.sums import NUMBERS
from conformance.judge.case import Case, Section
from conformance.judge.codec import Codec
from conformance.judge.steps import Talk

__all__ = ["CASES"]

_section = Section()
_case = _section.case
CASES = _section.cases

OTHERS = np.array([10.0, 20.0, -30.0, 0.25], np.float32)
ALL_ONES = (1 << 32) - 1
ALL_BITS = (1 << 31) - 1
"""every flag but the sign bit"""
NEVER = ("MAP_CUSTOM1", "MAP_CUSTOM2", "MAP_CUSTOM3", "CUSTOM")
AN_ADDRESS = 0x1000
ADDRESS_OF_A_FUNCTION = "llama.cpp#25289"


def _sum(first: Tensor, second: Tensor, onto: Tensor | None = None) -> Tensor:
    return node("ADD", "F32", (4,), first, second, onto=onto)


def _is(make: Callable[[], Graph], wanted: NDArray[np.float32], codec: Codec) -> Talk[None]:
    """The graph's only result has to be these numbers."""
    (body,) = yield from computed(codec, make())
    equals(body, wanted)


def _earlier_result() -> Graph:
    """z = x + y, where y is the sum of an earlier graph, sent with its op."""
    x = held(NUMBERS)
    y = attrs.evolve(_sum(x, x), data=OTHERS.tobytes())
    z = _sum(x, y)
    return graph(z, nodes=(z,))


def _of_function_outside() -> Graph:
    """z = x + y, where y was computed by a function of the client's, earlier and elsewhere."""
    x = held(NUMBERS)
    y = attrs.evolve(node("CUSTOM", "F32", (4,), x), data=OTHERS.tobytes())
    z = _sum(x, y)
    return graph(z, nodes=(z,))


def _without_the_flag() -> Graph:
    """z = x + y, where y = x + x is listed but does not carry COMPUTE."""
    x = held(NUMBERS)
    y = attrs.evolve(_sum(x, x), data=OTHERS.tobytes(), executes=False)
    return graph(_sum(x, y))


def _other_flags() -> Graph:
    """y = x + x carries every flag that there is, and those that there are not."""
    x = held(NUMBERS)
    return graph(_sum(x.saying(flags=ALL_BITS), x).saying(flags=ALL_BITS))


def _through_views() -> Graph:
    """A row of 8 as two rows, these transposed, and of that the second column, made a row again."""
    square = view(held(np.concatenate((NUMBERS, OTHERS))), (4, 2), op="RESHAPE")
    turned = view(square, (2, 4), (16, 4, 32, 32), op="TRANSPOSE")
    second = view(turned, (1, 4), (16, 4, 32, 32), at=16)
    return graph(node("CONT", "F32", (4, 1), view(second, (4, 1), (4, 16, 16, 16), op="PERMUTE")))


def _views_that_are_leaves() -> Graph:
    """y = a + b of two halves of a row that are views by address, without an op."""
    both = held(np.concatenate((NUMBERS, OTHERS)))
    halves = [attrs.evolve(view(both, (4,), at=at), op="NONE", srcs=(), executes=False) for at in (0, 16)]
    return graph(_sum(*halves))


def _wrong_offset() -> Graph:
    """As a view says in view_offs something else than its data means: data counts (GRAPH-15, TENSOR-14)."""
    both = held(np.concatenate((NUMBERS, OTHERS)))
    second = view(both, (4,), at=16).saying(view_offs=0)
    return graph(_sum(second, second))


def _nothing_to_do() -> Graph:
    """A sum of no elements, and one of four."""
    none = leaf("F32", (0, 3))
    x = held(NUMBERS)
    y = _sum(x, x)
    empty = node("ADD", "F32", (0, 3), none, none)
    return Graph(tensors=(none, x, empty, y), nodes=(empty, y), results=(y,))


def _nothing_anywhere() -> Graph:
    """A node without elements, operands and a sound address, and a sum of four."""
    x = held(NUMBERS)
    y = _sum(x, x)
    empty = node("ADD", "F32", (4, 0)).saying(data=1)
    return Graph(tensors=(x, empty, y), nodes=(empty, y), results=(y,))


def _elsewhere_unread() -> Graph:
    """A leaf and a view of it that live elsewhere, and a sum that does not need them."""
    away = leaf("F32", (4,)).saying(buffer=0, data=0)
    seen = view(away, (2,)).saying(buffer=0, data=0)
    x = held(NUMBERS)
    y = _sum(x, x)
    return Graph(tensors=(away, seen, x, y), nodes=(seen, y), results=(y,))


def _in_place() -> Graph:
    """y takes the place of x, and z = y + y that of y."""
    x = held(NUMBERS)
    y = _sum(x, x, onto=x)
    return graph(_sum(y, y, onto=y))


def _memory_used_again() -> Graph:
    """w = (x + x) + o takes the bytes of x, which nobody reads any more, without saying that it is a view."""
    x, other = held(NUMBERS), held(OTHERS)
    y = _sum(x, x)
    z = attrs.evolve(_sum(y, other, onto=x)).saying(view_src=0)
    return graph(_sum(z, y))


def _read_after_it_changed() -> Graph:
    """x, y = x + x written over x by address alone, and z = x + o: it reads what the bytes of x then are."""
    x, other = held(NUMBERS), held(OTHERS)
    y = _sum(x, x, onto=x).saying(view_src=0)
    z = _sum(x, other)
    return Graph(tensors=(x, y, other, z), nodes=(y, z), results=(z,))


def _read_before_it_changes() -> Graph:
    """z = x + o reads x before y = x + x is written over it."""
    x, other = held(NUMBERS), held(OTHERS)
    z = _sum(x, other)
    y = _sum(x, x, onto=x).saying(view_src=0)
    return Graph(tensors=(x, other, z, y), nodes=(z, y), results=(z,))


def _chain_of_sums(**said: int) -> Graph:
    """y = x + x, read by z = y + o alone; y is the result that is looked at."""
    x, other = held(NUMBERS), held(OTHERS)
    y = _sum(x, x).saying(**said)
    z = _sum(y, other)
    return Graph(tensors=(x, y, other, z), nodes=(y, z), results=(y,))


RIGHT = {
    "GRAPH-11/earlier-result": (_earlier_result, NUMBERS + OTHERS, "A record outside the node list is not run again"),
    "GRAPH-11/op-of-a-function": (
        _of_function_outside,
        NUMBERS + OTHERS,
        "A record outside the node list may carry an op that is never accepted",
    ),
    "GRAPH-12/without-the-flag": (_without_the_flag, NUMBERS + OTHERS, "A node without COMPUTE is not executed"),
    "GRAPH-12/other-flags": (_other_flags, 2 * NUMBERS, "Flags other than COMPUTE change nothing"),
    "GRAPH-13/through-views": (_through_views, OTHERS, "Views of views are extents, strides and data as sent"),
    "GRAPH-13/no-elements": (_nothing_to_do, 2 * NUMBERS, "A node without elements computes nothing"),
    "GRAPH-14/elsewhere-unread": (_elsewhere_unread, 2 * NUMBERS, "Leaves and views that live elsewhere are legal"),
    "GRAPH-15/views-without-op": (_views_that_are_leaves, NUMBERS + OTHERS, "A view may be a leaf"),
    "GRAPH-16/in-place": (_in_place, 4 * NUMBERS, "A result may have exactly the bytes of its operand"),
    "GRAPH-16/memory-used-again": (_memory_used_again, 4 * NUMBERS + OTHERS, "Memory that nobody reads is used again"),
    "GRAPH-16/read-after": (_read_after_it_changed, 2 * NUMBERS + OTHERS, "A node reads what the bytes then are"),
    "GRAPH-16/read-before": (_read_before_it_changes, NUMBERS + OTHERS, "A later node does not change what was read"),
}
"""id > graph, its result, and what it shows"""
STRANGE = {
    "GRAPH-15/offset-is-not-added": (_wrong_offset, 2 * OTHERS, "Where a view lies is said by data, not by view_offs"),
    "GRAPH-13/whatever-it-says": (
        _nothing_anywhere,
        2 * NUMBERS,
        "A node without elements computes nothing, without operands and at a senseless address",
    ),
}
"""the same, of graphs that no client sends"""

for _table, _is_ordinary in ((RIGHT, True), (STRANGE, False)):
    for _id, (_make, _wanted, _what) in _table.items():
        _section.add(Case(id=_id, title=_what, script=partial(_is, _make, _wanted), ordinary=_is_ordinary))


@_case("GRAPH-17/output-is-in-memory", ordinary=True, level="MUST")
def _output(codec: Codec) -> Talk[None]:
    """A result that carries OUTPUT is in memory although one node alone reads it"""
    flags = {value.name: value.value for value in codec.dialect.enums["TensorFlag"].values}
    made = _chain_of_sums(flags=flags["OUTPUT"] | flags["COMPUTE"], **_uses(codec, 1))
    yield from _is(lambda: made, 2 * NUMBERS, codec)


@_case("GRAPH-17/read-twice-is-in-memory", ordinary=True, level="MUST")
def _read_twice(codec: Codec) -> Talk[None]:
    """A result that two nodes of the client's graph read is in memory, though this message has only one of them"""
    made = _chain_of_sums(**_uses(codec, 2))
    yield from _is(lambda: made, 2 * NUMBERS, codec)


def _uses(codec: Codec, count: int) -> dict[str, int]:
    """use_count, where records have it."""
    has = any(field.name == "use_count" for field in codec.dialect.structs["rpc_tensor"].fields)
    return {"use_count": count} if has else {}


@_case("GRAPH-19/rare-type")
def _rare_type(codec: Codec) -> Talk[None]:
    """A product with weights of a type that few have kernels for is computed, or closes the connection"""
    block = codec.dialect.type("TQ1_0").block
    weights, x = leaf("TQ1_0", (block, 2)), leaf("F32", (block, 3))
    yield from tolerates(lambda _: graph(node("MUL_MAT", "F32", (2, 3), weights, x)), codec)


OpNumber = Callable[[Codec], int]


def _first_unknown(codec: Codec) -> int:
    return len(codec.dialect.ops)


def _number(number: int) -> OpNumber:
    return lambda codec: number


def _numbered(op: OpNumber, where: str, codec: Codec) -> Graph:
    """A sound node, and something else that has the op number."""
    x = held(NUMBERS)
    y = _sum(x, x)
    other = node("ADD", "F32", (4,), x, x).saying(op=op(codec), flags=compute_flag(codec) if where == "node" else 0)
    return Graph(tensors=(x, y, other), nodes=(y,) if where == "record" else (y, other), results=(y,))


UNKNOWN = {
    "first-unknown": (_first_unknown, "the first op number behind the table"),
    "150": (_number(150), "op number 150"),
    "2-31": (_number(1 << 31), "op number 2^31"),
    "all-ones": (_number(ALL_ONES), "op number 2^32 - 1"),
}
WHERE = {
    "node": "A node has",
    "idle-node": "A node without COMPUTE has",
    "record": "A record that is not listed has",
}

for _slug, (_op, _named) in UNKNOWN.items():
    for _where, _has in WHERE.items():
        _section.add(
            Case(
                id=f"GRAPH-10/{_slug}-in-{_where}",
                title=f"{_has} {_named}: the connection is closed",
                script=partial(refuses, partial(_numbered, _op, _where)),
            )
        )


def _function(op: str, carries: bool, codec: Codec) -> Graph:
    """A node whose op_params hold an address. As many operands as the op has."""
    x = held(NUMBERS)
    words = (AN_ADDRESS, 0, 1, *(0,) * 13)
    operands = (x,) * max(len(codec.dialect.op(op).operands), 1)
    y = node(op, "F32", (4,), *operands).saying(op_params=words)
    return graph(y if carries else y.saying(flags=0))


for _op_name in NEVER:
    _section.add(
        Case(
            id=f"GRAPH-10/{_op_name.lower().replace('_', '-')}",
            title=f"{_op_name} is a function in the client's process: a node of it closes the connection",
            script=partial(refuses, partial(_function, _op_name, True)),
            upstream=ADDRESS_OF_A_FUNCTION,
        )
    )
    _section.add(
        Case(
            id=f"GRAPH-10/{_op_name.lower().replace('_', '-')}-without-flag",
            title=f"A node of {_op_name} closes the connection although it does not carry COMPUTE",
            script=partial(refuses, partial(_function, _op_name, False)),
        )
    )
