"""Who may connect: so many peers in all, and so many from one place.

A place is an IPv4 address, or an IPv6 network of 64 bits, since whoever has one address of it has them all. Addresses
that mean the same are the same: an IPv4 address that comes in over IPv6 is that IPv4 address, and the name of the
interface behind a link-local address is none of the peer's.
"""

from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from refimpl.limits import Limits

__all__ = ["Admission", "canonical", "place_of"]

NETWORK_BITS = 64


def canonical(host: str) -> IPv4Address | IPv6Address:
    """The address of a peer, as the socket tells it; ValueError for what is none."""
    address = ip_address(host.partition("%")[0])
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def place_of(host: str) -> str:
    """Where a peer comes from: its IPv4 address or its IPv6 network."""
    address = canonical(host)
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((int(address), NETWORK_BITS), strict=False))


class Admission:
    """Counts the connections of a server."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places: Counter[str] = Counter()
        self.count = 0
        """connections going on now"""

    def enter(self, host: str) -> str:
        """Let a peer in; or why it has to stay outside. Who is let in must `leave`."""
        limits, place = self._limits, place_of(host)
        if self.count >= limits.connections:
            return f"{self.count} connections already (limits.connections)"
        if self._places[place] >= limits.connections_per_peer:
            return f"{self._places[place]} connections from {place} already (limits.connections_per_peer)"
        self.count += 1
        self._places[place] += 1
        return ""

    def leave(self, host: str) -> None:
        """A peer that was let in has gone."""
        place = place_of(host)
        self.count -= 1
        self._places[place] -= 1
        if not self._places[place]:
            del self._places[place]
