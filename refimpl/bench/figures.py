"""What is measured, in which unit, and the ratio that is asked for; the table of medians. Pure."""

import statistics
from collections.abc import Iterable, Sequence
from enum import Enum

import attrs

__all__ = ["DECODE", "FIGURES", "PREFILL", "Figure", "Measured", "Server", "table"]

DECODE, PREFILL = "decode", "prefill"
MIB = 1 << 20


class Server(Enum):
    """Whose server was measured; the main host is stock's in both columns."""

    STOCK = "stock"
    OURS = "refimpl"


@attrs.frozen
class Figure:
    """A quantity. At most one bound: a ratio to stock's, or a limit for our own value."""

    name: str
    unit: str
    at_least_ratio: float | None = None
    at_most: float | None = None


FIGURES = (
    Figure(DECODE, "tokens/s", at_least_ratio=0.7),
    Figure(PREFILL, "tokens/s", at_least_ratio=0.7),
    Figure("upload", "MiB/s", at_least_ratio=0.8),
    Figure("start", "s", at_most=2.0),
    Figure("memory beyond buffers", "MiB", at_most=300.0),
)


@attrs.frozen
class Measured:
    """One measurement; round counts from 0."""

    figure: str
    server: Server
    round: int
    value: float

    def as_json(self) -> dict[str, str | int | float]:
        return {"figure": self.figure, "server": self.server.value, "round": self.round, "value": self.value}


def table(measured: Iterable[Measured], figures: Sequence[Figure] = FIGURES) -> str:
    """Medians of both servers, their ratio, what was asked for and whether it holds; a figure needs both servers."""
    values: dict[tuple[str, Server], list[float]] = {}
    for one in measured:
        values.setdefault((one.figure, one.server), []).append(one.value)
    lines = [f"{'median':30}{'stock':>10}{'refimpl':>10}{'ratio':>8}  asked for"]
    for figure in figures:
        both = [values.get((figure.name, server)) for server in (Server.STOCK, Server.OURS)]
        if both[0] and both[1]:
            lines.append(_row(figure, statistics.median(both[0]), statistics.median(both[1])))
    return "\n".join(lines)


def _row(figure: Figure, stock: float, ours: float) -> str:
    ratio = ours / stock if stock else float("nan")
    name = f"{figure.name} ({figure.unit})"
    return f"{name:30}{stock:10.2f}{ours:10.2f}{ratio:8.2f}  {_verdict(figure, ours, ratio)}"


def _verdict(figure: Figure, ours: float, ratio: float) -> str:
    if figure.at_least_ratio is not None:
        return f"ratio >= {figure.at_least_ratio}: {'yes' if ratio >= figure.at_least_ratio else 'NO'}"
    if figure.at_most is not None:
        return f"refimpl <= {figure.at_most:g} {figure.unit}: {'yes' if ours <= figure.at_most else 'NO'}"
    return ""
