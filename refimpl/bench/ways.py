"""Ways of running a model that are compared with each other, and the table of their ratios. Pure.

Who drives: stock's llama-bench or our engine. Where the layers are: here, on a stock server, on a refimpl server. Each
way is held against the one of stock that differs from it in one part, so a ratio says what that part costs. A ratio is
that of the medians; its spread is that of the rounds, whose ways ran one right after the other.
"""

import statistics
from collections.abc import Mapping, Sequence
from enum import Enum

import attrs

from refimpl.bench.figures import DECODE, PREFILL, Server

__all__ = ["UNIT", "WAYS", "Driver", "Sample", "Way", "compared"]

UNIT = "tokens/s"
HEAD = ("way", "tokens/s", "ratio", "to")


class Driver(Enum):
    """Whose main host."""

    STOCK = "stock"
    OURS = "refimpl"


@attrs.frozen
class Way:
    """A main host, and the server that has all layers; None: they are here."""

    driver: Driver
    server: Server | None

    @property
    def name(self) -> str:
        return f"{self.driver.value} local" if self.server is None else f"{self.driver.value} host, {self.place}"

    @property
    def place(self) -> str:
        return f"{self.server.value} server" if self.server else "local"

    @property
    def beside(self) -> "Way | None":
        """What it is held against: the same with stock's part; stock's own over a server against itself alone."""
        if self.server is Server.OURS:
            return attrs.evolve(self, server=Server.STOCK)
        if self.driver is Driver.OURS:
            return attrs.evolve(self, driver=Driver.STOCK)
        return attrs.evolve(self, server=None) if self.server else None


WAYS = tuple(Way(driver, server) for driver in Driver for server in (None, Server.STOCK, Server.OURS))
"""in the order in which a round runs them"""


@attrs.frozen
class Sample:
    """One measurement, in tokens/s; rounds count from 0."""

    way: Way
    figure: str
    round: int
    value: float

    def as_json(self) -> dict[str, str | int | float]:
        return {
            "driver": self.way.driver.value,
            "layers": self.way.place,
            "figure": self.figure,
            "unit": UNIT,
            "round": self.round,
            "value": round(self.value, 3),
        }


def compared(samples: Sequence[Sample]) -> str:
    """A table for each figure, a row for each way that has samples: median (min..max), ratio (min..max), to which."""
    return "\n\n".join(_table(figure, samples) for figure in (PREFILL, DECODE) if _of(figure, samples))


def _of(figure: str, samples: Sequence[Sample]) -> dict[Way, dict[int, float]]:
    """Values by way and round."""
    found: dict[Way, dict[int, float]] = {}
    for sample in samples:
        if sample.figure == figure:
            found.setdefault(sample.way, {})[sample.round] = sample.value
    return found


def _table(figure: str, samples: Sequence[Sample]) -> str:
    values = _of(figure, samples)
    rows = [(figure, *HEAD[1:])]
    for way in WAYS:
        if way in values:
            beside = way.beside if way.beside in values else None
            ratio = _ratio(values[way], values[beside]) if beside else ""
            rows.append((way.name, _spread(list(values[way].values()), 1), ratio, beside.name if beside else ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _spread(values: Sequence[float], digits: int, middle: float | None = None) -> str:
    middle = statistics.median(values) if middle is None else middle
    return f"{middle:.{digits}f} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def _ratio(ours: Mapping[int, float], theirs: Mapping[int, float]) -> str:
    middle = statistics.median(ours.values()) / statistics.median(theirs.values())
    rounds = [ours[number] / theirs[number] for number in ours if number in theirs]
    return _spread(rounds, 2, middle) if rounds else f"{middle:.2f}"
