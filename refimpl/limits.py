"""One frozen class of limits, passed in; nothing reads a limit from anywhere else.

Sizes are bytes, times are seconds. The defaults serve a stock llama.cpp main host with models of any size that the
device can hold; they bound what one peer, and all peers together, can make a node spend.

Rules of these limits:
- Whoever runs into one is told nothing, for this protocol has no errors: an ALLOC_BUFFER is answered with handle 0,
  anything else costs the connection. The log names the limit.
- What a limit "in all" protects is taken back from whoever holds most of it, so that an ordinary client never pays for
  a greedy one.
- What all connections may take besides their buffers fits the memory that a device of 16 GiB or more keeps back for it,
  and is less on a smaller one (`scaled`).
- A connection that has said HELLO may be silent for ever between two messages (`idle_timeout`). A main host that keeps
  its weights on a node and waits for a person's next question is the ordinary case, the protocol has no message to show
  that one is alive, and a peer that has lost its power is found by TCP's keepalive within two minutes.
"""

import math
from collections.abc import Collection

import attrs

__all__ = ["Limits"]

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
NONE = 1 << 62
"""a number of bytes that no machine has"""
SCALED = {"message_bytes_in_all": 128, "graph_memory_in_all": 40, "graph_memory_free": 1 << 14}
"""limits that are at most this part of the machine's memory"""


@attrs.frozen(kw_only=True)
class Limits:
    """Bounds on what a peer may ask for; every one is named in the error that enforces it."""

    connections: int = 256
    """simultaneous connections of one server; what comes beyond is closed at once"""
    connections_per_peer: int = 128
    """of them from one address (IPv6: from one /64 network), so that one machine cannot keep all others out"""

    tensor_bytes: int = 1 << 46
    """largest byte size of one tensor record; keeps every product of sizes inside 64 bits"""
    graph_nodes: int = 1 << 17
    """some twenty times as many as the graphs of the largest models have"""
    graph_tensors: int = 1 << 18
    graph_bytes: int = 96 * MIB
    """largest GRAPH_COMPUTE body: as many nodes and tensors as are allowed fit it"""
    message_bytes_in_all: int = 128 * MIB
    """bodies of all connections that are kept until they have come in whole and have been dealt with"""

    buffers: int = 4096
    """live buffers of one connection"""
    buffers_in_all: int = 1 << 14
    """live buffers of one server: each may be a mapping, and systems have room for 65530 of them in a process"""
    buffer_bytes: int = NONE
    """memory of all live buffers of one connection"""
    device_bytes: int = NONE
    """memory that one device gives away, buffers and what graphs need besides; below what it has, the clients see it"""

    programs: int = 8
    """compiled graphs kept for one connection and device, least recently used first out"""
    program_bytes: int = 256 * MIB
    """memory of all compiled graphs of one connection"""
    sleeping_bytes: int = 256 * MIB
    """packed messages of the graphs of one connection that have a uid and are not compiled any more"""
    graph_memory_in_all: int = 384 * MIB
    """compiled and packed graphs of all connections, beyond the first `graph_memory_free` of each"""
    graph_memory_free: int = MIB
    """what the graphs of a connection may take whatever all others have taken: one of a small model"""

    hello_timeout: float = 10.0
    """time for a new connection to send its HELLO"""
    message_timeout: float = 60.0
    """time for a message that has begun to come in whole, but for tensor data; longest silence inside tensor data"""
    send_timeout: float = 60.0
    """longest time in which a peer takes in no byte of a reply"""
    idle_timeout: float = math.inf
    """longest silence between two messages"""
    read_ahead: int = 256 * KIB
    """bytes read while a graph of the same connection runs, and kept of a message before it counts"""

    cache_bytes: int = 32 * GIB
    """tensors that the cache keeps, least recently used first out"""
    cache_files: int = 1 << 14
    """files that they are in"""

    def scaled(self, memory: int, keep: Collection[str] = ()) -> "Limits":
        """These limits for a machine with so many bytes of memory, but for those that are named in `keep`."""
        smaller = {name: min(getattr(self, name), memory // part) for name, part in SCALED.items() if name not in keep}
        limits = attrs.evolve(self, **smaller)
        return attrs.evolve(limits, graph_bytes=min(limits.graph_bytes, limits.message_bytes_in_all))
