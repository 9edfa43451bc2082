"""What can be done, by which keys: the one list from which key bindings, the footer and the help screen are made.

Key names are Textual's. An action is carried out by the method `action_<name>` of the fleet screen or of the program.
"""

import attrs

__all__ = ["ACTIONS", "Action"]


@attrs.frozen
class Action:
    """One thing to do."""

    name: str
    """method, and arguments where it takes some: ``move(1)``"""
    keys: tuple[str, ...]
    shown: str
    """the keys as a person reads them"""
    label: str
    """one word for the footer; empty: not shown there"""
    doc: str


ACTIONS = (
    Action("quit", ("q",), "q", "quit", "quit"),
    Action("move(1)", ("down", "j"), "down j", "", "next node"),
    Action("move(-1)", ("up", "k"), "up k", "", "previous node"),
    Action("sort", ("s",), "s", "sort", "sort: as given, by node, state, free memory, round trip"),
    Action("pause", ("space",), "space", "pause", "ask nothing until pressed again"),
    Action("interval(-1)", ("plus", "equals_sign"), "+", "faster", "ask more often"),
    Action("interval(1)", ("minus",), "-", "slower", "ask less often"),
    Action("help", ("question_mark",), "?", "help", "this page"),
)
