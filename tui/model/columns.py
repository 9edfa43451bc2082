"""Which columns a table of a given width has, and what stands in them. Pure.

From 79 characters on nothing is cut but long node names and long sentences. What is wider first gets a longer bar, then
room for the node's name, then a column that says how many clients it serves, and one with the sentence.
"""

from collections.abc import Callable

import attrs

from tui.model import words
from tui.model.node import Node

__all__ = ["NARROWEST", "Column", "columns", "shorten"]

NARROWEST = 78
"""characters of all columns at their least, with one between any two"""
BAR = (6, 20)
NAME = (16, 32)
SERVES = 7
SENTENCE = 24
"""least and most characters, or just least"""

Cell = Callable[[Node, float, int], str]
"""(node, now, width) > text"""


@attrs.frozen
class Column:
    """One column; `width` does not count the gap behind it."""

    key: str
    title: str
    width: int
    cell: Cell
    right: bool = False

    def text(self, node: Node, now: float) -> str:
        """The cell, exactly `width` characters."""
        text = shorten(self.cell(node, now, self.width), self.width)
        return text.rjust(self.width) if self.right else text.ljust(self.width)


def shorten(text: str, width: int) -> str:
    """At most `width` characters; a cut is marked."""
    return text if len(text) <= width else text[: width - 1] + "…"


def columns(width: int) -> tuple[Column, ...]:
    """The columns that `width` characters have room for."""
    spare = max(0, width - NARROWEST)
    bar = BAR[0] + min(spare, BAR[1] - BAR[0])
    spare -= bar - BAR[0]
    name = NAME[0] + min(spare, NAME[1] - NAME[0])
    spare -= name - NAME[0]
    chosen = [
        Column("node", "node", name, lambda node, now, width: node.name),
        Column("proto", "proto", 5, lambda node, now, width: words.version(node.version)),
        Column("devices", "dev", 3, _devices, right=True),
        Column("used", "used", bar, lambda node, now, width: words.bar(node.total - node.free, node.total, width)),
        Column("memory", "free/total", 11, lambda node, now, width: words.memory(node.free, node.total), right=True),
        Column("last", "rtt ms", 6, lambda node, now, width: words.milliseconds(node.last_trip), right=True),
        Column("p50", "p50 ms", 6, lambda node, now, width: words.milliseconds(node.median_trip), right=True),
        Column("state", "state", 13, lambda node, now, width: node.state(now).value),
        Column("age", "age", 4, lambda node, now, width: words.age(node.age(now)), right=True),
    ]
    if spare > SERVES:
        chosen.append(Column("serves", "clients", SERVES, _serves))
        spare -= SERVES + 1
    if spare > SENTENCE:
        chosen.append(Column("sentence", "", spare - 1, lambda node, now, width: node.sentence(now)))
    return tuple(chosen)


def _devices(node: Node, now: float, width: int) -> str:
    return str(len(node.devices)) if node.good_at is not None else words.UNKNOWN


def _serves(node: Node, now: float, width: int) -> str:
    return words.UNKNOWN if node.serves is None else node.serves.value
