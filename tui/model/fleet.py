"""All nodes together: folding, order, and the sums of the title line. Pure.

Endpoints are told apart as they were given; a node named twice is one row.
"""

from collections import Counter
from collections.abc import Iterable
from enum import Enum

import attrs

from tui.model.events import Event
from tui.model.node import Node, State

__all__ = ["Fleet", "Order"]

SEVERITY = {state: rank for rank, state in enumerate(State)}


class Order(Enum):
    """How rows are sorted; the values are what the title line says."""

    GIVEN = "as given"
    NAME = "by node"
    STATE = "by state, worst first"
    FREE = "by free memory, most first"
    TRIP = "by round trip, longest first"

    @property
    def next(self) -> "Order":
        """The order after this one, round and round."""
        orders = list(Order)
        return orders[(orders.index(self) + 1) % len(orders)]


@attrs.frozen
class Fleet:
    """Nodes by name, in the order in which they were given."""

    nodes: dict[str, Node]

    @classmethod
    def of(cls, names: Iterable[str]) -> "Fleet":
        """Nodes of which nothing is known yet."""
        return cls({name: Node(name) for name in names})

    def after(self, event: Event) -> "Fleet":
        """The fleet once `event` has happened to one of its nodes; KeyError for a node that is none of them."""
        return Fleet({**self.nodes, event.node: self.nodes[event.node].after(event)})

    def rows(self, order: Order, now: float) -> list[Node]:
        """The nodes in an order; those that it does not tell apart stay as given."""
        nodes = list(self.nodes.values())
        match order:
            case Order.GIVEN:
                return nodes
            case Order.NAME:
                return sorted(nodes, key=lambda node: node.name)
            case Order.STATE:
                return sorted(nodes, key=lambda node: -SEVERITY[node.state(now)])
            case Order.FREE:
                return sorted(nodes, key=lambda node: -node.free)
            case Order.TRIP:
                return sorted(nodes, key=lambda node: -(node.last_trip or 0.0))

    def counts(self, now: float) -> dict[State, int]:
        """How many nodes are in each state that occurs, best first."""
        found = Counter(node.state(now) for node in self.nodes.values())
        return {state: found[state] for state in State if found[state]}

    def memory(self, now: float) -> tuple[int, int]:
        """Free and total bytes of the nodes that answer at present."""
        present = [node for node in self.nodes.values() if node.answers(now)]
        return sum(node.free for node in present), sum(node.total for node in present)

    def all_answer(self, now: float) -> bool:
        """Whether every node answers at present."""
        return all(node.answers(now) for node in self.nodes.values())
