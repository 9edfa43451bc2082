"""The smallest graphs that compute: sums of floats, for clauses outside graph.md that need a graph to run."""

import numpy as np

from conformance.cases.graph.build import Graph, Tensor, graph, held, node, view

__all__ = ["NUMBERS", "chain", "doubled", "of_a_view"]

NUMBERS = np.array([1.5, -2.0, 3.25, 0.5], np.float32)
HALF = NUMBERS.nbytes


def doubled() -> Graph:
    """y = x + x, of NUMBERS."""
    x = held(NUMBERS)
    return graph(node("ADD", "F32", (len(NUMBERS),), x, x))


def of_a_view() -> Graph:
    """y = v + v, where v is the second half of a row of twice as many numbers: zeros, then NUMBERS."""
    whole = held(np.concatenate([np.zeros_like(NUMBERS), NUMBERS]))
    part = view(whole, (len(NUMBERS),), at=HALF)
    return graph(node("ADD", "F32", (len(NUMBERS),), part, part))


def chain(length: int, elements: int) -> Graph:
    """x + x, that plus x, and so on: `length` nodes, each of which needs the one before it."""
    x: Tensor = held(np.ones(elements, np.float32))
    total = x
    for _ in range(length):
        total = node("ADD", "F32", (elements,), total, x)
    return graph(total)
