"""A placement in words: for every device its layers and the MiB of weights, KV cache and computing. Pure but for asking
devices what they have free.
"""

from collections.abc import Mapping, Sequence

import attrs

from refimpl.host.backends.protocol import MIB, Backend
from refimpl.host.placement.decide import Placement
from refimpl.host.placement.needs import Draft, Needs, needs_on
from refimpl.host.placement.plan import Stage

__all__ = ["Share", "describe", "shares_of", "stage_words"]


@attrs.frozen
class Share:
    """What one device gets."""

    backend: Backend
    words: str
    needs: Needs
    free: int

    @property
    def missing(self) -> int:
        """Bytes that the device lacks."""
        return max(0, self.needs.total - self.free)

    def line(self) -> str:
        parts = (
            (self.needs.weights, "weights"),
            (self.needs.cache, "KV cache"),
            (self.needs.compute, "computing"),
        )
        sizes = " + ".join(f"{size / MIB:.1f} MiB {what}" for size, what in parts)
        end = f", {self.missing / MIB:.1f} MiB TOO MUCH" if self.missing else ""
        head = f"{self.backend.name} ({self.backend.place}): {self.words}"
        return f"{head}: {sizes} = {self.needs.total / MIB:.1f} of {self.free / MIB:.1f} MiB free{end}"


async def shares_of(placement: Placement) -> list[Share]:
    """The share of each device, in the order in which they are reached. Raises the NodeErrors of nodes."""
    found: list[Share] = []
    order = dict.fromkeys(device for stage in placement.drafts for device in stage.devices)
    for device in order:
        backend = placement.backends[device]
        free, _ = await backend.memory()
        needs = await needs_on(placement.drafts, device, backend)
        found.append(Share(backend, _words(placement.drafts, device), needs, free))
    return found


def describe(shares: Sequence[Share], facts: Mapping[str, str]) -> list[str]:
    """The preview: a line of facts, a line for each device."""
    return ["; ".join(f"{name} {value}" for name, value in facts.items()), *(share.line() for share in shares)]


def stage_words(stage: Stage) -> str:
    """A stage's layers, and the output if it has it."""
    layers = f"layers {stage.first} to {stage.last - 1}" if stage.last > stage.first else ""
    return ", ".join(filter(None, [layers, "output" if stage.head else ""]))


def _words(drafts: Sequence[Draft], device: int) -> str:
    words = [stage_words(draft.stage) for draft in drafts if draft.stage.device == device]
    moved = sum(
        name in draft.where and draft.stage.device != device
        for draft in drafts
        for name in (w.name for w in draft.weights_on(device))
    )
    if moved:
        words.append(f"{moved} weights by -ot")
    return ", ".join(words)
