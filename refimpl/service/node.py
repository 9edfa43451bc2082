"""What all connections of one node share:

Its devices, the version it speaks, its limits and what is left of them, its cache, and who is told what happens.
"""

import attrs

from refimpl.limits import Limits
from refimpl.service.bounds.shared import Shared
from refimpl.service.cache.tensors import TensorCache
from refimpl.service.holdings import Seat
from refimpl.trace import Trace
from refimpl.wire.codec import Codec
from spec.dialect import Dialect

__all__ = ["Node", "Peer"]


@attrs.frozen
class Peer:
    """The other end of one connection: its address, and the address with its port as a person types them."""

    host: str
    endpoint: str


@attrs.frozen(eq=False, kw_only=True)
class Node:
    """Shared by all connections; none changes it, except that they queue for its seats and share out `shared`."""

    seats: tuple[Seat, ...]
    dialect: Dialect
    limits: Limits
    shared: Shared
    cache: TensorCache | None
    trace: Trace
    tell_commands: bool
    codec: Codec

    @property
    def graph_uids(self) -> int:
        """How many uids of graphs a connection may have for one device; 0 in versions without uids."""
        limit = self.dialect.constants.get("GRAPHS_PER_DEVICE")
        return limit.value if limit else 0
