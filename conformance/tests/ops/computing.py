"""A right server in miniature that computes a few ops of plain types, so that the wrong ones are a line away from it.

Everything else it has no kernel for: it closes the connection (GRAPH-19). A wrong one overrides one method.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from conformance.cases.ops.blocks.decode import PLAIN, decoded
from conformance.cases.ops.blocks.formats import Array
from conformance.cases.ops.definitions.elementwise import BINARY, like
from conformance.cases.ops.definitions.moves import rows_of, with_rows
from conformance.cases.ops.definitions.products import shared
from conformance.cases.ops.definitions.rows import rms_norm
from conformance.tests.cases.miniature.session import Graph, Session
from conformance.tests.cases.miniature.world import Refused
from spec.dialect import TypeDef
from spec.names import TensorFlag

__all__ = ["Computing", "Node"]


@attrs.frozen
class Node:
    """A node that runs: its op's name, its result's type, extents, and where it goes; operands by slot; parameters."""

    op: str
    kind: TypeDef
    out: NDArray[Any]
    operands: Sequence[Array | None]
    words: bytes

    def operand(self, slot: int) -> Array:
        """An operand that has to be there."""
        found = self.operands[slot]
        if found is None:
            raise Refused
        return found

    def real(self, word: int) -> float:
        """A parameter in floating point."""
        return float(np.frombuffer(self.words, "<f4")[word])

    def whole(self, word: int) -> int:
        """A parameter in whole numbers."""
        return int(np.frombuffer(self.words, "<i4")[word])


class Computing(Session):
    """One connection of the right server."""

    def compute(self, graph: Graph) -> None:
        for node in graph.nodes:
            record = graph.records[node]
            op = self.codec.dialect.ops[self.read(record, "op")]
            if op.executes and self.read(record, "flags") & TensorFlag.COMPUTE:
                self.run_one(self.node(record, graph.records))

    def node(self, record: bytes, records: Mapping[int, bytes]) -> Node:
        sources = self.tuple_of(record, "src")
        kind = self.codec.dialect.types[self.read(record, "type")]
        self.check(kind.name in PLAIN)
        return Node(
            op=self.codec.dialect.ops[self.read(record, "op")].name,
            kind=kind,
            out=self.place(record, kind),
            operands=[self.values(records[source]) if source else None for source in sources],
            words=np.array(self.tuple_of(record, "op_params"), "<i4").tobytes(),
        )

    def tuple_of(self, record: bytes, field: str) -> tuple[int, ...]:
        found = self.codec.unpack("rpc_tensor", record)[field]
        assert isinstance(found, tuple)
        return found

    def place(self, record: bytes, kind: TypeDef) -> NDArray[Any]:
        """The elements where they lie: (n3, n2, n1, n0)."""
        memory = self.whole_region(record, self.span(record))
        shape, strides = self.tuple_of(record, "ne")[::-1], self.tuple_of(record, "nb")[::-1]
        return np.ndarray(shape, PLAIN[kind.name], memory, strides=strides)

    def values(self, record: bytes) -> Array:
        kind = self.codec.dialect.types[self.read(record, "type")]
        if kind.name in PLAIN:
            return np.asarray(self.place(record, kind).astype(np.float64))
        data = bytes(self.whole_region(record, self.span(record)))
        return decoded(kind, data).reshape(self.tuple_of(record, "ne")[::-1])

    def run_one(self, node: Node) -> None:
        method = getattr(self, f"op_{node.op.lower()}", None)
        if node.op in BINARY:
            method = self.binary
        if node.op in ("CPY", "CONT", "DUP"):
            method = self.copied
        if method is None:
            raise Refused
        self.store(node, method(node))

    def store(self, node: Node, values: Array) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            node.out[...] = self.rounded(node.kind, values).reshape(node.out.shape)

    def rounded(self, kind: TypeDef, values: Array) -> NDArray[Any]:
        """To nearest into floats, towards 0 into whole numbers."""
        return values.astype(PLAIN[kind.name])

    def binary(self, node: Node) -> Array:
        a, b = node.operand(0), node.operand(1)
        return BINARY[node.op](a, self.repeated(b, a.shape))

    def repeated(self, b: Array, shape: tuple[int, ...]) -> Array:
        return like(b, shape)

    def copied(self, node: Node) -> Array:
        return node.operand(0).reshape(-1)

    def op_get_rows(self, node: Node) -> Array:
        x, ids = node.operand(0), node.operand(1)
        self.check(self.inside_rows(ids, x.shape[2]))
        return rows_of(x, ids)

    def inside_rows(self, ids: Array, rows: int) -> bool:
        """OP-INDEX."""
        return bool(((ids >= 0) & (ids < rows)).all())

    def op_set_rows(self, node: Node) -> Array:
        return with_rows(node.operand(2), node.operand(0), self.chosen(node.operand(1)))

    def chosen(self, ids: Array) -> Array:
        return ids

    def op_mul_mat(self, node: Node) -> Array:
        w, x = node.operand(0), node.operand(1)
        return np.asarray(np.einsum("qpic,qpjc->qpji", self.for_batch(w, x), self.as_partner(x)))

    def for_batch(self, w: Array, x: Array) -> Array:
        return shared(w, (x.shape[0], x.shape[1]))

    def as_partner(self, x: Array) -> Array:
        """The right side as the product takes it."""
        return x

    def op_sum_rows(self, node: Node) -> Array:
        return np.asarray(node.operand(0).sum(-1, keepdims=True))

    def op_argsort(self, node: Node) -> Array:
        x = node.operand(0)
        return np.argsort(-x if self.descends(node) else x, axis=-1).astype(np.float64)

    def descends(self, node: Node) -> bool:
        return bool(node.whole(0))

    def op_top_k(self, node: Node) -> Array:
        return np.argsort(-node.operand(0), axis=-1)[..., : node.out.shape[-1]].astype(np.float64)

    def op_rms_norm(self, node: Node) -> Array:
        return rms_norm(node.operand(0), node.real(0))

    def op_scale(self, node: Node) -> Array:
        return node.operand(0) * node.real(0) + node.real(1)
