"""The table of nodes: rows are places, and each drawing says which node stands in which place.

The cursor follows its node when the order changes. Only cells whose text has changed are drawn again. A state is told
by its word; colour only repeats it.
"""

from collections.abc import Sequence

from rich.text import Text
from textual.coordinate import Coordinate
from textual.widgets import DataTable

from tui.model.columns import Column, columns
from tui.model.node import Node, State

__all__ = ["FleetTable"]

SCROLLBAR = 1
COLOURS = {
    State.UP: "green",
    State.SLOW: "yellow",
    State.BUSY: "yellow",
    State.ASKING: "",
    State.BROKEN: "red",
    State.WRONG_VERSION: "red",
    State.UNREACHABLE: "red",
}
STALE = "dim"
"""values of a node that does not answer at present"""
UNCOLOURED = frozenset({"node", "state", "sentence"})
"""columns that are no values"""


class FleetTable(DataTable[Text]):
    """`show` is the only way in; `chosen` is the node under the cursor."""

    DEFAULT_CSS = """
    FleetTable { height: 1fr; background: $background; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }
    FleetTable:focus { background-tint: $background 0%; }
    FleetTable:nocolor > .datatable--cursor { text-style: reverse; }
    FleetTable:nocolor > .datatable--header { text-style: underline; }
    """

    def __init__(self) -> None:
        super().__init__(cursor_type="row", zebra_stripes=False, cell_padding=0)
        self.chosen: str | None = None
        self._columns_shown: tuple[Column, ...] = ()
        self._names: list[str] = []

    def show(self, nodes: Sequence[Node], now: float) -> None:
        """Draw these nodes, in this order."""
        fitting = columns(self.size.width - SCROLLBAR)
        if _sizes(fitting) != _sizes(self._columns_shown) or len(nodes) != self.row_count:
            self._lay_out(fitting, len(nodes))
        for row, node in enumerate(nodes):
            self._draw(row, node, now)
        self._names = [node.name for node in nodes]
        self._follow()

    def move(self, step: int) -> None:
        """The cursor to the next or previous row."""
        if self._names:
            self.move_cursor(row=min(max(self.cursor_row + step, 0), len(self._names) - 1), animate=False)
            self.chosen = self._names[self.cursor_row]

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """A click of the mouse, or a key of the table's own."""
        if event.cursor_row < len(self._names) and event.cursor_row == self.cursor_row:
            self.chosen = self._names[event.cursor_row]

    def _lay_out(self, fitting: tuple[Column, ...], rows: int) -> None:
        """Empty cells: all columns, all rows."""
        self.clear(columns=True)
        self._columns_shown = fitting
        for column in fitting:
            heading = column.title.rjust(column.width) if column.right else column.title
            self.add_column(Text(heading), width=column.width + 1, key=column.key)
        for row in range(rows):
            self.add_row(*(Text() for _ in fitting), key=str(row))

    def _draw(self, row: int, node: Node, now: float) -> None:
        state = node.state(now)
        for place, column in enumerate(self._columns_shown):
            style = COLOURS[state] if column.key == "state" else ""
            if column.key not in UNCOLOURED and not node.answers(now):
                style = STALE
            cell = Text(column.text(node, now), style)
            where = Coordinate(row, place)
            if self.get_cell_at(where) != cell or self.get_cell_at(where).style != cell.style:
                self.update_cell_at(where, cell)

    def _follow(self) -> None:
        """The cursor to the row where its node stands now."""
        if not self._names:
            return
        if self.chosen not in self._names:
            self.chosen = self._names[0]
        row = self._names.index(self.chosen)
        if row != self.cursor_row:
            self.move_cursor(row=row, animate=False)


def _sizes(shown: tuple[Column, ...]) -> list[tuple[str, int]]:
    return [(column.key, column.width) for column in shown]
