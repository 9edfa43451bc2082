"""Which layer runs where: a pure function of layer count, `-ngl` and the devices' weights.

A model of L layers has L + 1 items to place: its layers and, last, the output (norm and matrix). `-ngl N` gives the
last N layers and the output to the devices, N = 0 gives them nothing; the rest, and always the token embedding, stays
on the local CPU. The items on the devices are divided in order: item i of n goes to the first device whose cumulated
share of the weights exceeds i / n. That is llama.cpp's division; its count differs by one, because there the output is
one of the N (seen in build 11434: of 30 layers `-ngl 15` places 14 and the output).
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, groupby

import attrs

from refimpl.errors import UsageError

__all__ = ["LOCAL", "Plan", "Stage", "place", "shares"]

LOCAL = -1
"""device number of the local CPU"""


@attrs.frozen(kw_only=True)
class Stage:
    """A run of layers on one device: layers [first, last), and the output if `head`. Stages run one after the other."""

    device: int
    """index into the devices given to `place`, or LOCAL"""
    first: int
    last: int
    head: bool


@attrs.frozen
class Plan:
    """Every layer and the output, each on exactly one device."""

    layers: tuple[int, ...]
    """device of each layer"""
    output: int
    """device of the output norm and matrix"""

    def stages(self) -> tuple[Stage, ...]:
        """Neighbours on one device as one stage, in the order of the layers; the last one has the head."""
        items = (*self.layers, self.output)
        n_layer = len(self.layers)
        found: list[Stage] = []
        start = 0
        for device, run in groupby(items):
            end = start + len(list(run))
            found.append(Stage(device=device, first=start, last=min(end, n_layer), head=end > n_layer))
            start = end
        return tuple(found)

    def on_devices(self) -> int:
        """Layers that do not run locally."""
        return sum(device != LOCAL for device in self.layers)


def shares(split: Sequence[float], free: Sequence[int]) -> tuple[float, ...]:
    """Weight of each device: `split` (from -ts) if any of it counts, else free memory in bytes; len(free) values.

    A split shorter than the devices leaves the others empty, a longer one is cut, as in llama.cpp. Raises UsageError
    when the split names only devices that are not there.
    """
    if not any(split):
        return tuple(map(float, free)) if any(free) else (1.0,) * len(free)
    weights = tuple(split[: len(free)]) + (0.0,) * (len(free) - len(split))
    if not any(weights):
        raise UsageError(f"-ts gives all its weight to devices beyond the {len(free)} that exist")
    return weights


def place(n_layer: int, gpu_layers: int | None, weights: Sequence[float]) -> Plan:
    """Place `n_layer` layers and the output; gpu_layers is N of -ngl, None for all; `weights` come from `shares`.

    No weights, no devices: everything is local.
    """
    wanted = n_layer if gpu_layers is None else min(gpu_layers, n_layer)
    if not weights or wanted <= 0:
        return Plan((LOCAL,) * n_layer, LOCAL)
    local = n_layer - wanted
    bounds = _cumulated(weights)
    count = wanted + 1
    devices = [min(bisect_right(bounds, i / count), len(weights) - 1) for i in range(count)]
    return Plan((LOCAL,) * local + tuple(devices[:-1]), devices[-1])


def _cumulated(weights: Sequence[float]) -> list[float]:
    total = sum(weights)
    return [part / total for part in accumulate(weights)]
