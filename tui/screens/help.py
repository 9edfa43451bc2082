"""Help: keys and words on one page of 80 x 24. Keys come from the registry of actions."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.actions import ACTIONS
from tui.feed.pace import SELDOM, SELDOM_TIMES
from tui.model.node import PATIENCE, SLOW_TRIP

__all__ = ["HelpScreen", "help_text"]

STATES = (
    ("up", "answers"),
    ("slow", f"owes an answer for {PATIENCE:g} s, or a round trip took {SLOW_TRIP:g} s"),
    ("busy?", "HELLO is not answered: it serves another client, or hangs"),
    ("asking", "nothing known yet"),
    ("broken", "speaks a known version and breaks a clause of it"),
    ("wrong version", "speaks another version, or no ggml RPC at all"),
    ("unreachable", "no TCP connection, or it ended"),
)
OLD = "What was read last stays, with its age, when a node no longer answers."
STOCK = (
    "A stock node serves one client at a time. It is visited briefly, every "
    f"{SELDOM:g} s or every {SELDOM_TIMES} intervals, whichever is longer. While another client is attached, one "
    "connection waits in its queue and the node looks busy."
)
KEY_WIDTH = 9
STATE_WIDTH = 15


def help_text() -> str:
    """The whole page."""
    keys = [f"{action.shown:<{KEY_WIDTH}}{action.doc}" for action in ACTIONS]
    states = [f"{name:<{STATE_WIDTH}}{meaning}" for name, meaning in STATES]
    return "\n".join([*keys, "", *states, "", OLD, STOCK])


class HelpScreen(ModalScreen[None]):
    """Over the fleet, until a key closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,enter", "close", "back", key_display="esc"),
        Binding("q", "quit", "quit"),
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
    ]
    CSS = """
    HelpScreen { align: center middle; }
    #help {
        width: 100%; max-width: 100; height: auto; max-height: 100%; padding: 0 1;
        background: $panel; border: round $foreground;
    }
    """

    def compose(self) -> ComposeResult:
        """The page, which scrolls where it does not fit."""
        with VerticalScroll(id="help"):
            yield Static(help_text(), markup=False)

    def action_close(self) -> None:
        """Back to the fleet."""
        self.dismiss()

    def action_scroll(self, step: int) -> None:
        """A line further or back."""
        self.query_one("#help").scroll_relative(y=step, animate=False)

    def action_quit(self) -> None:
        """End the program."""
        self.app.exit()
