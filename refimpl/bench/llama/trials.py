"""What llama-bench's flags ask for: which tests, under which settings, in which order. Pure.

A flag takes several values, separated by commas or by repeating it, and ranges: `2-8`, `2-8+2` (steps), `2-32*2`
(factors). Every combination of settings is a setup, and each setup runs all tests: prompts first, then generations,
then both one after the other, and all of that for each depth.
"""

import itertools
import re
from collections.abc import Sequence
from typing import Any

import attrs

from refimpl.errors import UsageError
from refimpl.host.command.options import FlashAttention, Layers
from spec.names import Type

__all__ = ["Setup", "Trial", "numbers", "pair", "setups", "trials"]

RANGE = re.compile(r"(?P<first>\d+)(?:-(?P<last>\d+)(?:(?P<how>[+*])(?P<by>\d+))?)?")
MOST_VALUES = 10_000


@attrs.frozen
class Trial:
    """One test: `depth` tokens are there already, `n_prompt` are read in one go, `n_gen` one by one."""

    n_prompt: int
    n_gen: int
    depth: int = 0

    @property
    def tokens(self) -> int:
        """Tokens that count in the speed."""
        return self.n_prompt + self.n_gen

    @property
    def name(self) -> str:
        """As llama-bench writes it: ``pp512``, ``tg128``, ``pp512+tg128``, each with `` @ d4096`` behind it."""
        parts = [f"pp{self.n_prompt}"] * bool(self.n_prompt) + [f"tg{self.n_gen}"] * bool(self.n_gen)
        return "+".join(parts) + (f" @ d{self.depth}" if self.depth else "")


@attrs.frozen(kw_only=True)
class Setup:
    """Under which settings: a model is loaded once for each."""

    model: str
    gpu_layers: int | Layers
    batch: int
    ubatch: int
    type_k: Type
    type_v: Type
    threads: int
    flash: FlashAttention

    @property
    def piece(self) -> int:
        """Most tokens of one graph."""
        return min(self.batch, self.ubatch)


def numbers(text: str) -> tuple[int, ...]:
    """``512,128-256*2`` > (512, 128, 256). Raises ValueError with what is wrong."""
    return tuple(itertools.chain.from_iterable(map(_range, text.split(","))))


def _range(text: str) -> list[int]:
    match = RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is neither a number nor a range such as 2-8, 2-8+2 or 2-8*2")
    first, last = int(match["first"]), int(match["last"] or match["first"])
    times, by = match["how"] == "*", int(match["by"] or 1)
    if last < first or by < 1 or (times and (by < 2 or first < 1)):
        raise ValueError(f"'{text}' does not lead from {first} up to {last}")
    found = [first]
    while (value := found[-1] * by if times else found[-1] + by) <= last:
        found.append(value)
        if len(found) > MOST_VALUES:
            raise ValueError(f"'{text}' has more than {MOST_VALUES} values")
    return found


def pair(text: str) -> tuple[int, int]:
    """``512,128`` of -pg > (512, 128). Raises ValueError with what is wrong."""
    values = numbers(text)
    if len(values) != 2 or not all(values):
        raise ValueError(f"'{text}' is not a prompt and a generation, such as 512,128")
    return values[0], values[1]


def setups(**choices: Sequence[Any]) -> list[Setup]:
    """Every combination of the choices for each field of Setup, the last field changing fastest."""
    names = [field.name for field in attrs.fields(Setup)]
    combinations = itertools.product(*(choices[name] for name in names))
    return [Setup(**dict(zip(names, values, strict=True))) for values in combinations]


def trials(
    prompts: Sequence[int], generations: Sequence[int], both: Sequence[tuple[int, int]], depths: Sequence[int]
) -> list[Trial]:
    """All tests of a setup; a count of 0 is none. Raises UsageError if nothing is left to do."""
    wanted = [(prompt, 0) for prompt in prompts if prompt] + [(0, count) for count in generations if count] + [*both]
    if not wanted:
        raise UsageError("nothing to measure: -p and -n are 0, and there is no -pg")
    return [Trial(prompt, count, depth) for depth in depths for prompt, count in wanted]
