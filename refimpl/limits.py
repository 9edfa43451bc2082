"""One frozen class of limits, passed in; nothing reads a limit from anywhere else.

Sizes are bytes, times are seconds. The defaults serve a stock llama.cpp main host with models of any size that the
device can hold; they bound what one peer can make a node spend before it has proved anything.
"""

import attrs

__all__ = ["Limits"]

KIB = 1 << 10
MIB = 1 << 20


@attrs.frozen(kw_only=True)
class Limits:
    """Bounds on what a peer may ask for; every one is named in the error that enforces it."""

    tensor_bytes: int = 1 << 46
    """largest byte size of one tensor record; keeps every product of sizes inside 64 bits"""
    graph_nodes: int = 1 << 17
    graph_tensors: int = 1 << 18
    graph_bytes: int = 96 * MIB
    """largest GRAPH_COMPUTE body"""
    buffers: int = 4096
    """live buffers of one connection"""
    programs: int = 8
    """compiled graphs kept for one connection and device, least recently used first out"""
    program_bytes: int = 256 * MIB
    """memory of all compiled graphs of one connection"""
    sleeping_bytes: int = 256 * MIB
    """packed messages of the graphs of one connection that have a uid and are not compiled any more"""
    connections: int = 256
    """simultaneous connections of one server"""
    hello_timeout: float = 10.0
    """time for a new connection to send its HELLO"""
    message_timeout: float = 60.0
    """longest silence inside a message that has begun"""
    send_timeout: float = 60.0
    """longest time for a peer to take in a reply"""
    read_ahead: int = 256 * KIB
    """bytes read while a graph of the same connection runs"""
