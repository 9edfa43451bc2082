"""Runs a built graph node by node with the kernels' oracle: slow, and right by definition."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from refimpl.graph.define import GraphBuilder, Tensor
from refimpl.kernels.cases.build import store
from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle.evaluate import evaluate
from refimpl.model.llama import LlamaGraph
from spec.names import Op

__all__ = ["Memory"]

NO_OPS = (Op.RESHAPE, Op.VIEW, Op.PERMUTE, Op.TRANSPOSE)


class Memory:
    """Bytes of weights, caches and inputs by name, which live on from run to run."""

    def __init__(self, weights: Mapping[str, NDArray[np.uint8]]) -> None:
        self.bytes: dict[str, NDArray[np.uint8]] = dict(weights)

    def run(self, b: GraphBuilder, graph: LlamaGraph, inputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        """Run all nodes; the output as (rows, columns). A cache that was never written holds zeros."""
        memory: dict[Tensor, NDArray[np.uint8]] = {}
        for name, tensor in {**graph.inputs, **graph.weights, **graph.cache}.items():
            if name in inputs:
                self.bytes[name] = np.ascontiguousarray(inputs[name]).reshape(-1).view(np.uint8)
            memory[tensor] = self.bytes.setdefault(name, np.zeros(tensor.nbytes, np.uint8))
            assert memory[tensor].nbytes == tensor.nbytes, name
        for node in b.nodes:
            memory.setdefault(node.root, np.zeros(node.root.nbytes, np.uint8))
            if node.op not in NO_OPS:
                case = _case(node, memory)
                store(case.dst, evaluate(case))
        values = memory[graph.output.root].view(np.float32)
        return values.reshape(graph.output.ne[1], graph.output.ne[0])


def _case(node: Tensor, memory: Mapping[Tensor, NDArray[np.uint8]]) -> Case:
    params = np.zeros(16, np.int32)
    params[: len(node.params)] = node.params
    srcs = tuple(None if source is None else _operand(source, memory) for source in node.srcs)
    return Case(op=node.op, srcs=srcs, dst=_operand(node, memory), params=params)


def _operand(tensor: Tensor, memory: Mapping[Tensor, NDArray[np.uint8]]) -> Operand:
    return Operand(memory[tensor.root], tensor.type, tensor.ne, tensor.nb, tensor.view_offs)
