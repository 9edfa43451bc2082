"""Room for the graphs of all connections together: who holds most gives way first.

Rules of this file:
- The first `limits.graph_memory_free` bytes of each connection do not count; what all have beyond stays within
  `limits.graph_memory_in_all`.
- When a new graph goes beyond that, the connection with the most gives way, its least recently used graph first, and so
  on until there is room. Nobody gives who has no more than an equal share.
- A graph that is about to run, or is running, stays. Where nobody else can give, a new graph of a connection with more
  than an equal share is refused by name. One within its share is let in all the same: the others are in excess, and
  will give when their graphs have run.
"""

from typing import Protocol

from refimpl.errors import OutOfMemory
from refimpl.limits import Limits

__all__ = ["GraphRoom", "Holder"]


class Holder(Protocol):
    """The graphs of one connection."""

    @property
    def nbytes(self) -> int:
        """Memory of all its graphs."""

    @property
    def can_give_way(self) -> bool:
        """Whether it has a graph that is not in use."""

    async def give_way(self) -> None:
        """Give memory of the least recently used graph back."""


class GraphRoom:
    """Who has graphs, and how much of them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._holders: list[Holder] = []

    def join(self, holder: Holder) -> None:
        """A connection, which must `leave`."""
        self._holders.append(holder)

    def leave(self, holder: Holder) -> None:
        """The connection has ended; more than once is no harm."""
        self._holders = [other for other in self._holders if other is not holder]

    @property
    def taken(self) -> int:
        """Bytes that count."""
        return sum(map(self._counted, self._holders))

    async def settle(self, asking: Holder) -> None:
        """Make room after `asking` has got a new graph. Raises OutOfMemory if that cannot stay."""
        limit = self._limits.graph_memory_in_all
        while (taken := self.taken) > limit:
            share = limit // sum(self._counted(holder) > 0 for holder in self._holders)
            rich = [holder for holder in self._holders if self._counted(holder) > share]
            giver = max((holder for holder in rich if holder.can_give_way), key=self._counted, default=None)
            if giver is not None:
                await giver.give_way()
            elif asking in rich:
                raise OutOfMemory(f"graphs of all connections of {taken} bytes (limits.graph_memory_in_all = {limit})")
            else:
                return

    def _counted(self, holder: Holder) -> int:
        return max(0, holder.nbytes - self._limits.graph_memory_free)
