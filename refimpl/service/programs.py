"""The compiled graphs of one connection: found again by the bytes of the message that described them.

Rules of this file:
- A message equals an earlier one if its body has the same length and then the same bytes (they begin with the device
  and the count of nodes); comparing is cheaper than any hash of them.
- Per device the last graph run is what GRAPH_RECOMPUTE means. It is never thrown out for room, only by FREE_BUFFER.
- Freeing a buffer destroys the programs that use it, and no others.
- Bounded: `limits.programs` for each device, `limits.program_bytes` for all; least recently used first out.
"""

import attrs

from refimpl.device.protocol import Program
from refimpl.limits import Limits
from refimpl.wire.messages import GraphCompute

__all__ = ["Programs"]


@attrs.frozen(eq=False)
class _Kept:
    message: GraphCompute
    program: Program

    @property
    def nbytes(self) -> int:
        return self.program.nbytes + len(self.message.body)


class Programs:
    """Compiled graphs by device and message, least recently used first."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: list[_Kept] = []
        self._last: dict[int, _Kept] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, message: GraphCompute) -> Program | None:
        """The program compiled from the same bytes for the same device; from now on that device's last."""
        for at in range(len(self._kept) - 1, -1, -1):
            kept = self._kept[at]
            if kept.message.body == message.body:
                self._kept.append(self._kept.pop(at))
                self._last[message.device] = kept
                return kept.program
        return None

    def add(self, message: GraphCompute, program: Program) -> None:
        """Keep a program as its device's last; others may have to go."""
        kept = _Kept(message, program)
        self._kept.append(kept)
        self._last[message.device] = kept
        self._make_room(message.device)

    def last(self, device: int) -> Program | None:
        """What GRAPH_RECOMPUTE runs on `device`, if anything."""
        kept = self._last.get(device)
        return kept.program if kept else None

    def drop(self, handle: int) -> None:
        """Destroy the programs that use a buffer."""
        self._kept = [kept for kept in self._kept if handle not in kept.program.handles]
        self._last = {device: kept for device, kept in self._last.items() if handle not in kept.program.handles}

    def clear(self) -> None:
        """Destroy all."""
        self._kept.clear()
        self._last.clear()

    def _make_room(self, device: int) -> None:
        spare = [kept for kept in self._kept if kept is not self._last.get(kept.message.device)]
        of_device = [kept for kept in spare if kept.message.device == device]
        going = of_device[: max(0, len(of_device) + 1 - self._limits.programs)]
        total = sum(kept.nbytes for kept in self._kept) - sum(kept.nbytes for kept in going)
        for kept in spare:
            if total <= self._limits.program_bytes:
                break
            if kept not in going:
                going.append(kept)
                total -= kept.nbytes
        self._kept = [kept for kept in self._kept if kept not in going]
