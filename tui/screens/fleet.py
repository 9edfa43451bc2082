"""The fleet: a title with the sums, the pace, the table, the node under the cursor in words, the keys.

Made for 80 x 24 and more. A fleet with more nodes than rows is scrolled.
"""

from typing import ClassVar, Protocol

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Footer, Static

from tui.actions import ACTIONS
from tui.model import words
from tui.model.fleet import Fleet, Order
from tui.model.node import Node
from tui.screens.help import HelpScreen
from tui.widgets.fleet_table import FleetTable

__all__ = ["FleetScreen", "Shown", "about", "bindings", "pace", "title"]

REDRAW = 0.25
"""seconds between two drawings: ages and waits grow without news"""
MOST_DEVICE_LINES = 4
NOTE = "A stock node serves one client at a time: while one is attached, it looks busy."


class Shown(Protocol):
    """What the screen shows and what its keys change."""

    fleet: Fleet
    interval: float
    paused: bool

    def clock(self) -> float:
        """Seconds, on the clock of the fleet's events."""

    def toggle_pause(self) -> None:
        """Ask nothing, or ask again."""

    def step_interval(self, step: int) -> None:
        """Ask more often (-1) or less often (1)."""


def bindings() -> list[BindingType]:
    """The registry of actions as key bindings."""
    return [
        Binding(",".join(action.keys), action.name, action.label or action.doc, bool(action.label), action.shown)
        for action in ACTIONS
    ]


def title(fleet: Fleet, now: float) -> str:
    """One line: how many nodes are in which state, and their memory."""
    free, total = fleet.memory(now)
    states = ", ".join(f"{count} {state.value}" for state, count in fleet.counts(now).items())
    count = len(fleet.nodes)
    name = "node" if count == 1 else "nodes"
    return f"{count} {name}: {states} | {words.gib(free)} of {words.gib(total)} GiB free"


def pace(shown: Shown, order: Order) -> str:
    """One line: how often nodes are asked, and how they are sorted."""
    often = "PAUSED: nothing is asked" if shown.paused else f"asked every {shown.interval:g} s"
    return f"{often} | sorted {order.value}"


class FleetScreen(Screen[None]):
    """See the module."""

    BINDINGS: ClassVar[list[BindingType]] = bindings()
    CSS = """
    FleetScreen { layout: vertical; }
    #title { height: 1; text-style: bold; background: $panel; text-wrap: nowrap; text-overflow: ellipsis; }
    #pace { height: 1; background: $panel; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
    #about { height: auto; max-height: 6; padding-top: 1; }
    #note { height: 1; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, shown: Shown) -> None:
        super().__init__()
        self._shown = shown
        self._order = Order.GIVEN

    def compose(self) -> ComposeResult:
        """Title, table, the chosen node, the note, the keys."""
        yield Static(id="title", markup=False)
        yield Static(id="pace", markup=False)
        yield FleetTable()
        yield Static(id="about", markup=False)
        yield Static(NOTE, id="note", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Draw, and go on drawing."""
        self.set_interval(REDRAW, self.redraw)
        self.query_one(FleetTable).focus()
        self.call_after_refresh(self.redraw)

    def on_resize(self) -> None:
        """Other columns may fit."""
        self.call_after_refresh(self.redraw)

    def redraw(self) -> None:
        """Show what is known now."""
        now = self._shown.clock()
        table = self.query_one(FleetTable)
        table.show(self._shown.fleet.rows(self._order, now), now)
        self.query_one("#title", Static).update(Text(title(self._shown.fleet, now)))
        self.query_one("#pace", Static).update(Text(pace(self._shown, self._order)))
        chosen = self._shown.fleet.nodes.get(table.chosen or "")
        self.query_one("#about", Static).update(Text("\n".join(about(chosen, now)) if chosen else ""))

    def action_move(self, step: int) -> None:
        """The next or the previous node."""
        self.query_one(FleetTable).move(step)
        self.redraw()

    def action_sort(self) -> None:
        """The next order."""
        self._order = self._order.next
        self.redraw()

    def action_pause(self) -> None:
        """Ask nothing, or ask again."""
        self._shown.toggle_pause()
        self.redraw()

    def action_interval(self, step: int) -> None:
        """Ask more often or less often."""
        self._shown.step_interval(step)
        self.redraw()

    def action_help(self) -> None:
        """Show the keys and the words."""
        self.app.push_screen(HelpScreen())

    def action_quit(self) -> None:
        """End the program."""
        self.app.exit()


def about(node: Node, now: float) -> list[str]:
    """The node in words: its state and why, and its devices one by one."""
    sentence = node.sentence(now)
    lines = [f"{node.name}  {node.state(now).value}: {sentence}"]
    lines += [words.device_line(index, device) for index, device in enumerate(node.devices[:MOST_DEVICE_LINES])]
    if (more := len(node.devices) - MOST_DEVICE_LINES) > 0:
        lines[-1] += f" (and {more} more)"
    return lines
