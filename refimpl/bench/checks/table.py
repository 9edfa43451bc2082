"""The cost of checks as a table: a row for each stage, in microseconds for a token and as a share of its time. Pure."""

from collections.abc import Mapping, Sequence

import attrs

__all__ = ["MOST", "Cost", "Row", "drawn"]

MOST = 0.01
"""share of a token's time that all checks together may take"""
WIDTH = 34


@attrs.frozen
class Row:
    """One stage. calls: for a token."""

    name: str
    microseconds: float
    calls: float


@attrs.frozen(kw_only=True)
class Cost:
    """What was measured under one main host; tokens: graphs that ran, one for each."""

    host: str
    tokens: int
    tokens_per_second: float
    rows: Sequence[Row]
    """the checks"""
    beside: Sequence[Row]
    """what is measured and is no check"""
    loop_microseconds: float
    """of a token, of the event loop's thread: whatever it does, sockets and all"""
    clock_microseconds: float
    """of a token, that the measuring itself has put into the rows, about"""

    @property
    def token_microseconds(self) -> float:
        return 1e6 / self.tokens_per_second

    @property
    def microseconds(self) -> float:
        """Of all checks."""
        return sum(row.microseconds for row in self.rows)

    @property
    def share(self) -> float:
        """Of all checks, the time of the clock in it."""
        return self.microseconds / self.token_microseconds

    @property
    def is_low(self) -> bool:
        return self.share < MOST

    def as_json(self) -> Mapping[str, object]:
        return {
            "host": self.host,
            "tokens": self.tokens,
            "tokens_per_second": round(self.tokens_per_second, 3),
            "checks_us": round(self.microseconds, 2),
            "share": round(self.share, 5),
            "clock_us": round(self.clock_microseconds, 2),
            "event_loop_us": round(self.loop_microseconds, 2),
            "stages": {row.name: round(row.microseconds, 3) for row in self.rows},
            "beside": {row.name: round(row.microseconds, 3) for row in self.beside},
        }


def drawn(cost: Cost) -> str:
    """The table for people."""
    token = cost.token_microseconds
    lines = [
        f"{cost.host}: {cost.tokens} tokens, {cost.tokens_per_second:.1f} tokens/s, {token:.0f} us for each",
        f"{'stage':{WIDTH}}{'calls':>8}{'us/token':>10}{'share':>9}",
    ]
    lines += [_line(row.name, f"{row.calls:.2f}", row.microseconds, token) for row in cost.rows]
    lines.append(_line("all checks", "", cost.microseconds, token))
    lines.append(_line("  of it the clock, about", "", cost.clock_microseconds, token))
    lines += [_line(f"no check: {row.name}", f"{row.calls:.2f}", row.microseconds, token) for row in cost.beside]
    lines.append(_line("no check: all of the event loop", "", cost.loop_microseconds, token))
    verdict = "yes" if cost.is_low else "NO"
    lines.append(f"less than {MOST:.0%} of the time of a token: {verdict}")
    return "\n".join(lines)


def _line(name: str, calls: str, microseconds: float, token: float) -> str:
    return f"{name:{WIDTH}}{calls:>8}{microseconds:>10.1f}{microseconds / token:>9.2%}"
